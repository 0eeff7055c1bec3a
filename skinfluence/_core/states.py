"""States: tensors of a net by name (weights, buffers, gates), in memory or in a file.

A checkpoint is a state, and so is a member of an ensemble.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

Params = dict[str, Tensor]


class SavedState:
    """A checkpoint in a file, which is read at each use. A pickle contains the tensors themselves.

    Parameters
    ----------
    path : path-like
        A file that `torch.save` wrote.
    keeper : object, optional
        Object that must live as long as this state, such as the temporary directory of the file.
    """

    def __init__(self, path: str | os.PathLike[str], keeper: Any = None) -> None:
        self.path, self._keeper = path, keeper
        self._modified = os.stat(path).st_mtime_ns

    def read(self) -> Params:
        """Load the tensors."""
        if os.stat(self.path).st_mtime_ns != self._modified:
            raise ValueError(
                f"the checkpoint {os.fspath(self.path)} was overwritten, by a later training most "
                "likely. Give each training a separate dirname, or set dirname=None."
            )
        # weights_only: a file that someone tampered with cannot run code.
        return torch.load(self.path, map_location="cpu", weights_only=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.read(),)


State = Params | SavedState


def read_state(state: State) -> Params:
    """Return the tensors of a state, from memory or from its file."""
    return state.read() if isinstance(state, SavedState) else state
