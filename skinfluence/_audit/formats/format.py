"""What a format is, and the file, folder or bytes that a table is read from."""

from __future__ import annotations

import io
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skinfluence import _extras
from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError, Source, Table, shorten

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

    def stamp(self) -> list[tuple[str, int, int]]:
        """Names, sizes and times of the files, by which a later change is noticed."""
        if self.path is None:
            return []
        files = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        stats = ((file.name, file.stat()) for file in files)
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]

    def require_unchanged(self, stamp: list[tuple[str, int, int]]) -> None:
        """Raise AuditError if a file that has to be read again is another one now."""
        if self.stamp() != stamp:
            raise AuditError(
                f"{self.shown} was changed while it was audited, and nothing was written; run the "
                "audit again."
            )

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
    is_foreign : bool
        Whether other packages read and write it. Damaged files make them fail in many ways.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Given, Options], Table]
    recognizes: Callable[[bytes], bool] = lambda head: False
    has_sheets: bool = False
    has_parts: bool = False
    is_foreign: bool = False

    def read_checked(self, given: Given, options: Options) -> Table:
        """Read a table; every failure of another package is an AuditError."""
        self._check(given, options)
        if not self.is_foreign:
            return self.read(given, options)
        with told(f"{given.shown} cannot be read as {self.name}"):
            table = self.read(given, options)
        return replace(table, source=ToldSource(table.source, given.shown))

    def _check(self, given: Given, options: Options) -> None:
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


@dataclass(frozen=True)
class ToldSource:
    """A source of another package's format: its failures are told in one line."""

    inner: Source
    shown: str

    @property
    def suffix(self) -> str:
        """The suffix of the format."""
        return self.inner.suffix

    def write(self, path: Path, changes: Mapping[int, Sequence[str] | None]) -> None:
        """Write the changed table."""
        with told(f"a changed copy of {self.shown} cannot be written"):
            self.inner.write(path, changes)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn errors of other packages into an AuditError that starts with `what`."""
    try:
        yield
    except (AuditError, MemoryError):
        raise
    except Exception as error:  # they have no class in common
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the file system
        why = " ".join(str(error).split()) or type(error).__name__
        raise AuditError(f"{what}: {shorten(why)}.") from error


def load(package: str, extra: str, user: str) -> Any:
    """Import a package that `user` needs; AuditError says which extra to install."""
    try:
        return _extras.load(package, extra, user)
    except ImportError as error:
        raise AuditError(str(error)) from error


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
        if re.match(r"(https?|s3|gs|hf|ftp):/", str(path)):
            raise AuditError(
                f"{str(path)!r} is an address; load the file and give its path."
            ) from error
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
