"""DataFrames of pandas or polars as tables of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from skinfluence._audit.formats.delimited import table_from_columns
from skinfluence._audit.table import AuditError, Table


def table_of(frame: Any) -> tuple[Table, list[Any] | None]:
    """A DataFrame as a table, which is written as CSV, and the labels of its rows.

    The labels are those of the index of pandas; for polars, they are the positions.
    """
    if not hasattr(frame, "columns") or not hasattr(frame, "shape"):
        raise AuditError(
            f"the table is of type {type(frame).__name__}; expected a DataFrame of pandas or "
            "polars, or the path of a file."
        )
    if not frame.shape[0] or not frame.shape[1]:
        raise AuditError(f"the table has the shape {frame.shape}; it needs rows and columns.")
    names = [str(name) for name in frame.columns]
    is_pandas = hasattr(frame, "iloc")
    columns = [frame.iloc[:, i] if is_pandas else frame[name] for i, name in enumerate(names)]
    index = list(frame.index) if is_pandas else list(range(frame.shape[0]))
    return table_from_columns(names, [_texts(column) for column in columns]), index


def _texts(column: Any) -> Iterator[str]:
    for value in column.to_list():
        yield (
            ""
            if value is None or value is pd.NA or value is pd.NaT or value != value
            else str(value)
        )
