"""Rows of a sparse matrix, which become dense a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Rows of a sparse matrix. Slices are sparse as well; a single row is an array.

    Attributes
    ----------
    matrix : CSR matrix or array of scipy of shape (n_rows, n_columns)
    """

    matrix: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.matrix.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the entries."""
        return self.matrix.dtype

    def __len__(self) -> int:
        return self.matrix.shape[0]

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, int | np.integer):
            return self.matrix[[rows]].toarray()[0]
        return SparseRows(self.matrix[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError(
            "X is a sparse matrix, and all of it would become dense here. Give X.toarray(), or put "
            "TruncatedSVD in front, which reduces the columns."
        )

    def toarray(self) -> np.ndarray:
        """The rows as a dense array."""
        return self.matrix.toarray()
