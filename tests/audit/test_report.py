"""The report is one page that loads nothing; what it runs is in the page."""

import csv
import io

import pytest
from small_audit import mixed_csv, run

from skinfluence._audit.formats import read_table


def test_report_is_self_contained(quick_audit, audit_table, tmp_path):
    run(audit_table, "--output", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/svg+xml;base64,') == 2
    for outside in ("http://", "https://", "<script src", "<link", "url(", "@import", "fetch("):
        assert outside not in page
    assert "default-src 'none'" in page  # the browser refuses to load what is not in the page
    assert "not a proven mistake" in page
    assert (
        f"python -m skinfluence audit &#39;{audit_table}&#39; --output {tmp_path / 'out'}" in page
    )


def test_report_escapes_html_in_the_table(quick_audit, tmp_path):
    evil = '<img src=x onerror="alert(1)">'
    text = mixed_csv().replace("color", "<b>color</b>").replace("big", "<i>big</i>")
    rows = list(csv.reader(io.StringIO(text)))
    rows = [[evil if cell == "red" else cell for cell in row] for row in rows]
    path = tmp_path / "<u>t.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    assert run(path, "--output", tmp_path / "out", "--contamination", 0.5) == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for raw in ("<img src=x", "<b>color", "<i>big", "<u>t.csv"):
        assert raw not in page
    assert "&lt;img src=x" in page
    assert "\\u003cimg src=x" in page  # in the data of the review


def test_long_cells_names_and_labels_are_shortened_in_the_report_only(
    quick_audit, tmp_path, capsys
):
    long = "long " * 40_000
    text = mixed_csv().replace(" x0 ", long).replace("note", long).replace("big", long + "big")
    path, out = tmp_path / "t.csv", tmp_path / "out"
    path.write_text(text.replace("small", long + "small"), encoding="utf-8")
    assert run(path, "--output", out, "--contamination", 0.3) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert len(page) < 1_000_000
    assert "long long" in page
    assert "…" in page
    assert len(capsys.readouterr().out) < 10_000
    suspects = read_table(out / "suspects.csv")
    assert long in suspects.names
    assert {row[-1] for row in suspects.cells} == {long + "big", long + "small"}


@pytest.mark.parametrize(
    "options", [["--label", "kind"], ["--label", "long " * 300], ["--task", "regression"]]
)
def test_long_cells_are_shortened_in_error_messages(quick_audit, tmp_path, capsys, options):
    path = tmp_path / "t.csv"
    path.write_text("a,kind\n" + f"1,{'y' * 9000}\n" * 40, encoding="utf-8")
    assert run(path, *options) == 2
    assert len(capsys.readouterr().err) < 600
