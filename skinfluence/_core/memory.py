"""Memory and precision of a net's operations, and batches that do not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from skinfluence._core.tensors import Rows, n_rows, slice_rows

# Fragments of the messages of torch's allocators and libraries if memory runs out, in lower case.
_SAID = (
    "out of memory",
    "allocate memory",  # "can't allocate memory", "cannot allocate memory", "unable to ..."
    "could not create a primitive",  # oneDNN
    "could not create a memory",  # oneDNN
    "could not execute a primitive",  # oneDNN
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "cusolver_status_alloc_failed",
    "std::bad_alloc",
)


def is_out_of_memory(error: Exception) -> bool:
    """Whether the error says that Python, or torch on any device, ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # oneDNN's "could not create a primitive descriptor" means that it lacks an operation.
    said = str(error).lower().replace("primitive descriptor", "")
    return isinstance(error, RuntimeError) and any(words in said for words in _SAID)


class OutputWatch(TorchDispatchMode):
    """Records the outputs of every torch operation inside the ``with`` block.

    Attributes
    ----------
    bytes : int
        Memory of all outputs. This is an upper bound, because it includes most views: torch marks
        a view as a view only after the operation is recorded.
    eps : float
        Machine epsilon of the least precise floating-point output.
    """

    def __init__(self) -> None:
        super().__init__()
        self.eps, self.bytes = 0.0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = func(*args, **(kwargs or {}))
        for t in returned if isinstance(returned, tuple | list) else (returned,):
            if isinstance(t, Tensor):
                self.bytes += 0 if t._is_view() else t.numel() * t.element_size()
                if t.is_floating_point() or t.is_complex():
                    self.eps = max(self.eps, torch.finfo(t.dtype).eps)
        return returned


class WriteGuard(TorchDispatchMode):
    """Stops operations that would write into given tensors, inside the ``with`` block.

    Raises
    ------
    WouldWrite
        Before the operation is run.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()
        self._protected = {t.untyped_storage().data_ptr() for t in tensors if t.numel()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for argument, value in zip(func._schema.arguments, args, strict=False):
            self._check(func, argument, value)
        for argument in func._schema.arguments:
            self._check(func, argument, kwargs.get(argument.name))
        return func(*args, **kwargs)

    def _check(self, func: Any, argument: Any, value: Any) -> None:
        if argument.alias_info is None or not argument.alias_info.is_write:
            return
        for t in value if isinstance(value, tuple | list) else (value,):
            if isinstance(t, Tensor) and t.untyped_storage().data_ptr() in self._protected:
                raise WouldWrite(str(func))


class WouldWrite(Exception):
    """Raised by `WriteGuard`, with the name of the operation."""


def in_halves_if_needed(function: Callable[[Rows, Any], Tensor], X: Rows, y: Any) -> Tensor:
    """Return ``function(X, y)`` of a batch; if memory runs out, split the batch in halves."""
    n = n_rows(X)
    try:
        return function(X, y)
    except (RuntimeError, MemoryError) as error:
        if n < 2 or not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    parts = slice(0, n // 2), slice(n // 2, n)
    return torch.cat([in_halves_if_needed(function, slice_rows(X, p), y[p]) for p in parts])
