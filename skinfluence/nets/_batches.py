"""Batches of tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset


class _Batches:
    """Batches of an array's rows, cut whole: a DataLoader would collate a table row by row."""

    def __init__(self, X: Tensor, y: Tensor, batch_size: int, shuffle: bool) -> None:
        self.X, self.y, self.batch_size, self.shuffle = X, y, batch_size, shuffle

    def __len__(self) -> int:
        return -(-len(self.X) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self.X)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        for index in order.split(self.batch_size):
            yield self.X[index], self.y[index]


def table_batches(dataset: Any, batch_size: Any, shuffle: bool = False, **kwargs: Any) -> Any:
    """Batches for ``iterator_train``: cut whole from arrays, by a DataLoader from the rest.

    A `batch_size` of "auto" is a twentieth of the rows, but at least 16 and at most 256: thirty
    epochs then are enough steps for a small table, and not too many for a large one.
    """
    if batch_size == "auto":
        batch_size = min(max(len(dataset) // 20, 16), 256)
    base, rows = dataset, slice(None)
    if isinstance(dataset, Subset):
        base, rows = dataset.dataset, np.asarray(dataset.indices)
    whole = isinstance(getattr(base, "X", None), np.ndarray | Tensor) and base.y is not None
    if not whole or kwargs:
        return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle, **kwargs)
    X, y = (_tensor(values[rows]) for values in (base.X, base.y))
    return _Batches(X, y, batch_size, shuffle)


def _tensor(values: Any) -> Tensor:
    """Values as a tensor; arrays are copied, for torch warns of those that cannot be written."""
    return values.detach() if isinstance(values, Tensor) else torch.tensor(values)
