"""Rows whose cells are equal, and whether so many equal rows would occur by chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

CHANCE = 0.05  # share of the reported pairs that may be due to chance
WORDS = 5  # texts of so many words are not equal by chance


@dataclass(frozen=True)
class Equal:
    """Groups of equal rows.

    Attributes
    ----------
    group : ndarray of int of shape (n_rows,)
        Number of the group of each row. Most groups have one row.
    is_repeated : ndarray of bool of shape (n_rows,)
        Rows that are equal to another row, except where this is expected by chance.
    """

    group: np.ndarray
    is_repeated: np.ndarray


def equal_rows(
    columns: Iterable[Iterable[str]], n_rows: int, is_text: Sequence[bool] = ()
) -> Equal:
    """Group the rows by the cells of all columns, without blanks around the cells.

    Rows of a few columns with few values are equal by chance. If the columns were independent, a
    row would equal `expected` others: n - 1 times, for each column, the share of the other rows
    with the same cell. Groups are reported from the least expected one on, as long as the number
    of pairs expected by chance is at most one in twenty of the pairs that are found. Equal texts of
    several words are never due to chance; `is_text` says which columns hold texts.
    """
    group = np.zeros(n_rows, dtype=np.int64)
    log_expected = np.full(n_rows, np.log(max(n_rows - 1, 1)))
    for i, cells in enumerate(columns):
        if i < len(is_text) and is_text[i]:
            cells = list(cells)
            log_expected[[len(cell.split()) >= WORDS for cell in cells]] = -np.inf
        codes, n_codes = column_codes(cells, n_rows)
        others = np.bincount(codes)[codes] - 1
        with np.errstate(divide="ignore"):
            log_expected += np.log(others / max(n_rows - 1, 1))
        group = pd.factorize(group * n_codes + codes)[0]
        if not n_rows or group.max() + 1 == n_rows:
            return Equal(group, np.zeros(n_rows, dtype=bool))
    size = np.bincount(group)[group]
    return Equal(group, (size > 1) & (log_expected <= _limit(size, log_expected)))


def _limit(size: np.ndarray, log_expected: np.ndarray) -> float:
    """The largest log_expected at which chance explains at most `CHANCE` of the pairs."""
    order = np.argsort(log_expected, kind="stable")
    # Each pair is counted twice on both sides, once for each of its rows.
    by_chance = np.cumsum(np.exp(log_expected[order]))
    found = np.cumsum(size[order] - 1)
    holds = np.flatnonzero(by_chance <= CHANCE * found)
    return float(log_expected[order[holds[-1]]]) if len(holds) else -np.inf


def column_codes(cells: Iterable[str], n_rows: int) -> tuple[np.ndarray, int]:
    """A number for each cell, the same for cells that differ by blanks around them only."""
    position: dict[str, int] = {}
    codes = np.fromiter(
        (position.setdefault(cell, len(position)) for cell in cells), dtype=np.int64, count=n_rows
    )
    merged, distinct = pd.factorize(np.array([cell.strip() for cell in position], dtype=object))
    return merged[codes], len(distinct)
