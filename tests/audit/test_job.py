"""Options of the command, their errors, and the example without a table."""

import subprocess
import sys

import pytest
from small_audit import QuickDetector, read, run

from skinfluence._audit import job


@pytest.mark.parametrize(
    ("given", "wanted"), [("auto", "auto"), ("0.2", 0.2), ("evidence", "evidence")]
)
def test_contamination_is_a_number_auto_or_the_evidence(
    monkeypatch, audit_table, tmp_path, given, wanted
):
    asked = []

    def detector(options, _):
        asked.append(options.contamination)
        return QuickDetector(0.1)

    monkeypatch.setattr(job, "make_detector", detector)
    assert run(audit_table, "--output", tmp_path / "out", "--contamination", given) == 0
    assert asked == [wanted]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "knid"], "no column is called 'knid'; the columns are: id, zip, size"),
        (["--contamination", "0"], "--contamination 0 must be above 0 and at most 0.5"),
        (["--contamination", "0.51"], "--contamination 0.51 must be above 0"),
        (["--contamination", "nan"], "--contamination nan must be above 0"),
        (["--cv", "1"], "--cv 1 must be at least 2"),
        (["--seed", "-1"], "--seed -1 must be between 0 and"),
        (["--encoding", "klingon"], "--encoding 'klingon' is unknown"),
        (["--sep", "::"], "--sep '::' must be one character"),
        (
            ["--task", "regression"],
            "contains 'big', but regression needs finite numbers",
        ),
        (["--label", "id"], "Is this the right column for --label?"),
    ],
)
def test_a_bad_option_gets_one_line_and_exit_code_two(
    quick_audit, audit_table, tmp_path, capsys, options, message
):
    assert run(audit_table, "--output", tmp_path / "out", *options) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_an_output_that_is_a_file_is_refused(quick_audit, audit_table, capsys):
    assert run(audit_table, "--output", audit_table) == 2
    assert "is a file; give a folder" in capsys.readouterr().err


def test_a_missing_extra_says_what_to_install(audit_table, monkeypatch, capsys):
    monkeypatch.setattr(job.importlib.util, "find_spec", lambda name: None)
    assert run(audit_table) == 2
    assert capsys.readouterr().err == (
        "skinfluence audit: error: the audit needs packages that are not installed (pandas, "
        'matplotlib, jinja2, skrub): pip install "skinfluence[audit]", or in a clone '
        'pip install -e ".[audit]".\n'
    )


def test_an_unknown_option_gets_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        run("--lable", "x")
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("skinfluence")
    assert err.count("\n") == 1


def test_a_share_that_is_no_number_names_what_is_expected(capsys):
    with pytest.raises(SystemExit) as stop:
        run("--contamination", "x")
    assert stop.value.code == 2
    assert "expected a number above 0 and at most 0.5, evidence or auto" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_without_a_table_finds_most_planted_labels(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "skinfluence", "audit", "--output", "out"]
    command += ["--contamination", "0.1", "--action", "drop"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    line = next(line for line in result.stdout.splitlines() if line.startswith("found"))
    assert "of 57 planted wrong labels (chance would find 6)" in line
    assert int(line.split()[1]) >= 43  # three quarters
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/svg+xml;base64,') == 3
    assert len(read(tmp_path / "out" / "cleaned.csv")) == 1 + 569 - 57


@pytest.mark.slow
def test_most_suspects_of_the_example_are_planted(tmp_path, capsys):
    assert run("--output", tmp_path / "out") == 0
    lines = capsys.readouterr().out.splitlines()
    n_suspects = int(next(line for line in lines if " suspects in 569 rows" in line).split()[0])
    n_found = int(next(line for line in lines if line.startswith("found")).split()[1])
    assert n_found >= 38  # two thirds
    assert n_suspects <= n_found + 3


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't allocate memory")])
def test_memory_that_is_full_in_the_training_gets_one_line(
    quick_audit, audit_table, tmp_path, monkeypatch, capsys, error
):
    def fit_predict(self, X, y):
        raise error

    monkeypatch.setattr(QuickDetector, "fit_predict", fit_predict)
    assert run(audit_table, "--output", tmp_path / "out", "--quiet") == 2
    err = capsys.readouterr().err
    assert "the memory is full, and nothing was written" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_nul_in_the_output_folder_gets_one_line(quick_audit, audit_table, capsys):
    assert run(audit_table, "--output", "a\0b") == 2
    assert "cannot be created: embedded null byte" in capsys.readouterr().err
