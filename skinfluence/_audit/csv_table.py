"""A table as text: what is written back is what was read, to the last blank and quote."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

SEPARATORS = (",", ";", "\t", "|")

SNIFFED_RECORDS = 100


class AuditError(Exception):
    """Something the user can put right; shown as one line, without a traceback."""


@dataclass(frozen=True)
class CsvTable:
    """A header and rows of text cells, with the lines of text that they came from.

    Attributes
    ----------
    names : list of str
        The header; a name may be empty or occur twice.
    cells : list of list of str
        One list a row, as long as `names`.
    header_text, row_texts : str, list of str
        The lines as read, with quotes, line ends and all.
    sep, encoding : str
        How to read and write them.
    newline : str
        The line end of the header.
    """

    names: list
    cells: list
    header_text: str
    row_texts: list
    sep: str
    encoding: str
    newline: str

    def column(self, position):
        """Cells of one column, a string a row."""
        return [row[position] for row in self.cells]

    def find_column(self, name):
        """Where the column of that name stands; blanks around names do not matter."""
        exact = [i for i, given in enumerate(self.names) if given == name]
        found = exact or [i for i, given in enumerate(self.names) if given.strip() == name.strip()]
        if len(found) == 1:
            return found[0]
        if found:
            raise AuditError(
                f"{len(found)} columns are called {name!r}; give each a name of its own."
            )
        shown = ", ".join(display_name(self, i) for i in range(min(len(self.names), 30)))
        more = f", and {len(self.names) - 30} more" if len(self.names) > 30 else ""
        raise AuditError(f"no column is called {name!r}; the columns are: {shown}{more}.")

    def format_row(self, cells):
        """One line of text from cells, in the dialect of this table."""
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=self.sep, lineterminator=self.newline).writerow(cells)
        return buffer.getvalue()


def display_name(table, position):
    """Name of a column for people; columns without a name are counted from 1."""
    return table.names[position].strip() or f"(column {position + 1})"


def read_table(path, *, sep=None, encoding="utf-8"):
    """Read a CSV or Parquet file; every failure that is the file's is an AuditError."""
    path = Path(path)
    if path.is_dir():
        raise AuditError(f"{str(path)!r} is a folder; give a CSV or Parquet file.")
    if not path.exists():
        raise AuditError(f"there is no file {str(path)!r}.")
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


def parse_table(text, *, sep=None, encoding="utf-8", bom=False):
    """Split text into a CsvTable; `bom` says that a byte order mark may stand in front."""
    has_mark = bom and text.startswith("\ufeff")
    text = text[1:] if has_mark else text
    if not text.strip():
        raise AuditError("the file is empty; a header line and rows were expected.")
    sep = _detect_separator(text) if sep is None else sep
    records = _records(text, sep)
    names, header_text = next(records)
    rows = []
    for number, (cells, row_text) in enumerate(records, start=1):
        if len(cells) != len(names):
            raise AuditError(
                f"row {number} has {len(cells)} cells where the header has {len(names)} "
                f"(separator {sep!r}); mend the row, or give the right --sep."
            )
        rows.append((cells, row_text))
    if not rows:
        raise AuditError("the file has a header and no rows.")
    body = header_text.rstrip("\r\n")
    newline = header_text[len(body) :] or "\n"
    if not rows[-1][1].endswith(("\n", "\r")):  # a last line without its end may move up
        rows[-1] = (rows[-1][0], rows[-1][1] + newline)
    return CsvTable(
        names=names,
        cells=[cells for cells, _ in rows],
        header_text=("\ufeff" if has_mark else "") + header_text,
        row_texts=[row_text for _, row_text in rows],
        sep=sep,
        encoding=encoding,
        newline=newline,
    )


def _decode(data, path, encoding):
    if data[:4] == b"PK\x03\x04" or data[:4] == b"\xd0\xcf\x11\xe0":
        raise AuditError(f"{str(path)!r} is a spreadsheet or an archive; save the table as CSV.")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise AuditError(
            f"{str(path)!r} is not {encoding} text (byte 0x{data[error.start]:02x} at position "
            f"{error.start}); name its encoding, for example --encoding latin-1."
        ) from error
    except LookupError as error:
        raise AuditError(f"--encoding {encoding!r} is unknown; try utf-8 or latin-1.") from error


def _records(text, sep):
    """Cells and the text they came from, a record at a time; blank lines are passed over."""
    seen = []

    def lines():
        for line in io.StringIO(text, newline=""):
            seen.append(line)
            yield line

    # `a, "b, c"`: the quote only counts as one if the blank before it does not
    loose = f'{sep} "' in text[:100_000]
    reader = csv.reader(lines(), delimiter=sep, skipinitialspace=loose)
    try:
        for cells in reader:
            # The reader takes the lines of one record and no more.
            row_text = "".join(seen)
            seen.clear()
            if cells and (len(cells) > 1 or cells[0].strip()):
                yield cells, row_text
    except csv.Error as error:
        raise AuditError(f"line {reader.line_num} is not CSV: {error}.") from error


def _detect_separator(text):
    """The separator that cuts the first records into equally many cells, and into the most."""

    def fit(sep):
        counts = []
        records = _records(text[:1_000_000], sep)
        try:
            counts = [
                len(cells) for _, (cells, _) in zip(range(SNIFFED_RECORDS), records, strict=False)
            ]
        except AuditError:
            return 0.0, 0
        equal = sum(count == counts[0] for count in counts) / len(counts)
        return (equal, counts[0]) if counts[0] > 1 else (0.0, 1)

    return max(SEPARATORS, key=fit)


def _read_parquet(path):
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise AuditError(
            "reading Parquet needs pyarrow: pip install 'skinfluence[parquet]'."
        ) from error
    try:
        # not pq.read_table: it would look for partitions in the names of the folders above
        frame = pq.ParquetFile(path).read()
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise AuditError(f"{str(path)!r} cannot be read as Parquet: {error}") from error
    if not frame.num_rows or not frame.num_columns:
        raise AuditError(f"{str(path)!r} holds {frame.num_rows} rows, {frame.num_columns} columns.")
    columns = [["" if v is None else str(v) for v in c.to_pylist()] for c in frame.columns]
    return table_from_columns(frame.column_names, columns)


def table_from_columns(names, columns):
    """A CsvTable from columns of strings, by way of the text that they make as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([names, *zip(*columns, strict=True)])
    return parse_table(buffer.getvalue(), sep=",")
