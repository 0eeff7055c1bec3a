"""What the command prints."""

import contextlib

import pytest
from small_audit import mixed_csv, run

from skinfluence._audit import streams


def test_output_names_the_label_the_columns_left_out_and_the_files(
    quick_audit, audit_table, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    run(audit_table, "--output", tmp_path / "out", "--top", 2, "--action", "drop")
    out = capsys.readouterr().out
    assert "label     kind (the last column; --label chooses another)" in out
    assert "left out  id (a key)" in out
    assert "left out  empty (empty)" in out
    assert "left out  same (the same value in every row)" in out
    assert "2 suspects in 80 rows" in out
    for name in ("report.html", "suspects.csv", "scores.csv", "issues.csv", "cleaned.csv"):
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


def test_each_class_has_its_numbers_and_one_that_loses_a_quarter_is_named(
    quick_audit, tmp_path, capsys
):
    lines = ["size,kind"]
    for i in range(120):
        kind = ["small", "big"][i % 2] if i >= 20 else "juvenile"
        lines.append(f"{1 + i % 2}.{i % 7},{kind}")
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert run(path, "--output", tmp_path / "out", "--contamination", 0.16) == 0
    out = capsys.readouterr().out
    [head, first] = [line.split() for line in out.splitlines() if "unclear  right" in line][:1] + [
        line.split() for line in out.splitlines() if line.startswith("juvenile")
    ][:1]
    assert head[:4] == ["class", "rows", "suspects", "share"]
    assert first[:2] == ["juvenile", "20"]
    share = int(first[2])
    assert share >= 5
    assert f'caution   {share} of the 20 rows of "juvenile" are suspects' in out
    assert "rows      120 = 120 kept + 0 set aside" in out


def test_a_column_that_repeats_the_label_is_named(quick_audit, tmp_path, capsys):
    lines = [f"{i % 7},{'yes' if i % 2 else 'no'},{i % 2}" for i in range(80)]
    path = tmp_path / "t.csv"
    path.write_text("x,alive,survived\n" + "\n".join(lines), encoding="utf-8")
    assert run(path, "--output", tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert "trust     100.0% of the held-out labels are predicted" in out
    assert 'caution   a column alone predicts the label almost perfectly: "alive"' in out


def test_advice_on_labels_is_short(quick_audit, tmp_path, capsys):
    labels = [*["Male"] * 30, *["Female"] * 30, *["male "] * 12, "MALE", "female."]
    labels += [f"text {i}" for i in range(25)] + ["N/A"] * 30
    path = tmp_path / "t.csv"
    lines = [f"{i % 7}.{i % 3},{label}" for i, label in enumerate(labels)]
    path.write_text("x,gender\n" + "\n".join(lines), encoding="utf-8")
    run(path, "--output", tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    advice = [line for line in lines if line.startswith("advice")]
    assert '"N/A" is judged as a class' in advice[0]
    assert '"Male" 30 = "male" 12 = "MALE" 1; "Female" 30 = "female." 1; merge' in advice[1]
    assert "27 of the 31 labels have too few rows" in advice[2]
    assert max(map(len, advice)) < 250
    [aside] = [line for line in lines if line.startswith("set aside")]
    assert '27 rows (a class with fewer than 10 rows: "MALE" 1, "female." 1' in aside
    assert aside.endswith("and 22 more)")
