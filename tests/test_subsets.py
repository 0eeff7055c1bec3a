"""Group influence and greedy removal, against least squares, which retrains in closed form."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetRegressor
from small import blobs, quick, scorer, selector
from torch import nn

from skinfluence import InfluenceSampleSelector, InfluenceScorer
from skinfluence.curvature import CG, EKFAC, Exact
from skinfluence.ensembles import Checkpoints, Dropout
from skinfluence.methods import SelfInfluence
from skinfluence.rules import AdaptiveGreedy, Budget
from skinfluence.subsets import group_influence

X, Y = blobs()


class LeastSquares(NeuralNetRegressor):
    """A linear net that is fitted in closed form."""

    def fit(self, X, y=None, **fit_params):
        self.initialize()
        slopes = np.linalg.lstsq(X, y, rcond=None)[0]
        with torch.no_grad():
            self.module_.weight.copy_(torch.as_tensor(slopes.reshape(1, -1)))
        return self


def least_squares(width):
    return LeastSquares(
        nn.Linear,
        module__in_features=width,
        module__out_features=1,
        module__bias=False,
        module__dtype=torch.float64,
        train_split=None,
        verbose=0,
    )


def prediction(outputs, y):
    """The target: the prediction for the reference row."""
    return outputs.mean()


class Table:
    """Rows for least squares, and a watched row `x` whose prediction is the target."""

    def __init__(self, seed=195, n=14, width=2):
        rng = np.random.RandomState(seed)
        self.X = rng.randn(n, width)
        self.X[:2] += 4 * rng.randn(width)
        self.y = self.X @ rng.randn(width, 1) + rng.randn(n, 1)
        self.x = rng.randn(1, width)
        self.n = n

    def refit(self, dropped=()):
        """Predict the watched row after a fit without the dropped rows."""
        kept = np.setdiff1d(np.arange(self.n), dropped)
        return (self.x @ np.linalg.lstsq(self.X[kept], self.y[kept], rcond=None)[0]).item()

    def scorer(self, **params):
        return InfluenceScorer(
            least_squares(self.X.shape[1]),
            **{"target": prediction, "curvature": Exact(damping=0.0)} | params,
        )

    def fitted(self, **params):
        return self.scorer(**params).fit(self.X, self.y, X_val=self.x, y_val=np.zeros((1, 1)))

    def select(self, scorer, rule):
        found = InfluenceSampleSelector(scorer, rule).fit(
            self.X, self.y, X_val=self.x, y_val=np.zeros((1, 1))
        )
        return tuple(np.flatnonzero(~found.support_).tolist())


@pytest.fixture(scope="module")
def table():
    return Table()


pytestmark = pytest.mark.filterwarnings(
    # from scikit-learn: this net needs y as a column
    "ignore:A column-vector y was passed:sklearn.exceptions.DataConversionWarning"
)


# Group influence


def test_of_rest_is_exact_for_least_squares(table):
    groups = [[3], [0, 1], [2, 5, 7, 11], np.arange(14) % 2 == 0]
    got = group_influence(table.fitted(), table.X, table.y, groups, of_rest=True)
    again = group_influence(table.fitted(), table.X, table.y, iter(groups), of_rest=True)
    np.testing.assert_array_equal(again, got)
    dropped = [np.arange(14)[group] for group in groups]
    np.testing.assert_allclose(
        got, [table.refit(rows) - table.refit() for rows in dropped], rtol=1e-10
    )


def test_of_rest_divides_the_score_of_a_row_by_one_minus_its_leverage(table):
    """The score is (x^T N x_i)(ŷ_i - y_i) / (1 - h_ii), the one-step oracle of arXiv 2409.18153."""
    X, y = table.X, table.y[:, 0]
    N = np.linalg.inv(X.T @ X)
    errors = X @ N @ X.T @ y - y
    plain = (table.x @ N @ X.T)[0] * errors
    rows = [[i] for i in range(14)]
    fitted = table.fitted()
    np.testing.assert_allclose(group_influence(fitted, X, table.y, rows), plain, rtol=1e-9)
    leverage = np.einsum("ip,pq,iq->i", X, N, X)
    np.testing.assert_allclose(
        group_influence(fitted, X, table.y, rows, of_rest=True),
        plain / (1 - leverage),
        rtol=1e-9,
    )


def test_first_order_group_influence_is_the_sum_of_the_scores_over_n():
    fitted = scorer(curvature=CG(damping=0.1)).fit(X, Y, X_val=X[:9], y_val=Y[:9])
    got = group_influence(fitted, X, Y, [range(5), [80, 7]])
    want = [fitted.scores_[:5].sum() / 90, fitted.scores_[[80, 7]].sum() / 90]
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_group_influence_is_the_weighted_mean_over_the_members():
    rows = {"X_val": X[:9], "y_val": Y[:9]}
    fitted = scorer(curvature=Exact("ggn", 0.1), ensemble=Checkpoints(2)).fit(X, Y, **rows)
    states, weights = zip(*((m.state, m.weight) for m in fitted._members), strict=True)
    each = []
    for state in states:
        fitted.estimator_.module_.load_state_dict(state)
        alone = scorer(estimator=FrozenEstimator(fitted.estimator_), curvature=Exact("ggn", 0.1))
        alone.fit(X, Y, **rows)
        each.append(group_influence(alone, X, Y, [range(9)], of_rest=True)[0])
    got = group_influence(fitted, X, Y, [range(9)], of_rest=True)[0]
    np.testing.assert_allclose(got, np.average(each, weights=weights), rtol=1e-4)


def test_a_random_curvature_is_reproducible():
    fitted = scorer(curvature=EKFAC()).fit(X, Y)
    one, two = (
        group_influence(fitted, X, Y, [[1, 2]], of_rest=True, random_state=0) for _ in range(2)
    )
    assert one == two


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([[90]], "positions outside 0 to 89"),
        ([[0], [-1]], r"groups\[1\] has positions outside"),
        ([[1, 1]], "more than once"),
        ([[]], "0 of the 90 rows|dtype float64"),
        ([np.ones(90, dtype=bool)], "has 90 of the 90 rows"),
        ([np.ones(5, dtype=bool)], "dtype bool and shape"),
        ([[0.5]], "dtype float64"),
    ],
)
def test_invalid_groups_are_refused(groups, message):
    fitted = scorer(curvature=EKFAC()).fit(X, Y)
    with pytest.raises(ValueError, match=message):
        group_influence(fitted, X, Y, groups)


@pytest.mark.parametrize("groups", [5, [5], None])
def test_groups_that_are_not_lists_are_refused(groups):
    fitted = scorer(curvature=EKFAC()).fit(X, Y)
    with pytest.raises(TypeError, match="expected a list of groups"):
        group_influence(fitted, X, Y, groups)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "needs a scorer with a curvature"),
        ({"method": SelfInfluence(), "curvature": EKFAC()}, "needs a scorer with a curvature"),
        ({"curvature": EKFAC(), "normalize": "rows"}, "only if they are plain means"),
        ({"curvature": EKFAC(), "classwise": True}, "only if they are plain means"),
        (
            {"curvature": EKFAC(), "ensemble": Dropout(2, 0.1, aggregate="ranks")},
            "only if they are plain means",
        ),
    ],
)
def test_scores_that_are_not_additive_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        group_influence(scorer(**params).fit(X, Y), X, Y, [[1]])


# Adaptive greedy


class Oracle(BaseEstimator):
    """Scores each row by retraining: the watched prediction of a fit without the row."""

    def fit(self, X, y, X_val=None, y_val=None):
        def predict(rows):
            return (X_val @ np.linalg.lstsq(X[rows], y[rows], rcond=None)[0]).item()

        n = len(X)
        self.scores_ = np.array([predict(np.delete(np.arange(n), i)) for i in range(n)])
        return self


def greedy_by_hand(table, k):
    """Drop k rows in turn, each time the row without which a new fit predicts the least."""
    dropped = []
    for _ in range(k):
        left = np.setdiff1d(np.arange(table.n), dropped)
        dropped.append(min(left, key=lambda i: table.refit([*dropped, i])))
    return tuple(sorted(int(i) for i in dropped))


@pytest.mark.parametrize("seed", range(10))
def test_adaptive_greedy_with_exact_scores_matches_the_greedy_oracle(seed):
    table = Table(seed)
    for k in (1, 3, 5):
        rule = AdaptiveGreedy(count=k, step=1)
        assert table.select(Oracle(), rule) == greedy_by_hand(table, k)


class LeaveOneOut(BaseEstimator):
    """Scores each row by `group_influence(of_rest=True)`: one fit, no retraining."""

    def __init__(self, scorer=None):
        self.scorer = scorer

    def fit(self, X, y, X_val=None, y_val=None):
        fitted = self.scorer.fit(X, y, X_val=X_val, y_val=y_val)
        rows = [[i] for i in range(len(X))]
        self.scores_ = group_influence(fitted, X, y, rows, of_rest=True)
        return self


@pytest.mark.parametrize("seed", range(3))
def test_adaptive_greedy_with_group_influence_matches_the_greedy_oracle(seed):
    table = Table(seed)
    own = LeaveOneOut(table.scorer(check_gradients=False))
    assert table.select(own, AdaptiveGreedy(count=3, step=1)) == greedy_by_hand(table, 3)


def test_adaptive_greedy_finds_the_best_set_where_the_top_k_fails(table):
    top = table.select(table.scorer(), Budget(count=3))
    greedy = table.select(table.scorer(), AdaptiveGreedy(count=3, step=1))
    best = min(itertools.combinations(range(14), 3), key=table.refit)
    assert greedy == best
    assert table.refit(top) > table.refit(best) + 0.2
    assert top != best


def test_a_single_step_equals_the_budget_rule(table):
    step = AdaptiveGreedy(count=3, step=3)
    assert table.select(table.scorer(), step) == table.select(table.scorer(), Budget(count=3))


def test_a_selector_scores_the_remaining_rows_again_in_the_same_folds():
    """Two folds stay the same and are refitted after each step."""
    rule = AdaptiveGreedy(count=4, step=2)
    found = selector(rule).fit(X, Y)
    rescored = []

    class Spy(AdaptiveGreedy):
        def decide(self, scores, y, suggested=None, rescore=None):
            def spied(rows):
                rescored.append(rows)
                return rescore(rows)

            return super().decide(scores, y, suggested, spied)

    again = selector(Spy(count=4, step=2)).fit(X, Y)
    assert np.array_equal(found.support_, again.support_)
    (rows,) = rescored
    assert len(rows) == 88
    assert set(np.argsort(found.scores_)[:2]) == set(range(90)) - set(rows)
    assert found.support_.sum() == 86


def test_a_warm_started_net_continues_from_its_weights():
    rows = {"X_val": X[:9], "y_val": Y[:9]}
    warm = scorer(estimator=quick(warm_start=True)).fit(X, Y, **rows)
    first = warm.estimator_
    warm.fit(X[5:], Y[5:], **rows)
    assert len(first.history) == 5  # the net of the first fit is unchanged
    assert len(warm.estimator_.history) == 10
    assert warm.estimator_.history[5, "train_loss"] < first.history[0, "train_loss"] / 2
    cold = scorer().fit(X, Y, **rows).fit(X[5:], Y[5:], **rows)
    assert len(cold.estimator_.history) == 5


def test_checkpoints_of_a_warm_start_come_from_its_own_epochs():
    warm = scorer(estimator=quick(warm_start=True), ensemble=Checkpoints(3)).fit(X, Y).fit(X, Y)
    assert len(warm._members) == 3


def test_adaptive_greedy_works_in_a_selector_with_warm_started_nets():
    found = selector(
        AdaptiveGreedy(0.1, step=3, per_class=True), scorer=scorer(estimator=quick(warm_start=True))
    ).fit(X, Y)
    assert np.bincount(Y[~found.support_]).tolist() == [3, 3, 3]


@pytest.mark.parametrize("step", [0, 2.5, "1"])
def test_an_invalid_step_is_refused(step):
    with pytest.raises(ValueError, match="AdaptiveGreedy"):
        selector(AdaptiveGreedy(step=step)).fit(X, Y)


def test_adaptive_greedy_needs_a_way_to_score_again():
    with pytest.raises(TypeError, match="has to score again"):
        AdaptiveGreedy().decide(np.arange(10.0), np.zeros(10))
