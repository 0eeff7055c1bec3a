"""Where the header of a table is: titles above it, a second one, or none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from skinfluence._audit.table import shorten

MAX_TITLE = 20  # rows

SAMPLED_ROWS = 100

NUMBER = re.compile(r"[-+]?[$€£]?\d[\d.,]*([eE][-+]?\d+)?\s*%?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*")

YEAR = re.compile(r"\s*(19|20)\d\d\s*")  # also a name, of a column for each year

GAP = re.compile(r"|\?|-|n/?a|nan|null|none", re.IGNORECASE)


def title_rows(rows: Sequence[Sequence[str]]) -> int:
    """Number of rows above the header: a title, notes, or comments; 0 if in doubt.

    Parameters
    ----------
    rows : list of list of str
        The cells of the first rows of the file.
    """
    width = _usual_length(rows)
    if len(rows) < 3 or width < 2:
        return 0
    for n_above, cells in enumerate(rows[:MAX_TITLE]):
        if _is_title(cells, width):
            continue
        if n_above == 0 or len(cells) != width or n_above + 1 == len(rows):
            return 0
        below = rows[n_above + 1 :]
        is_header = not _is_like_rows(cells, below)
        # A row of two cells below a row of one cell may be ragged rows without any title.
        if width == 2 or len(rows[0]) == width:
            is_header = is_header and bool(_texts_above_numbers(cells, below))
        return n_above if is_header else 0
    return 0


def _usual_length(rows: Sequence[Sequence[str]]) -> int:
    return Counter(map(len, rows)).most_common(1)[0][0]


def _is_title(cells: Sequence[str], width: int) -> bool:
    """Whether a row has too few cells to be a header."""
    n_filled = sum(bool(cell.strip()) for cell in cells)
    if len(cells) == width:
        return width > 2 and n_filled == 1 and bool(cells[0].strip())
    return n_filled <= max(1, width // 3) or cells[0].lstrip().startswith("#")


def title_note(title: str, line: int, what: str = "line") -> str:
    """A sentence on the rows above the header."""
    return (
        f"the header is read from {what} {line}; what is above it is kept as a title "
        f"({shorten(title, 40)!r}); --skip-rows 0 reads the first {what} as the header"
    )


def numbered_names(n: int) -> list[str]:
    """Names for columns of a file without a header."""
    return [f"column_{i + 1}" for i in range(n)]


def complete_names(
    names: list[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], frozenset[int], list[str]]:
    """A name for every column if all rows have one cell more than the header.

    Returns
    -------
    names : list of str
        The names; the name of the column that the header lacks is empty.
    index : frozenset of int
        Position of the column that names the rows.
    notes : list of str
        What was found.
    """
    if len(rows) < 2 or any(len(cells) != len(names) + 1 for cells in rows):
        return names, frozenset(), []
    if all(not cells[-1].strip() for cells in rows):
        return [*names, ""], frozenset(), []
    if len(names) < 2:  # rather texts with commas
        return names, frozenset(), []
    note = "the rows have one cell more than the header; the first cell is read as the row's name"
    return ["", *names], frozenset({0}), [note]


def header_notes(
    names: Sequence[str], rows: Sequence[Sequence[str]], *, skipped: int = 0
) -> list[str]:
    """Sentences on a header that looks like a row, or that has a second line."""
    rows = [cells for cells in rows[:SAMPLED_ROWS] if len(cells) == len(names)]
    if len(rows) < 2:
        return []
    if _is_like_rows(names, rows):
        return [
            "the first line is read as the header, but it looks like the rows; if the file has no "
            "header, use --no-header"
        ]
    if _is_second_header(names, rows):
        return [
            "the line below the header looks like a second header; it is read as a row "
            f"(--skip-rows {skipped + 1} reads it as the header)"
        ]
    return []


def _is_like_rows(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the names could be the cells of a row."""
    if _texts_above_numbers(names, rows):
        return False
    number_columns = _number_columns(rows)
    numbers = [i for i in number_columns if is_number(names[i]) and not YEAR.fullmatch(names[i])]
    if not number_columns:
        # A header of texts above texts: its names do not occur as cells.
        whole = [row for row in rows if len(row) == len(names)]
        repeats = [name.strip() in {row[i].strip() for row in whole} for i, name in _named(names)]
        return bool(repeats) and sum(repeats) > len(repeats) / 2
    return bool(numbers)


def _is_second_header(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has only texts, and the other rows have numbers below them."""
    if len(rows) < 3 or any(is_number(cell) for cell in rows[0]):
        return False
    return bool(_texts_above_numbers(names, rows[1:])) and bool(
        _texts_above_numbers(rows[0], rows[1:])
    )


def _named(names: Sequence[str]) -> list[tuple[int, str]]:
    return [(i, name) for i, name in enumerate(names) if name.strip()]


def _texts_above_numbers(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Columns of numbers whose name is a text."""
    columns = [i for i in _number_columns(rows) if i < len(names)]
    return [i for i in columns if not GAP.fullmatch(names[i].strip()) and not is_number(names[i])]


def _number_columns(rows: Sequence[Sequence[str]]) -> list[int]:
    """Columns whose cells are all numbers or dates, apart from gaps."""
    width = _usual_length(rows)
    whole = [row for row in rows[:SAMPLED_ROWS] if len(row) == width]
    found = []
    for position, column in enumerate(zip(*whole, strict=True)):
        cells = [cell for cell in column if not GAP.fullmatch(cell.strip())]
        if cells and all(map(is_number, cells)):
            found.append(position)
    return found


def is_number(cell: str) -> bool:
    """Whether a cell looks like a number or a date."""
    return NUMBER.fullmatch(cell.strip()) is not None
