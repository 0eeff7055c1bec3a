"""A table of a database; the changed table is written in a copy of the database."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skinfluence._audit.formats.delimited import table_from_columns
from skinfluence._audit.formats.format import PART, Format, Given, load, starts_with
from skinfluence._audit.stored_text import CHUNK, Column
from skinfluence._audit.table import AuditError, Table, listed, shorten

DUCK = slice(8, 12)  # where the mark of a DuckDB file is

ROW_IDS = ("rowid", "_rowid_", "oid")  # a column of the table may hide one of them


@dataclass(frozen=True)
class DatabaseSource:
    """A table of a database.

    Attributes
    ----------
    engine : SQLite or DuckDB
        How to read and copy such a database.
    given : Given
        The file.
    stamp : list
        Its stamp when it was read.
    table : str
        The table.
    keys : list
        Of each row, the values that identify it.
    key_columns : list of str
        Their columns, in SQL.
    names : list of str
        The columns.
    suffix : str
        Suffix of the file.
    """

    engine: Any
    given: Given
    stamp: list[tuple[str, int, int]]
    table: str
    keys: list[tuple[Any, ...]]
    key_columns: list[str]
    names: list[str]
    suffix: str

    def write(self, path: Path, changes: Mapping[int, Sequence[str] | None]) -> None:
        """Write a copy of the database in which the table is changed."""
        self.given.require_unchanged(self.stamp)
        self.engine.copy(self.given.on_disk(), path)
        with closing(self.engine.connect(path, read_only=False)) as base:
            self._change(base, changes)

    def _change(self, base: Any, changes: Mapping[int, Sequence[str] | None]) -> None:
        which = " AND ".join(f"{column} = ?" for column in self.key_columns)
        table = quoted(self.table)
        base.execute("BEGIN TRANSACTION")
        restore = self.engine.drop_triggers(base, self.table)
        for row, cells in changes.items():
            key = self.keys[row]
            if cells is None:
                base.execute(f"DELETE FROM {table} WHERE {which}", key)
                continue
            before = base.execute(f"SELECT * FROM {table} WHERE {which}", key).fetchone()
            for name, old, new in zip(self.names, before, cells, strict=True):
                if _text(old) != new:
                    change = f"UPDATE {table} SET {quoted(name)} = ? WHERE {which}"
                    base.execute(change, (_value(new, old), *key))
        for statement in restore:
            base.execute(statement)
        base.execute("COMMIT")


class SQLite:
    """Databases of SQLite."""

    name = "SQLite"
    suffixes = (".sqlite", ".sqlite3", ".db", ".db3")

    def connect(self, path: Path, *, read_only: bool) -> Any:
        """Open a database."""
        mode = "ro" if read_only else "rw"
        uri = f"{path.resolve().as_uri()}?mode={mode}"
        base = sqlite3.connect(uri, uri=True, isolation_level=None)
        base.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        return base

    def copy(self, source: Path, target: Path) -> None:
        """Copy a database, with changes that wait in other files."""
        with (
            closing(self.connect(source, read_only=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)

    def tables(self, base: Any) -> list[str]:
        """Names of the tables."""
        query = (
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' "
            "ESCAPE '\\' ORDER BY name"
        )
        return [name for (name,) in base.execute(query)]

    def key_columns(self, base: Any, table: str) -> list[str]:
        """SQL of the columns that identify a row."""
        about = base.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
        hidden = {str(column[1]).lower() for column in about}
        free = next(name for name in ROW_IDS if name not in hidden)
        try:
            base.execute(f"SELECT {free} FROM {quoted(table)} LIMIT 1")
        except sqlite3.OperationalError:  # a table WITHOUT ROWID has a primary key
            return [quoted(column[1]) for column in about if column[5]]
        return [free]

    def drop_triggers(self, base: Any, table: str) -> list[str]:
        """Remove what would change other rows; return the SQL that brings it back."""
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
        triggers = base.execute(query, (table,)).fetchall()
        for name, _ in triggers:
            base.execute(f"DROP TRIGGER {quoted(name)}")
        return [sql for _, sql in triggers]


class DuckDB:
    """Databases of DuckDB."""

    name = "DuckDB"
    suffixes = (".duckdb", ".ddb")

    def connect(self, path: Path, *, read_only: bool) -> Any:
        """Open a database."""
        return load("duckdb", "files", "reading DuckDB").connect(str(path), read_only=read_only)

    def copy(self, source: Path, target: Path) -> None:
        """Copy a database, with changes that wait in another file."""
        shutil.copyfile(source, target)
        waiting = source.with_name(source.name + ".wal")
        if waiting.exists():
            shutil.copyfile(waiting, target.with_name(target.name + ".wal"))

    def tables(self, base: Any) -> list[str]:
        """Names of the tables."""
        query = (
            "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' "
            "AND table_schema = 'main' ORDER BY table_name"
        )
        return [name for (name,) in base.execute(query).fetchall()]

    def key_columns(self, base: Any, table: str) -> list[str]:
        """SQL of the columns that identify a row."""
        return ["rowid"]

    def drop_triggers(self, base: Any, table: str) -> list[str]:
        """DuckDB has no triggers."""
        return []


def read_database(engine: Any, given: Given) -> Table:
    """Read a table of a database; raise AuditError if it cannot be read."""
    path, stamp = given.on_disk(), given.stamp()
    with closing(engine.connect(path, read_only=True)) as base:
        return _read(engine, base, given, stamp)


def _read(engine: Any, base: Any, given: Given, stamp: list[tuple[str, int, int]]) -> Table:
    name = _choose_table(given, engine.tables(base))
    keys = engine.key_columns(base, name)
    order = ", ".join(keys)
    query = f"SELECT {order}, * FROM {quoted(name)} ORDER BY {order}"
    cursor = base.execute(query)
    names = [about[0] for about in cursor.description][len(keys) :]
    columns, found = [Column() for _ in names], []
    while rows := cursor.fetchmany(CHUNK):
        found += [tuple(row[: len(keys)]) for row in rows]
        values = zip(*(row[len(keys) :] for row in rows), strict=True)
        for column, cells in zip(columns, values, strict=True):
            column.extend(list(map(_text, cells)))
    if not found:
        raise AuditError(f"table {shorten(name)!r} of {given.shown} has no rows.")
    plain = table_from_columns(names, columns)
    suffix = given.suffix if given.suffix in engine.suffixes else engine.suffixes[0]
    source = DatabaseSource(engine, given, stamp, name, found, keys, names, suffix)
    return Table(plain.names, plain.columns, plain.cells, plain.form, source)


def _choose_table(given: Given, tables: list[str]) -> str:
    if given.part is None and len(tables) == 1:
        return tables[0]
    if not tables:
        raise AuditError(f"{given.shown} has no table.")
    if given.part not in tables:
        wrong = "" if given.part is None else f"no table {shorten(given.part)!r}; it has "
        raise AuditError(
            f"{given.shown} has {wrong}the tables: {listed(tables)}. Name one, as in "
            f"{given.name}{PART}{tables[0]}."
        )
    return given.part


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return f"({len(value):,} bytes)"
    return str(value)


def _value(text: str, before: Any) -> Any:
    """A new value of the type that the value had before."""
    if before is None or not text:
        return text or None
    if isinstance(before, bool):
        return text == "True"
    for kind in (int, float):
        if isinstance(before, kind):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _formats() -> Iterator[Format]:
    yield Format(
        SQLite.name,
        SQLite.suffixes,
        lambda given, options: read_database(SQLite(), given),
        starts_with(b"SQLite format 3\x00"),
        has_parts=True,
        is_foreign=True,
    )
    yield Format(
        DuckDB.name,
        DuckDB.suffixes,
        lambda given, options: read_database(DuckDB(), given),
        lambda head: head[DUCK] == b"DUCK",
        has_parts=True,
        is_foreign=True,
    )


SQLITE, DUCKDB = _formats()
