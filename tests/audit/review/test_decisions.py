"""Decisions are checked against the table, and every row that does not change keeps its bytes."""

import gzip

import pytest
from review_case import small_table

from skinfluence.__main__ import main
from skinfluence._audit.formats import read_table
from skinfluence._audit.review.decisions import Decision, read_decisions, write_decisions

HEAD = 'size; note ;kind\r\n1,5;"a; ""b""";big\r\n2,5;  x ;"big "\r\n'

TEXT = HEAD + '\r\n3;"two\r\nlines";small\r\n4;;small'


def apply(folder, decisions, *options, text=TEXT, name="my table.csv", output="reviewed.csv"):
    """Run the command in a folder; returns its exit code."""
    table, path = folder / name, folder / "decisions.csv"
    table.write_text(text, encoding="utf-8", newline="")
    if decisions is not None:
        write_decisions(path, [Decision(*decision) for decision in decisions])
    return main(["apply", str(table), str(path), "-o", str(folder / output), *options])


def test_decisions_are_made_and_other_rows_keep_their_bytes(tmp_path, capsys):
    decisions = [(1, "big", "relabel", "small"), (2, "big", "keep"), (4, "small", "drop")]
    assert apply(tmp_path, decisions) == 0
    written = (tmp_path / "reviewed.csv").read_bytes().decode()
    assert written == (
        'size; note ;kind\r\n1,5;"a; ""b""";small\r\n2,5;  x ;"big "\r\n'
        '\r\n3;"two\r\nlines";small\r\n'
    )
    out = capsys.readouterr().out
    assert "decisions 3: 1 drop, 1 keep, 1 relabel" in out
    assert "rows      4 = 3 kept + 1 dropped; 1 of the kept rows relabeled" in out
    assert (tmp_path / "my table.csv").read_bytes().decode() == TEXT


@pytest.mark.parametrize("kind", ["keep", "skip"])
def test_without_changes_the_file_is_the_same(tmp_path, kind):
    text = TEXT + "\r\n"
    assert apply(tmp_path, [(3, "small", kind)], text=text) == 0
    assert (tmp_path / "reviewed.csv").read_bytes().decode() == text


def test_blanks_around_the_given_label_do_not_count(tmp_path):
    assert apply(tmp_path, [(2, "big", "drop"), (1, " big ", "keep")]) == 0
    assert b"2,5" not in (tmp_path / "reviewed.csv").read_bytes()


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ([(5, "small", "keep")], "row 5 of the decisions does not exist: the table has 4 rows"),
        ([(0, "small", "keep")], "row 0 of the decisions does not exist"),
        ([(1, "small", "drop")], "row 1 has the label 'big' in column 'kind'"),
        ([(1, "big", "delete")], "(row 1): the decision 'delete' is unknown; expected one of"),
        ([(1, "big", "relabel", " ")], "(row 1): relabel needs a new_label"),
        ([(1, "big", "keep", "small")], "(row 1): the decision is keep, but there is the new"),
        ([("x", "big", "keep")], "(row x): expected the number of a row"),
        ([(1, "big", "keep"), (1, "big", "drop")], "row 1 has two decisions, keep and drop"),
    ],
)
def test_decisions_that_do_not_fit_are_refused_in_one_line(tmp_path, capsys, decisions, message):
    (tmp_path / "reviewed.csv").write_text("earlier", encoding="utf-8")
    assert apply(tmp_path, decisions) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("skinfluence apply: error: ")
    assert captured.err.count("\n") == 1
    assert (tmp_path / "reviewed.csv").read_text(encoding="utf-8") == "earlier"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["my table.csv", "decisions.csv", "link.csv"])
def test_an_input_is_never_overwritten(tmp_path, capsys, name):
    (tmp_path / "link.csv").symlink_to(tmp_path / "my table.csv")
    assert apply(tmp_path, [(1, "big", "drop")], output=name) == 2
    assert "is the input" in capsys.readouterr().err
    assert (tmp_path / "my table.csv").read_bytes().decode() == TEXT


@pytest.mark.parametrize(
    ("output", "message"),
    [(".", "is a folder"), ("no/folder.csv", "cannot be written"), ("r.parquet", "ends in .csv")],
)
def test_an_output_that_cannot_be_written_gets_one_line(tmp_path, capsys, output, message):
    assert apply(tmp_path, [(1, "big", "drop")], output=output) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_another_label_column_and_a_new_label(tmp_path, capsys):
    decisions = [(3, "3", "relabel", "three"), (4, "4", "relabel", "2,5")]
    assert apply(tmp_path, decisions, "--label", "size") == 0
    out = capsys.readouterr().out
    assert "note      the label 'three' (row 3) is new to the table" in out
    assert out.count("is new to the table") == 1
    written = (tmp_path / "reviewed.csv").read_bytes().decode()
    assert written.endswith('three;"two\r\nlines";small\r\n2,5;;small\r\n')


def test_a_file_that_a_spreadsheet_saved_again_is_read(tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_text(
        "\ufeffRow;given_label;decision;new_label;note\r\n1;big;Relabel;small;!\r\n", "utf-8"
    )
    assert read_decisions(path) == [Decision(1, "big", "relabel", "small")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("row,decision\n1,keep\n", "has no column 'given_label'"),
        ("row,given_label,decision,new_label\n", "a header but no rows"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_holds_no_decisions_is_refused(tmp_path, capsys, text, message):
    if text is not None:
        (tmp_path / "decisions.csv").write_text(text, encoding="utf-8")
    assert apply(tmp_path, None) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "decisions.csv" in err


def test_written_decisions_are_read_again(tmp_path):
    decisions = [
        Decision(1, "a,b", "relabel", 'say "x"'),
        Decision(2, " two\nlines", "keep"),
        Decision(3, "ä", "drop"),
        Decision(9, "b", "skip"),
    ]
    write_decisions(tmp_path / "d.csv", decisions)
    assert read_decisions(tmp_path / "d.csv") == decisions


def test_the_output_is_required(tmp_path, capsys):
    assert main(["apply", "t.csv", "d.csv"]) == 2
    assert "--output, for example -o reviewed.csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("t.csv.gz", lambda: gzip.compress(b"x,kind\n1,a\n2,b\n3,a\n")),
        ("t.jsonl", lambda: b'{"x": 1, "kind": "a"}\n{"x":2,"kind":"b"}\n{"x":3, "kind":"a"}\n'),
        ("t.tsv", lambda: "\ufeffx\tkind\n1\ta\n2\tb\n3\ta\n".encode("utf-16-le")),
    ],
)
def test_the_format_of_the_table_is_kept(tmp_path, capsys, name, pack):
    (tmp_path / name).write_bytes(pack())
    decisions = [Decision(1, "a", "relabel", "b"), Decision(3, "a", "drop")]
    write_decisions(tmp_path / "d.csv", decisions)
    out = tmp_path / f"reviewed{name[1:]}"
    words = ["apply", str(tmp_path / name), str(tmp_path / "d.csv"), "-o"]
    assert main([*words, str(out)]) == 0
    assert "3 = 2 kept + 1 dropped" in capsys.readouterr().out
    table = read_table(out)
    assert [cells[-1] for cells in table.cells] == ["b", "b"]
    assert main([*words, str(tmp_path / "r.xlsx")]) == 2
    assert f"is written as {name[1:]}; give a name" in capsys.readouterr().err


def test_a_table_without_a_text_file_is_written_too(tmp_path):
    from skinfluence._audit.review.decisions import changes_of

    table = small_table(6)
    changes = changes_of(table, 3, [Decision(2, "class 1", "drop")])
    table.source.write(tmp_path / "t.csv", changes)
    assert len((tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()) == 6
