"""CSV and its kin; unchanged rows are written exactly as they were read."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from skinfluence._audit.formats.encodings import Text, decode, own_form
from skinfluence._audit.formats.format import Format, Given
from skinfluence._audit.formats.quoted_lines import unquoted
from skinfluence._audit.formats.records import Record, line_number, records_at, text_lines
from skinfluence._audit.formats.text_layout import Layout, find_layout
from skinfluence._audit.options import Options
from skinfluence._audit.stored_text import (
    Column,
    Form,
    RowCells,
    RowTexts,
    from_utf8,
    in_chunks,
    to_utf8,
)
from skinfluence._audit.table import AuditError, Table, shorten

FIELD_LIMIT = 2**31 - 1  # characters; the largest limit of the csv module on every platform


@dataclass(frozen=True)
class DelimitedText:
    """The text of a table: its header and its rows, with quotes and line ends."""

    header: str
    rows: RowTexts
    form: Form
    suffix: str = ".csv"

    def write(self, path: Path, changes: Mapping[int, Sequence[str] | None]) -> None:
        """Write the table; `changes` maps a row to its new cells, or to None to drop it."""
        new = {
            row: "" if cells is None else self.form.line(cells) for row, cells in changes.items()
        }
        with self.form.open(path) as file:
            file.write(self.header)
            file.writelines(new.get(row, text) for row, text in enumerate(self.rows.pieces()))


def read_csv(given: Given, options: Options) -> Table:
    """Read a CSV file; raise AuditError if it is not one."""
    suffix = given.suffix if given.suffix in (*FORMAT.suffixes, ".txt") else ".csv"
    return parse(decode(given.read(), options.encoding, given.shown), options, suffix)


def parse_table(text: str, *, sep: str | None = None) -> Table:
    """Parse CSV text."""
    return parse(Text(to_utf8(text)), Options(sep=sep))


def parse(text: Text, options: Options, suffix: str = ".csv") -> Table:
    """Parse a CSV file; raise AuditError if it is not one."""
    csv.field_size_limit(FIELD_LIMIT)  # not reset: another thread may be reading
    data = text.data
    if not any(line.strip() for line in text_lines(data, len(text.mark))):
        raise AuditError("the file is empty; expected a header line and rows below it.")
    layout = find_layout(text, options)
    form = replace(layout.form, encoding=text.encoding, errors=text.errors)
    if layout.is_one_cell and (table := _unquoted(text, form, options, suffix)) is not None:
        return table
    texts = RowTexts(data, form.newline)
    columns = [Column() for _ in layout.names]
    records = records_at(data, layout.rows_start, form)
    for rows in in_chunks(_row_cells(records, layout, texts)):
        for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(cells)
    if not texts:
        raise AuditError("the file has a header but no rows.")
    source = DelimitedText(from_utf8(data[: texts.starts[0]]), texts, form, suffix)
    notes = [*text.notes, *layout.notes]
    own = own_form(form)
    return Table(layout.names, columns, RowCells(texts, form), own, source, notes, layout.index)


def _unquoted(text: Text, form: Form, options: Options, suffix: str) -> Table | None:
    records = records_at(text.data, len(text.mark), form)
    try:
        return unquoted(text, records, form, lambda inside: parse(inside, options), suffix)
    except AuditError:
        return None


def _row_cells(records: Iterable[Record], layout: Layout, texts: RowTexts) -> Iterator[list[str]]:
    """Yield the cells of each record and note where its text is; refuse one of another length."""
    names = layout.names
    for cells, start, end in records:
        if len(cells) != len(names):
            header_line = line_number(texts.data, layout.header_start)
            line = from_utf8(texts.data[start:end]).strip("\r\n")
            raise AuditError(
                f"line {line_number(texts.data, start)} has {len(cells):,} cells, but the header "
                f"in line {header_line} has {len(names):,} (separator {layout.form.sep!r}): "
                f"{shorten(line, 80)!r}; correct the line, set the separator with --sep, or the "
                "number of lines above the header with --skip-rows."
            )
        texts.starts.append(start)
        texts.ends.append(end)
        yield cells


def table_from_columns(names: Sequence[str], columns: Sequence[Iterable[str]]) -> Table:
    """Build a table from columns of strings; it is written as CSV."""
    stored, form = [Column.of(cells) for cells in columns], Form()
    texts = RowTexts(bytearray(), form.newline)
    for row in zip(*stored, strict=True):
        texts.append(form.line(row))
    source = DelimitedText(form.line(names), texts, form)
    return Table(list(names), stored, RowCells(texts, form), form, source)


FORMAT = Format("CSV", (".csv", ".tsv", ".tab", ".psv"), read_csv)
