"""Tables of SQLite and DuckDB."""

import sqlite3
import sys
from contextlib import closing

import pytest
from written import expect_changes, given, rewritten

from skinfluence._audit.formats import read_table
from skinfluence._audit.table import AuditError


@pytest.fixture
def base(tmp_path):
    """A database with a table that has a trigger, one without row ids, and an empty one."""
    path = tmp_path / "my base.sqlite"
    with closing(sqlite3.connect(path)) as base:
        base.executescript(
            """
            create table t (rowid text, x real, "the n" integer, kind text, raw blob);
            create table log (what);
            create trigger note after delete on t begin insert into log values ('gone'); end;
            create table w (k text primary key, y integer) without rowid;
            """
        )
        rows = [(f"r{i}", i / 2, i, "uv"[i % 2], b"\xff") for i in range(5)]
        base.executemany("insert into t values (?, ?, ?, ?, ?)", rows)
        base.executemany("insert into w values (?, ?)", [(f"k{i}", i) for i in range(4)])
        base.execute("update t set kind = null where x = 2")
        base.commit()
    return path


def test_a_table_is_changed_in_a_copy(base, tmp_path):
    table = read_table(f"{base}::t")
    assert table.names == ["rowid", "x", "the n", "kind", "raw"]
    assert table.cells[1] == ["r1", "0.5", "1", "v", "(1 bytes)"]
    assert table.cells[4][3] == ""
    assert table.cleaned_name == "cleaned.sqlite"
    first = table.cells[0]
    first[2], first[3] = "7", "v"
    path = rewritten(table, tmp_path, {0: first, 1: None, 3: None})
    again = read_table(f"{path}::t")
    assert list(again.cells) == [first, table.cells[2], table.cells[4]]
    with closing(sqlite3.connect(path)) as copy:
        assert copy.execute("select typeof(x), typeof([the n]), raw from t").fetchone() == (
            "real",
            "integer",
            b"\xff",
        )
        assert copy.execute("select count(*) from log").fetchone() == (0,)
        assert copy.execute("select name from sqlite_master where type = 'trigger'").fetchall()
    with closing(sqlite3.connect(base)) as old:
        assert old.execute("select count(*) from t").fetchone() == (5,)


def test_a_table_without_row_ids_is_changed_by_its_key(base, tmp_path):
    table = read_table(f"{base}::w")
    path = rewritten(table, tmp_path, {0: ["k0", "9"], 2: None})
    assert list(read_table(f"{path}::w").cells) == [["k0", "9"], ["k1", "1"], ["k3", "3"]]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("", "has the tables: log, t, w. Name one, as in .*my base.sqlite::log"),
        ("::x", "has no table 'x'; it has the tables: log, t, w"),
        ("::log", "table 'log' of .* has no rows"),
    ],
)
def test_the_table_must_be_named(base, part, message):
    with pytest.raises(AuditError, match=message):
        read_table(f"{base}{part}")


def test_the_only_table_needs_no_name(tmp_path):
    with closing(sqlite3.connect(tmp_path / "t.db")) as base:
        base.execute("create table t (a, y)")
        base.execute("insert into t values (1, 'u'), (2, 'v')")
        base.commit()
    table = read_table(tmp_path / "t.db")
    expect_changes(table, tmp_path, {0: ["1", "v"]})
    with closing(sqlite3.connect(tmp_path / "t.db")) as base:
        base.execute("drop table t")
    with pytest.raises(AuditError, match="has no table"):
        read_table(tmp_path / "t.db")


def test_a_change_that_the_database_refuses_gets_one_line(tmp_path):
    with closing(sqlite3.connect(tmp_path / "t.db")) as base:
        base.execute("create table t (a, y check (y in ('u', 'v')))")
        base.execute("insert into t values (1, 'u')")
        base.commit()
    with pytest.raises(AuditError, match=r"a changed copy of .*t.db' cannot be written: CHECK"):
        rewritten(read_table(tmp_path / "t.db"), tmp_path, {0: ["1", "w"]})


def test_a_damaged_database_gets_one_line(tmp_path):
    with pytest.raises(AuditError, match="cannot be read as SQLite"):
        read_table(given(tmp_path, b"SQLite format 3\0" + b"x" * 200, "t.db"))


def test_duckdb_is_read_and_changed_in_a_copy(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(tmp_path / "t.duckdb")) as base:
        base.execute("create table t (n integer, f double, kind varchar, ok boolean)")
        base.execute("insert into t select range, range / 2, 'k' || range % 2, true from range(5)")
    table = read_table(tmp_path / "t.duckdb")
    assert table.cells[1] == ["1", "0.5", "k1", "True"]
    expect_changes(table, tmp_path, {0: ["9", "0.25", "k1", "False"], 1: None, 4: None})
    assert len(list(tmp_path.iterdir())) == 2
    assert len(read_table(f"{tmp_path / 't.duckdb'}::t").cells) == 5


def test_a_missing_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(AuditError, match="reading DuckDB needs duckdb: pip install"):
        read_table(given(tmp_path, bytes(8) + b"DUCK" + bytes(99), "t.duckdb"))
