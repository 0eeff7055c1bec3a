"""What the command prints."""

from small_audit import mixed_csv, run


def test_output_names_the_label_the_columns_left_out_and_the_files(
    quick, table, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    run(table, "--output", tmp_path / "out", "--top", 2, "--contamination", 0.025)
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


def test_quiet_prints_nothing(quick, table, tmp_path, capsys):
    assert run(table, "--output", tmp_path / "out", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_control_characters_in_a_cell_are_not_printed(quick, table, tmp_path, capsys):
    table.write_text(mixed_csv().replace("red", "\x1b[31mred"), encoding="utf-8")
    run(table, "--output", tmp_path / "out", "--contamination", 0.5, "--top", 40)
    assert "\x1b" not in capsys.readouterr().out
