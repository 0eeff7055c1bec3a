"""From text cells to numbers: what each column holds, and the usual steps in front of a net."""

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype as is_numeric
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skinfluence._audit.csv_table import AuditError, display_name

# fmt: off
MISSING = frozenset({
    "", "?", "NA", "N/A", "n/a", "na", "#N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null",
    "None", "none", "NaT", "#NULL!", "#DIV/0!",
})

# fmt: on
MISSING_LABELS = MISSING - {"None", "none"}  # "none" is a class in many a table, "NaN" in none

MAX_CATEGORIES = 32


def is_missing_label(text):
    """Whether a label says that nobody has given one."""
    return text.strip() in MISSING_LABELS


def typed_column(cells):
    """Cells as float64 (NaN = missing) if all are numbers or dates, else as strings (or None)."""
    text = pd.Series([cell.strip() for cell in cells], dtype=object)
    text[text.isin(MISSING)] = None
    present = text.dropna()
    for parse in (parse_numbers, _parse_dates):
        values = parse(present)
        if values is not None and len(values):
            return values.reindex(text.index).astype(np.float64)
    return text


def parse_numbers(text):
    """Strings as float64, with points, commas or grouped thousands; None where one is no number."""
    if (values := _parse_floats(text)) is not None:
        return values
    grouped = text.str.fullmatch(_GROUPED)
    whole = text.str.fullmatch(r"[+-]?\d+(?:\.\d+)?")
    # "1,843" may be either; beside "690" (not "690,000"), "1,234,567" or "1,843.50" it is grouped.
    if (grouped | whole).all() and (whole | text.str.contains(",.*[,.]")).any():
        return _parse_floats(text.str.replace(",", "", regex=False))
    if text.str.fullmatch(r"[+-]?\d+(?:,\d+)?").all():
        return _parse_floats(text.str.replace(",", ".", regex=False))
    return None


_GROUPED = r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?"


def _parse_floats(text):
    values = pd.to_numeric(text, errors="coerce")
    if values.isna().any():
        return None
    values = values.astype(np.float64)
    # an infinite measurement says nothing that a scaler could use
    return values.mask(~np.isfinite(values))


def _parse_dates(text):
    if not text.str.match(r"\d{4}-\d{2}-\d{2}(?:$|[T ])").all():
        return None
    dates = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    if dates.isna().any():
        return None
    return (dates - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(days=1)


def reason_to_drop(values):
    """Why a typed column can teach a net nothing, or None."""
    present = values.dropna()
    if present.empty:
        return "no value"
    distinct = present.nunique()
    if distinct == 1 and len(present) == len(values):
        return "one value"
    if not is_numeric(values):
        return "every value distinct" if distinct == len(present) > 1 else None
    steps = np.diff(values.to_numpy())
    # Rows are often sorted by class, and then a row number gives the label away.
    counts_rows = len(values) > 2 and len(present) == len(values) and abs(steps[0]) == 1
    return "numbers the rows" if counts_rows and (steps == steps[0]).all() else None


def make_features(table, label, rows):
    """Typed columns of the judged rows, and why the others are left out.

    Parameters
    ----------
    table : CsvTable
    label : int
        Position of the label.
    rows : ndarray of int
        Positions of the rows that have a label.

    Returns
    -------
    frame : DataFrame
        One column for each that is used, called by its position.
    left_out : dict of str to list of str
        Reason, and the names of the columns.
    """
    kept, left_out = {}, {}
    for position in range(len(table.names)):
        if position == label:
            continue
        column = table.column(position)
        values = typed_column([column[row] for row in rows])
        reason = reason_to_drop(values)
        if reason is None:
            kept[str(position)] = values
        else:
            left_out.setdefault(reason, []).append(display_name(table, position))
    if not kept:
        words = "; ".join(f"{', '.join(names)} ({why})" for why, names in left_out.items())
        raise AuditError(f"no column is left to learn from: {words or 'there is only the label'}.")
    return pd.DataFrame(kept), left_out


def make_preprocessor(frame):
    """The usual steps for a table of mixed columns; not yet fitted.

    A category must occur in about one row of a thousand, and at least twice, to get an input of its
    own, and a column gets at most 32: the rest share one, so that a column of many values does not
    outgrow the others.
    """
    numeric = [name for name in frame if is_numeric(frame[name])]
    nominal = [name for name in frame if not is_numeric(frame[name])]
    # Scaled before imputed: a rare missing-indicator that is scaled would dwarf every other input.
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
