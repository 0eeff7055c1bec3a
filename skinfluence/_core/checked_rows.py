"""Which rows of a table the self-check looks at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skinfluence._core.tensors import Rows, is_sliceable, n_rows

# Most numbers to read for finding extreme rows. In a larger table, evenly spaced rows are read.
_MAX_NUMBERS = 2**24

# Number of columns for which the rows with the lowest and the highest value are taken.
_MAX_COLUMNS = 2


def rows_to_check(X: Rows, y: Any, number: int) -> np.ndarray:
    """Return the positions of `number` rows, or of all rows if there are fewer.

    These are the first and the last row, the rows with the largest deviation from the mean of a
    column (in standard deviations), the rows with the lowest and the highest values of some columns
    and of the labels, and random rows.
    """
    n = n_rows(X)
    rows = [0, n - 1, *_extremes(X, y, n)]
    rows += np.random.RandomState(0).permutation(min(n, 2**16)).tolist()[:number]
    rows += np.random.RandomState(1).randint(0, n, number).tolist()
    return np.array(list(dict.fromkeys(rows))[:number])


def rarest_row(X: Rows) -> int:
    """Return the position of the row that is farthest from the mean of a column, 0 if unknown."""
    return next(_extremes(X, None, n_rows(X)), 0)


def _extremes(X: Rows, y: Any, n: int) -> Iterator[int]:
    if not is_sliceable(X):
        return
    entries = list(X.values()) if isinstance(X, Mapping) else [X]
    for entry in [*entries, y]:
        table, step = _columns(entry, n)
        if not table.size:
            continue
        # In place: for a small net, passes over the table take as long as scoring.
        with np.errstate(over="ignore", invalid="ignore"):  # of huge numbers
            table -= table.mean(0)
            spaced = np.linspace(0, table.shape[1] - 1, _MAX_COLUMNS).astype(int)
            columns = [table[:, column] for column in dict.fromkeys(spaced.tolist())]
            ends = [end for column in columns for end in (column.argmax(), column.argmin())]
            table *= table
            table /= np.maximum(table.mean(0), 1e-60)
        yield from (int(row) * step for row in (table.max(1).argmax(), *ends))


def _columns(entry: Any, n: int) -> tuple[np.ndarray, int]:
    """Return every `step`-th row as a table of floats (empty if not numbers), and `step`."""
    if not isinstance(entry, np.ndarray | Tensor):
        return np.empty((0, 0)), 1
    width = int(np.prod(entry.shape[1:], dtype=np.int64))
    step = max(1, n * width // _MAX_NUMBERS)
    some = entry[::step]
    if isinstance(some, Tensor):
        some = some.detach().to("cpu", torch.float64).numpy()
    if some.dtype.kind not in "fiub":
        return np.empty((0, 0)), 1
    table = np.array(some.reshape(len(some), width), dtype=np.float64)
    if not np.isfinite(table).all():
        np.nan_to_num(table, copy=False, posinf=0.0, neginf=0.0)
    return table, step
