"""Reading a table: separator, encoding, quotes, and files that are not a table."""

import os
import sys
import threading

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_audit import mixed_csv, run

from skinfluence._audit.formats import columnar, delimited, encodings, read_table, text_layout
from skinfluence._audit.stored_text import Form
from skinfluence._audit.table import AuditError

pd = pytest.importorskip("pandas")


@pytest.mark.parametrize("sep", [";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_separator_and_line_ends_are_detected_and_kept(quick_audit, tmp_path, sep, newline):
    path = tmp_path / "t.csv"
    path.write_text(mixed_csv(sep=sep, newline=newline), encoding="utf-8", newline="")
    options = ["--contamination", 0.025, "--action", "drop"]
    assert run(path, "--output", tmp_path / "out", *options) == 0
    cleaned = (tmp_path / "out" / "cleaned.csv").read_bytes().decode()
    assert cleaned == "".join(
        line
        for i, line in enumerate(mixed_csv(sep=sep, newline=newline).splitlines(keepends=True))
        if i not in (4, 41)
    )


def test_encoding_and_byte_order_mark_are_kept(quick_audit, tmp_path):
    text = mixed_csv().replace("red", "grün")
    for encoding, option in [("utf-8-sig", "utf-8"), ("latin-1", "latin-1")]:
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(text.encode(encoding))
        options = ["--encoding", option, "--action", "drop", "--quiet"]
        assert run(path, "--output", tmp_path / encoding, *options) == 0
        cleaned = (tmp_path / encoding / "cleaned.csv").read_bytes()
        assert cleaned.startswith("id,zip".encode(encoding))
        assert "grün" in cleaned.decode(encoding)


def test_a_quoted_cell_with_line_breaks_is_one_record():
    text = 'a,b\n"one\n""two""",x\n3,y'
    table = delimited.parse_table(text)
    assert table.cells == [['one\n"two"', "x"], ["3", "y"]]
    assert table.source.header + "".join(table.source.rows) == text + "\n"


CELLS = st.text(st.sampled_from("ab ,;\t|'\"\r\n\0\x1bé\u2028\ufeff") | st.characters(), max_size=8)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_table_is_the_same_after_it_is_written_and_read(data):
    n_columns = data.draw(st.integers(2, 4))
    row = st.lists(CELLS, min_size=n_columns, max_size=n_columns)
    names, *cells = data.draw(st.lists(row, min_size=2, max_size=6))
    columns = list(zip(*cells, strict=True))
    table = delimited.table_from_columns(names, columns)
    sep = data.draw(st.sampled_from(text_layout.SEPARATORS))
    form = Form(sep, newline=data.draw(st.sampled_from(["\n", "\r\n", "\r"])))
    lines = [form.line(row) for row in (table.names, *table.cells)]
    assume("".join(lines).strip())  # not an empty file
    again = delimited.parse_table("".join(lines), sep=sep)
    assert (again.names, again.cells) == (names, cells)
    assert [again.source.header, *again.source.rows] == lines
    assert [again.form.line(row) for row in (again.names, *again.cells)] == lines


@pytest.mark.parametrize("char", ["\r", "\n", "\r\n"])
def test_a_line_end_inside_a_cell_is_quoted_in_the_files(quick_audit, tmp_path, char):
    path, out = tmp_path / "t.csv", tmp_path / "out"
    text = mixed_csv().replace(",red,", f',"light{char}red",').replace("\nrow-4,", "\nrow 4,")
    path.write_text(text, encoding="utf-8", newline="")
    arguments = ["--contamination", 0.3, "--action", "relabel", "--output"]
    assert run(path, *arguments, out) == 0
    cells = read_table(path).cells
    suspects = read_table(out / "suspects.csv").cells
    assert any(f"light{char}red" in row for row in suspects)
    assert all(row[4:] == cells[int(row[0]) - 1] for row in suspects)
    cleaned = read_table(out / "cleaned.csv").cells
    assert [row[:-1] for row in cleaned] == [row[:-1] for row in cells]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,b\n1,x\n2,"y\n', 3),  # the end of the file
        ('a,b\n1,x\n2,"y', 3),
        ('a,b\n1,"x\n2,y\n3,z\n', 2),  # two rows would be lost
        ('a,b\n1,"x\n2,"y"\n', 2),  # closed by the quote of another cell
        ('a,"b\n1,x\n2,y\n', 1),
        ('a,b\r1,"x\r', 2),
    ],
)
def test_a_quote_that_is_not_closed_is_refused(text, line):
    with pytest.raises(AuditError, match=f"opened in line {line} is not closed"):
        delimited.parse_table(text)


def test_a_quote_that_is_cut_off_does_not_hide_the_separator():
    long = '"' + "x, " * 300_000 + '"'
    table = delimited.parse_table(f"a;b\n1;x\n2;y\n3;{long}\n")
    assert (table.form.sep, table.names) == (";", ["a", "b"])


def test_blanks_before_a_quote_are_skipped_only_if_they_stand_before_a_cell():
    table = delimited.parse_table('a, b\n x, "y, z"\n1, " w"\n')
    assert table.cells == [["x", "y, z"], ["1", " w"]]
    assert table.form.line(["1", " w"]) == '1," w"\n'
    assert delimited.parse_table('a,b\n x,"y, ""z"\n').cells == [[" x", 'y, "z']]


def test_a_label_name_that_occurs_twice_is_refused(tmp_path, quick_audit, capsys):
    path = tmp_path / "t.csv"
    path.write_text("a,y,y\n" + "1,b,b\n2,c,c\n" * 10, encoding="utf-8")
    assert run(path, "--label", "y") == 2
    assert "2 columns are called 'y'" in capsys.readouterr().err


def test_parquet_is_read(quick_audit, audit_table, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.read_csv(audit_table)
    frame["when"] = pd.Timestamp("2024-02-29")
    frame["number"] = pd.array([None, *range(1, len(frame))], dtype="Int64")
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    out = tmp_path / "out"
    options = ["--label", "kind", "--contamination", 0.025, "--action", "drop"]
    assert run(path, *options, "--output", out) == 0
    cleaned = pd.read_parquet(out / "cleaned.parquet")
    assert cleaned.dtypes.equals(frame.dtypes)
    assert len(cleaned) == 78
    assert read_table(path).cells[1][-1] == "1"  # not 1.0, though the column has a missing value


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [
        ("MAX_PARQUET_CELLS", 5_999, "has 3,000 rows and 2 columns; at most 5,999 cells"),
        ("MAX_PARQUET_CHARACTERS", 20_000, "holds more than 20,000 characters"),
    ],
)
def test_a_parquet_file_that_unfolds_to_a_huge_table_is_refused(
    tmp_path, monkeypatch, capsys, limit, value, message
):
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": ["long " * 4] * 3000, "kind": "x"}).to_parquet(path)
    assert len(read_table(path).cells) == 3000
    monkeypatch.setattr(columnar, limit, value)
    assert run(path) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch, capsys):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert run(path) == 2
    assert 'pip install "skinfluence[parquet]"' in capsys.readouterr().err


def bad_files():
    return {
        "empty": (b"", "the file is empty"),
        "header only": (b"a,b\n", "a header but no rows"),
        "ragged": (b"a,b\n1,2\n1,2,3\n", "line 3 has 3 cells, but the header in line 1 has 2"),
        "one class": (b"a,b\n" + b"1,x\n2,x\n" * 20, "has only one class, 'x'"),
        "no labels": (b"a,b\n" + b"1,\n2,\n" * 20, "no row has a label"),
        "no features": (
            b"a,b\n" + b"1,x\n1,y\n" * 20,
            "no column can be used to predict the label: a",
        ),
        "archive": (b"PK\x03\x04" + b"\x00" * 40, "is a damaged zip file"),
        "binary": (bytes(range(256)) * 4, "is not text, nor a format that can be read"),
    }


@pytest.mark.parametrize("name", list(bad_files()))
def test_a_bad_file_gets_one_line_and_exit_code_two(quick_audit, name, tmp_path, capsys):
    content, message = bad_files()[name]
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert run(path, "--output", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert err.startswith("skinfluence audit: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_missing_file_or_a_folder_is_refused(tmp_path, capsys):
    assert run(tmp_path / "nothing.csv") == 2
    assert "does not exist" in capsys.readouterr().err
    assert run(tmp_path) == 2
    assert "is a folder" in capsys.readouterr().err


def no_memory(*args, **kwargs):
    raise MemoryError


@pytest.mark.parametrize(
    ("name", "owner", "step"),
    [
        ("t.csv", delimited.Path, "read_bytes"),
        ("t.csv", encodings, "to_utf8"),
        ("t.csv", delimited.Column, "extend"),
        ("t.parquet", delimited.Column, "extend"),
    ],
)
def test_a_table_that_does_not_fit_into_memory_gets_one_line(
    tmp_path, monkeypatch, capsys, name, owner, step
):
    path = tmp_path / name
    if name == "t.parquet":
        pytest.importorskip("pyarrow")
        pd.DataFrame({"a": ["1", "2"], "kind": "x"}).to_parquet(path)
    else:
        path.write_text("a,kind\n1,x\n", encoding="latin-1")
    monkeypatch.setattr(owner, step, no_memory)
    assert run(path, "--encoding", "latin-1", "--output", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert "does not fit into memory; audit a sample of its rows" in err
    assert err.count("\n") == 1


def test_a_pipe_is_read_and_a_device_is_refused(quick_audit, audit_table, tmp_path, capsys):
    pipe, text = tmp_path / "pipe", audit_table.read_bytes()
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(text,))
    writer.start()
    assert read_table(pipe).cells == read_table(audit_table).cells
    writer.join()
    assert run("/dev/zero") == 2
    assert run("a\0b.csv") == 2
    err = capsys.readouterr().err
    assert "'/dev/zero' is a device; expected a file that holds a table" in err
    assert err.count("\n") == 2
