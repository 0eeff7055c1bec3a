"""DataFrames of mixed columns with gaps, which are rows for an encoder and not yet for a net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from skinfluence._data.times import holds_times


@dataclass(frozen=True, eq=False)
class FrameRows:
    """Rows of a DataFrame that an encoder turns into numbers.

    Attributes
    ----------
    frame : DataFrame of pandas or polars
    """

    frame: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.frame.shape

    def __len__(self) -> int:
        return self.frame.shape[0]

    def __getitem__(self, rows: Any) -> FrameRows:
        return FrameRows(_safe_indexing(self.frame, rows))


def is_frame(X: Any) -> bool:
    """Whether X is a DataFrame of pandas or polars."""
    is_known = type(X).__module__.partition(".")[0] in ("pandas", "polars")
    return is_known and hasattr(X, "columns") and hasattr(X, "dtypes")


def is_mixed(X: Any) -> bool:
    """Whether X is a DataFrame with columns that hold no numbers, or with missing values."""
    if not is_frame(X) or not X.shape[0]:
        return False
    if hasattr(X, "iloc"):
        columns = [X.iloc[:, i] for i in range(X.shape[1])]
    else:
        columns = X.get_columns()
    return any(_has_gaps_or_words(column) for column in columns)


def _has_gaps_or_words(column: Any) -> bool:
    missing = getattr(column, "isna", None) or column.is_null
    if missing().any() or holds_times(column):
        return True
    try:
        return bool(np.isnan(np.asarray(column, dtype=np.float64)).any())
    except (TypeError, ValueError):
        return True
