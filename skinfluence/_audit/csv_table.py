"""A table stored as text, so that unchanged rows are written exactly as they were read."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skinfluence._extras import need

SEPARATORS = (",", ";", "\t", "|")

SNIFFED_RECORDS = 100

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
    cells : list of list of str
        One list per row, as long as `names`.
    header_text, row_texts : str, list of str
        The text as read, with quotes and line ends.
    sep, encoding : str
        Separator and encoding, for reading and writing.
    newline : str
        The line end of the header, which is used for new lines.
    skips_blanks : bool
        Whether blanks before a cell are not part of it, as in ``a, "b, c"``.
    """

    names: list[str]
    cells: list[list[str]]
    header_text: str
    row_texts: list[str]
    sep: str
    encoding: str
    newline: str
    skips_blanks: bool = False

    def column(self, position: int) -> list[str]:
        """Cells of one column, one string per row."""
        return [row[position] for row in self.cells]

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
    if path.is_dir():
        raise AuditError(f"{str(path)!r} is a folder; expected a CSV or Parquet file.")
    if not path.exists():
        raise AuditError(f"the file {str(path)!r} does not exist; check the path.")
    if sep is not None:
        sep = {"\\t": "\t", "tab": "\t"}.get(sep, sep)
        if len(sep) != 1 or sep in '"\r\n':
            raise AuditError(f"--sep {sep!r} must be one character, such as ',' ';' or '\\t'.")
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AuditError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    return parse_table(_decode(data, path, encoding), sep=sep, encoding=encoding, bom=True)


def parse_table(
    text: str, *, sep: str | None = None, encoding: str = "utf-8", bom: bool = False
) -> CsvTable:
    """Parse CSV text. If `bom` is true, the text may start with a byte order mark."""
    csv.field_size_limit(FIELD_LIMIT)  # not reset: another thread may be reading
    has_mark = bom and text.startswith("\ufeff")
    text = text[1:] if has_mark else text
    if not text.strip():
        raise AuditError("the file is empty; expected a header line and rows below it.")
    sep = _detect_separator(text) if sep is None else sep
    skips_blanks = _has_blank_before_quote(text, sep)
    records = _records(text, sep, skips_blanks)
    names, header_text = next(records)
    rows = []
    for number, (cells, row_text) in enumerate(records, start=1):
        if len(cells) != len(names):
            raise AuditError(
                f"row {number} has {len(cells)} cells, but the header has {len(names)} "
                f"(separator {sep!r}); correct the row, or set the separator with --sep."
            )
        rows.append((cells, row_text))
    if not rows:
        raise AuditError("the file has a header but no rows.")
    body = header_text.rstrip("\r\n")
    newline = header_text[len(body) :] or "\n"
    # The last row may lack a line end. Add one, so that all rows have the same form.
    if not rows[-1][1].endswith(("\n", "\r")):
        rows[-1] = (rows[-1][0], rows[-1][1] + newline)
    return CsvTable(
        names=names,
        cells=[cells for cells, _ in rows],
        header_text=("\ufeff" if has_mark else "") + header_text,
        row_texts=[row_text for _, row_text in rows],
        sep=sep,
        encoding=encoding,
        newline=newline,
        skips_blanks=skips_blanks,
    )


def _decode(data: bytes, path: Path, encoding: str) -> str:
    if data[:4] == b"PK\x03\x04" or data[:4] == b"\xd0\xcf\x11\xe0":
        raise AuditError(f"{str(path)!r} is a spreadsheet or an archive; save the table as CSV.")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise AuditError(
            f"{str(path)!r} is not {encoding} text (byte 0x{data[error.start]:02x} at position "
            f"{error.start}); set the encoding of the file, for example --encoding latin-1."
        ) from error
    except (LookupError, ValueError) as error:  # ValueError: a name that cannot be one
        raise AuditError(f"--encoding {encoding!r} is unknown; try utf-8 or latin-1.") from error


def _has_blank_before_quote(text: str, sep: str) -> bool:
    """Whether a cell of the first lines has a blank before its opening quote."""
    # A quoted cell is matched as a whole, so that its content is not searched.
    start, quoted = rf"(?:\A|[{re.escape(sep)}\r\n])", r'"(?:[^"]|"")*+(?:"|\Z)'
    cells = re.finditer(rf'{start}(?:{quoted}|(?P<blank> +"))', text[:100_000])
    return any(cell["blank"] for cell in cells)


def _records(text: str, sep: str, skips_blanks: bool) -> Iterator[tuple[list[str], str]]:
    """Yield the cells and the original text of each record; skip blank lines."""
    pending: list[str] = []

    def lines() -> Iterator[str]:
        # If the last quote is not closed, the blank line at the end becomes part of the last cell.
        for line in itertools.chain(io.StringIO(text, newline=""), ["\n"]):
            pending.append(line)
            yield line

    # In `a, "b, c"`, the csv module sees the quote only if it skips the space before the quote.
    form: Any = {"delimiter": sep, "skipinitialspace": skips_blanks}
    reader = csv.reader(lines(), **form)
    try:
        for cells in reader:
            # Before the reader returns a record, it reads exactly the lines of this record.
            if len(pending) > 1:
                _refuse_open_quote(pending, reader.line_num, form)
            row_text = "".join(pending)
            pending.clear()
            if cells and (len(cells) > 1 or cells[0].strip()):
                yield cells, row_text
    except csv.Error as error:
        raise AuditError(f"line {reader.line_num} is not valid CSV: {error}.") from error


def _refuse_open_quote(lines: Sequence[str], last: int, form: dict[str, Any]) -> None:
    """Raise AuditError if a quote that is not closed has put several rows into one record."""
    try:
        list(csv.reader(lines, strict=True, **form))
    except csv.Error as error:
        raise AuditError(
            f"a quote that is opened in line {last - len(lines) + 1} is not closed where the cell "
            f"ends ({error}); close the quote, or write a quote inside a cell twice."
        ) from error


def _detect_separator(text: str) -> str:
    """Choose the separator for which the number of cells is most constant over the first records.

    If several separators are equally good, choose the one that gives most cells.
    """
    start = text[:1_000_000]

    def consistency(sep: str) -> tuple[float, int]:
        records = _records(start, sep, _has_blank_before_quote(start, sep))
        counts: list[int] = []
        with suppress(AuditError):  # the text may be cut inside a quote
            counts.extend(len(cells) for cells, _ in itertools.islice(records, SNIFFED_RECORDS))
        if len(start) < len(text) and 1 < len(counts) < SNIFFED_RECORDS:
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
    except MemoryError as error:
        raise AuditError(
            f"{str(path)!r} does not fit into memory; audit a sample of its rows, or fewer columns."
        ) from error


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


def _parquet_columns(path: Path, file: Any) -> list[list[str]]:
    """Columns of text, read a few rows at a time, so that long cells are noticed early."""
    columns: list[list[str]] = [[] for _ in file.schema_arrow.names]
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


def table_from_columns(names: Sequence[str], columns: Iterable[Iterable[str]]) -> CsvTable:
    """Build a CsvTable from columns of strings."""
    cells = [list(row) for row in zip(*columns, strict=True)]
    table = CsvTable(list(names), cells, "", [], sep=",", encoding="utf-8", newline="\n")
    return replace(
        table,
        header_text=table.format_row(names),
        row_texts=[table.format_row(row) for row in cells],
    )
