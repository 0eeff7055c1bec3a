"""States: tensors of a net (weights, buffers, gates) by name, in memory or in a file.

A checkpoint is a state; so is one member of an ensemble.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

Params = dict[str, Tensor]


class SavedState:
    """A checkpoint in a file. Each use reads the file; a pickle holds the tensors themselves.

    Parameters
    ----------
    path : path-like
        A file that `torch.save` wrote.
    keeper : object, optional
        Kept alive as long as this state. A temporary directory, say, deletes itself after.
    """

    def __init__(self, path: str | os.PathLike[str], keeper: Any = None) -> None:
        self.path, self._keeper = path, keeper
        self._modified = os.stat(path).st_mtime_ns

    def read(self) -> Params:
        """Load the tensors. ``weights_only`` keeps a tampered file from running code."""
        if os.stat(self.path).st_mtime_ns != self._modified:
            raise ValueError(
                f"the checkpoint {os.fspath(self.path)} was overwritten, by a later training most "
                "likely. Give each training its own dirname, or set dirname=None."
            )
        return torch.load(self.path, map_location="cpu", weights_only=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.read(),)


State = Params | SavedState


def read_state(state: State) -> Params:
    """Return the tensors of a state, from memory or from its file."""
    return state.read() if isinstance(state, SavedState) else state
