"""The command on every format: what it says, and what it writes."""

import csv
import gzip
import io
import json
import os
import sqlite3
import sys
from contextlib import closing

import pytest
from small_audit import mixed_csv, read, run

from skinfluence._audit import output_folder
from skinfluence._audit.formats import read_table
from skinfluence._audit.table import AuditError

FLAGGED = ["--contamination", 0.025]  # the two wrong labels
DROPPED = [*FLAGGED, "--action", "drop"]


@pytest.fixture
def rows():
    """The rows of the small table, and the same without the two wrong labels."""
    header, *rows = csv.reader(io.StringIO(mixed_csv()))
    return header, rows, [row for i, row in enumerate(rows) if i not in (3, 40)]


def write_json_lines(path, header, rows):
    lines = (json.dumps(dict(zip(header, row, strict=True))) for row in rows)
    path.write_text("\n".join(lines), encoding="utf-8")


def write_gzip(path, header, rows):
    path.write_bytes(gzip.compress(mixed_csv().encode()))


def write_excel(path, header, rows):
    book = pytest.importorskip("openpyxl").Workbook()
    for row in (header, *rows):
        book.active.append(row)
    book.save(path)


def write_parquet(path, header, rows):
    pytest.importorskip("pyarrow")
    import pandas as pd

    pd.DataFrame(rows, columns=header, index=range(80, 0, -1)).to_parquet(path)


def write_sqlite(path, header, rows):
    with closing(sqlite3.connect(path)) as base:
        base.execute(f"create table t ({', '.join(header)})")
        base.executemany(f"insert into t values ({', '.join('?' * len(header))})", rows)
        base.commit()


WRITERS = {
    "t.csv.gz": write_gzip,
    "t.jsonl": write_json_lines,
    "t.xlsx": write_excel,
    "t.parquet": write_parquet,
    "t.sqlite": write_sqlite,
}


@pytest.mark.parametrize(
    ("name", "action"), list(zip(WRITERS, ["drop", *["relabel"] * 3, "drop"], strict=True))
)
def test_the_cleaned_table_is_in_the_format_that_came(
    quick_audit, tmp_path, capsys, rows, name, action
):
    header, every, good = rows
    path, out = tmp_path / name, tmp_path / "out"
    WRITERS[name](path, header, every)
    part = "::t" if name == "t.sqlite" else ""
    assert run(f"{path}{part}", "--output", out, "--action", action, *FLAGGED) == 0
    cleaned = "cleaned" + name.removeprefix("t")
    assert sorted(os.listdir(out)) == sorted(
        [cleaned, "issues.csv", "report.html", "scores.csv", "suspects.csv"]
    )
    assert str(out / cleaned) in capsys.readouterr().out
    assert f"<b>{cleaned}</b> is the input table" in (out / "report.html").read_text()
    written = [row[: len(header)] for row in read_table(f"{out / cleaned}{part}").cells]
    if action == "drop":
        assert written == good
    else:
        assert [row[:-1] for row in written] == [row[:-1] for row in every]
        assert [i for i in range(80) if written[i] != every[i]] == [3, 40]
    suspects = read(out / "suspects.csv")
    assert {row[0] for row in suspects[1:]} == {"4", "41"}


def test_standard_input_is_audited(quick_audit, tmp_path, capsys, monkeypatch):
    content = mixed_csv().encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert run("-", "--output", tmp_path / "out", *DROPPED) == 0
    assert "table     standard input: 80 rows" in capsys.readouterr().out
    assert len(read(tmp_path / "out" / "cleaned.csv")) == 79


def test_what_was_found_out_about_the_file_is_printed(quick_audit, tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_bytes(("Übersicht\n" + mixed_csv()).encode("latin-1"))
    assert run(path, "--output", tmp_path / "out", *DROPPED) == 0
    out = capsys.readouterr().out
    assert "note      the file is not UTF-8; it is read as cp1252" in out
    assert "note      the header is read from line 2; what is above it is kept as a title" in out
    cleaned = (tmp_path / "out" / "cleaned.csv").read_text(encoding="latin-1")
    assert cleaned.startswith("Übersicht\nid,zip")


@pytest.mark.parametrize("label", [[], ["--label", "kind"]])
def test_a_message_about_the_label_says_how_the_file_was_read(tmp_path, capsys, label):
    path = tmp_path / "t.csv"
    path.write_text("".join(f"{i},1.5,same\n" for i in range(40)), encoding="utf-8")
    assert run(path, "--output", tmp_path / "out", *label) == 2
    err = capsys.readouterr().err
    assert "Note: the first line is read as the header, but it looks like the rows" in err
    assert err.count("\n") == 1


def test_the_label_is_never_a_column_without_a_name(quick_audit, tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text(mixed_csv().replace("\n", ",\n"), encoding="utf-8")
    assert run(path, "--output", tmp_path / "out", *DROPPED) == 0
    assert "label     kind (the last column" in capsys.readouterr().out
    lines = (tmp_path / "out" / "cleaned.csv").read_text(encoding="utf-8").splitlines()
    assert all(line.endswith(",") for line in lines)


def test_options_for_files_are_in_the_command_that_repeats_the_audit(quick_audit, tmp_path):
    path, out = tmp_path / "t.csv", tmp_path / "out"
    path.write_text("one\ntwo\n" + mixed_csv().partition("\n")[2], encoding="utf-8")
    assert run(path, "--no-header", "--skip-rows", 2, "--output", out, *DROPPED) == 0
    assert "--no-header --skip-rows 2" in (out / "report.html").read_text(encoding="utf-8")
    assert read(out / "suspects.csv")[0][-1] == "column_9"
    assert len((out / "cleaned.csv").read_text(encoding="utf-8").splitlines()) == 80
    assert run(path, "--skip-rows", -1) == 2


@pytest.mark.parametrize("name", ["t.csv.gz", "t.sqlite"])
def test_a_write_that_fails_leaves_nothing(quick_audit, tmp_path, rows, capsys, monkeypatch, name):
    header, every, _ = rows
    path, out = tmp_path / name, tmp_path / "out"
    WRITERS[name](path, header, every)
    assert run(path, "--output", out, "--label", "kind", *DROPPED) == 0
    before = {file.name: file.read_bytes() for file in out.iterdir()}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output_folder.os, "fsync", full)
    assert (
        run(path, "--output", out, "--label", "kind", "--contamination", 0.2, "--action", "drop")
        == 2
    )
    assert "No space left on device; nothing was written" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_a_folder_that_is_no_data_set_is_not_replaced(tmp_path):
    (tmp_path / "cleaned").mkdir()
    (tmp_path / "cleaned" / "mine.txt").touch()
    reserved = output_folder.reserved(tmp_path, None, ("cleaned",))
    with pytest.raises(AuditError, match="is a folder, but the audit writes"), reserved:
        pass
    assert (tmp_path / "cleaned" / "mine.txt").exists()


def test_a_folder_is_moved_and_replaced_like_a_file(tmp_path):
    for text in ("one", "two"):
        with output_folder.written_together(tmp_path, ("cleaned",)) as folder:
            (folder / "cleaned").mkdir()
            (folder / "cleaned" / "dataset_info.json").write_text(text)
        assert (tmp_path / "cleaned" / "dataset_info.json").read_text() == text
        assert os.listdir(tmp_path) == ["cleaned"]
