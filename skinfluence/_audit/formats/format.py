"""What a format is, and the file, folder or bytes that a table is read from."""

from __future__ import annotations

import io
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError, Table, shorten

PART, STANDARD_INPUT = "::", "-"

HEAD_BYTES = 4096


@dataclass(frozen=True)
class Given:
    """What the user wants to audit.

    Attributes
    ----------
    name : str
        Name of the file; its suffix may decide about the format.
    path : Path or None
        The file or folder; None if its content is given by `data`.
    data : bytes or None
        The content of standard input, or of a packed file.
    part : str or None
        The table of a database or the split of a data set.
    """

    name: str
    path: Path | None = None
    data: bytes | None = None
    part: str | None = None

    @property
    def shown(self) -> str:
        """How messages call it."""
        return repr(self.name) if self.name else "standard input"

    @property
    def suffix(self) -> str:
        """The suffix of the name, in lower case."""
        return Path(self.name).suffix.lower()

    def head(self) -> bytes:
        """The first bytes."""
        if self.data is not None:
            return self.data[:HEAD_BYTES]
        with open(self._file(), "rb") as file:
            return file.read(HEAD_BYTES)

    def read(self) -> bytes:
        """All bytes."""
        return self._file().read_bytes() if self.data is None else self.data

    def opened(self) -> str | io.BytesIO:
        """A path, or an open file, for readers that take either."""
        return str(self._file()) if self.data is None else io.BytesIO(self.data)

    def on_disk(self) -> Path:
        """The path; AuditError if there is none."""
        if self.path is None:
            raise AuditError(f"{self.shown} holds a database; give the path of its file instead.")
        return self.path

    def _file(self) -> Path:
        assert self.path is not None
        return self.path


@dataclass(frozen=True)
class Format:
    """A format that tables are read from and written back in.

    Attributes
    ----------
    name : str
        What messages call it.
    suffixes : tuple of str
        Suffixes of its files, in lower case.
    read : callable
        Reads a table; raises AuditError if the file is not one. The table's source writes it back.
    recognizes : callable
        Whether a file whose content starts like this is in this format.
    has_sheets, has_parts : bool
        Whether `--sheet` and a part, as in "db.sqlite::table", mean something.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Given, Options], Table]
    recognizes: Callable[[bytes], bool] = lambda head: False
    has_sheets: bool = False
    has_parts: bool = False

    def check(self, given: Given, options: Options) -> None:
        """Raise AuditError if something is asked that this format does not have."""
        if given.part is not None and not self.has_parts:
            raise AuditError(
                f"{given.shown} is read as {self.name}, which has no part "
                f"{shorten(given.part, 40)!r}; only databases and saved data sets have parts."
            )
        if options.sheet is not None and not self.has_sheets:
            raise AuditError(
                f"--sheet {shorten(options.sheet, 40)!r} is for workbooks; {given.shown} is read "
                f"as {self.name}."
            )


def starts_with(*magic: bytes) -> Callable[[bytes], bool]:
    """A function that says whether bytes start with one of these."""
    return lambda head: head.startswith(magic)


def file_of(table: str) -> str | None:
    """Path of the file or folder that a table is read from; None for standard input."""
    if table == STANDARD_INPUT:
        return None
    return str(_split(table)[0])


def find_given(table: str | Path) -> Given:
    """What a path, `-`, or a path with a part as in "db.sqlite::table", means."""
    if str(table) == STANDARD_INPUT:
        return Given("", data=_standard_input())
    path, part = _split(str(table))
    mode = _mode(path)
    if stat.S_ISFIFO(mode):  # can be read only once
        return Given(str(path), path, path.read_bytes(), part)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise AuditError(f"{str(path)!r} is a device; expected a file that holds a table.")
    return Given(str(path), path, None, part)


def _split(table: str) -> tuple[Path, str | None]:
    head, mark, part = table.rpartition(PART)
    try:
        is_path = not mark or Path(table).exists()
    except (OSError, ValueError):  # ValueError: a NUL in the path
        is_path = True
    return (Path(table), None) if is_path else (Path(head), part)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except FileNotFoundError as error:
        raise AuditError(f"the file {str(path)!r} does not exist; check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or error
        raise AuditError(f"{str(path)!r} cannot be read: {why}.") from error


def _standard_input() -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise AuditError("standard input is closed; pipe a table to the command.")
    if sys.stdin.isatty():
        raise AuditError("standard input is a terminal; pipe a table to the command.")
    return sys.stdin.buffer.read()
