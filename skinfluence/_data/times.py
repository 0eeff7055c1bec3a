"""Find dates, times and durations in the user's rows and labels; refuse them in rows."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np


def refuse_times(X: Any, name: str) -> None:
    """Raise if X, or a column of X, holds dates or durations."""
    is_frame = hasattr(X, "columns") and hasattr(X, "dtypes")
    times = [str(c) for c in X.columns if holds_times(_column(X, c))] if is_frame else []
    if _is_arrow_table(X):
        types = zip(X.schema.names, map(str, X.schema.types), strict=True)
        times = [name for name, kind in types if kind.startswith(("date", "time", "duration"))]
    if times or (not is_frame and holds_times(X)):
        what = f"columns that hold no numbers: {', '.join(times[:5])}"
        dtype = getattr(X, "dtype", None)
        other = f"dtype {dtype}" if getattr(dtype, "kind", "O") in "mM" else "dates or durations"
        raise TypeError(
            f"{name} has {what if times else other}; encode them first, dates and "
            "durations as days since a start, for example: (t - start) / np.timedelta64(1, 'D')."
        )


def _column(X: Any, name: Any) -> Any:
    """A column of a DataFrame: its array if it holds objects, else the column itself."""
    column = X[name]
    dtype = getattr(column, "dtype", None)
    is_object = getattr(dtype, "kind", "") == "O" or str(dtype) == "Object"  # pandas, polars
    return np.asarray(column) if is_object else column


def holds_times(values: Any) -> bool:
    """Whether an array, or a list of rows, holds dates, times or durations."""
    dtype: Any = getattr(values, "dtype", None)
    if getattr(dtype, "kind", "O") != "O":
        return dtype.kind in "mM"
    if hasattr(dtype, "is_temporal"):  # polars
        return bool(dtype.is_temporal())
    if isinstance(values, np.ndarray):
        return any(isinstance(value, _TIMES) for value in values.ravel())
    first = values[0] if isinstance(values, list | tuple) and values else None
    row = first if isinstance(first, list | tuple) else [first]
    return any(isinstance(value, _TIMES) for value in row)


_TIMES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


def _is_arrow_table(X: Any) -> bool:
    return type(X).__module__.partition(".")[0] == "pyarrow" and hasattr(X, "schema")
