"""suspects.csv and cleaned.csv."""

from small_audit import read, run


def test_cleaned_csv_is_the_input_without_the_lines_of_the_suspects(quick, table, tmp_path):
    assert run(table, "--output", tmp_path / "out", "--contamination", 0.025) == 0
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    expected = [line for i, line in enumerate(lines) if i not in (4, 41)]
    assert (tmp_path / "out" / "cleaned.csv").read_bytes().decode() == "".join(expected)


def test_suspects_csv_has_every_column_and_is_sorted_by_score(quick, table, tmp_path):
    run(table, "--output", tmp_path / "out", "--contamination", 0.1)
    header, *rows = read(tmp_path / "out" / "suspects.csv")
    given = read(table)
    assert header[:4] == [
        f"skinfluence_{name}" for name in ("row", "given_label", "suggested_label", "score")
    ]
    assert header[4:] == given[0]
    assert {rows[0][0], rows[1][0]} == {"4", "41"}
    scores = [float(row[3]) for row in rows]
    assert scores == sorted(scores)
    for row in rows:
        assert row[4:] == given[int(row[0])]
        assert row[1] == row[-1]


def test_relabel_changes_only_the_labels_of_suspects(quick, table, tmp_path):
    run(table, "--output", tmp_path / "out", "--contamination", 0.025, "--action", "relabel")
    before, after = read(table), read(tmp_path / "out" / "cleaned.csv")
    assert [row[:-1] for row in before] == [row[:-1] for row in after]
    changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert changed == [4, 41]
    assert [after[i][-1] for i in changed] == ["small", "big"]
    untouched = (tmp_path / "out" / "cleaned.csv").read_text(encoding="utf-8").splitlines()
    assert untouched[:4] == table.read_text(encoding="utf-8").splitlines()[:4]


def test_blanks_around_labels_are_ignored_and_kept_in_the_file(quick, tmp_path):
    lines = [f"{i % 2}.{i % 7}, {'big' if i % 2 != (i == 4) else 'small'}\n" for i in range(40)]
    path = tmp_path / "t.csv"
    path.write_text("size, kind\n" + "".join(lines), encoding="utf-8")
    out = tmp_path / "out"
    arguments = ["--label", "kind", "--contamination", "0.025", "--action", "relabel"]
    assert run(path, *arguments, "--output", out) == 0
    lines[4] = lines[4].replace("big", "small")
    assert (out / "cleaned.csv").read_text(encoding="utf-8") == "size, kind\n" + "".join(lines)


def test_added_columns_get_names_that_the_table_does_not_use(quick, table, tmp_path):
    run(table, "--output", tmp_path / "one", "--contamination", 0.5)
    assert (
        run(tmp_path / "one" / "suspects.csv", "--cv", 2, "--output", tmp_path / "two", "--quiet")
        == 0
    )
    header = read(tmp_path / "two" / "suspects.csv")[0]
    assert len(set(header)) == len(header)
    assert header[0] == "_skinfluence_row"
    assert "skinfluence_row" in header


def test_same_seed_writes_the_same_files(quick, table, tmp_path):
    for name in ("one", "two"):
        run(table, "--output", tmp_path / name, "--quiet")
    for file in ("suspects.csv", "cleaned.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
