"""Columns that give the label away."""

import numpy as np
import pytest
from small_issues import clean_columns, context_of

from skinfluence._audit.issues.leakage import Leakage, _agreement


def clean(n=300):
    return {k: np.array(v, dtype=object) for k, v in clean_columns(0, n).items()}


def test_a_copy_in_another_spelling_is_found_with_the_rows_that_differ():
    columns = clean()
    columns["copy"] = np.array([y.upper() + " " for y in columns["y"]], dtype=object)
    columns["copy"][7] = {"YES ": "NO ", "NO ": "YES "}[columns["copy"][7]]
    issue = Leakage().find(context_of(columns))
    assert issue.details["column"].tolist() == ["copy"]
    assert issue.details["reason"][0] == "spells the label"
    assert issue.details["rows_that_differ"][0] == 1
    assert issue.rows.tolist() == [7]


def test_a_code_of_the_label_is_found():
    columns = clean()
    columns["status"] = np.where(columns["y"] == "yes", "open", "closed")
    columns["amount"] = np.where(columns["y"] == "yes", 1, -1) * (1 + columns["even"])
    details = Leakage().find(context_of(columns)).details
    assert details["column"].tolist() == ["status", "amount"]


def test_a_code_of_the_true_label_is_found_though_some_labels_are_wrong():
    columns = clean()
    columns["status"] = np.where(columns["y"] == "yes", "open", "closed")
    true = columns["y"].copy()
    for row in range(0, 300, 15):
        columns["y"][row] = {"yes": "no", "no": "yes"}[true[row]]
    for name in ("normal", "color", "skewed"):  # the others know little
        columns[name] = np.random.default_rng(1).permutation(columns[name])
    issue = Leakage().find(context_of(columns, suggested=true))
    assert issue.details["column"].tolist() == ["status"]
    assert "the other columns do not" in issue.details["reason"][0]


def test_a_number_in_another_unit_is_found():
    rng = np.random.default_rng(0)
    price = rng.uniform(1, 100, 300)
    columns = {"other": rng.random(300), "dollars": price * 1.1, "y": price}
    assert Leakage().find(context_of(columns)).details["column"].tolist() == ["dollars"]


def test_a_good_predictor_does_not_give_the_label_away():
    from sklearn.datasets import load_iris

    iris = load_iris(as_frame=True)
    columns = {**iris.data, "y": iris.target_names[iris.target]}
    assert Leakage().find(context_of(columns)) is None


def test_agreement_is_cohens_kappa():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    wanted = rng.integers(0, 3, 80)
    found = np.where(rng.random(80) < 0.7, wanted, rng.integers(0, 3, 80))
    assert _agreement(found, wanted, 3) == pytest.approx(cohen_kappa_score(found, wanted))
