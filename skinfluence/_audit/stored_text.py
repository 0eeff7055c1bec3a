"""The text of a table in memory, in about as many bytes as in the file.

A Python string takes about 50 bytes more than its text. A table of short strings therefore takes
many times as much memory as its file. The classes below store UTF-8, and make strings only when
they are asked for.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, TextIO, TypeVar

CHUNK = 1024  # rows whose cells are stored together

T = TypeVar("T")


def to_utf8(text: str) -> bytes:
    """The text as bytes. Surrogates, which some encodings can express, are kept."""
    return text.encode("utf-8", "surrogatepass")


def from_utf8(data: bytes | bytearray) -> str:
    """The inverse of `to_utf8`."""
    return data.decode("utf-8", "surrogatepass")


class Column:
    """The cells of one column. It can be extended, and iterated over from the first cell."""

    def __init__(self) -> None:
        self._chunks: list[tuple[bytes, array[int]]] = []

    @classmethod
    def of(cls, cells: Iterable[str]) -> Column:
        """A column of these cells."""
        if isinstance(cells, Column):
            return cells
        column = cls()
        for chunk in in_chunks(cells):
            column.extend(chunk)
        return column

    def extend(self, cells: Sequence[str]) -> None:
        """Add cells at the end; many at a time take less memory than one at a time."""
        lengths = list(map(len, cells))
        size = "B" if max(lengths, default=0) < 256 else "I"
        self._chunks.append((to_utf8("".join(cells)), array(size, lengths)))

    def __iter__(self) -> Iterator[str]:
        for data, lengths in self._chunks:
            ends = list(accumulate(lengths, initial=0))
            yield from map(from_utf8(data).__getitem__, map(slice, ends, ends[1:]))


@dataclass(frozen=True)
class Form:
    """How records are written in a text file.

    Attributes
    ----------
    sep : str
        The separator of cells.
    skips_blanks : bool
        Whether blanks before a cell are not part of it, as in ``a, "b, c"``.
    newline : str
        The line end.
    encoding : str
        The encoding of the file.
    errors : str
        How characters are written that the encoding lacks. "surrogateescape" writes bytes that were
        not valid as they were read.
    """

    sep: str = ","
    skips_blanks: bool = False
    newline: str = "\n"
    encoding: str = "utf-8"
    errors: str = "strict"

    def open(self, path: Path) -> TextIO:
        """Open a new file of this form for writing."""
        # With newline="", line ends are written as they were read.
        return open(path, "w", encoding=self.encoding, errors=self.errors, newline="")

    def line(self, cells: Iterable[object]) -> str:
        """The text of one record, with its line end."""
        texts = [self._quoted(str(cell)) for cell in cells]
        return (self.sep.join(texts) if texts != [""] else '""') + self.newline

    def _quoted(self, cell: str) -> str:
        # csv.writer of Python 3.11 does not quote a carriage return if lines end with a line feed.
        is_special = any(char in cell for char in (self.sep, '"', "\r", "\n"))
        if is_special or (self.skips_blanks and cell.startswith(" ")):
            return '"' + cell.replace('"', '""') + '"'
        return cell

    def reader(self, lines: Iterable[str], *, strict: bool = False) -> Any:
        """A reader of the csv module."""
        # In `a, "b, c"`, the module sees the quote only if it skips the space before the quote.
        return csv.reader(
            lines, delimiter=self.sep, skipinitialspace=self.skips_blanks, strict=strict
        )


class Rows(Sequence[T]):
    """A sequence that makes its items when they are asked for; it equals a list of them."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(eq=False)
class RowTexts(Rows[str]):
    """The text of each row, with quotes and the line end.

    Attributes
    ----------
    data : bytes or bytearray
        UTF-8 that contains the rows, perhaps with other text between them.
    newline : str
        The line end that is given to the last row if it lacks one.
    starts, ends : array of int
        Where each row starts and ends in `data`.
    """

    data: bytes | bytearray
    newline: str
    starts: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))

    def append(self, text: str) -> None:
        """Add the text of a row, at the end of `data`."""
        assert isinstance(self.data, bytearray)
        self.starts.append(len(self.data))
        self.data += to_utf8(text)
        self.ends.append(len(self.data))

    def pieces(self) -> Iterator[str]:
        """The text of each row exactly as it is, with the blank lines below it."""
        for start, end in zip(self.starts, [*self.starts[1:], len(self.data)], strict=True):
            yield from_utf8(self.data[start:end])

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: Any) -> Any:
        text = from_utf8(self.data[self.starts[row] : self.ends[row]])
        return text if text.endswith(("\n", "\r")) else text + self.newline


@dataclass(eq=False)
class RowCells(Rows[list[str]]):
    """The cells of each row, read from its text."""

    texts: RowTexts
    form: Form

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, row: Any) -> Any:
        return next(self.form.reader([self.texts[row]]))


def in_chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    """The rows as lists of `CHUNK` rows; the last one may be shorter."""
    rest = iter(rows)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
