"""The other issues in the output of the command."""

from small_audit import mixed_csv, read, run


def test_the_command_prints_and_writes_the_issues(quick_audit, tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text(mixed_csv().replace(",big", ",BIG", 5), encoding="utf-8")
    (tmp_path / "other.csv").write_text("u,v\n1,2\n", encoding="utf-8")
    assert run(path, "--output", tmp_path / "out", "--only", "spellings,leakage") == 0
    assert "spellings" in capsys.readouterr().out
    rows = read(tmp_path / "out" / "issues.csv")
    assert "spellings" in {row[0] for row in rows[1:]}
    assert run(path, "--output", tmp_path / "out", "--against", tmp_path / "other.csv") == 2
    assert "no column of the first table" in capsys.readouterr().err
