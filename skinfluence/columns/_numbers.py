"""Numbers that are written as text: decimal commas, thousands, currencies, percent, units."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

SHARE = 0.95  # a column holds numbers if at least this share of its cells are numbers

_CURRENCY = r"(?:[$€£¥₹₽₩₺₪₫฿₦₱¢]|USD|EUR|GBP|JPY|CHF|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN)"
_UNIT = r"[^\W\d_]{1,12}[²³23]?(?:/[^\W\d_]{1,8}[²³23]?)?\.?"
_NUMBER = r"[+-]?(?:\d[\d.,' \u00a0\u202f]*|[.,]\d+)(?:[eE][+-]?\d+)?"
_CELL = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+-]\s*)?(?P<currency>{_CURRENCY}\s*)?(?P<number>{_NUMBER})\s*"
    rf"(?P<unit>{_CURRENCY}|%|°[CF]?|{_UNIT})?\s*(?P<close>\))?"
)
_BLANKS = re.compile(r"[' \u00a0\u202f]")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?")
_WHOLE = re.compile(r"[+-]?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class NumberStyle:
    """How the numbers of a column are written.

    Attributes
    ----------
    decimal : {".", ","}
        The decimal mark. The other mark groups thousands.
    unit : str
        What stands behind a number, such as "%", "€" or "kg"; empty if nothing does.
    """

    decimal: str = "."
    unit: str = ""

    def read(self, texts: pd.Series) -> pd.Series:
        """Texts as float64; NaN where a text is not a finite number in this style."""
        values = self.read_all(texts)
        return values.mask(~np.isfinite(values))  # a scaler cannot use infinite numbers

    def read_all(self, texts: pd.Series) -> pd.Series:
        """As `read`, but infinite numbers stay."""
        values = pd.Series(np.nan, index=texts.index)
        if self.decimal == ".":
            values = pd.to_numeric(texts, errors="coerce").astype(np.float64)
        left = values.isna()
        if left.any():
            values[left] = np.array([self._value(text) for text in texts[left]])
        return values

    def _value(self, text: str) -> float:
        cell = _CELL.fullmatch(text)
        if cell is None or _same_unit(cell["unit"]) not in ("", _same_unit(self.unit)):
            return np.nan
        group = "," if self.decimal == "." else "."
        digits = rf"(?:\d+|\d{{1,3}}(?:[{group}' \u00a0\u202f]\d{{3}})+)"
        number = cell["number"].rstrip()
        is_number = (
            rf"[+-]?(?:{digits}?[{self.decimal}]\d+|{digits}[{self.decimal}]?)(?:[eE][+-]?\d+)?"
        )
        if re.fullmatch(is_number, number) is None:  # such as a date, a version or a telephone
            return np.nan
        value = float(_BLANKS.sub("", number).replace(group, "").replace(",", "."))
        is_negative = (cell["sign"] or "").startswith("-") or (cell["open"] and cell["close"])
        return -value if is_negative else value


def find_style(texts: pd.Series, counts: np.ndarray) -> NumberStyle | None:
    """The style in which at least 95% of the cells are numbers; None if there is none.

    Parameters
    ----------
    texts : Series of str
        The distinct texts of a column, without blanks around them.
    counts : ndarray of int
        How many cells have each text.
    """
    if pd.to_numeric(texts, errors="coerce").notna().all():
        return NumberStyle()  # most columns: no text has to be looked at by itself
    unit = _frequent_unit(texts, counts)
    for style in (NumberStyle(_decimal_mark(texts), unit), NumberStyle(".", unit)):
        is_number = style.read_all(texts).notna().to_numpy()
        if counts[is_number].sum() >= SHARE * counts.sum():
            return style
    return None


def _same_unit(unit: str | None) -> str:
    """The same text for "kg" and "Kg.", and for "pound" and "pounds"."""
    return (unit or "").casefold().rstrip(".").rstrip("s")


def _frequent_unit(texts: pd.Series, counts: np.ndarray) -> str:
    """The unit of most cells that have one."""
    units: dict[str, int] = {}
    for text, count in zip(texts, counts, strict=True):
        cell = _CELL.fullmatch(text)
        if cell is not None and cell["unit"]:
            units[cell["unit"]] = units.get(cell["unit"], 0) + int(count)
    return max(units, key=lambda unit: units[unit], default="")


def _decimal_mark(texts: pd.Series) -> str:
    """The decimal mark that fits all numbers; a point if both do and nothing else decides."""
    cells = [cell for cell in map(_CELL.fullmatch, texts) if cell is not None]
    numbers = [_BLANKS.sub("", cell["number"]) for cell in cells]
    with_comma = [number for number in numbers if "," in number]
    if not with_comma:
        # "1.234.567" groups thousands.
        return "," if any(number.count(".") > 1 for number in numbers) else "."
    if any(number.rfind(",") > number.rfind(".") >= 0 for number in with_comma):
        return ","  # 1.234,50
    if any("." in number or number.count(",") > 1 for number in with_comma):
        return "."  # 1,843.50 or 1,234,567
    # "1,843" alone may be 1843 or 1.843. The comma groups thousands if every comma has three digits
    # behind it, and the column also has "690", which would be "690,000" with decimal commas. Money
    # has no three decimals.
    is_plain = all(_GROUPED.fullmatch(number) or _WHOLE.fullmatch(number) for number in numbers)
    is_money = any(
        cell["currency"] or re.fullmatch(_CURRENCY, cell["unit"] or "") for cell in cells
    )
    has_whole = any(map(_WHOLE.fullmatch, numbers))
    return "." if is_plain and (is_money or has_whole) else ","
