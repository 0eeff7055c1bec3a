"""A table as text cells, and the mistakes that a user can correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from skinfluence._audit.stored_text import Column, Form

SHOWN_CHARACTERS = 200  # of a cell or a name in messages and in the report


class AuditError(Exception):
    """A mistake that the user can correct; its message is printed without a traceback."""


class Source(Protocol):
    """The file that a table was read from; it can write a copy with some rows changed.

    Attributes
    ----------
    suffix : str
        Suffix of files in this format, such as ".csv".
    """

    @property
    def suffix(self) -> str: ...

    def write(self, path: Path, changes: Mapping[int, Sequence[str] | None]) -> None:
        """Write the table to `path`; `changes` maps a row to its new cells, or to None to drop it.

        All other rows are written as they were read.
        """


@dataclass(frozen=True)
class Table:
    """A header and rows of text cells.

    Attributes
    ----------
    names : list of str
        The header. A name may be empty or occur twice.
    columns : list of Column
        The cells of each column, in the order of `names`.
    cells : sequence of list of str
        The cells of each row, as many as `names`.
    form : Form
        How rows of this table are written to another text file, such as suspects.csv.
    source : Source
        Where the table comes from, to write it back in the same format.
    """

    names: list[str]
    columns: list[Column]
    cells: Sequence[list[str]]
    form: Form
    source: Source

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


def display_name(table: Table, position: int) -> str:
    """Name of a column to show; a column without a name is shown as "(column 3)"."""
    return shorten(table.names[position].strip()) or f"(column {position + 1})"


def shorten(text: str, width: int = SHOWN_CHARACTERS) -> str:
    """The text, or its beginning and an ellipsis if it is longer than `width`."""
    return text if len(text) <= width else text[: width - 1] + "…"
