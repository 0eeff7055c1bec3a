"""Classes that are confused in one direction."""

from dataclasses import replace

import numpy as np
import pytest
from small_issues import context_of

from skinfluence._audit.issues.confusion import Confusion, _codes


def judged(y, probabilities, classes):
    x = np.random.default_rng(0).standard_normal(len(y))
    context = context_of({"x": x, "y": y})
    return replace(context, probabilities=probabilities, classes=np.array(classes, dtype=object))


def mistaken(n_ab, n_ba, n=300):
    """Rows of two classes; so many of each look like the other."""
    y = np.array(["a"] * n + ["b"] * n, dtype=object)
    looks = np.array([0] * n + [1] * n)
    looks[:n_ab], looks[n : n + n_ba] = 1, 0
    p = np.where(looks == 1, 0.95, 0.05)
    return judged(y, np.column_stack([1 - p, p]), ["a", "b"])


def test_one_direction_is_found():
    issue = Confusion().find(mistaken(40, 2))
    assert issue.rows.tolist() == list(range(40))
    line = issue.details.iloc[0]
    assert (line["given"], line["suggested"], line["rows"], line["of"]) == ("a", "b", 40, 300)
    assert "40 rows of a look like b, 2 the other way round" in issue.summary


@pytest.mark.parametrize(("n_ab", "n_ba"), [(30, 30), (30, 18), (3, 0), (0, 0)])
def test_both_directions_and_few_rows_are_not_reported(n_ab, n_ba):
    assert Confusion().find(mistaken(n_ab, n_ba)) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_frequent_class_predicted_everywhere_is_not_reported(seed):
    rng = np.random.default_rng(seed)
    y = np.where(rng.random(500) < 0.8, "a", "b").astype(object)
    p = np.clip(0.2 + 0.05 * rng.standard_normal(500), 0, 1)
    assert Confusion().find(judged(y, np.column_stack([1 - p, p]), ["a", "b"])) is None


def test_codes_follow_the_definition():
    rng = np.random.default_rng(0)
    given = rng.choice(["a", "b", "c"], 60).astype(object)
    p = rng.dirichlet([1, 1, 1], 60)
    classes = np.array(["a", "b", "c"], dtype=object)
    codes, looks = _codes(classes, given, p)
    means = [np.mean([p[i, k] for i in range(60) if given[i] == classes[k]]) for k in range(3)]
    for i in range(60):
        factors = [p[i, k] / means[k] for k in range(3)]
        assert classes[codes[i]] == given[i]
        assert looks[i] == (int(np.argmax(factors)) if max(factors) >= 1 else -1)


def test_numbers_and_unknown_probabilities_are_not_looked_at():
    rng = np.random.default_rng(0)
    assert Confusion().find(context_of({"x": rng.random(50), "y": rng.random(50)})) is None
    assert Confusion().find(context_of({"x": rng.random(50), "y": ["a", "b"] * 25})) is None
