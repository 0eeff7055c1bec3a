"""From text cells to the input of a net: the type of each column, and the preprocessing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype as is_numeric
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skinfluence._audit.table import AuditError, Table, display_name

# fmt: off
MISSING = frozenset({
    "", "?", "NA", "N/A", "n/a", "na", "#N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null",
    "None", "none", "NaT", "#NULL!", "#DIV/0!",
})

# fmt: on
MISSING_LABELS = MISSING - {"None", "none"}  # as a label, "none" is often the name of a class

MAX_CATEGORIES = 32

_GROUPED = r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?"


def is_missing_label(text: str) -> bool:
    """Whether a label cell means that the row has no label."""
    return text.strip() in MISSING_LABELS


def typed_column(cells: Iterable[str]) -> pd.Series:
    """Cells as float64 if all are numbers or dates, otherwise as strings.

    Missing cells are NaN in a column of float64, and None in a column of strings. Equal strings are
    one object.
    """
    position: dict[str, int] = {}  # of each distinct cell; its type does not depend on its row
    codes = np.fromiter((position.setdefault(cell, len(position)) for cell in cells), dtype=np.intp)
    text = pd.Series([cell.strip() for cell in position], dtype=object)
    del position
    text[text.isin(MISSING)] = None
    present = text.dropna()
    for parse in (parse_numbers, _parse_dates):
        values = parse(present)
        if values is not None and len(values):
            return pd.Series(values.reindex(text.index).to_numpy(np.float64)[codes])
    return pd.Series(text.to_numpy()[codes], dtype=object)


def parse_numbers(text: pd.Series) -> pd.Series | None:
    """Strings as float64, or None if one of them is not a number.

    Numbers may have decimal points, decimal commas and grouped thousands. Infinite numbers become
    NaN.
    """
    if (values := _parse_floats(text)) is not None:
        return values
    grouped = text.str.fullmatch(_GROUPED)
    whole = text.str.fullmatch(r"[+-]?\d+(?:\.\d+)?")
    # "1,843" alone is ambiguous: 1843 or 1.843. The comma groups thousands if the column also has
    # "690" (with decimal commas, it would be written "690,000"), "1,234,567" or "1,843.50".
    if (grouped | whole).all() and (whole | text.str.contains(",.*[,.]")).any():
        return _parse_floats(text.str.replace(",", "", regex=False))
    if text.str.fullmatch(r"[+-]?\d+(?:,\d+)?").all():
        return _parse_floats(text.str.replace(",", ".", regex=False))
    return None


def _parse_floats(text: pd.Series) -> pd.Series | None:
    values = pd.to_numeric(text, errors="coerce")
    if values.isna().any():
        return None
    values = values.astype(np.float64)
    # Treat infinite numbers as missing: a scaler cannot use them.
    return values.mask(~np.isfinite(values))


def _parse_dates(text: pd.Series) -> pd.Series | None:
    """Dates as days since 1970-01-01, or None if one of them is not an ISO date."""
    if not text.str.match(r"\d{4}-\d{2}-\d{2}(?:$|[T ])").all():
        return None
    dates = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    if dates.isna().any():
        return None
    return (dates - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(days=1)


def reason_to_drop(values: pd.Series) -> str | None:
    """Why a net cannot learn from a typed column, or None if the net can learn from it."""
    present = values.dropna()
    if present.empty:
        return "empty"
    distinct = present.nunique()
    if distinct == 1 and len(present) == len(values):
        return "the same value in every row"
    if not is_numeric(values):
        return "a different text in every row" if distinct == len(present) > 1 else None
    steps = np.diff(values.to_numpy())
    # Rows are often sorted by class. A column of row numbers would then reveal the label.
    counts_rows = len(values) > 2 and len(present) == len(values) and abs(steps[0]) == 1
    return "a row number" if counts_rows and (steps == steps[0]).all() else None


@dataclass(frozen=True)
class Prepared:
    """The columns of some rows as the input of a net.

    Attributes
    ----------
    frame : DataFrame
        The columns that are used, typed; each is named by its position in the table.
    X : ndarray of shape (n_rows, n_inputs)
        The input of the net.
    kinds : dict of str to str
        Name of a column of `frame` -> what it holds: "number" or "category".
    left_out : dict of str to list of str
        Reason -> names of the columns that are left out for this reason.
    """

    frame: pd.DataFrame
    X: np.ndarray
    kinds: dict[str, str]
    left_out: dict[str, list[str]]


def prepare(table: Table, label: int, rows: np.ndarray) -> Prepared:
    """Choose, type and encode the columns from which the label can be predicted.

    Parameters
    ----------
    table : Table
        The whole table.
    label : int
        Position of the label column.
    rows : ndarray of int
        Positions of the rows to prepare.

    Raises
    ------
    AuditError
        If no column can be used.
    """
    is_chosen = np.zeros(len(table.cells), dtype=bool)
    is_chosen[rows] = True
    kept: dict[str, pd.Series] = {}
    left_out: dict[str, list[str]] = {}
    for position in range(len(table.names)):
        if position == label:
            continue
        values = typed_column(itertools.compress(table.columns[position], is_chosen))
        reason = reason_to_drop(values)
        if reason is None:
            kept[str(position)] = values
        else:
            left_out.setdefault(reason, []).append(display_name(table, position))
    if not kept:
        words = "; ".join(f"{', '.join(names)} ({why})" for why, names in left_out.items())
        raise AuditError(
            f"no column can be used to predict the label: {words or 'the table has no other'}."
        )
    frame = pd.DataFrame(kept, copy=False)
    kinds = {name: "number" if is_numeric(kept[name]) else "category" for name in kept}
    X = make_preprocessor(frame).fit_transform(frame)
    return Prepared(frame, np.ascontiguousarray(X, dtype=np.float64), kinds, left_out)


def make_preprocessor(frame: pd.DataFrame) -> ColumnTransformer:
    """Scaling, imputation and one-hot encoding for a table of mixed columns; not yet fitted.

    A category gets a separate input if it occurs in at least one row in a thousand, and at least
    twice. A column gets at most 32 inputs, so that a column with many categories does not outweigh
    the other columns. All other categories of the column share one input.
    """
    numeric = [name for name in frame if is_numeric(frame[name])]
    nominal = [name for name in frame if not is_numeric(frame[name])]
    # Scale before imputing. Imputing adds an indicator of missing values; if such an indicator is
    # rare, scaling would make it far larger than every other input.
    numbers = make_pipeline(StandardScaler(), SimpleImputer(strategy="median", add_indicator=True))
    categories = make_pipeline(
        SimpleImputer(missing_values=None, strategy="constant", fill_value="(missing)"),
        OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=max(2, len(frame) // 1000),
            max_categories=MAX_CATEGORIES,
            drop="if_binary",
            sparse_output=False,
        ),
    )
    return make_column_transformer((numbers, numeric), (categories, nominal))
