"""A table as text cells, and the mistakes that a user can correct."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from skinfluence._audit.stored_text import Column, Form

SHOWN_CHARACTERS = 200  # of a cell or a name in messages and in the report

SHOWN_NAMES, MESSAGE_CHARACTERS = 10, 1000  # in one message

UNNAMED = re.compile(r"(Unnamed: \d+)?")  # what pandas calls a column without a name


class AuditError(Exception):
    """A mistake that the user can correct; its one-line message is printed without a traceback."""

    def __init__(self, message: str) -> None:
        super().__init__(shorten(" ".join(message.splitlines()), MESSAGE_CHARACTERS))


class Source(Protocol):
    """The file that a table was read from; it can write a copy with some rows changed.

    Attributes
    ----------
    suffix : str
        Suffix of files in this format, such as ".csv" or ".csv.gz"; empty for a folder.
    """

    @property
    def suffix(self) -> str: ...

    def write(self, path: Path, changes: Mapping[int, Sequence[str] | None]) -> None:
        """Write the table to `path`; `changes` maps a row to its new cells, or to None to drop it.

        All other rows are written as they were read.

        Raises
        ------
        AuditError
            If a new cell does not fit the type of its column.
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
    notes : list of str
        Sentences on how the file was read that the user should see.
    index : frozenset of int
        Positions of columns that number or name the rows, by what the file says about them.
    images : dict of int to Path
        Positions of columns of image files -> the folder that their paths start from.
    """

    names: list[str]
    columns: list[Column]
    cells: Sequence[list[str]]
    form: Form
    source: Source
    notes: list[str] = field(default_factory=list)
    index: frozenset[int] = frozenset()
    images: dict[int, Path] = field(default_factory=dict)

    @property
    def cleaned_name(self) -> str:
        """Name of the file, or the folder, that the changed table is written to."""
        return f"cleaned{self.source.suffix}"

    @property
    def default_label(self) -> int:
        """Position of the label column if none is chosen: the last that has a name.

        An index is not a label, nor is a column without a name, such as trailing commas make.
        """
        last_first = range(len(self.names) - 1, -1, -1)
        named = [i for i in last_first if not UNNAMED.fullmatch(self.names[i].strip())]
        others = [i for i in named if i not in self.index]
        return (others or named or last_first)[0]

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Add what was found out about the file to a message about its columns."""
        try:
            yield
        except AuditError as error:
            if not self.notes:
                raise
            raise AuditError(f"{error} Note: {'; '.join(self.notes)}.") from error

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
        shown = listed([shorten(display_name(self, i), 40) for i in range(len(self.names))])
        raise AuditError(f"no column is called {shorten(name)!r}; the columns are: {shown}.")


def display_name(table: Table, position: int) -> str:
    """Name of a column to show; a column without a name is shown as "(column 3)"."""
    return shorten(table.names[position].strip()) or f"(column {position + 1})"


def shorten(text: str, width: int = SHOWN_CHARACTERS) -> str:
    """The text, or its beginning and an ellipsis if it is longer than `width`."""
    return text if len(text) <= width else text[: width - 1] + "…"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: "1 row", "2 rows"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], most: int = SHOWN_NAMES) -> str:
    """Names with commas between them; only the first ones if there are many."""
    more = f", and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
