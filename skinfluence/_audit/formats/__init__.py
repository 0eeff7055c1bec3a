"""The formats that a table can be read from, each in a separate module."""

from __future__ import annotations

import stat
from pathlib import Path

from skinfluence._audit.formats import columnar, delimited
from skinfluence._audit.table import AuditError, Table


def read_table(path: str | Path, *, sep: str | None = None, encoding: str = "utf-8") -> Table:
    """Read a CSV or Parquet file; raise AuditError if the file cannot be read as a table."""
    path = Path(path)
    _refuse_no_file(path)
    if sep is not None:
        sep = {"\\t": "\t", "tab": "\t"}.get(sep, sep)
        if len(sep) != 1 or sep in '"\r\n':
            raise AuditError(f"--sep {sep!r} must be one character, such as ',' ';' or '\\t'.")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return columnar.read_parquet(path)
        return delimited.read_csv(path, sep=sep, encoding=encoding)
    except MemoryError as error:
        raise AuditError(
            f"{str(path)!r} does not fit into memory; audit a sample of its rows, or fewer columns."
        ) from error
    except OSError as error:
        raise AuditError(f"{str(path)!r} cannot be read: {error.strerror}.") from error


def _refuse_no_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise AuditError(f"the file {str(path)!r} does not exist; check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = getattr(error, "strerror", None) or error
        raise AuditError(f"{str(path)!r} cannot be read: {why}.") from error
    if stat.S_ISDIR(mode):
        raise AuditError(f"{str(path)!r} is a folder; expected a CSV or Parquet file.")
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise AuditError(f"{str(path)!r} is a device; expected a CSV or Parquet file.")
