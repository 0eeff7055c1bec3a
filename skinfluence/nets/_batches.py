"""Batches cut from arrays as a whole, without collating row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from skinfluence._core.sparse_rows import SparseRows


class _Batches:
    """Batches of the rows of two tensors."""

    def __init__(self, X: Tensor | SparseRows, y: Tensor, batch_size: int, shuffle: bool) -> None:
        self.X, self.y, self.batch_size, self.shuffle = X, y, batch_size, shuffle

    def __len__(self) -> int:
        return -(-len(self.X) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self.X)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        for index in order.split(self.batch_size):
            yield self._rows(index), self.y[index]

    def _rows(self, index: Tensor) -> Tensor:
        if isinstance(self.X, SparseRows):
            return torch.from_numpy(self.X[index.numpy()].toarray())
        return self.X[index]


def table_batches(
    dataset: Any, batch_size: int | str, shuffle: bool = False, **kwargs: Any
) -> _Batches | DataLoader:
    """Make the batches of a table by indexing arrays, for ``iterator_train`` of a skorch net.

    A DataLoader fetches and collates the rows of a batch one by one. This function indexes the
    arrays once per batch instead, which is faster. Without shuffling, both give the same batches.

    Parameters
    ----------
    dataset : Dataset
        Rows and labels. Batches are cut from the arrays of a :class:`skorch.dataset.Dataset`, or
        of a :class:`torch.utils.data.Subset` of one, if it has a ``y`` and its ``X`` is an array or
        a tensor. For any other dataset, a :class:`torch.utils.data.DataLoader` is returned.
    batch_size : int or "auto"
        Number of rows per batch. "auto" is a twentieth of the rows, but at least 16 and at most
        256. In thirty epochs, a small table then gets enough steps, and a large table not too many.
    shuffle : bool, default=False
        Whether each pass over the batches draws a new order of the rows, with torch's global random
        number generator.
    **kwargs : dict
        Other parameters of :class:`torch.utils.data.DataLoader`. If any is given, a DataLoader is
        returned.

    Returns
    -------
    batches : iterable with a length
        Each item is a pair of tensors, the rows and the labels of a batch.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch.dataset import Dataset
    >>> from skinfluence.nets import table_batches
    >>> dataset = Dataset(np.ones((10, 3)), np.arange(10))
    >>> [tuple(rows.shape) for rows, labels in table_batches(dataset, batch_size=4)]
    [(4, 3), (4, 3), (2, 3)]

    To use the function in a net of your own, pass it as a parameter:

    >>> from skorch import NeuralNetClassifier
    >>> from torch import nn
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, iterator_train=table_batches, iterator_train__batch_size="auto"
    ... )
    """
    size: Any = batch_size
    if batch_size == "auto":
        size = min(max(len(dataset) // 20, 16), 256)
    base: Any = dataset
    rows: Any = slice(None)
    if isinstance(dataset, Subset):
        base, rows = dataset.dataset, np.asarray(dataset.indices)
    X: Any = getattr(base, "X", None)
    X = SparseRows(X.tocsr()) if issparse(X) else X
    has_arrays = isinstance(X, np.ndarray | Tensor | SparseRows) and base.y is not None
    if not has_arrays or kwargs:
        return DataLoader(dataset, batch_size=size, shuffle=shuffle, **kwargs)
    y = _as_tensor(base.y[rows])
    return _Batches(X[rows] if isinstance(X, SparseRows) else _as_tensor(X[rows]), y, size, shuffle)


def _as_tensor(values: Any) -> Tensor:
    """Return values as a tensor. Arrays are copied, because torch warns of read-only arrays."""
    return values.detach() if isinstance(values, Tensor) else torch.tensor(values)
