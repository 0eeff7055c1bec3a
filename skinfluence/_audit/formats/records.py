"""The records of delimited text: their cells, and where their text is."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from skinfluence._audit.stored_text import Form, to_utf8
from skinfluence._audit.table import AuditError

Record = tuple[list[str], int, int]  # cells, and where the text starts and ends


def line_number(data: bytes | bytearray, position: int) -> int:
    """Number of the line that starts at this position."""
    ends = (data.count(end, 0, position) for end in (b"\n", b"\r", b"\r\n"))
    return 1 + next(ends) + next(ends) - next(ends)


def text_lines(data: bytes, start: int) -> io.TextIOWrapper:
    """The text after `start` as a file; line ends stay as they are."""
    file = io.BytesIO(data)  # shares the memory of the bytes
    file.seek(start)
    return io.TextIOWrapper(file, "utf-8", errors="surrogatepass", newline="")


def has_blank_before_quote(text: str, sep: str) -> bool:
    """Whether a cell of the first lines has a blank before its opening quote."""
    # A quoted cell is matched as a whole, so that its content is not searched.
    start, quoted = rf"(?:\A|[{re.escape(sep)}\r\n])", r'"(?:[^"]|"")*+(?:"|\Z)'
    cells = re.finditer(rf'{start}(?:{quoted}|(?P<blank> +"))', text[:100_000])
    return any(cell["blank"] for cell in cells)


def read_records(
    lines: Iterable[str], form: Form, start: int = 0, line: int = 1
) -> Iterator[Record]:
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


def records_at(data: bytes, start: int, form: Form) -> Iterator[Record]:
    return read_records(text_lines(data, start), form, start, line_number(data, start))
