"""Workbooks: which sheet is read, its cells as text, and writing back xlsx."""

from __future__ import annotations

import datetime
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from skinfluence._audit.formats.delimited import table_from_columns
from skinfluence._audit.formats.format import Format, Given, load, starts_with
from skinfluence._audit.formats.header import header_notes, numbered_names, title_note, title_rows
from skinfluence._audit.formats.packed import ZIP_MAGIC, zip_members
from skinfluence._audit.formats.workbook_edit import remove_rows, set_cell
from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError, Table, listed, shorten

FIRST = 100  # rows by which a sheet is known to be filled

OLE_MAGIC = b"\xd0\xcf\x11\xe0"

PROTECTED, OLD_BOOKS = "EncryptedPackage", ("Workbook", "Book")  # streams of an OLE file


@dataclass(frozen=True)
class Sheet:
    """The cells of a sheet as text, and which rows and columns of the sheet they are from.

    Attributes
    ----------
    name : str
        The sheet.
    rows : list of list of str
        Rows that are not empty, all of the same length.
    numbers : list of int
        The number of each row in the sheet, from 1.
    column : int
        The number of the first column, from 1.
    """

    name: str
    rows: list[list[str]]
    numbers: list[int]
    column: int


@dataclass(frozen=True)
class WorkbookSource:
    """A workbook; the changed one keeps its formats, other sheets and formulas."""

    data: bytes
    sheet: Sheet
    n_above: int
    suffix: str

    def write(self, path: Path, changes: Mapping[int, Sequence[str] | None]) -> None:
        """Write the workbook; `changes` maps a row to its new cells, or to None to drop it."""
        import openpyxl

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # told when the file was read
            book = openpyxl.load_workbook(
                io.BytesIO(self.data), keep_vba=self.suffix == ".xlsm", rich_text=True
            )
        sheet, rows = book[self.sheet.name], self.sheet.rows[self.n_above :]
        numbers = self.sheet.numbers[self.n_above :]
        for row, cells in changes.items():
            for i, (before, after) in enumerate(zip(rows[row], cells or rows[row], strict=True)):
                if before != after:
                    set_cell(sheet.cell(numbers[row], self.sheet.column + i), after)
        dropped = [numbers[row] for row, cells in changes.items() if cells is None]
        remove_rows(sheet, sorted(dropped))
        book.save(path)


@dataclass(frozen=True)
class NewWorkbookSource:
    """A workbook of a kind that is read only; its cells are written to a new xlsx file."""

    sheet: Sheet
    n_above: int
    suffix: str = ".xlsx"

    def write(self, path: Path, changes: Mapping[int, Sequence[str] | None]) -> None:
        """Write the cells; `changes` maps a row to its new cells, or to None to drop it."""
        openpyxl = _openpyxl()
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.title = self.sheet.name
        n = 0
        for row, cells in enumerate(self.sheet.rows, start=-self.n_above):
            new = changes.get(row, cells)
            if new is not None:
                n += 1
                for i, cell in enumerate(new, start=1):
                    if cell:
                        set_cell(sheet.cell(n, i), cell)
        book.save(path)


def read_xlsx(given: Given, options: Options) -> Table:
    """Read a sheet of a workbook; raise AuditError if there is no table in it."""
    data = given.read()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        book = _openpyxl().load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        # Visible sheets first; the sort is stable.
        found = sorted(book.worksheets, key=lambda sheet: sheet.sheet_state != "visible")
        sheets = {sheet.title: partial(_rows_of, sheet) for sheet in found}
        sheet, notes = _choose_sheet(given, sheets, options.sheet)
    notes += dict.fromkeys(f"openpyxl: {shorten(str(one.message))}" for one in caught)
    suffix = given.suffix if given.suffix == ".xlsm" else ".xlsx"
    names, rows, more = _layout(sheet, options)
    source = WorkbookSource(data, sheet, len(sheet.rows) - len(rows), suffix)
    return _table(names, rows, source, [*notes, *more])


def read_old(given: Given, options: Options) -> Table:
    """Read xls, xlsb or ods through python-calamine."""
    data = given.read()
    if data.startswith(OLE_MAGIC):
        _refuse_other_ole(data, given)
    calamine = load("python_calamine", "files", f"reading {given.suffix or 'xls'}")
    book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))

    def rows_of(name: str, end: int | None = None) -> list[list[Any]]:
        return book.get_sheet_by_name(name).to_python(skip_empty_area=False, nrows=end)

    sheets = {name: partial(rows_of, name) for name in book.sheet_names}
    sheet, notes = _choose_sheet(given, sheets, options.sheet)
    names, rows, more = _layout(sheet, options)
    source = NewWorkbookSource(sheet, len(sheet.rows) - len(rows))
    note = "the cleaned table is written as xlsx, with the values of this sheet only"
    return _table(names, rows, source, [*notes, *more, note])


def _table(names: list[str], rows: list[list[str]], source: Any, notes: list[str]) -> Table:
    plain = table_from_columns(names, list(zip(*rows, strict=True)))
    return Table(plain.names, plain.columns, plain.cells, plain.form, source, notes)


def _openpyxl() -> Any:
    return load("openpyxl", "audit", "Excel")


def _refuse_other_ole(data: bytes, given: Given) -> None:
    def has(stream: str) -> bool:
        return stream.encode("utf-16-le") in data

    if has(PROTECTED):
        raise AuditError(
            f"{given.shown} is a workbook that is protected by a password; save a copy without it."
        )
    if not any(map(has, OLD_BOOKS)):
        raise AuditError(f"{given.shown} is an Office document without a workbook.")


def _rows_of(sheet: Any, end: int | None = None) -> list[list[Any]]:
    sheet.reset_dimensions()  # some programs write wrong ones
    return [list(row) for row in sheet.iter_rows(values_only=True, max_row=end)]


def _choose_sheet(
    given: Given, sheets: Mapping[str, Callable[..., list[list[Any]]]], wanted: str | None
) -> tuple[Sheet, list[str]]:
    names = list(sheets)
    filled = [name for name in names if any(any(map(_text, row)) for row in sheets[name](FIRST))]
    if wanted is None:
        if not filled:
            raise AuditError(f"{given.shown} has no cells in any sheet.")
        others = [name for name in filled if name != filled[0]]
        note = f"sheet {filled[0]!r} is read; --sheet chooses another of {listed(others)}"
        return _sheet(filled[0], sheets[filled[0]]()), [note] if others else []
    if wanted not in names and wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        wanted = names[int(wanted) - 1]
    if wanted not in names:
        raise AuditError(
            f"{given.shown} has no sheet {shorten(wanted)!r}; its sheets are: {listed(names)}."
        )
    if wanted not in filled:
        raise AuditError(f"sheet {wanted!r} of {given.shown} has no cells.")
    return _sheet(wanted, sheets[wanted]()), []


def _sheet(name: str, values: list[list[Any]]) -> Sheet:
    """The cells of a sheet, without empty rows and without empty columns around them."""
    rows = {i: [_text(value) for value in row] for i, row in enumerate(values, start=1)}
    rows = {i: row for i, row in rows.items() if any(row)}
    first = min(next(j for j, cell in enumerate(row) if cell) for row in rows.values())
    end = max(max(j for j, cell in enumerate(row) if cell) for row in rows.values()) + 1
    cells = [(row + [""] * end)[first:end] for row in rows.values()]
    return Sheet(name, cells, list(rows), first + 1)


def _layout(sheet: Sheet, options: Options) -> tuple[list[str], list[list[str]], list[str]]:
    """The names, the rows below, and notes."""
    rows, notes = sheet.rows, []
    if options.skip_rows is not None:
        n_above = sum(number <= options.skip_rows for number in sheet.numbers)
    else:
        n_above = 0 if options.no_header else title_rows(rows)
    if n_above and options.skip_rows is None:
        title = " ".join(filter(None, rows[0]))
        notes.append(title_note(title, sheet.numbers[n_above], "row"))
    if n_above >= len(rows):
        raise AuditError(f"--skip-rows {options.skip_rows} leaves no row of sheet {sheet.name!r}.")
    if options.no_header:
        return numbered_names(len(rows[0])), rows[n_above:], notes
    names, below = rows[n_above], rows[n_above + 1 :]
    if not below:
        raise AuditError(f"sheet {sheet.name!r} has a header but no rows.")
    notes += header_notes(names, below, skipped=sheet.numbers[n_above])
    return names, below, notes


def _text(value: Any) -> str:
    """A value of a sheet as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.datetime):
        is_date = value.time() == datetime.time()
        return value.date().isoformat() if is_date else value.isoformat(" ")
    return str(value)


def find_in_zip(given: Given) -> Format | None:
    """The format of a workbook that is a zip file; AuditError if it is another document."""
    if not given.head().startswith(ZIP_MAGIC):
        return None
    names = {info.filename for info in zip_members(given)}
    if "xl/workbook.xml" in names:
        return XLSX
    if "xl/workbook.bin" in names or "content.xml" in names:
        return XLS
    kind = "Word" if any(name.startswith("word/") for name in names) else "another"
    raise AuditError(f"{given.shown} is a document of {kind} program, not a workbook.")


XLSX = Format("Excel", (".xlsx", ".xlsm", ".xltx"), read_xlsx, has_sheets=True, is_foreign=True)
XLS = Format(
    "a workbook",
    (".xls", ".xlsb", ".ods"),
    read_old,
    starts_with(OLE_MAGIC),
    has_sheets=True,
    is_foreign=True,
)
