"""A table stored as text, so that unchanged rows are written exactly as they were read."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skinfluence._audit.stored_text import (
    Column,
    Form,
    RowCells,
    RowTexts,
    from_utf8,
    in_chunks,
    to_utf8,
)
from skinfluence._extras import need

SEPARATORS = (",", ";", "\t", "|")

SNIFFED_RECORDS, SNIFFED_CHARACTERS = 100, 1_000_000

UTF_8_MARK = codecs.BOM_UTF8

PARQUET_BATCH, MAX_PARQUET_CELLS, MAX_PARQUET_CHARACTERS = 1024, 100_000_000, 2_000_000_000

SHOWN_CHARACTERS = 200  # of a cell or a name in messages and in the report

FIELD_LIMIT = 2**31 - 1  # characters; the largest limit of the csv module on every platform


class AuditError(Exception):
    """A mistake that the user can correct; its message is printed without a traceback."""


@dataclass(frozen=True)
class CsvTable:
    """A header and rows of text cells, with the original text of each row.

    Attributes
    ----------
    names : list of str
        The header. A name may be empty or occur twice.
    columns : list of Column
        The cells of each column, in the order of `names`.
    cells : sequence of list of str
        The cells of each row, as many as `names`.
    header_text, row_texts : str, sequence of str
        The text as read, with quotes and line ends.
    sep, encoding : str
        Separator and encoding, for reading and writing.
    newline : str
        The line end of the header, which is used for new lines.
    skips_blanks : bool
        Whether blanks before a cell are not part of it, as in ``a, "b, c"``.
    """

    names: list[str]
    columns: list[Column]
    cells: RowCells
    header_text: str
    row_texts: RowTexts
    sep: str
    encoding: str
    newline: str
    skips_blanks: bool = False

    def column(self, position: int) -> list[str]:
        """Cells of one column, one string per row; equal cells are one object."""
        distinct: dict[str, str] = {}
        return [distinct.setdefault(cell, cell) for cell in self.columns[position]]

    def find_column(self, name: str) -> int:
        """Position of the column called `name`; spaces around names are ignored."""
        exact = [i for i, given in enumerate(self.names) if given == name]
        found = exact or [i for i, given in enumerate(self.names) if given.strip() == name.strip()]
        if len(found) == 1:
            return found[0]
        if found:
            raise AuditError(
                f"{len(found)} columns are called {shorten(name)!r}; give each column its own name."
            )
        shown = ", ".join(display_name(self, i) for i in range(min(len(self.names), 30)))
        more = f", and {len(self.names) - 30} more" if len(self.names) > 30 else ""
        raise AuditError(f"no column is called {shorten(name)!r}; the columns are: {shown}{more}.")

    def format_row(self, cells: Iterable[object]) -> str:
        """One line of text, with the separator and line end of this table."""
        texts = [self._quoted(str(cell)) for cell in cells]
        return (self.sep.join(texts) if texts != [""] else '""') + self.newline

    def _quoted(self, cell: str) -> str:
        # csv.writer of Python 3.11 does not quote a carriage return if lines end with a line feed.
        is_special = any(char in cell for char in (self.sep, '"', "\r", "\n"))
        if is_special or (self.skips_blanks and cell.startswith(" ")):
            return '"' + cell.replace('"', '""') + '"'
        return cell


def display_name(table: CsvTable, position: int) -> str:
    """Name of a column to show; a column without a name is shown as "(column 3)"."""
    return shorten(table.names[position].strip()) or f"(column {position + 1})"


def shorten(text: str, width: int = SHOWN_CHARACTERS) -> str:
    """The text, or its beginning and an ellipsis if it is longer than `width`."""
    return text if len(text) <= width else text[: width - 1] + "…"


def read_table(path: str | Path, *, sep: str | None = None, encoding: str = "utf-8") -> CsvTable:
    """Read a CSV or Parquet file; raise AuditError if the file cannot be read as a table."""
    path = Path(path)
    _refuse_no_file(path)
    if sep is not None:
        sep = {"\\t": "\t", "tab": "\t"}.get(sep, sep)
        if len(sep) != 1 or sep in '"\r\n':
            raise AuditError(f"--sep {sep!r} must be one character, such as ',' ';' or '\\t'.")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return _read_parquet(path)
        return _parse(_read_utf8(path, encoding), sep=sep, encoding=encoding, bom=True)
    except MemoryError as error:
        raise AuditError(
            f"{str(path)!r} does not fit into memory; audit a sample of its rows, or fewer columns."
        ) from error
    except OSError as error:
        raise AuditError(f"{str(path)!r} cannot be read: {error.strerror}.") from error


def _refuse_no_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise AuditError(f"the file {str(path)!r} does not exist; check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or error
        raise AuditError(f"{str(path)!r} cannot be read: {why}.") from error
    if stat.S_ISDIR(mode):
        raise AuditError(f"{str(path)!r} is a folder; expected a CSV or Parquet file.")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise AuditError(f"{str(path)!r} is a device; expected a CSV or Parquet file.")


def parse_table(
    text: str, *, sep: str | None = None, encoding: str = "utf-8", bom: bool = False
) -> CsvTable:
    """Parse CSV text. If `bom` is true, the text may start with a byte order mark."""
    return _parse(to_utf8(text), sep=sep, encoding=encoding, bom=bom)


def _parse(data: bytes, *, sep: str | None, encoding: str, bom: bool) -> CsvTable:
    csv.field_size_limit(FIELD_LIMIT)  # not reset: another thread may be reading
    mark = UTF_8_MARK if bom and data.startswith(UTF_8_MARK) else b""
    if not any(line.strip() for line in _lines(data, len(mark))):
        raise AuditError("the file is empty; expected a header line and rows below it.")
    start = _lines(data, len(mark)).read(SNIFFED_CHARACTERS)
    if sep is None:
        is_cut = len(mark) + len(to_utf8(start)) < len(data)
        sep = _detect_separator(start, is_cut=is_cut)
    form = Form(sep, _has_blank_before_quote(start, sep))
    records = _records(_lines(data, len(mark)), form, len(mark))
    names, header_start, header_end = next(records)
    header_text = from_utf8(data[header_start:header_end])
    newline = header_text[len(header_text.rstrip("\r\n")) :] or "\n"
    texts = RowTexts(data, newline)
    columns = [Column() for _ in names]
    for rows in in_chunks(_row_cells(records, names, sep, texts)):
        for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(cells)
    if not texts:
        raise AuditError("the file has a header but no rows.")
    return CsvTable(
        names=names,
        columns=columns,
        cells=RowCells(texts, form),
        header_text=from_utf8(mark) + header_text,
        row_texts=texts,
        sep=sep,
        encoding=encoding,
        newline=newline,
        skips_blanks=form.skips_blanks,
    )


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


def _read_parquet(path: Path) -> CsvTable:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise AuditError(str(need("parquet", "reading Parquet needs pyarrow"))) from error
    try:
        # Not pq.read_table, which treats parent folders with names such as "a=1" as partitions.
        with pq.ParquetFile(path) as file:
            shape = file.metadata.num_rows, len(file.schema_arrow.names)
            _refuse_parquet_shape(path, *shape)
            return table_from_columns(file.schema_arrow.names, _parquet_columns(path, file))
    except (OSError, ValueError, NotImplementedError) as error:  # ArrowInvalid is a ValueError
        raise AuditError(f"{str(path)!r} cannot be read as Parquet: {error}") from error


def _refuse_parquet_shape(path: Path, n_rows: int, n_columns: int) -> None:
    if not n_rows or not n_columns:
        raise AuditError(
            f"{str(path)!r} has {n_rows} rows and {n_columns} columns; a table needs at least one "
            "of each."
        )
    # A small file may hold many equal cells. The metadata tells before any of them is unfolded.
    if n_rows * n_columns > MAX_PARQUET_CELLS:
        raise AuditError(
            f"{str(path)!r} has {n_rows:,} rows and {n_columns:,} columns; at most "
            f"{MAX_PARQUET_CELLS:,} cells can be read. Audit a sample of its rows, or fewer "
            "columns."
        )


def _parquet_columns(path: Path, file: Any) -> list[Column]:
    """Columns of text, read a few rows at a time, so that long cells are noticed early."""
    columns = [Column() for _ in file.schema_arrow.names]
    n_characters = 0
    for batch in file.iter_batches(batch_size=PARQUET_BATCH):
        for column, values in zip(columns, batch.columns, strict=True):
            texts = ["" if v is None else str(v) for v in values.to_pylist()]
            n_characters += sum(map(len, texts))
            column.extend(texts)
        if n_characters > MAX_PARQUET_CHARACTERS:
            raise AuditError(
                f"{str(path)!r} holds more than {MAX_PARQUET_CHARACTERS:,} characters of text; "
                "audit a sample of its rows, or fewer columns."
            )
    return columns


def table_from_columns(names: Sequence[str], columns: Sequence[Iterable[str]]) -> CsvTable:
    """Build a CsvTable from columns of strings."""
    stored = [Column.of(cells) for cells in columns]
    texts = RowTexts(bytearray(), "\n")
    cells = RowCells(texts, Form(","))
    table = CsvTable(list(names), stored, cells, "", texts, sep=",", encoding="utf-8", newline="\n")
    for row in zip(*stored, strict=True):
        texts.append(table.format_row(row))
    return replace(table, header_text=table.format_row(names))
