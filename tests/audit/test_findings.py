"""How labels are read, and what the default detector finds."""

import numpy as np
import pytest
from small_audit import mixed_csv, read, run

pd = pytest.importorskip("pandas")


def test_rows_without_a_label_are_kept_and_counted(quick_audit, audit_table, tmp_path, capsys):
    lines = audit_table.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[10:10] = ["new-1,001,1.10,red,x,1,,c,\n", "new-2,001,1.10,red,x,1,,c,NA\n"]
    audit_table.write_text("".join(lines), encoding="utf-8")
    options = ["--contamination", 0.5, "--action", "drop"]
    assert run(audit_table, "--output", tmp_path / "out", *options) == 0
    out = capsys.readouterr().out
    assert "set aside 2 rows (no label)" in out
    assert "rows      82 = 40 kept + 40 dropped + 2 set aside (kept, not judged)" in out
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


def table_file(path, columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_no_row_is_a_suspect_if_nothing_was_learned(quick_audit, tmp_path, capsys):
    rng = np.random.RandomState(1)
    columns = {"x": rng.randn(200).round(3), "z": rng.randn(200).round(3)}
    for label in (rng.choice(["a", "b", "c"], 200), rng.randn(200).round(3)):
        path = table_file(tmp_path / "t.csv", columns | {"y": label})
        assert run(path, "--output", tmp_path / "out") == 0
        out = capsys.readouterr().out
        assert "nothing was learned about this label, so no row can be judged" in out
        assert "0 suspects in 200 rows" in out
        states = [row[4] for row in read(tmp_path / "out" / "scores.csv")[1:]]
        assert set(states) == {"unclear"}
        assert len(read(tmp_path / "out" / "suspects.csv")) == 1


def test_suspects_have_evidence_against_their_label_and_another_one_suggested(
    quick_audit, tmp_path
):
    rng = np.random.RandomState(0)
    y = rng.randint(2, size=300)
    columns = {"x": (y + 0.3 * rng.randn(300)).round(3), "y": np.where(y, "yes", "no")}
    path = table_file(tmp_path / "t.csv", columns)
    assert run(path, "--output", tmp_path / "out", "--action", "relabel") == 0
    suspects = read(tmp_path / "out" / "suspects.csv")[1:]
    assert all(row[1] != row[2] and float(row[3]) < -1 for row in suspects)
    assert 0 < len(suspects) < 30
    before, after = read(path), read(tmp_path / "out" / "cleaned.csv")
    changed = {str(i) for i, row in enumerate(after) if row != before[i]}
    assert changed == {row[0] for row in suspects}


def test_wrong_numbers_are_suspects_and_exact_ones_are_not(quick_audit, tmp_path):
    rng = np.random.RandomState(0)
    x = rng.rand(300)
    y = 100 * x + rng.randn(300)
    y[:6] += 30
    path = table_file(tmp_path / "t.csv", {"x": x, "y": y})
    assert run(path, "--output", tmp_path / "out") == 0
    suspects = read(tmp_path / "out" / "suspects.csv")[1:]
    assert {row[0] for row in suspects} == set("123456")
