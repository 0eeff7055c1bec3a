"""How a delimited text is laid out: its separator, its header, and where the rows start."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from skinfluence._audit.formats.encodings import Text
from skinfluence._audit.formats.header import (
    complete_names,
    header_notes,
    numbered_names,
    title_note,
    title_rows,
)
from skinfluence._audit.formats.quoted_lines import is_quoted_lines
from skinfluence._audit.formats.records import (
    Record,
    has_blank_before_quote,
    line_number,
    read_records,
    records_at,
    text_lines,
)
from skinfluence._audit.options import Options
from skinfluence._audit.stored_text import Form, from_utf8, to_utf8
from skinfluence._audit.table import AuditError

SEPARATORS = (",", ";", "\t", "|")

SNIFFED_RECORDS, SNIFFED_CHARACTERS = 100, 1_000_000

SEP_LINE = re.compile(r'"?sep=(?P<sep>[^"\r\n])"?[\r\n]')  # the first line of some files of Excel


@dataclass(frozen=True)
class Layout:
    """Where the header and the rows of a text are."""

    form: Form
    names: list[str]
    header_start: int
    rows_start: int
    notes: list[str]
    index: frozenset[int] = frozenset()
    is_one_cell: bool = False


def find_layout(text: Text, options: Options) -> Layout:
    """Find the separator, the header and the first row."""
    if options.skip_rows is None and (named := SEP_LINE.match(_start(text, len(text.mark)))):
        options = replace(options, sep=options.sep or named["sep"], skip_rows=1)
    start = _after_lines(text, options.skip_rows or 0)
    first = _start(text, start)
    if not first.strip():
        raise AuditError(f"--skip-rows {options.skip_rows} leaves no line of the file.")
    is_cut = start + len(to_utf8(first)) < len(text.data)
    finds_title = options.skip_rows is None and not options.no_header
    sep = options.sep or _detect_separator(first, is_cut=is_cut, finds_title=finds_title)
    form = Form(sep, has_blank_before_quote(first, sep))
    records = _first_records(records_at(text.data, start, form))
    rows = [cells for cells, *_ in records]
    n_above = title_rows(rows) if finds_title else 0
    names, header_start, header_end = records[n_above]
    header = from_utf8(text.data[header_start:header_end])
    form = replace(form, newline=header[len(header.rstrip("\r\n")) :] or "\n")
    is_one_cell = is_quoted_lines(rows)
    if options.no_header:
        names = numbered_names(len(names))
        return Layout(form, names, header_start, header_start, [], is_one_cell=is_one_cell)
    names, index, notes = complete_names(names, rows[n_above + 1 :])
    if n_above:
        line = line_number(text.data, header_start)
        title = " ".join(cell.strip() for cell in rows[0] if cell.strip())
        notes.insert(0, title_note(title, line))
    notes += header_notes(names, rows[n_above + 1 :], skipped=options.skip_rows or n_above)
    return Layout(form, names, header_start, header_end, notes, index, is_one_cell)


def _start(text: Text, position: int) -> str:
    return text_lines(text.data, position).read(SNIFFED_CHARACTERS)


def _first_records(records: Iterator[Record]) -> list[Record]:
    """The first records; an error after the first one is left to the reading of all."""
    found = [next(records)]
    with suppress(AuditError):
        found.extend(itertools.islice(records, SNIFFED_RECORDS))
    return found


def _after_lines(text: Text, n: int) -> int:
    """Position after the byte order mark and `n` lines."""
    lines = itertools.islice(text_lines(text.data, len(text.mark)), n)
    return len(text.mark) + sum(len(to_utf8(line)) for line in lines)


def _detect_separator(start: str, *, is_cut: bool, finds_title: bool) -> str:
    """Choose the separator for which the number of cells is most constant over the first records.

    If several separators are equally good, choose the one that needs no title above the header,
    then the one that gives most cells.
    """

    def consistency(sep: str) -> tuple[float, bool, int]:
        form = Form(sep, has_blank_before_quote(start, sep))
        records = read_records(io.StringIO(start, newline=""), form)
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
