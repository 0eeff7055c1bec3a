"""The state of a review, run by node. Without node these tests are skipped."""

import pytest
from review_case import findings_of, run_node, small_table

from skinfluence._audit.review.decisions import Decision, read_decisions
from skinfluence._audit.review.payload import build


@pytest.fixture(scope="module")
def data():
    table = small_table(60)
    return build(table, findings_of(table, 8))


def test_unclear_rows_are_counted_apart(data):
    suspects = [{**suspect, "unclear": suspect["row"] > 6} for suspect in data["suspects"]]
    found = run_node(
        """const review = new Review(data[0]);
        review.decide(1, "keep");
        review.decide(8, "drop");
        const { nSuspects, nNext, nDecided } = review.estimate();
        const { decided, suspects } = review.counts();
        const rows = ["suspect", "unclear", ""].map((kind) => review.rows({ kind }).length);
        return { nSuspects, nNext, nDecided, decided, suspects, rows };""",
        {**data, "suspects": suspects},
    )
    assert found == {
        "nSuspects": 5, "nNext": 6, "nDecided": 2, "decided": 2, "suspects": 1, "rows": [6, 2, 8]
    }  # fmt: skip


def test_decisions_become_the_file_that_python_reads(data, tmp_path):
    data = {**data, "labels": ['say "x"', " a,b\n", "ä; b"]}
    text = run_node(
        """const review = new Review(data[0]);
        review.decide(7, "drop");
        review.accept(1);
        review.decide(2, "relabel", "ä; b");
        review.decide(3, "relabel", " ä; b ");
        review.decide(4, "skip");
        return review.toCsv();""",
        data,
    )
    path = tmp_path / "decisions.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_decisions(path) == [
        Decision(1, 'say "x"', "relabel", " a,b\n"),
        Decision(2, " a,b\n", "relabel", "ä; b"),
        Decision(3, "ä; b", "keep"),  # setting its own label keeps it
        Decision(4, 'say "x"', "skip"),
        Decision(7, 'say "x"', "drop"),
    ]
    again = run_node(
        """const review = new Review(data[0]);
        return [review.addCsv(data[1]), review.toCsv()];""",
        data,
        text,
    )
    assert again == [5, text]


def test_undo_brings_back_what_was_decided_before(data):
    found = run_node(
        """const kept = { given: "class 0", decision: "keep", newLabel: "" };
        const review = new Review(data[0], { 1: kept });
        review.decide(1, "drop");
        review.decide(2, "skip");
        const states = () => [review.state(1), review.state(2), review.counts().decided];
        return [states(), review.undo(), states(), review.undo(), states(), review.undo()];""",
        data,
    )
    assert found == [["drop", "skip", 1], 2, ["drop", "open", 1], 1, ["keep", "open", 1], None]


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"label": "given:1"}, [2, 5, 8]),
        ({"label": "suggested:0"}, [3, 6]),
        ({"state": "open"}, [3, 4, 5, 6, 7, 8]),
        ({"state": "decided"}, [1]),
        ({"state": "skip"}, [2]),
        ({"search": "BLUE dark"}, [2, 5, 8]),
        ({"search": "row 5"}, [5]),
        ({"search": "#6"}, [6]),
        ({"sort": "given"}, [1, 4, 7, 2, 5, 8, 3, 6]),
        ({"sort": "suggested", "label": "given:2"}, [3, 6]),
    ],
)
def test_filters_and_order(data, filters, wanted):
    found = run_node(
        """const review = new Review(data[0]);
        review.accept(1);
        review.decide(2, "skip");
        return review.rows(data[1]);""",
        data,
        filters,
    )
    assert found == wanted


def test_the_next_open_suspect_starts_again_at_the_top(data):
    found = run_node(
        """const review = new Review(data[0]);
        const rows = review.rows();
        for (const row of [4, 5, 8]) review.decide(row, "keep");
        const next = [review.nextOpen(rows, 3), review.nextOpen(rows, 8)];
        for (const row of rows) review.decide(row, "keep");
        return [...next, review.nextOpen(rows, 1)];""",
        data,
    )
    assert found == [6, 1, None]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('a,b\r\n1,"x, ""y"""\r\n', [["a", "b"], ["1", 'x, "y"']]),
        ('\ufeffa\n"two\nlines"', [["a"], ["two\nlines"]]),
        ("", []),
    ],
)
def test_csv_is_parsed(text, wanted):
    assert run_node("return parseCsv(data[0]);", text) == wanted


def test_another_file_is_refused(data):
    code = """try { new Review(data[0]).addCsv("a,b\\n1,2"); }
    catch (error) { return error.message; }"""
    assert "expected a file with the columns row, given_label" in run_node(code, data)
