"""Parameters of a net at one moment, in memory or in a file."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

Params = dict[str, Tensor]


class SavedState:
    """A snapshot in a file; it is read each time it is looked at, and pickled with its tensors.

    It holds on to `keeper`, which takes a temporary directory away when nobody does.
    """

    def __init__(self, path: str | os.PathLike[str], keeper: Any = None) -> None:
        self.path, self._keeper = path, keeper
        self._written = os.stat(path).st_mtime_ns

    def read(self) -> Params:
        """Load the tensors (and nothing else: no code of a pickle is run)."""
        if os.stat(self.path).st_mtime_ns != self._written:
            raise ValueError(
                f"the snapshot {os.fspath(self.path)} was overwritten, by a later training most "
                "likely; give each training a dirname of its own, or None."
            )
        return torch.load(self.path, map_location="cpu", weights_only=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.read(),)


State = Params | SavedState


def read_state(state: State) -> Params:
    """Return the tensors of a state, wherever they are kept."""
    return state.read() if isinstance(state, SavedState) else state
