"""The audit as a function, and its result as an object."""

import json

import numpy as np
import pytest
from small_audit import QuickDetector, read, run

import skinfluence
from skinfluence._audit import job

pd = pytest.importorskip("pandas")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(job, "make_detector", lambda options, _: QuickDetector())


@pytest.fixture
def frame(audit_table):
    return pd.read_csv(audit_table).set_axis([f"r{i}" for i in range(80)], axis=0)


def test_a_frame_is_audited_and_its_index_kept(quick, frame, capsys):
    before = frame.copy(deep=True)
    audit = skinfluence.audit(frame, label="kind", embed="none")
    pd.testing.assert_frame_equal(frame, before)
    wrong = audit.issues[audit.issues["kind"] == "wrong label"]
    assert set(wrong["row"]) == {"r3", "r40"}
    assert wrong["score"].is_monotonic_increasing
    assert audit.scores.index.tolist() == frame.index.tolist()
    assert audit.scores.loc["r3", ["given_label", "suggested_label"]].tolist() == ["big", "small"]
    assert set(audit.scores["state"]) <= {"wrong", "unclear", "right"}
    assert capsys.readouterr().out == ""


def test_polars_and_files_give_the_same_scores(quick, frame, audit_table):
    pl = pytest.importorskip("polars")
    scores = [
        skinfluence.audit(table, "kind", embed="none").scores["score"].to_numpy()
        for table in (frame, pl.read_csv(audit_table), audit_table, str(audit_table))
    ]
    for other in scores[1:]:
        np.testing.assert_allclose(other, scores[0], rtol=1e-6)


def test_rows_of_a_file_are_numbered_from_one(quick, audit_table):
    audit = skinfluence.audit(audit_table, embed="none")
    assert set(audit.issues.query("kind == 'wrong label'")["row"]) == {4, 41}


def test_the_summary_is_ready_for_json(quick, frame):
    summary = skinfluence.audit(frame, "kind", embed="none").summary
    assert json.loads(json.dumps(summary)) == summary
    assert summary["rows"] == summary["judged"] == 80
    assert summary["suspects"] == 2
    assert sum(summary["states"].values()) == 80
    assert summary["columns"]["size"] == "number"
    assert summary["left_out"]["a key"] == ["id"]


def test_save_writes_what_the_command_writes(quick, frame, audit_table, tmp_path):
    folder = skinfluence.audit(frame, "kind", embed="none", action="drop").save(tmp_path / "a")
    assert run(audit_table, "--embed", "none", "--action", "drop", "--output", tmp_path / "b") == 0
    assert {p.name for p in folder.iterdir()} == {p.name for p in (tmp_path / "b").iterdir()}
    assert len(read(folder / "cleaned.csv")) == 1 + 78
    assert read(folder / "suspects.csv")[0] == read(tmp_path / "b" / "suspects.csv")[0]


def test_nothing_is_written_unless_it_is_saved(quick, frame, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    skinfluence.audit(frame, "kind", embed="none")
    assert list(tmp_path.iterdir()) == [tmp_path / "my table.csv"]


def test_it_shows_itself_in_a_notebook(quick, frame):
    audit = skinfluence.audit(frame.rename(index={"r3": "<b>"}), "kind", embed="none")
    html = audit._repr_html_()
    assert "2 suspects in 80 rows" in html
    assert "wrong label" in html
    assert "<b>" not in html.replace("<p><b>Audit", "")
    assert repr(audit) == "<Audit of DataFrame: 2 suspects in 80 rows>"


@pytest.mark.parametrize(
    ("table", "options", "error", "message"),
    [
        ([1, 2], {}, ValueError, "the table is of type list; expected a DataFrame"),
        (None, {}, ValueError, "the table is of type NoneType; expected a DataFrame"),
        (pd.DataFrame({"a": []}), {}, ValueError, r"the table has the shape \(0, 1\)"),
        ("missing.csv", {}, ValueError, "the file 'missing.csv' does not exist"),
        (
            pd.DataFrame({"a": [1]}),
            {"target": "a"},
            TypeError,
            "got 'target', which is not an option",
        ),
        (pd.DataFrame({"a": [1]}), {"cv": 1}, ValueError, "--cv 1 must be at least 2"),
        (pd.DataFrame({"a": [1]}), {"only": ["x"]}, ValueError, "'x' is not a kind of issue"),
    ],
)
def test_bad_input_is_refused(table, options, error, message):
    with pytest.raises(error, match=message):
        skinfluence.audit(table, **options)


def test_json_prints_the_summary_alone(quick, audit_table, tmp_path, capsys):
    assert run(audit_table, "--json", "--embed", "none", "--output", tmp_path / "out") == 0
    assert json.loads(capsys.readouterr().out)["suspects"] == 2


@pytest.mark.parametrize(("share", "code"), [("0.02", 1), ("0.025", 0), ("0.5", 0)])
def test_the_exit_code_tells_whether_there_are_too_many_suspects(
    quick, audit_table, tmp_path, share, code
):
    assert run(audit_table, "--fail-above", share, "--quiet", "--output", tmp_path / "o") == code
    assert (tmp_path / "o" / "report.html").exists()


def numbers_csv(seed=0, n=80):
    """Two columns of numbers, and a label that follows from the first."""
    X = np.random.RandomState(seed).randn(n, 2)
    return ["a,b,y", *(f"{a:.4f},{b:.4f},{'up' if a > 0 else 'down'}" for a, b in X)]


def test_other_issues_are_printed_written_and_reported(quick, tmp_path, capsys):
    lines = numbers_csv()
    cells, _, label = lines[8].rpartition(",")
    path = tmp_path / "t.csv"
    path.write_text("\n".join([*lines, f"{cells},{'up' if label == 'down' else 'down'}"]) + "\n")
    assert run(path, "--output", tmp_path / "out") == 0
    assert "contradictions  2 rows" in capsys.readouterr().out
    issues = read(tmp_path / "out" / "issues.csv")
    assert [line[:2] for line in issues if line[0] == "contradictions"] == [
        ["contradictions", "8"],
        ["contradictions", "81"],
    ]
    assert (
        "equal rows with different labels" in (tmp_path / "out" / "report.html").read_text().lower()
    )
    assert run(path, "--skip", "contradictions", "--output", tmp_path / "out") == 0
    assert "contradictions" not in capsys.readouterr().out


def test_rows_of_a_second_table_are_found(quick, tmp_path, capsys):
    first, second = numbers_csv(), numbers_csv(1, 20)
    (tmp_path / "a.csv").write_text("\n".join(first) + "\n")
    (tmp_path / "b.csv").write_text("\n".join([*second, first[5]]) + "\n")
    files = [tmp_path / "a.csv", "--against", tmp_path / "b.csv"]
    assert run(*files, "--output", tmp_path / "out") == 0
    assert "overlap         1 row also in the second table" in capsys.readouterr().out
