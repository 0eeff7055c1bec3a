"""What a column holds, and how it is read: one reader per kind.

A reader learns from a column how its cells are written, and turns the cells of any such column into
typed columns: float64 with NaN for numbers, strings with None for categories and texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from skinfluence import _extras
from skinfluence.columns._numbers import SHARE, NumberStyle, find_style

_ID = re.compile(r"(?:^|(?i:[^a-z]))(?i:id|key|index|uuid)$|[a-z]I[dD]$")  # ends of names

# fmt: off
MISSING = frozenset({
    "", "?", "NA", "N/A", "n/a", "na", "#N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null",
    "None", "none", "NaT", "#NULL!", "#DIV/0!",
})
# fmt: on

MAX_CATEGORIES = 40  # a column with more distinct texts than this is encoded by its characters

_POINT = re.compile(r"[(\[]?\s*(-?\d+(?:\.\d+)?)\s*[,;\s]\s*(-?\d+(?:\.\d+)?)\s*[)\]]?")
_NOT_READ = "cells that are not {} and count as missing"


class Reader(Protocol):
    """Reads the cells of one column.

    Attributes
    ----------
    kind : str
        What the column holds.
    note : str
        A sentence for the user if something is unusual; otherwise empty.
    """

    kind: ClassVar[str]
    note: str

    def read(self, cells: Cells) -> dict[str, np.ndarray]:
        """Suffix of a name -> typed column; the suffix is empty if there is only one column."""


@dataclass(frozen=True)
class Cells:
    """A column: its distinct values, and which of them each row has.

    Attributes
    ----------
    distinct : Series
        Distinct values that are present: strings without blanks around them, or values of another
        type as they are.
    codes : ndarray of int of shape (n_rows,)
        Position in `distinct` for each row; -1 for a missing cell.
    """

    distinct: pd.Series
    codes: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """How many rows have each distinct value."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.distinct))

    @cached_property
    def style(self) -> NumberStyle | None:
        """How the texts of the column are written as numbers; None if they are not numbers."""
        return find_style(self.distinct, self.counts)

    def spread(self, values: Any, missing: Any) -> np.ndarray:
        """One value per row, from one value per distinct value."""
        found = np.asarray(values)
        padded = np.append(found, np.array([missing], dtype=found.dtype))
        return padded[self.codes]

    def numbers(self, values: Any) -> np.ndarray:
        return self.spread(np.asarray(values, dtype=np.float64), np.nan)

    def strings(self) -> np.ndarray:
        return self.spread(self.distinct.map(str).to_numpy(dtype=object), None)


def cells_of(column: Any) -> Cells:
    """The cells of a Series; texts lose the blanks around them, and missing markers are missing."""
    codes, distinct = _factorized(pd.Series(column))
    if is_numeric_dtype(distinct) or distinct.dtype.kind in "mM" or not len(distinct):
        return Cells(distinct, codes)
    texts = [v.strip() if isinstance(v, str) else str(v) for v in distinct]
    position: dict[str, int] = {}  # of each text that is present
    new = np.array(
        [-1 if t in MISSING else position.setdefault(t, len(position)) for t in texts] + [-1]
    )
    return Cells(pd.Series(list(position), dtype=object), new[codes])


def _factorized(values: pd.Series) -> tuple[np.ndarray, pd.Series]:
    """Code of each row, and the distinct values in the order in which they occur."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy().astype(np.intp)
        used, first = np.unique(codes[codes >= 0], return_index=True)
        order = used[np.argsort(first)]  # categories that do not occur are left out
        new = np.full(len(values.cat.categories) + 1, -1)
        new[order] = np.arange(len(order))
        return new[codes], pd.Series(values.cat.categories[order])
    codes, distinct = pd.factorize(values)
    return codes, pd.Series(distinct)


def raw_cells(column: Any) -> Cells:
    """The cells of a column of images, each as it is."""
    values = pd.Series(list(column), dtype=object)
    return Cells(values, np.arange(len(values)))


@dataclass
class NumberReader:
    """Numbers, also written as text; booleans are 0 and 1."""

    kind: ClassVar[str] = "number"
    style: NumberStyle | None = None
    note: str = ""

    @classmethod
    def find(cls, cells: Cells, *, always: bool = False) -> NumberReader | None:
        """A reader if at least 95% of the cells are numbers, or if it has to be one."""
        if is_numeric_dtype(cells.distinct) or cells.distinct.dtype.kind == "m":
            return cls()
        if cells.distinct.dtype.kind == "M":
            return None
        if cells.style is None and not always:
            return None
        style = cells.style or NumberStyle()
        reader = cls(style)
        other = style.read_all(cells.distinct).isna().to_numpy()
        if other.all():
            return None
        if other.any():
            number, shown = cells.counts[other].sum(), cells.distinct[other].tolist()[:3]
            texts = ", ".join(repr(text[:30]) for text in shown)
            more = ", ..." if other.sum() > len(shown) else ""
            reader.note = f"{_NOT_READ.format('numbers')}: {number:,} ({texts}{more})"
        return reader

    def read(self, cells: Cells) -> dict[str, np.ndarray]:
        if cells.distinct.dtype.kind == "m":
            return {"": cells.numbers(cells.distinct.to_numpy() / np.timedelta64(1, "D"))}
        if is_numeric_dtype(cells.distinct) or is_bool_dtype(cells.distinct):
            values = pd.to_numeric(cells.distinct, errors="coerce").astype(np.float64)
            return {"": cells.numbers(values.mask(~np.isfinite(values)))}
        return {"": cells.numbers((self.style or NumberStyle()).read(cells.distinct.map(str)))}


@dataclass
class DateReader:
    """Dates and times, as numbers: the time since 1970, year, month, day, hour and weekday."""

    kind: ClassVar[str] = "date"
    parser: Any = None
    parts: Any = None
    note: str = ""

    @classmethod
    def find(cls, cells: Cells, *, always: bool = False) -> DateReader | None:
        """A reader if at least 95% of the cells are dates in one format."""
        texts = cells.distinct
        if texts.dtype.kind == "M":
            return cls(None, *cls._parts(texts))
        if is_numeric_dtype(texts):
            return None
        has_digit = texts.str.contains(r"\d", regex=True).to_numpy(bool)
        if cells.counts[has_digit].sum() < SHARE * cells.counts.sum():
            return None
        skrub = _extras.load("skrub", "audit", "ColumnEncoder, for dates,")
        # The cells that are written like most others decide about the format.
        pattern = texts.str.replace(r"\d+", "0", regex=True).str.replace(
            r"[^\W\d_]+", "a", regex=True
        )
        weight = pd.Series(cells.counts, index=texts.index).groupby(pattern).sum()
        usual = texts[pattern.isin(weight[weight > (1 - SHARE) * weight.sum()].index)]
        if not len(usual):
            return None
        parser = skrub.ToDatetime()
        try:
            parser.fit(pd.Series(usual.to_numpy(), name="date", dtype=object))
        except ValueError:  # skrub rejects a column that holds no dates
            return None
        parsed = parser.transform(pd.Series(texts.to_numpy(), name="date", dtype=object))
        share = cells.counts[parsed.notna().to_numpy()].sum() / cells.counts.sum()
        if share < SHARE and not always:
            return None
        reader = cls(parser, *cls._parts(parsed))
        if share < 1:
            number = cells.counts[parsed.isna().to_numpy()].sum()
            reader.note = f"{_NOT_READ.format('dates')}: {number:,}"
        return reader

    @staticmethod
    def _parts(dates: pd.Series) -> tuple[Any, str]:
        skrub = _extras.load("skrub", "audit", "ColumnEncoder, for dates,")
        parts = skrub.DatetimeEncoder(add_weekday=True)
        return parts.fit(pd.Series(dates.to_numpy(), name="date")), ""

    def read(self, cells: Cells) -> dict[str, np.ndarray]:
        dates = pd.Series(cells.distinct.to_numpy(), name="date")
        if self.parser is not None:
            dates = self.parser.transform(dates.map(str).astype(object))
        elif dates.dtype.kind != "M":
            dates = pd.to_datetime(dates, errors="coerce")
        found = self.parts.transform(dates)
        return {
            str(name).removeprefix("date"): cells.numbers(found[name].to_numpy(np.float64))
            for name in found
        }


@dataclass
class PointReader:
    """Pairs of numbers, such as the coordinates "(40.7, -73.9)"."""

    kind: ClassVar[str] = "point"
    note: str = ""

    @classmethod
    def find(cls, cells: Cells, *, always: bool = False) -> PointReader | None:
        """A reader if at least 95% of the cells are pairs of numbers."""
        if cells.distinct.dtype.kind != "O":
            return None
        is_pair = np.array([bool(_POINT.fullmatch(text)) for text in cells.distinct])
        return cls() if cells.counts[is_pair].sum() >= SHARE * cells.counts.sum() else None

    def read(self, cells: Cells) -> dict[str, np.ndarray]:
        pairs = [_POINT.fullmatch(str(text)) for text in cells.distinct]
        values = [[float(x) for x in pair.groups()] if pair else [np.nan] * 2 for pair in pairs]
        both = np.array(values, dtype=np.float64).reshape(-1, 2)
        return {f"_{i + 1}": cells.numbers(both[:, i]) for i in range(2)}


@dataclass
class CategoryReader:
    """Few distinct values."""

    kind: ClassVar[str] = "category"
    note: str = ""

    @classmethod
    def find(cls, cells: Cells, *, always: bool = False) -> CategoryReader | None:
        """A reader if there are few distinct values, and they are not sentences."""
        n, n_cells = len(cells.distinct), cells.counts.sum()
        if always or n <= 2:
            return cls()
        # Among few rows, texts have few distinct values as well.
        words = np.mean([len(str(value).split()) for value in cells.distinct])
        is_text = n > MAX_CATEGORIES or (n > n_cells / 2 and words > 3)
        return None if is_text else cls()

    def read(self, cells: Cells) -> dict[str, np.ndarray]:
        return {"": cells.strings()}


@dataclass
class TextReader:
    """Free text, and everything else with many distinct values, such as names and places."""

    kind: ClassVar[str] = "text"
    note: str = ""

    @classmethod
    def find(cls, cells: Cells, *, always: bool = False) -> TextReader | None:
        return cls()

    def read(self, cells: Cells) -> dict[str, np.ndarray]:
        return {"": cells.strings()}


@dataclass
class ImageReader:
    """Paths of images, or images."""

    kind: ClassVar[str] = "image"
    note: str = ""

    @classmethod
    def find(cls, cells: Cells, *, always: bool = False) -> ImageReader | None:
        return cls() if always else None

    def read(self, cells: Cells) -> dict[str, np.ndarray]:
        return {"": cells.distinct.to_numpy(dtype=object)}


# The first reader that recognizes a column reads it.
READERS: dict[str, Callable[..., Reader | None]] = {
    reader.kind: reader.find
    for reader in (NumberReader, DateReader, PointReader, CategoryReader, TextReader, ImageReader)
}


def reason_to_leave_out(name: str, cells: Cells) -> str | None:
    """Why nothing can be learned from a column, or None."""
    n_missing = int((cells.codes < 0).sum())
    if not len(cells.distinct):
        return "empty"
    if len(cells.distinct) == 1 and not n_missing:
        return "the same value in every row"
    if len(cells.distinct) < max(3, len(cells.codes) - n_missing):
        return None
    return _reason_of_distinct(name, cells, n_missing)


def _reason_of_distinct(name: str, cells: Cells, n_missing: int) -> str | None:
    """The reason if every value differs: row numbers, keys and hashes; never words."""
    numbers = None
    if is_numeric_dtype(cells.distinct) and not is_bool_dtype(cells.distinct):
        numbers = cells.distinct.to_numpy(np.float64)
    elif cells.distinct.dtype.kind == "O":
        if cells.style is not None:
            numbers = cells.style.read(cells.distinct).to_numpy()
    elif cells.distinct.dtype.kind == "M":
        return None
    if numbers is not None:
        # Rows are often sorted by class. A column of row numbers would then reveal the label.
        steps = np.diff(numbers)
        if not n_missing and (abs(steps) == 1).all() and (steps == steps[0]).all():
            return "a row number"
        is_whole = np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all()
        return "a key" if is_whole and _ID.search(name) else None
    texts = cells.distinct.map(str)
    return "a key" if _are_keys(texts) else None


def _are_keys(texts: pd.Series) -> bool:
    """Whether texts are codes: hashes, or the same letters with other digits in each."""
    is_code = texts.str.fullmatch(r"[^\s/@.,;:()]*\d[^\s/@.,;:()]*")
    if is_code.mean() < SHARE:
        return False
    is_hash = texts.str.fullmatch(r"[0-9a-fA-F-]{16,}|[0-9A-Za-z_-]{20,}").mean() >= SHARE
    # "row-17", "ID0017": the same letters in every code.
    letters = texts.str.replace(r"\d+", "0", regex=True)
    return bool(is_hash or letters.value_counts(normalize=True).iloc[0] >= SHARE)


def frame_of(columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """A frame of typed columns, without a copy; strings stay Python objects, with None."""
    # With a dtype, because pandas 3 turns arrays of strings into its own type, with NaN for None.
    series = {
        name: pd.Series(values, dtype=values.dtype, copy=False) for name, values in columns.items()
    }
    return pd.DataFrame(series, copy=False)
