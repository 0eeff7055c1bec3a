"""CSV and its kin; unchanged rows are written exactly as they were read."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from skinfluence._audit.stored_text import (
    Column,
    Form,
    RowCells,
    RowTexts,
    from_utf8,
    in_chunks,
    to_utf8,
)
from skinfluence._audit.table import AuditError, Table

SEPARATORS = (",", ";", "\t", "|")

SNIFFED_RECORDS, SNIFFED_CHARACTERS = 100, 1_000_000

UTF_8_MARK = codecs.BOM_UTF8

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


def read_csv(path: Path, *, sep: str | None, encoding: str) -> Table:
    """Read a CSV file; raise AuditError if it is not one."""
    return _parse(_read_utf8(path, encoding), sep=sep, encoding=encoding, bom=True)


def parse_table(
    text: str, *, sep: str | None = None, encoding: str = "utf-8", bom: bool = False
) -> Table:
    """Parse CSV text. If `bom` is true, the text may start with a byte order mark."""
    return _parse(to_utf8(text), sep=sep, encoding=encoding, bom=bom)


def _parse(data: bytes, *, sep: str | None, encoding: str, bom: bool) -> Table:
    csv.field_size_limit(FIELD_LIMIT)  # not reset: another thread may be reading
    mark = UTF_8_MARK if bom and data.startswith(UTF_8_MARK) else b""
    if not any(line.strip() for line in _lines(data, len(mark))):
        raise AuditError("the file is empty; expected a header line and rows below it.")
    start = _lines(data, len(mark)).read(SNIFFED_CHARACTERS)
    if sep is None:
        is_cut = len(mark) + len(to_utf8(start)) < len(data)
        sep = _detect_separator(start, is_cut=is_cut)
    form = Form(sep, _has_blank_before_quote(start, sep), encoding=encoding)
    records = _records(_lines(data, len(mark)), form, len(mark))
    names, header_start, header_end = next(records)
    header = from_utf8(data[header_start:header_end])
    form = replace(form, newline=header[len(header.rstrip("\r\n")) :] or "\n")
    texts = RowTexts(data, form.newline)
    columns = [Column() for _ in names]
    for rows in in_chunks(_row_cells(records, names, sep, texts)):
        for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(cells)
    if not texts:
        raise AuditError("the file has a header but no rows.")
    source = DelimitedText(from_utf8(mark) + header, texts, form)
    return Table(names, columns, RowCells(texts, form), form, source)


def _lines(data: bytes, start: int) -> io.TextIOWrapper:
    """The text after `start` as a file; line ends stay as they are."""
    file = io.BytesIO(data)  # shares the memory of the bytes
    file.seek(start)
    return io.TextIOWrapper(file, "utf-8", errors="surrogatepass", newline="")


def _row_cells(
    records: Iterable[tuple[list[str], int, int]], names: list[str], sep: str, texts: RowTexts
) -> Iterator[list[str]]:
    """Yield the cells of each record and note where its text is; refuse one of another length."""
    for number, (cells, start, end) in enumerate(records, start=1):
        if len(cells) != len(names):
            raise AuditError(
                f"row {number} has {len(cells)} cells, but the header has {len(names)} "
                f"(separator {sep!r}); correct the row, or set the separator with --sep."
            )
        texts.starts.append(start)
        texts.ends.append(end)
        yield cells


def _read_utf8(path: Path, encoding: str) -> bytes:
    """The content of the file as UTF-8; raise AuditError if it is not text in this encoding."""
    data = path.read_bytes()
    if data[:4] == b"PK\x03\x04" or data[:4] == b"\xd0\xcf\x11\xe0":
        raise AuditError(f"{str(path)!r} is a spreadsheet or an archive; save the table as CSV.")
    try:
        if codecs.lookup(encoding).name == "utf-8" and _is_utf8(data):
            return data
        return to_utf8(data.decode(encoding))
    except UnicodeDecodeError as error:
        raise AuditError(
            f"{str(path)!r} is not {encoding} text (byte 0x{data[error.start]:02x} at position "
            f"{error.start}); set the encoding of the file, for example --encoding latin-1."
        ) from error
    except (LookupError, ValueError) as error:  # ValueError: a name that cannot be one
        raise AuditError(f"--encoding {encoding!r} is unknown; try utf-8 or latin-1.") from error


def _is_utf8(data: bytes) -> bool:
    """Whether the bytes are valid; they are decoded a piece at a time, to save memory."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), SNIFFED_CHARACTERS):
            decoder.decode(data[start : start + SNIFFED_CHARACTERS])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _has_blank_before_quote(text: str, sep: str) -> bool:
    """Whether a cell of the first lines has a blank before its opening quote."""
    # A quoted cell is matched as a whole, so that its content is not searched.
    start, quoted = rf"(?:\A|[{re.escape(sep)}\r\n])", r'"(?:[^"]|"")*+(?:"|\Z)'
    cells = re.finditer(rf'{start}(?:{quoted}|(?P<blank> +"))', text[:100_000])
    return any(cell["blank"] for cell in cells)


def _records(
    lines: Iterable[str], form: Form, start: int = 0
) -> Iterator[tuple[list[str], int, int]]:
    """Yield the cells of each record, and where its text starts and ends; skip blank lines.

    Positions are in bytes of UTF-8; the first line is at `start`.
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
                _refuse_open_quote(pending, reader.line_num, form)
            end = start + sum(len(x) if x.isascii() else len(to_utf8(x)) for x in pending)
            pending.clear()
            if cells and (len(cells) > 1 or cells[0].strip()):
                yield cells, start, end
            start = end
    except csv.Error as error:
        raise AuditError(f"line {reader.line_num} is not valid CSV: {error}.") from error


def _refuse_open_quote(lines: Sequence[str], last: int, form: Form) -> None:
    """Raise AuditError if a quote that is not closed has put several rows into one record."""
    try:
        list(form.reader(lines, strict=True))
    except csv.Error as error:
        raise AuditError(
            f"a quote that is opened in line {last - len(lines) + 1} is not closed where the cell "
            f"ends ({error}); close the quote, or write a quote inside a cell twice."
        ) from error


def _detect_separator(start: str, *, is_cut: bool) -> str:
    """Choose the separator for which the number of cells is most constant over the first records.

    If several separators are equally good, choose the one that gives most cells.
    """

    def consistency(sep: str) -> tuple[float, int]:
        form = Form(sep, _has_blank_before_quote(start, sep))
        records = _records(io.StringIO(start, newline=""), form)
        counts: list[int] = []
        with suppress(AuditError):  # the text may be cut inside a quote
            counts.extend(len(cells) for cells, *_ in itertools.islice(records, SNIFFED_RECORDS))
        if is_cut and 1 < len(counts) < SNIFFED_RECORDS:
            counts.pop()  # the last record is cut
        if not counts:
            return 0.0, 2  # its error says more than a table of one column does
        if counts[0] == 1:
            return 0.0, 1
        equal = sum(count == counts[0] for count in counts) / len(counts)
        return equal, counts[0]

    return max(SEPARATORS, key=consistency)


def table_from_columns(names: Sequence[str], columns: Sequence[Iterable[str]]) -> Table:
    """Build a table from columns of strings; it is written as CSV."""
    stored, form = [Column.of(cells) for cells in columns], Form()
    texts = RowTexts(bytearray(), form.newline)
    for row in zip(*stored, strict=True):
        texts.append(form.line(row))
    source = DelimitedText(form.line(names), texts, form)
    return Table(list(names), stored, RowCells(texts, form), form, source)
