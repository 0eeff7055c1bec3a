"""The estimate of wrong labels that are left, in Python and in the page."""

import numpy as np
import pytest
from review_case import run_node

from skinfluence._audit.review.estimate import MIN_SLOPE, fit, left, may_stop


def decisions(n, n_wrong):
    """Evidence that falls from 5 to -5, and labels that are wrong where it is high."""
    return np.linspace(5, -5, n), np.arange(n) < n_wrong


CASES = [
    ([], []),
    ([3.0], [True]),
    ([3.0, 2.0, -1.0], [False, True, False]),
    decisions(40, 11),
    (np.full(200, 10.0), np.zeros(200, dtype=bool)),
]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_the_page_computes_the_same(case):
    evidence, is_wrong = [*map(float, case[0])], [*map(bool, case[1])]
    rest, counts = [4.0, 0.5, -2.0, -6.5], [1, 2, 30, 400]
    found = fit(evidence, is_wrong)
    wanted = left(found, rest, counts)
    for n in (19, 20):
        there = run_node(
            """const [evidence, isWrong, rest, counts, n] = data;
            const fit = fitCurve(evidence, isWrong);
            return { fit, left: leftWrong(fit, rest, counts), stop: mayStop(fit, rest, n) };""",
            evidence, is_wrong, rest, counts, n,
        )  # fmt: skip
        assert there["stop"] is may_stop(found, rest, n)
    assert [there["fit"]["a"], there["fit"]["b"]] == pytest.approx([found.a, found.b], abs=1e-9)
    got = [there["left"][key] for key in ("expected", "low", "high")]
    assert got == pytest.approx([wanted.expected, wanted.low, wanted.high], abs=1e-7)


def test_without_decisions_the_scores_decide():
    found = fit([], [])
    assert (found.a, found.b) == (0.0, 0.8)
    expected = left(found, [0.0, 2.0], [10, 1]).expected
    assert expected == pytest.approx(10 / 2 + 1 / (1 + np.exp(-1.6)))


def test_decisions_move_the_estimate():
    rest = [1.0, 0.0]
    before = left(fit([], []), rest, [1, 1]).expected
    kept = left(fit([4, 3, 2], [False] * 3), rest, [1, 1]).expected
    wrong = left(fit([4, 3, 2], [True] * 3), rest, [1, 1]).expected
    assert kept < before < wrong


def test_the_curve_never_says_that_less_suspect_is_worse():
    assert fit([5, 4, -4, -5] * 20, [False, False, True, True] * 20).b == MIN_SLOPE


def test_the_interval_is_in_the_possible_range():
    found = left(fit([], []), [-9.0, 9.0], [5, 5])
    assert 0 <= found.low <= found.expected <= found.high <= 10


@pytest.mark.parametrize(
    ("rest", "n_decided", "wanted"),
    [
        ([-5.0] * 10, 20, True),
        ([-5.0] * 10, 19, False),
        ([5.0] + [-5.0] * 100, 50, False),
        ([], 0, True),
    ],
)
def test_when_to_stop(rest, n_decided, wanted):
    assert may_stop(fit([], []), rest, n_decided) is wanted


def test_the_estimate_holds_on_labels_that_follow_the_scores():
    rng = np.random.RandomState(0)
    n_inside = 0
    for _ in range(100):
        a, b = rng.normal([0, 0.8], [1.5, 0.3])
        z = np.sort(rng.normal(-3, 3, 500))[::-1]
        is_wrong = rng.rand(500) < 1 / (1 + np.exp(-(a + max(b, 0.1) * z)))
        found = left(fit(z[:40], is_wrong[:40]), z[40:], np.ones(460))
        n_inside += found.low - 0.5 <= is_wrong[40:].sum() <= found.high + 0.5
    assert 70 <= n_inside <= 92  # an interval of 80%
