"""CSV and its kin; unchanged rows are written exactly as they were read."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skinfluence._audit.formats.encodings import Text, decode
from skinfluence._audit.formats.format import Format, Given
from skinfluence._audit.formats.layout import (
    complete_names,
    header_notes,
    numbered_names,
    title_note,
    title_rows,
)
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

SEPARATORS = (",", ";", "\t", "|")

SNIFFED_RECORDS, SNIFFED_CHARACTERS = 100, 1_000_000

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
            file.writelines(new.get(row, text) for row, text in enumerate(self.rows))


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
    if not any(line.strip() for line in _lines(data, len(text.mark))):
        raise AuditError("the file is empty; expected a header line and rows below it.")
    layout = _find_layout(text, options)
    form = replace(layout.form, encoding=text.encoding, errors=text.errors)
    texts = RowTexts(data, form.newline)
    columns = [Column() for _ in layout.names]
    records = _records_from(data, layout.rows_start, form)
    for rows in in_chunks(_row_cells(records, layout, texts)):
        for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(cells)
    if not texts:
        raise AuditError("the file has a header but no rows.")
    source = DelimitedText(from_utf8(data[: layout.rows_start]), texts, form, suffix)
    notes = [*text.notes, *layout.notes]
    cells, own = RowCells(texts, form), _own_form(form)
    return Table(layout.names, columns, cells, own, source, notes, layout.index)


def _own_form(form: Form) -> Form:
    """The form of other files; in UTF-16 and UTF-32, they need a mark to be recognized."""
    wide = next((name for name in ("utf-16", "utf-32") if form.encoding.startswith(name)), None)
    return form if wide is None else replace(form, encoding=wide)


@dataclass(frozen=True)
class Layout:
    """Where the header and the rows of a text are."""

    form: Form
    names: list[str]
    header_start: int
    rows_start: int
    notes: list[str]
    index: frozenset[int] = frozenset()


def _find_layout(text: Text, options: Options) -> Layout:
    start = _after_lines(text, options.skip_rows or 0)
    first = _lines(text.data, start).read(SNIFFED_CHARACTERS)
    if not first.strip():
        raise AuditError(f"--skip-rows {options.skip_rows} leaves no line of the file.")
    is_cut = start + len(to_utf8(first)) < len(text.data)
    finds_title = options.skip_rows is None and not options.no_header
    sep = options.sep or _detect_separator(first, is_cut=is_cut, finds_title=finds_title)
    form = Form(sep, _has_blank_before_quote(first, sep))
    records = _first_records(_records_from(text.data, start, form))
    rows = [cells for cells, *_ in records]
    n_above = title_rows(rows) if finds_title else 0
    names, header_start, header_end = records[n_above]
    header = from_utf8(text.data[header_start:header_end])
    form = replace(form, newline=header[len(header.rstrip("\r\n")) :] or "\n")
    if options.no_header:
        names = numbered_names(len(names))
        return Layout(form, names, header_start, header_start, [])
    names, index, notes = complete_names(names, rows[n_above + 1 :])
    if n_above:
        line = _line_number(text.data, header_start)
        title = " ".join(cell.strip() for cell in rows[0] if cell.strip())
        notes.insert(0, title_note(title, line))
    notes += header_notes(names, rows[n_above + 1 :], skipped=options.skip_rows or n_above)
    return Layout(form, names, header_start, header_end, notes, index)


def _records_from(data: bytes, start: int, form: Form) -> Iterator[tuple[list[str], int, int]]:
    return _records(_lines(data, start), form, start, _line_number(data, start))


def _first_records(records: Iterator[tuple[list[str], int, int]]) -> list[Any]:
    """The first records; an error after the first one is left to the reading of all."""
    found = [next(records)]
    with suppress(AuditError):
        found.extend(itertools.islice(records, SNIFFED_RECORDS))
    return found


def _after_lines(text: Text, n: int) -> int:
    """Position after the byte order mark and `n` lines."""
    lines = itertools.islice(_lines(text.data, len(text.mark)), n)
    return len(text.mark) + sum(len(to_utf8(line)) for line in lines)


def _line_number(data: bytes | bytearray, position: int) -> int:
    """Number of the line that starts at this position."""
    ends = (data.count(end, 0, position) for end in (b"\n", b"\r", b"\r\n"))
    return 1 + next(ends) + next(ends) - next(ends)


def _lines(data: bytes, start: int) -> io.TextIOWrapper:
    """The text after `start` as a file; line ends stay as they are."""
    file = io.BytesIO(data)  # shares the memory of the bytes
    file.seek(start)
    return io.TextIOWrapper(file, "utf-8", errors="surrogatepass", newline="")


def _row_cells(
    records: Iterable[tuple[list[str], int, int]], layout: Layout, texts: RowTexts
) -> Iterator[list[str]]:
    """Yield the cells of each record and note where its text is; refuse one of another length."""
    names = layout.names
    for cells, start, end in records:
        if len(cells) != len(names):
            header_line = _line_number(texts.data, layout.header_start)
            line = from_utf8(texts.data[start:end]).strip("\r\n")
            raise AuditError(
                f"line {_line_number(texts.data, start)} has {len(cells):,} cells, but the header "
                f"in line {header_line} has {len(names):,} (separator {layout.form.sep!r}): "
                f"{shorten(line, 80)!r}; correct the line, set the separator with --sep, or the "
                "number of lines above the header with --skip-rows."
            )
        texts.starts.append(start)
        texts.ends.append(end)
        yield cells


def _has_blank_before_quote(text: str, sep: str) -> bool:
    """Whether a cell of the first lines has a blank before its opening quote."""
    # A quoted cell is matched as a whole, so that its content is not searched.
    start, quoted = rf"(?:\A|[{re.escape(sep)}\r\n])", r'"(?:[^"]|"")*+(?:"|\Z)'
    cells = re.finditer(rf'{start}(?:{quoted}|(?P<blank> +"))', text[:100_000])
    return any(cell["blank"] for cell in cells)


def _records(
    lines: Iterable[str], form: Form, start: int = 0, line: int = 1
) -> Iterator[tuple[list[str], int, int]]:
    """Yield the cells of each record, and where its text starts and ends; skip blank lines.

    Positions are in bytes of UTF-8; the first line, with the number `line`, is at `start`.
    """
    pending: list[str] = []

    def watched() -> Iterator[str]:
        # If the last quote is not closed, the blank line at the end becomes part of the last cell.
        for line in itertools.chain(lines, ["\n"]):
            pending.append(line)
            yield line

    reader = form.reader(watched())
    try:
        for cells in reader:
            # Before the reader returns a record, it reads exactly the lines of this record.
            if len(pending) > 1:
                _refuse_open_quote(pending, reader.line_num + line - 1, form)
            end = start + sum(len(x) if x.isascii() else len(to_utf8(x)) for x in pending)
            pending.clear()
            if cells and (len(cells) > 1 or cells[0].strip()):
                yield cells, start, end
            start = end
    except csv.Error as error:
        raise AuditError(f"line {reader.line_num + line - 1} is not valid CSV: {error}.") from error


def _refuse_open_quote(lines: Sequence[str], last: int, form: Form) -> None:
    """Raise AuditError if a quote that is not closed has put several rows into one record."""
    try:
        list(form.reader(lines, strict=True))
    except csv.Error as error:
        raise AuditError(
            f"a quote that is opened in line {last - len(lines) + 1} is not closed where the cell "
            f"ends ({error}); close the quote, or write a quote inside a cell twice."
        ) from error


def _detect_separator(start: str, *, is_cut: bool, finds_title: bool) -> str:
    """Choose the separator for which the number of cells is most constant over the first records.

    If several separators are equally good, choose the one that needs no title above the header,
    then the one that gives most cells.
    """

    def consistency(sep: str) -> tuple[float, bool, int]:
        form = Form(sep, _has_blank_before_quote(start, sep))
        records = _records(io.StringIO(start, newline=""), form)
        rows: list[list[str]] = []
        with suppress(AuditError):  # the text may be cut inside a quote
            rows.extend(cells for cells, *_ in itertools.islice(records, SNIFFED_RECORDS))
        if is_cut and 1 < len(rows) < SNIFFED_RECORDS:
            rows.pop()  # the last record is cut
        if not rows:
            return 0.0, True, 2  # its error says more than a table of one column does
        n_above = title_rows(rows) if finds_title else 0
        counts = [len(cells) for cells in rows[n_above:]]
        if counts[0] == 1:
            return 0.0, True, 1
        equal = sum(count == counts[0] for count in counts) / len(counts)
        return equal, n_above == 0, counts[0]

    return max(SEPARATORS, key=consistency)


def table_from_columns(names: Sequence[str], columns: Sequence[Iterable[str]]) -> Table:
    """Build a table from columns of strings; it is written as CSV."""
    stored, form = [Column.of(cells) for cells in columns], Form()
    texts = RowTexts(bytearray(), form.newline)
    for row in zip(*stored, strict=True):
        texts.append(form.line(row))
    source = DelimitedText(form.line(names), texts, form)
    return Table(list(names), stored, RowCells(texts, form), form, source)


FORMAT = Format("CSV", (".csv", ".tsv", ".tab", ".psv"), read_csv)
