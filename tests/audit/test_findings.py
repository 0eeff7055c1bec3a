"""How labels are read, and what the default detector finds."""

import numpy as np
import pytest
from small_audit import mixed_csv, read, run

pd = pytest.importorskip("pandas")


def test_rows_without_a_label_are_kept_and_counted(quick_audit, audit_table, tmp_path, capsys):
    lines = audit_table.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[10:10] = ["new-1,001,1.10,red,x,1,,c,\n", "new-2,001,1.10,red,x,1,,c,NA\n"]
    audit_table.write_text("".join(lines), encoding="utf-8")
    assert run(audit_table, "--output", tmp_path / "out", "--contamination", 0.5) == 0
    assert "2 rows without a label" in capsys.readouterr().out
    cleaned = read(tmp_path / "out" / "cleaned.csv")
    assert [row[0] for row in cleaned if row[0].startswith("new")] == ["new-1", "new-2"]
    suspects = read(tmp_path / "out" / "suspects.csv")[1:]
    given = read(audit_table)
    assert all(given[int(row[0])] == row[4:] for row in suspects)


def test_a_label_with_many_distinct_numbers_is_a_regression(quick_audit, tmp_path, capsys):
    x = np.arange(60)
    y = 2.0 * (x * 7 % 60) + 1
    y[20] += 500
    path = tmp_path / "t.csv"
    pd.DataFrame({"x": x * 7 % 60, "price": y}).to_csv(path, index=False)
    out = tmp_path / "out"
    assert run(path, "--output", out, "--contamination", 0.01, "--action", "relabel") == 0
    assert "task      regression" in capsys.readouterr().out
    [suspect] = read(out / "suspects.csv")[1:]
    assert suspect[0] == "21"
    assert read(out / "cleaned.csv")[21][1] == suspect[2]
    assert abs(float(suspect[2]) - (y[20] - 500)) < 60


def test_labels_that_differ_by_a_nul_at_the_end_are_different_classes(tmp_path, capfd):
    path, out = tmp_path / "t.csv", tmp_path / "out"
    labels = ["a", "a\0", "b"]
    rows = [f"{i % 3}.{i % 7},{labels[(i + (i == 4)) % 3]}\n" for i in range(60)]
    path.write_text("x,kind\n" + "".join(rows), encoding="utf-8")
    arguments = ["--cv", 2, "--contamination", 0.02, "--action", "relabel"]
    assert run(path, *arguments, "--output", out) == 0
    printed = capfd.readouterr().out
    assert all(words in printed for words in ("3 classes", "b 21", "a 20", r"a\x00 19"))
    assert read(out / "suspects.csv")[1][:3] == ["5", "b", "a\0"]
    assert read(out / "cleaned.csv")[5][-1] == "a\0"
    assert (out / "report.html").read_text(encoding="utf-8").count(r"a\x00") > 1


def test_the_default_detector_finds_the_wrong_labels_of_a_mixed_table(tmp_path, capfd):
    path = tmp_path / "t.csv"
    path.write_text(mixed_csv(n=120), encoding="utf-8")
    assert run(path, "--cv", 3, "--output", tmp_path / "out") == 0
    rows = {row[0] for row in read(tmp_path / "out" / "suspects.csv")[1:]}
    assert {"4", "41"} <= rows
    assert "100%" in capfd.readouterr().err  # the progress bar
