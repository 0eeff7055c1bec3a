"""Classes confused in one direction."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import fisher_exact
from small_issues import context_of

from skinfluence._audit.issues.confusion import Confusion, _codes, _one_way, _p_value

CLASSES = np.array(["a", "b", "c"], dtype=object)


def context_with(true, given):
    """A context in which the probabilities know the true class."""
    rng = np.random.default_rng(0)
    given = np.asarray(given, dtype=object)
    context = context_of({"x": rng.standard_normal(len(given)), "y": list(given)})
    true = np.asarray(true, dtype=object)[context.problem.rows]
    proba = 0.1 * rng.random((len(true), 3)) + (true[:, None] == CLASSES)
    return replace(context, probabilities=proba / proba.sum(1, keepdims=True), classes=CLASSES)


def planted():
    true = np.array(["a", "b", "c"] * 200, dtype=object)
    given = true.copy()
    rows = np.flatnonzero(true == "b")[:50]
    given[rows] = "a"
    return true, given, rows


def test_rows_of_one_class_with_the_label_of_another_are_found():
    true, given, rows = planted()
    issue = Confusion().find(context_with(true, given))
    n = len(issue.rows)
    assert set(issue.rows) <= set(rows)
    assert n >= 15  # a row counts if its probability is above the mean of its class
    assert issue.summary == f"1 pair, first: {n} rows of a look like b, 0 the other way round"
    [line] = issue.details.to_dict("records")
    expected = {"given": "a", "suggested": "b", "rows": n, "of": 250}
    assert {name: line[name] for name in expected} == expected
    assert (line["rows_reverse"], line["of_reverse"]) == (0, 150)
    assert "two classes" in issue.advice


def test_rows_are_positions_in_the_table_if_rows_are_set_aside():
    true, given, rows = planted()
    given[[2, 5]] = ""
    assert set(Confusion().find(context_with(true, given)).rows) <= set(rows)


def test_confusion_in_both_directions_is_not_reported():
    true = np.array(["a", "b", "c"] * 30, dtype=object)
    given = true.copy()
    given[np.flatnonzero(true == "b")[:8]] = "a"
    given[np.flatnonzero(true == "a")[:8]] = "b"
    assert Confusion().find(context_with(true, given)) is None


def test_labels_by_chance_are_not_confused():
    for seed in range(10):
        true, given = np.random.default_rng(seed).choice(CLASSES, (2, 150))
        assert Confusion().find(context_with(true, given)) is None


def test_nothing_is_found_without_probabilities():
    context = context_with(*planted()[:2])
    assert Confusion().find(replace(context, probabilities=None)) is None
    assert Confusion().find(replace(context, classes=None)) is None
    assert Confusion().find(replace(context, classes=CLASSES[:1])) is None


@pytest.mark.parametrize("seed", range(4))
def test_codes_agree_with_loops(seed):
    rng = np.random.default_rng(seed)
    given = rng.choice(CLASSES, 60)
    proba = rng.dirichlet([1, 2, 3], 60)
    codes, looks = _codes(CLASSES, given, proba)
    means = [
        np.mean([p[k] for p, g in zip(proba, given, strict=True) if g == c])
        for k, c in enumerate(CLASSES)
    ]
    for i in range(60):
        assert CLASSES[codes[i]] == given[i]
        factors = [proba[i, k] / means[k] for k in range(3)]
        assert looks[i] in (factors.index(max(factors)), -1)
        assert (looks[i] == -1) == (max(factors) < 1)


def test_p_values_are_those_of_fisher_corrected_by_holm():
    counts = np.array([[40, 15, 2], [1, 50, 3], [2, 2, 45]])
    n_rows = counts.sum(1)
    p_values = sorted(
        min(
            _p_value((counts[a, b], n_rows[a]), (counts[b, a], n_rows[b]))
            for a, b in (pair, pair[::-1])
        )
        for pair in ((0, 1), (0, 2), (1, 2))
    )
    line = _one_way(counts, n_rows).iloc[0]
    assert line["p_value"] == pytest.approx(3 * p_values[0])
    table = [[15, 42], [1, 53]]
    assert p_values[0] == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
