"""suspects.csv, scores.csv and cleaned.csv."""

from small_audit import read, run


def test_cleaned_csv_is_the_input_without_the_lines_of_the_suspects(
    quick_audit, audit_table, tmp_path
):
    options = ["--contamination", 0.025, "--action", "drop"]
    assert run(audit_table, "--output", tmp_path / "out", *options) == 0
    lines = audit_table.read_text(encoding="utf-8").splitlines(keepends=True)
    expected = [line for i, line in enumerate(lines) if i not in (4, 41)]
    assert (tmp_path / "out" / "cleaned.csv").read_bytes().decode() == "".join(expected)


def test_suspects_csv_has_every_column_and_is_sorted_by_score(quick_audit, audit_table, tmp_path):
    run(audit_table, "--output", tmp_path / "out", "--contamination", 0.1)
    header, *rows = read(tmp_path / "out" / "suspects.csv")
    given = read(audit_table)
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


def test_relabel_changes_only_the_labels_of_suspects(quick_audit, audit_table, tmp_path):
    run(audit_table, "--output", tmp_path / "out", "--contamination", 0.025, "--action", "relabel")
    before, after = read(audit_table), read(tmp_path / "out" / "cleaned.csv")
    assert [row[:-1] for row in before] == [row[:-1] for row in after]
    changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert changed == [4, 41]
    assert [after[i][-1] for i in changed] == ["small", "big"]
    untouched = (tmp_path / "out" / "cleaned.csv").read_text(encoding="utf-8").splitlines()
    assert untouched[:4] == audit_table.read_text(encoding="utf-8").splitlines()[:4]


def test_blanks_around_labels_are_ignored_and_kept_in_the_file(quick_audit, tmp_path):
    lines = [f"{i % 2}.{i % 7}, {'big' if i % 2 != (i == 4) else 'small'}\n" for i in range(40)]
    path = tmp_path / "t.csv"
    path.write_text("size, kind\n" + "".join(lines), encoding="utf-8")
    out = tmp_path / "out"
    arguments = ["--label", "kind", "--contamination", "0.025", "--action", "relabel"]
    assert run(path, *arguments, "--output", out) == 0
    lines[4] = lines[4].replace("big", "small")
    assert (out / "cleaned.csv").read_text(encoding="utf-8") == "size, kind\n" + "".join(lines)


def test_added_columns_get_names_that_the_table_does_not_use(quick_audit, audit_table, tmp_path):
    run(audit_table, "--output", tmp_path / "one", "--contamination", 0.5)
    assert (
        run(tmp_path / "one" / "suspects.csv", "--cv", 2, "--output", tmp_path / "two", "--quiet")
        == 0
    )
    header = read(tmp_path / "two" / "suspects.csv")[0]
    assert len(set(header)) == len(header)
    assert header[0] == "_skinfluence_row"
    assert "skinfluence_row" in header


def test_same_seed_writes_the_same_files(quick_audit, audit_table, tmp_path):
    for name in ("one", "two"):
        run(audit_table, "--output", tmp_path / name, "--action", "drop", "--quiet")
    for file in ("suspects.csv", "scores.csv", "issues.csv", "cleaned.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_scores_csv_has_every_row_in_order_with_its_state_or_its_reason(
    quick_audit, audit_table, tmp_path
):
    lines = audit_table.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[10:10] = ["new,001,1.10,red,x,1,,c,\n", "odd,001,1.10,red,x,1,,c,rare\n"]
    audit_table.write_text("".join(lines), encoding="utf-8")
    assert run(audit_table, "--output", tmp_path / "out", "--quiet") == 0
    header, *rows = read(tmp_path / "out" / "scores.csv")
    names = ["given_label", "suggested_label", "score", "state", "reason"]
    assert header == ["row", "id", *names]
    given = read(audit_table)[1:]
    assert [row[:3] for row in rows] == [
        [str(i + 1), cells[0], cells[-1]] for i, cells in enumerate(given)
    ]
    assert rows[9][3:] == ["", "", "not judged", "no label"]
    assert rows[10][3:] == ["", "", "not judged", "a class with fewer than 10 rows"]
    judged = rows[:9] + rows[11:]
    assert {row[5] for row in judged} == {"wrong", "unclear", "right"}
    suspects = read(tmp_path / "out" / "suspects.csv")[1:]
    wrong = sorted((float(row[4]), row[0]) for row in judged if row[5] == "wrong")
    assert [row[0] for row in suspects] == [number for _, number in wrong] == ["43", "4"]


def test_nothing_but_the_report_and_the_lists_is_written_by_default(
    quick_audit, audit_table, tmp_path
):
    assert run(audit_table, "--output", tmp_path / "out", "--quiet") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"report.html", "suspects.csv", "scores.csv", "issues.csv"}
