"""Which labels are classes or numbers, and which rows cannot be judged."""

import numpy as np
import pytest
import small_audit  # noqa: F401  (skips the tests without the extra `audit`)

from skinfluence._audit.formats.delimited import table_from_columns
from skinfluence._audit.labels import read_problem, similar_spellings
from skinfluence._audit.table import AuditError


def problem_of(labels, **options):
    table = table_from_columns(["x", "y"], [[str(i) for i in range(len(labels))], labels])
    return read_problem(table, 1, **options)


def test_classes_of_few_rows_are_set_aside_and_the_others_are_judged():
    labels = ["a", "b", "c", ""] * 3 + ["a"] * 57 + ["one"] + ["b"] * 37
    problem = problem_of(labels)
    assert list(problem.spelling) == ["a", "b"]
    assert problem.rows.tolist() == [i for i, label in enumerate(labels) if label in ("a", "b")]
    assert problem.given.tolist() == [labels[i] for i in problem.rows]
    assert {reason: rows.tolist() for reason, rows in problem.set_aside.items()} == {
        "no label": [3, 7, 11],
        "a class with fewer than 10 rows": [2, 6, 10, 69],
    }
    assert problem.n_set_aside + len(problem.rows) == len(labels)
    assert problem.counts == {"a": 60, "b": 40, "c": 3, "one": 1}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 20, "has only one class, 'a'"),
        (["a"] * 20 + ["b"] * 9, "'b' (9); only 'a' has enough, and at least two classes are"),
        ([f"l{i}" for i in range(40)], "none has enough.*Is this the right column"),
        ([""] * 20, "no row has a label"),
    ],
)
def test_fewer_than_two_classes_that_can_be_judged_are_refused(labels, message):
    with pytest.raises(AuditError, match=message.replace("(", r"\(").replace(")", r"\)")):
        problem_of(labels)


@pytest.mark.parametrize(
    ("marker", "number", "is_class"),
    [("N/A", 30, True), ("NULL", 30, True), ("N/A", 29, False), ("", 30, False)],
)
def test_a_missing_marker_as_frequent_as_a_class_is_a_class(marker, number, is_class):
    problem = problem_of(["a"] * 60 + ["b"] * 30 + [marker] * number)
    assert (marker in problem.spelling) == is_class
    assert problem.markers == ([marker] if is_class else [])
    assert problem.n_set_aside == (0 if is_class else number)


def test_a_rare_missing_marker_is_never_a_class():
    problem = problem_of(["a"] * 290 + ["b"] * 10 + ["NA"] * 12)
    assert problem.markers == []
    assert problem.set_aside["no label"].tolist() == list(range(300, 312))


def test_none_is_a_class_like_others():
    assert list(problem_of(["none"] * 20 + ["a"] * 10).spelling) == ["none", "a"]


def test_labels_that_are_not_numbers_are_set_aside_if_nearly_all_are():
    labels = [f"{i}.5" for i in range(57)] + ["unknown", "NA", "inf"]
    problem = problem_of(labels)
    assert problem.task == "regression"
    assert problem.given.tolist() == [i + 0.5 for i in range(57)]
    assert {reason: rows.tolist() for reason, rows in problem.set_aside.items()} == {
        "no label": [58],
        "the label is not a number": [57, 59],
    }
    with pytest.raises(AuditError, match="contains 'unknown', but regression needs finite"):
        problem_of([*labels, *"xyz"], task="regression")


@pytest.mark.parametrize(("labels", "message"), [(["1", "2"], "only 2 rows"), (["1"] * 20, "same")])
def test_too_few_numbers_are_refused(labels, message):
    with pytest.raises(AuditError, match=message):
        problem_of(labels, task="regression")


def test_spellings_that_differ_in_case_blanks_or_punctuation_are_found():
    labels = ["Male"] * 20 + ["male"] * 5 + [" male."] * 2 + ["Non-binary"] * 30 + ["non binary"]
    problem = problem_of([*labels, *["C++"] * 10, *["C#"] * 10, "A+", "A-", "1.5", "15"])
    assert similar_spellings(problem) == [["Non-binary", "non binary"], ["Male", "male", "male."]]


def test_blanks_around_labels_do_not_make_classes():
    problem = problem_of(["a", " a", "b "] * 10)
    assert problem.spelling == {"a": "a", "b": "b "}
    assert set(np.unique(problem.given)) == {"a", "b"}


def test_prices_are_numbers():
    prices = [f"${1000 + 7 * i:,}.50" for i in range(40)]
    problem = read_problem(table_from_columns(["y"], [prices]), 0)
    assert problem.task == "regression"
    assert problem.given[:2].tolist() == [1000.5, 1007.5]
