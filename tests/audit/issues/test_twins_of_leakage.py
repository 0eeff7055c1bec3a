"""Columns that give the label away."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from small_issues import clean_columns, context_of

from skinfluence._audit.issues.leakage import Leakage, _agreement, _same_order


def find(columns, **others):
    return Leakage().find(context_of(columns, **others))


def with_column(seed, make, n=80):
    columns = clean_columns(seed, n)
    return {**columns, "leak": [make(label) for label in columns["y"]]}


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_of_the_label_is_found_with_the_rows_that_differ(seed):
    columns = with_column(seed, lambda label: f" {label.upper()}.")
    columns["leak"][4] = "NO" if columns["y"][4] == "yes" else "YES"
    columns["leak"][9] = ""
    issue = find(columns)
    assert issue.summary == "1 column: leak"
    assert issue.rows.tolist() == [4]
    [line] = issue.details.to_dict("records")
    assert line["reason"] == "spells the label"
    assert line["rows_that_differ"] == 1
    assert 0.9 < line["skill"] < 1
    assert "--ignore" in issue.advice


@pytest.mark.parametrize("make", [{"yes": "paid", "no": "open"}.get, {"yes": 1.0, "no": 0.0}.get])
def test_a_column_that_says_the_label_in_other_words_is_found(make):
    issue = find(with_column(0, make))
    [line] = issue.details.to_dict("records")
    assert line == {
        "column": "leak",
        "reason": "predicts the label alone",
        "skill": 1.0,
        "rows_that_differ": 0,
    }
    assert len(issue.rows) == 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("change", [lambda y: 3 * y + 1, np.exp, lambda y: -(y**3)])
def test_a_number_that_follows_from_the_label_is_found_in_small_tables(seed, change):
    columns = clean_columns(seed, 60)
    columns["y"] = np.random.default_rng(50 + seed).standard_normal(60)
    columns["leak"] = change(columns["y"])
    assert find(columns).details["column"].tolist() == ["leak"]
    columns["leak"] = columns["y"] + np.random.default_rng(seed).standard_normal(60)
    assert find(columns) is None


def test_many_small_classes_are_compared():
    columns = clean_columns(0, 20)
    columns["y"] = list("abcde" * 4)
    columns["leak"] = [float(ord(label)) for label in columns["y"]]
    assert find(columns, cv=2).details["column"].tolist() == ["leak"]


def test_tables_with_few_rows_are_left_alone():
    columns = with_column(0, str, n=19)
    assert find(columns, cv=2) is None


def test_rows_set_aside_are_not_compared():
    columns = with_column(1, str.upper)
    labels = list(columns["y"])
    labels[::8] = [""] * 10
    labels[3] = "no" if labels[3] == "yes" else "yes"
    issue = find({**columns, "y": labels})
    assert issue.rows.tolist() == [3]


def test_good_columns_are_no_leak():
    columns = clean_columns(2, 300)
    columns["good"] = np.where(columns["y"] == "yes", 1.0, -1.0)
    columns["good"] += np.random.default_rng(2).standard_normal(300)
    assert find(columns) is None


@pytest.mark.parametrize("seed", range(5))
def test_agreement_is_cohens_kappa(seed):
    found, wanted = np.random.default_rng(seed).integers(4, size=(2, 50))
    assert _agreement(found, wanted, 4) == pytest.approx(cohen_kappa_score(found, wanted))


def test_same_order():
    y = np.random.default_rng(0).standard_normal(30)
    assert _same_order(np.exp(-y), y) == pytest.approx(1)
    assert _same_order(np.ones(30), y) == 0
