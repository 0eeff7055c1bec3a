"""The report is one page that loads nothing and runs nothing."""

import csv
import io

from small_audit import mixed_csv, run


def test_report_is_self_contained(quick, table, tmp_path):
    run(table, "--output", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/svg+xml;base64,') == 2
    for outside in ("http://", "https://", "<script", "<link", "url("):
        assert outside not in page
    assert "not a proven mistake" in page
    assert f"python -m skinfluence audit &#39;{table}&#39; --output {tmp_path / 'out'}" in page


def test_report_escapes_html_in_the_table(quick, tmp_path):
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
