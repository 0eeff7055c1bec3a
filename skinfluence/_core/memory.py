"""Memory and precision of what a net computes, and batches that do not fit in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from skinfluence._core.tensors import Rows, n_rows, slice_rows


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch, on whatever device, or Python ran out of memory."""
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "can't allocate memory" in str(error) or "out of memory" in str(error)


class OutputWatch(TorchDispatchMode):
    """Sees what every operation returns: its bytes, and the machine epsilon of the coarsest."""

    def __init__(self) -> None:
        super().__init__()
        self.eps, self.bytes = 0.0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = func(*args, **(kwargs or {}))
        for t in returned if isinstance(returned, tuple | list) else (returned,):
            if isinstance(t, Tensor):
                self.bytes += 0 if t._is_view() else t.numel() * t.element_size()
                if t.is_floating_point():
                    self.eps = max(self.eps, torch.finfo(t.dtype).eps)
        return returned


def in_halves_if_needed(
    function: Callable[[Rows, Any], Tensor], X: Rows, y: Any, axis: int = 0
) -> Tensor:
    """``function(X, y)`` of a batch; in halves where memory does not suffice, joined along rows."""
    n = n_rows(X)
    try:
        return function(X, y)
    except (RuntimeError, MemoryError) as error:
        if n < 2 or not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    parts = slice(0, n // 2), slice(n // 2, n)
    return torch.cat(
        [in_halves_if_needed(function, slice_rows(X, p), y[p], axis) for p in parts], axis
    )
