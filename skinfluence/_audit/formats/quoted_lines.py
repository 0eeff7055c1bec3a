"""A CSV inside a CSV: every line is one quoted cell, whose text is a line of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skinfluence._audit.formats.encodings import Text
from skinfluence._audit.formats.records import Record
from skinfluence._audit.stored_text import Form, RowTexts, from_utf8, to_utf8
from skinfluence._audit.table import Table

NOTE = "every line of the file is one quoted cell; the table inside these cells is read"


@dataclass(frozen=True)
class QuotedLines:
    """The lines of a file as they are, and the form of the table inside.

    Attributes
    ----------
    header : str
        The text above the rows.
    rows : RowTexts
        The text of each row, quoted.
    outer, inner : Form
        How lines are quoted, and how cells are written inside a line.
    suffix : str
        Suffix of the file.
    """

    header: str
    rows: RowTexts
    outer: Form
    inner: Form
    suffix: str

    def write(self, path: Path, changes: Mapping[int, Sequence[str] | None]) -> None:
        """Write the table; `changes` maps a row to its new cells, or to None to drop it."""
        with self.outer.open(path) as file:
            file.write(self.header)
            for row, text in enumerate(self.rows.pieces()):
                cells = changes.get(row, ())
                if cells is not None:
                    file.write(self._line(cells) if cells else text)

    def _line(self, cells: Sequence[str]) -> str:
        line = self.inner.line(cells).removesuffix(self.inner.newline)
        return '"' + line.replace('"', '""') + '"' + self.outer.newline


def unquoted(
    text: Text,
    records: Iterable[Record],
    outer: Form,
    parse: Callable[[Text], Table],
    suffix: str,
) -> Table | None:
    """The table inside the cells, or None if there is none.

    Parameters
    ----------
    text : Text
        The file.
    records : iterable
        The records of the file: their only cell, and where their text starts and ends.
    outer : Form
        How the records are written.
    parse : callable
        Reads a table from text.
    suffix : str
        Suffix of the file.
    """
    data, rows = text.data, RowTexts(text.data, outer.newline)
    inside = bytearray()
    for cells, start, end in records:
        if len(cells) != 1 or not data[start:end].lstrip().startswith(b'"'):
            return None
        rows.starts.append(start)
        rows.ends.append(end)
        inside += to_utf8(cells[0] + "\n")
    table = parse(replace(text, data=bytes(inside)))
    n_above = len(rows) - len(table.cells)
    if len(table.names) < 2 or n_above < 0:
        return None
    header = from_utf8(data[: rows.starts[n_above]])
    rows = RowTexts(data, outer.newline, rows.starts[n_above:], rows.ends[n_above:])
    source = QuotedLines(header, rows, outer, table.form, suffix)
    return replace(table, source=source, notes=[NOTE, *table.notes])


def is_quoted_lines(rows: Sequence[Any]) -> bool:
    """Whether the first records could be quoted lines: one cell each, with a separator inside."""
    return len(rows) > 1 and all(
        len(cells) == 1 and any(sep in cells[0] for sep in ",;\t|") for cells in rows
    )
