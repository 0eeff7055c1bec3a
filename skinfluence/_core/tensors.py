"""Rows in each form that a net accepts: an array, a tensor, a dataset, or a dict of arrays.

If a net has several inputs and the user gives them as a tuple, they are kept as a dict with the
keys 0, 1, ..., so that the same code handles tuples and dicts. `as_net_takes` turns such a dict
into a list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from skinfluence._core.sparse_rows import SparseRows

IGNORED = -100  # a label that adds nothing to the loss: ignore_index of torch's criteria

Rows = Any  # any form of X that skorch accepts


def wide(t: Tensor) -> Tensor:
    """Convert a half-precision tensor to float32; return any other tensor unchanged."""
    return t.to(torch.promote_types(t.dtype, torch.float32)) if t.is_floating_point() else t


def as_real(t: Tensor) -> Tensor:
    """Real and imaginary parts of a complex tensor, (*shape, 2); any other tensor unchanged.

    The inner product of two complex gradients g and h is Re(conj(g) · h). It equals the inner
    product of the real tensors that this function returns for g and h.
    """
    return torch.view_as_real(t.resolve_conj()) if t.is_complex() else t


def as_matrix(t: Tensor) -> Tensor:
    """Flatten all axes but the first: (n, numbers). The shape (n,) becomes (n, 1)."""
    return t.flatten(1) if t.ndim > 1 else t.unsqueeze(1)


def map_tensors(function: Callable[[Tensor], Tensor], X: Rows) -> Rows:
    """Apply a function to a tensor, or to each tensor of a dict."""
    if isinstance(X, Mapping):
        return {key: function(value) for key, value in X.items()}
    return function(X)


def floats_of(X: Rows) -> list[Tensor]:
    """The tensors of floats in X: X itself, or entries of a dict."""
    entries = X.values() if isinstance(X, Mapping) else [X]
    return [t for t in entries if isinstance(t, Tensor) and t.is_floating_point()]


def cast_floats(X: Rows, dtype: torch.dtype | None) -> Rows:
    """X with its floats in a dtype; None leaves them as they are."""
    if dtype is None:
        return X
    return map_tensors(lambda t: t.to(dtype) if floats_of(t) else t, X)


def layer_argument(inputs: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """Return the argument `input` of a torch layer's call, positional or named; None if missing."""
    return inputs[0] if inputs else named.get("input")


def join_rows(parts: list[Tensor], fill: float = 0.0) -> Tensor:
    """Join tensors along the first axis, after padding the second axis to the longest length."""
    if parts[0].ndim > 1:
        longest = max(part.shape[1] for part in parts)
        ends = [(0, 0) * (part.ndim - 2) + (0, longest - part.shape[1]) for part in parts]
        parts = [nn.functional.pad(p, end, value=fill) for p, end in zip(parts, ends, strict=True)]
    return torch.cat(parts)


def is_sliceable(X: Rows) -> bool:
    """Whether a slice or an index array selects rows of X."""
    if isinstance(X, Mapping):
        return all(isinstance(value, np.ndarray | Tensor) for value in X.values())
    return isinstance(X, np.ndarray | Tensor | SparseRows) and not isinstance(X, Dataset)


def slice_rows(X: Rows, rows: Any) -> Rows:
    """Select rows of an array or a tensor, or of each entry of a dict."""
    if isinstance(X, Mapping):
        return {key: value[rows] for key, value in X.items()}
    return X[rows]


def n_rows(X: Rows) -> int:
    """Count the rows of an array, a tensor, a dataset, or a dict or tuple of arrays."""
    if is_tuple_of_inputs(X):
        return len(X[0])
    return len(next(iter(X.values()))) if isinstance(X, Mapping) else len(X)


def is_tuple_of_inputs(X: Any) -> bool:
    """Whether X holds several inputs of a net rather than rows: one array per input.

    A tuple holds inputs if at least one of its arrays has two or more axes. A list may also be a
    list of rows. It holds inputs only if its arrays have different shapes and the same number of
    rows.
    """
    if not isinstance(X, tuple | list) or len(X) < 2:
        return False
    shapes = [tuple(getattr(value, "shape", ())) for value in X]
    if not all(shapes) or all(len(shape) == 1 for shape in shapes):
        return False
    if isinstance(X, tuple):
        return True
    return len({shape[0] for shape in shapes}) == 1 and len(set(shapes)) > 1


def as_net_takes(X: Rows) -> Rows:
    """Return the inputs of a tuple, kept as a dict, as the list that skorch passes to `forward`."""
    if isinstance(X, Mapping) and list(X) == list(range(len(X))):
        return list(X.values())
    return X
