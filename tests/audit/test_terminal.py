"""What the command prints."""

import contextlib

import pytest
from small_audit import mixed_csv, run

from skinfluence._audit import streams


def test_output_names_the_label_the_columns_left_out_and_the_files(
    quick_audit, audit_table, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    run(audit_table, "--output", tmp_path / "out", "--top", 2, "--contamination", 0.025)
    out = capsys.readouterr().out
    assert "label     kind (the last column; --label chooses another)" in out
    assert "left out  id (a different text in every row)" in out
    assert "left out  empty (empty)" in out
    assert "left out  same (the same value in every row)" in out
    assert "2 suspects in 80 rows" in out
    for name in ("report.html", "suspects.csv", "cleaned.csv"):
        assert str(tmp_path / "out" / name) in out
    head = next(i for i, line in enumerate(out.splitlines()) if line.startswith("row"))
    printed = out.splitlines()[head : head + 3]
    assert {line.split()[0] for line in printed[1:]} == {"4", "41"}
    assert max(map(len, printed)) <= 80


def test_quiet_prints_nothing(quick_audit, audit_table, tmp_path, capsys):
    assert run(audit_table, "--output", tmp_path / "out", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


# Red text, a new window title, an overwritten line, a C1 control, text from right to left, a byte
# of a file name that is not UTF-8.
EVIL = "\x1b[31m\x1b]0;title\x07\r\b\x9b\u202e\udc80"


@pytest.fixture
def evil_table(tmp_path):
    """A table whose file name, columns, cells and labels hold control characters."""
    path, evil = tmp_path / f"t{EVIL}\n.csv", EVIL.replace("\r", "").replace("\udc80", "\0.")
    text = mixed_csv().replace("red", f"red{evil}").replace("big", f"big{evil}")
    for name in ("zip", "empty", "kind"):
        text = text.replace(f",{name}", f",{name}{evil}", 1)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--contamination", 0.5, "--top", 40], 0),
        (["--output", "file"], 2),
        (["--label", f"knid{EVIL}"], 2),
        (["--label", "id"], 2),
        (["--task", "regression"], 2),
        (["--cv", 30], 2),
        (["--sep", EVIL], 2),
        (["--encoding", EVIL], 2),
        ([f"--{EVIL}"], 2),
        (["--cv", EVIL], 2),
    ],
)
def test_control_characters_never_reach_the_terminal_or_the_report(
    quick_audit, evil_table, tmp_path, capsys, options, code
):
    out = tmp_path / f"out{EVIL}\n"
    if options == ["--output", "file"]:
        out.touch()
        options = []
    with contextlib.suppress(SystemExit):  # of argparse
        assert run(evil_table, "--output", out, *options) == code
    printed = capsys.readouterr()
    assert all(line.isprintable() for text in printed for line in text.split("\n"))
    if code == 0:
        page = (out / "report.html").read_text(encoding="utf-8")
        assert all(line.isprintable() for line in page.split("\n"))
        assert r"big\x1b[31m" in page
    else:
        assert printed.err.count("\n") == 1


def test_printable_keeps_letters_and_blanks():
    assert streams.printable("grün 中\u3000\xa0x") == "grün 中  x"
    assert streams.printable("a\tb\n\x1b") == r"a b \x1b"
