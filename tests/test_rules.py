import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skinfluence.rules import (
    AdaptiveGreedy,
    Budget,
    Decision,
    Reweight,
    Rule,
    Threshold,
    check_rule,
)

SCORES = np.array([3.0, -1.0, 2.0, -5.0, 0.5, 4.0, 1.0, -2.0, 6.0, 5.0])
Y = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
OTHER = 1 - Y


def dropped(rule, scores=SCORES, y=Y):
    return np.flatnonzero(~rule.decide(scores, y).keep).tolist()


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        (Budget(0.2), [3, 7]),
        (Budget(0.25), [3, 7]),  # 2.5 rows: round half to even, as Python does
        (Budget(count=3), [1, 3, 7]),
        (Budget(np.float32(0.1)), [3]),
        (Budget(count=np.int64(1)), [3]),
    ],
)
def test_budget_drops_the_given_number_of_lowest_scores(rule, rows):
    assert dropped(rule) == rows


@pytest.mark.parametrize("rule", [Budget(0), Budget(0.0), Budget(count=0), Budget(0.04)])
def test_budget_of_zero_keeps_all_rows(rule):
    assert dropped(rule) == []


def test_budget_is_a_twentieth_by_default():
    assert dropped(Budget(), np.arange(40.0), np.zeros(40)) == [0, 1]


def test_budget_count_overrides_fraction():
    assert dropped(Budget(0.5, count=1)) == [3]


def test_budget_drops_the_first_of_tied_rows():
    assert dropped(Budget(0.3), np.zeros(10)) == [0, 1, 2]


def test_budget_per_class_takes_its_share_of_each_class():
    assert dropped(Budget(0.5, per_class=True)) == [1, 3, 4, 7, 9]


def test_budget_without_per_class_may_leave_a_class_untouched():
    assert dropped(Budget(0.5)) == [1, 3, 4, 6, 7]


def test_budget_count_per_class_is_divided_in_proportion():
    assert dropped(Budget(count=5, per_class=True)) == [1, 3, 4, 7, 9]


@pytest.mark.parametrize(
    ("rule", "n"),
    [
        (Budget(count=5, per_class=True), 5),
        (Budget(count=1, per_class=True), 1),
        (Budget(0.05, per_class=True), 5),
        (Budget(0.33, per_class=True), 33),
    ],
)
def test_budget_per_class_drops_the_exact_number(rule, n):
    y = np.arange(100) % 10
    rows = dropped(rule, np.random.RandomState(0).randn(100), y)
    assert len(rows) == n
    assert np.ptp(np.bincount(y[rows], minlength=10)) <= 1


@pytest.mark.parametrize("step", [1, 5])
def test_adaptive_greedy_per_class_drops_the_exact_number(step):
    y, scores = np.arange(100) % 10, np.random.RandomState(0).randn(100)
    rule = AdaptiveGreedy(count=20, step=step, per_class=True)
    kept = rule.decide(scores, y, rescore=lambda rows: scores[rows]).keep
    assert (~kept).sum() == 20


@pytest.mark.parametrize("y", [np.random.RandomState(0).randn(10), np.zeros((10, 2))])
def test_budget_per_class_needs_classes(y):
    with pytest.raises(ValueError, match="per_class=True picks rows from each class"):
        Budget(0.3, per_class=True).decide(SCORES, y)


def test_budget_per_class_takes_string_labels():
    assert dropped(Budget(0.5, per_class=True), y=np.array(["a", "b"])[Y]) == [1, 3, 4, 7, 9]


@pytest.mark.parametrize("rule", [Budget(0.2, action="relabel"), Threshold(-1.5, action="relabel")])
def test_relabel_keeps_every_row(rule):
    assert rule.decide(SCORES, Y, OTHER).keep.all()


@pytest.mark.parametrize("rule", [Budget(0.2, action="relabel"), Threshold(-1.5, action="relabel")])
def test_relabel_gives_picked_rows_their_suggested_labels(rule):
    assert_array_equal(np.flatnonzero(rule.decide(SCORES, Y, OTHER).y != Y), [3, 7])


def test_relabel_keeps_string_labels_strings():
    decision = Budget(0.5, action="relabel").decide(
        np.array([0.0, 1.0]), np.array(["a", "b"]), np.array(["long", "a"])
    )
    assert decision.y.tolist() == ["long", "b"]


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        (Budget(action="relabel"), True),
        (Threshold(action="relabel"), True),
        (Budget(), False),
        (Threshold(), False),
        (Reweight(), False),
    ],
)
def test_a_rule_says_whether_it_needs_suggested_labels(rule, answer):
    assert rule.relabels is answer


def test_threshold_drops_what_is_below():
    assert dropped(Threshold(0.5)) == [1, 3, 7]


def test_threshold_is_zero_by_default():
    assert dropped(Threshold(), np.array([-1e-9, 0.0, 1e-9]), np.zeros(3)) == [0]


def test_reweight_is_the_clipped_softmax_of_the_standardized_scores():
    z = (SCORES - SCORES.mean()) / SCORES.std()
    softmax = np.exp(z) / np.exp(z).sum()
    weights = Reweight().decide(SCORES, Y).sample_weight
    assert_allclose(weights, np.clip(4 * 10 * softmax, 0, 2), rtol=1e-12)


def test_reweight_clips_weights_at_two():
    assert Reweight(3.0).decide(SCORES, Y).sample_weight.max() == 2.0


def test_reweight_grows_with_the_score():
    weights = Reweight(3.0).decide(SCORES, Y).sample_weight
    assert (np.diff(weights[np.argsort(SCORES)]) >= 0).all()


def test_reweight_strength_multiplies_the_standardized_scores():
    z = 0.5 * (SCORES - SCORES.mean()) / SCORES.std()
    expected = np.clip(4 * 10 * np.exp(z) / np.exp(z).sum(), 0, 2)
    assert_allclose(Reweight(0.5).decide(SCORES, Y).sample_weight, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("rule", "scores"), [(Reweight(0.0), SCORES), (Reweight(), np.full(10, 0.1))]
)
def test_reweight_gives_equal_scores_equal_weights(rule, scores):
    assert len(set(rule.decide(scores, Y).sample_weight)) == 1


def test_reweight_stays_finite_for_huge_strength():
    assert np.isfinite(Reweight(1e6).decide(SCORES, Y).sample_weight).all()


def test_reweight_keeps_every_row():
    assert Reweight().decide(SCORES, Y).keep.all()


@pytest.mark.parametrize(
    "rule", [Budget(0.2), Threshold(), Reweight(), Budget(0.2, per_class=True)]
)
def test_deciding_does_not_change_the_scores(rule):
    scores = SCORES.copy()
    rule.decide(scores, Y)
    assert_array_equal(scores, SCORES)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Budget(1.0), r"fraction=1.0.*\[0, 1\)"),
        (Budget(-0.1), r"fraction=-0.1.*\[0, 1\)"),
        (Budget(3), r"fraction=3.*count="),
        (Budget("few"), "fraction='few'"),
        (Budget(float("nan")), "fraction=nan"),
        (Budget(count=10), "count=10.*integer from 0 to 9.*10 rows"),
        (Budget(count=-1), "count=-1"),
        (Budget(count=0.5), "count=0.5.*integer"),
        (Budget(action="delete"), "action='delete'.*'drop' or 'relabel'"),
        (Threshold(action="delete"), "action='delete'.*'drop' or 'relabel'"),
        (Budget(action="relabel"), "needs suggested labels"),
    ],
)
def test_bad_parameters_are_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        rule.decide(SCORES, Y)


def test_rule_none_is_a_budget_of_a_twentieth():
    assert repr(check_rule(None)) == "Budget()"


@pytest.mark.parametrize("rule", [Budget, 0.05, "drop"])
def test_objects_that_are_not_rules_are_refused(rule):
    with pytest.raises(TypeError, match=r"expected an instance from skinfluence.rules"):
        check_rule(rule)


def test_a_custom_rule_is_accepted():
    class KeepPositive(Rule):
        def decide(self, scores, y, suggested=None):
            return Decision(scores > 0)

    assert dropped(check_rule(KeepPositive())) == [1, 3, 7]


def test_a_threshold_is_a_number():
    with pytest.raises(ValueError, match="Threshold\\(threshold='x'\\): expected a finite number"):
        Threshold("x").decide(np.zeros(3), np.zeros(3))
