"""Every format: a table is the same after it is written, and its changes are the only ones."""

import gzip
import itertools
import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from written import expect_changes, rewritten

from skinfluence._audit.formats import read_table
from skinfluence._audit.options import Options
from skinfluence._audit.stored_text import Form
from skinfluence._audit.table import AuditError


def csv_text(names, rows):
    return "".join(map(Form().line, [names, *rows]))


def json_objects(names, rows):
    return [dict(zip(names, row, strict=True)) for row in rows]


def write_csv(path, names, rows):
    path.write_bytes(csv_text(names, rows).encode())


def write_gzip(path, names, rows):
    path.write_bytes(gzip.compress(csv_text(names, rows).encode()))


def write_utf_16(path, names, rows):
    path.write_bytes(csv_text(names, rows).encode("utf-16"))


def write_lines(path, names, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in json_objects(names, rows)))


def write_array(path, names, rows):
    path.write_text(json.dumps(json_objects(names, rows), indent=1))


def write_excel(path, names, rows):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (names, *rows):
        book.active.append(row)
    for cell in itertools.chain.from_iterable(book.active):
        cell.data_type = "s" if cell.value else "n"  # "=1" is a text
    book.save(path)


def write_parquet(path, names, rows):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))), path, row_group_size=2
    )


def write_arrow(path, names, rows):
    pa = pytest.importorskip("pyarrow")
    table = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def write_sqlite(path, names, rows):
    with closing(sqlite3.connect(path)) as base:
        base.execute(f"create table t ({', '.join(names)})")
        base.executemany(f"insert into t values ({', '.join('?' * len(names))})", rows)
        base.commit()


def write_duckdb(path, names, rows):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(path)) as base:
        base.execute(f"create table t ({', '.join(f'{name} varchar' for name in names)})")
        base.executemany(f"insert into t values ({', '.join('?' * len(names))})", rows)


WRITERS = {
    "t.csv": write_csv,
    "t.csv.gz": write_gzip,
    "wide.csv": write_utf_16,
    "t.jsonl": write_lines,
    "t.json": write_array,
    "t.xlsx": write_excel,
    "t.parquet": write_parquet,
    "t.feather": write_arrow,
    "t.sqlite": write_sqlite,
    "t.duckdb": write_duckdb,
}

# Letters that every format can hold; the first column is never empty, so that no row is.
CELLS = st.text(st.sampled_from("ab 1,;\"'{}é中=.\n"), max_size=5)


@st.composite
def tables(draw):
    names = ["first", *(f"c{i}" for i in range(draw(st.integers(1, 3))))]
    cells = st.tuples(CELLS.map("x".__add__), *(CELLS for _ in names[1:])).map(list)
    return names, draw(st.lists(cells, min_size=2, max_size=5))


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_is_the_same_after_it_is_written_and_read(name):
    n_examples = 6 if name == "t.duckdb" else 25
    # The encoding and the header are found out from texts that people write; these are not.
    encoding = "utf-16" if name == "wide.csv" else "auto"
    options = Options(skip_rows=0, encoding=encoding, sep=",")

    @drawn(tables(), st.data())
    @settings(max_examples=n_examples, deadline=None)
    def check(names_and_rows, data):
        names, rows = names_and_rows
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            WRITERS[name](path, names, rows)
            table = read_table(path, options)
            assert table.names == names
            assert list(table.cells) == rows
            changed = data.draw(
                st.dictionaries(st.integers(0, len(rows) - 1), st.none() | CELLS, max_size=2)
            )
            if len(changed) == len(rows):
                changed.popitem()
            changes = {
                row: None if cell is None else [*rows[row][:-1], cell]
                for row, cell in changed.items()
            }
            expect_changes(table, Path(folder), changes, options)

    check()


@pytest.mark.parametrize("name", ["t.csv", "wide.csv", "t.jsonl"])
@drawn(tables(), st.data())
@settings(max_examples=30, deadline=None)
def test_unchanged_rows_of_text_are_the_same_bytes(name, names_and_rows, data):
    names, rows = names_and_rows
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        WRITERS[name](path, names, rows)
        encoding = "utf-16" if name == "wide.csv" else "utf-8"
        options = Options(skip_rows=0, encoding=encoding, sep=",")
        table = read_table(path, options)
        content = path.read_bytes()
        assert rewritten(table, Path(folder), {}).read_bytes() == content
        dropped = data.draw(st.sets(st.sampled_from(range(len(rows))), max_size=len(rows) - 1))
        kept = [row for i, row in enumerate(rows) if i not in dropped]
        WRITERS[name](Path(folder) / "kept", names, kept)
        changed = rewritten(table, Path(folder), dict.fromkeys(dropped))
        assert changed.read_bytes() == (Path(folder) / "kept").read_bytes()


@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_file_is_read_or_gets_one_line(name):
    rows = [[f"x{i}", str(i % 7), "uv"[i % 2]] for i in range(30)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        WRITERS[name](path, ["first", "c0", "y"], rows)
        content = path.read_bytes()

        @drawn(st.integers(0, len(content) - 1), st.binary(min_size=1, max_size=4), st.booleans())
        @settings(max_examples=4 if name == "t.duckdb" else 20, deadline=None)
        def check(position, other, is_cut):
            rest = b"" if is_cut else content[position + len(other) :]
            path.write_bytes(content[:position] + other + rest)
            message = ""
            try:
                rewritten(read_table(path), Path(folder), {0: None})
            except AuditError as error:
                message = str(error)
            assert "\n" not in message
            assert len(message) <= 1000

        check()


@pytest.mark.parametrize("name", ["t.parquet", "t.sqlite"])
def test_a_file_that_is_changed_meanwhile_is_not_written(tmp_path, name):
    for n in (3, 9):
        rows = [[f"x{i}", "uv"[i % 2]] for i in range(n)]
        (tmp_path / name).unlink(missing_ok=True)
        WRITERS[name](tmp_path / name, ["first", "y"], rows)
        if n == 3:
            table = read_table(tmp_path / name)
    with pytest.raises(AuditError, match="was changed while it was audited"):
        rewritten(table, tmp_path, {0: None})


def test_a_table_of_many_rows_is_read_in_pieces_of_every_format(tmp_path):
    rows = [[f"x{i}", str(i % 7), "uv"[i % 2]] for i in range(2500)]
    for name, write in WRITERS.items():
        path = tmp_path / name
        if name == "t.duckdb":
            continue  # slow to fill
        write(path, ["first", "c0", "y"], rows)
        table = read_table(path)
        assert list(table.cells) == rows
        dropped = dict.fromkeys(itertools.chain(range(0, 2500, 50), [1023, 1024, 2499]))
        again = expect_changes(table, tmp_path, dropped)
        assert len(again.cells) == 2500 - len(dropped)
