"""Changes in a sheet of openpyxl: new values of cells, and rows that are removed."""

from __future__ import annotations

import datetime
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from typing import Any


def set_cell(cell: Any, text: str) -> None:
    """Give a cell a new value, of the type that its value had; its format stays."""
    cell.value = value = _value(text, cell.value)
    if isinstance(value, str) and value.startswith("="):
        cell.data_type = "s"  # a text, not a formula


def _value(text: str, before: Any) -> Any:
    if not text:
        return None
    if isinstance(before, str | list):  # a list: pieces of text in several fonts
        return text
    if isinstance(before, bool) and text in ("TRUE", "FALSE"):
        return text == "TRUE"
    if isinstance(before, datetime.datetime):
        with suppress(ValueError):
            return datetime.datetime.fromisoformat(text)
    for parse in (int, float):
        with suppress(ValueError):
            number = parse(text)
            # Of a new cell, only what is written like a number is one; "007" is a text.
            if before is not None or str(number) == text:
                return number
    return text


def remove_rows(sheet: Any, numbers: Sequence[int]) -> None:
    """Remove rows, given by their sorted numbers; the rows below move up.

    The method of openpyxl takes one pass over the sheet for each row, and leaves formulas, merged
    cells and row heights where they were.
    """
    if not numbers:
        return
    gone = set(numbers)

    def moved(row: int) -> int:
        return row - bisect_left(numbers, row)

    cells = {}
    for (row, column), cell in sorted(sheet._cells.items()):
        if row not in gone:
            _move(cell, moved(row))
            cells[moved(row), column] = cell
    sheet._cells = cells
    _move_heights(sheet, gone, moved)
    for merged in list(sheet.merged_cells.ranges):
        kept = [row for row in range(merged.min_row, merged.max_row + 1) if row not in gone]
        if kept:
            merged.min_row, merged.max_row = moved(kept[0]), moved(kept[-1])
        else:
            sheet.merged_cells.ranges.remove(merged)
    _shorten_ranges(sheet, gone, moved)


def _move(cell: Any, row: int) -> None:
    from openpyxl.formula.translate import Translator
    from openpyxl.worksheet.formula import ArrayFormula

    if cell.row == row:
        return
    value: Any = getattr(cell, "value", None)  # a merged cell has none
    is_array = isinstance(value, ArrayFormula)
    if is_array or (isinstance(value, str) and cell.data_type == "f"):
        target = f"{cell.column_letter}{row}"
        formula = Translator(value.text if is_array else value, origin=cell.coordinate)
        moved = formula.translate_formula(target)
        cell.value = ArrayFormula(target, moved) if is_array else moved
    link = getattr(cell, "hyperlink", None)
    cell.row = row
    if link is not None:
        link.ref = cell.coordinate


def _move_heights(sheet: Any, gone: set[int], moved: Any) -> None:
    heights = dict(sheet.row_dimensions.items())
    sheet.row_dimensions.clear()
    for row, dimension in heights.items():
        if row not in gone:
            dimension.index = moved(row)
            sheet.row_dimensions[moved(row)] = dimension


def _shorten_ranges(sheet: Any, gone: set[int], moved: Any) -> None:
    """Tables and filters end where the rows end; a longer table makes Excel repair the file."""
    from openpyxl.utils import get_column_letter, range_boundaries

    def shortened(reference: str) -> str:
        first, top, last, bottom = range_boundaries(reference)
        kept = [row for row in range(top, bottom + 1) if row not in gone] or [top]
        end = max(moved(kept[-1]), moved(kept[0]) + 1)
        start = f"{get_column_letter(first)}{moved(kept[0])}"
        return f"{start}:{get_column_letter(last)}{end}"

    for table in sheet.tables.values():
        table.ref = shortened(table.ref)
        if table.autoFilter is not None:
            table.autoFilter.ref = table.ref
    if sheet.auto_filter.ref:
        sheet.auto_filter.ref = shortened(sheet.auto_filter.ref)
