"""Retraining, which scores are compared with, is tested on closed forms and small cases."""

import time

import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.datasets import load_diabetes, load_iris
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from skorch.dataset import Dataset as SkorchDataset
from small import as_dict, blobs, dict_net, line, logits_net, quick, quick_regressor
from torch.utils.data import DataLoader, TensorDataset

from skinfluence.metrics import leave_one_out_correlation, linear_datamodeling_score
from skinfluence.retraining import (
    brittleness,
    draw_subsets,
    leave_one_out,
    leave_some_out,
    removal_curve,
    retrain,
    row_losses,
)


def cut(load, n=60):
    """Training and reference rows of a table: X, y, X_val, y_val."""
    X, y = load(return_X_y=True)
    X, X_val, y, y_val = train_test_split(X, y, train_size=n, test_size=15, random_state=0)
    return X, y, X_val, y_val


def plain_retrain(estimator, X, y, kept, X_val, y_val):
    """The same in a plain loop, for a classifier without randomness."""
    losses = []
    for mask in kept:
        fitted = estimator.fit(X[mask], y[mask])
        proba = fitted.predict_proba(X_val)
        losses.append(
            [log_loss([t], [p], labels=fitted.classes_) for t, p in zip(y_val, proba, strict=True)]
        )
    return np.array(losses)


class Noise(RegressorMixin, BaseEstimator):
    """Predicts numbers that it draws while fitting, from every source of random numbers."""

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        own = np.random.RandomState(self.random_state).rand()
        time.sleep(1e-4)  # lets other threads run
        self.value_ = [own, np.random.rand(), torch.rand(()).item()]  # noqa: NPY002
        return self

    def predict(self, X):
        return np.full(len(X), sum(self.value_))


class Majority(ClassifierMixin, BaseEstimator):
    """Predicts the most frequent class; of equally frequent ones, the smaller label."""

    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.most_ = self.classes_[counts.argmax()]
        return self

    def predict(self, X):
        return np.full(len(X), self.most_)


# --- subsets -----------------------------------------------------------------------------------


def test_subsets_have_the_given_size_and_differ():
    kept = draw_subsets(40, 7, 0.3, random_state=0)
    assert kept.shape == (7, 40)
    assert kept.dtype == bool
    assert (kept.sum(1) == 12).all()
    assert len(np.unique(kept, axis=0)) == 7


def test_each_row_is_kept_as_often_as_any_other():
    share = draw_subsets(20, 4000, 0.25, random_state=0).mean(0)
    np.testing.assert_allclose(share, 0.25, atol=0.03)  # four standard deviations


def test_stratified_subsets_keep_the_share_of_each_class():
    y = np.array(["a"] * 30 + ["b"] * 10 + ["c"])
    kept = draw_subsets(41, 20, 0.5, stratify=y, random_state=0)
    assert {tuple(np.unique(y[mask], return_counts=True)[1]) for mask in kept} == {(15, 5, 1)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n=0: expected an integer"),
        ({"n_subsets": 1.5}, "n_subsets=1.5: expected an integer"),
        ({"fraction": 1.0}, "fraction=1.0: expected a number between"),
        ({"stratify": [0, 1]}, r"stratify has shape \(2,\); expected \(9,\)"),
    ],
)
def test_subsets_that_cannot_be_drawn_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_subsets(**{"n": 9} | arguments)


# --- outcomes ----------------------------------------------------------------------------------


def test_outcomes_equal_those_of_a_loop_over_the_subsets():
    X, y, X_val, y_val = cut(load_iris)
    kept = draw_subsets(60, 4, stratify=y, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    slow = plain_retrain(model, X, y, kept, X_val, y_val)
    np.testing.assert_allclose(retrain(model, X, y, kept, X_val, y_val), slow, atol=1e-12)


def test_loss_of_a_regressor_is_its_squared_error_over_the_outputs():
    X, y = line(outputs=2)
    fitted = LinearRegression().fit(X, y)
    np.testing.assert_allclose(row_losses(fitted, X, y), ((fitted.predict(X) - y) ** 2).mean(1))


def test_the_users_own_net_is_retrained():
    X, y = blobs()
    X = X.astype(np.float32)
    kept = draw_subsets(90, 2, stratify=y, random_state=0)
    losses = retrain(logits_net(), X, y, kept, X[:7], y[:7], random_state=0)
    assert losses.shape == (2, 7)
    assert np.isfinite(losses).all()


def test_targets_in_one_column_equal_a_vector():
    X, y = line()
    kept = draw_subsets(80, 2, random_state=0)
    flat, column = (
        retrain(quick_regressor(), X, t, kept, X[:5], t[:5], random_state=0)
        for t in (y, y[:, None])
    )
    np.testing.assert_array_equal(flat, column)


@pytest.mark.parametrize("container", ["lists", "frame", "tensors"])
def test_rows_may_come_in_any_container(container):
    X, y = blobs(60)
    X = X.astype(np.float32)
    model, into = LogisticRegression(), np.ndarray.tolist
    if container == "frame":
        pd = pytest.importorskip("pandas")
        model = make_pipeline(StandardScaler(), LogisticRegression())
        into = lambda a: (pd.DataFrame if a.ndim == 2 else pd.Series)(a, index=range(7, 67))  # noqa: E731
    elif container == "tensors":
        model, into = logits_net(), torch.as_tensor
    kept = draw_subsets(60, 2, stratify=y, random_state=0)
    given = retrain(model, into(X), into(y), kept, into(X), into(y), random_state=0)
    arrays = retrain(model, X, y, kept, X, y, random_state=0)
    # lists hold doubles and arrays hold singles, and the solver stops at 1e-4
    np.testing.assert_allclose(given, arrays, rtol=1e-3)


def test_rows_of_several_inputs_are_retrained():
    X, y = blobs(60)
    kept, rows = draw_subsets(60, 2, stratify=y, random_state=0), as_dict(X)
    losses = retrain(dict_net(), rows, y, kept, rows, y, random_state=0)
    halves = [{name: a[mask] for name, a in rows.items()} for mask in kept]
    alone = [
        retrain(dict_net(), half, y[mask], np.ones((1, 30), bool), rows, y, random_state=0)[0]
        for half, mask in zip(halves, kept, strict=True)
    ]
    np.testing.assert_array_equal(losses, alone)
    assert not np.array_equal(*losses)


@pytest.mark.parametrize("kind", ["skorch", "torch"])
def test_datasets_are_retrained_as_their_arrays_are(kind):
    X, y = blobs(60)
    X = X.astype(np.float32)
    data = SkorchDataset(X, y) if kind == "skorch" else TensorDataset(*map(torch.tensor, (X, y)))
    kept = draw_subsets(60, 2, stratify=y, random_state=0)
    given = retrain(logits_net(), data, y, kept, data, y, random_state=0)
    np.testing.assert_array_equal(given, retrain(logits_net(), X, y, kept, X, y, random_state=0))


def test_a_dataset_without_y_is_refused():
    X, y = blobs(60)
    data, kept = SkorchDataset(X.astype(np.float32), y), np.ones((1, 60), bool)
    with pytest.raises(ValueError, match="y is None; give one label per row of X"):
        retrain(logits_net(), data, None, kept, data, y)
    with pytest.raises(ValueError, match="y_val is None; give one reference row or more"):
        retrain(logits_net(), data, y, kept, data, None)


@pytest.mark.parametrize("kind", ["dict", "dataset"])
def test_a_ready_made_net_says_that_it_takes_a_table(kind):
    X, y = blobs(60)
    rows = as_dict(X) if kind == "dict" else SkorchDataset(X.astype(np.float32), y)
    kept = draw_subsets(60, 1, stratify=y, random_state=0)
    with pytest.raises(ValueError, match=r"take a table, .* use a net of your own"):
        retrain(quick(), rows, y, kept, rows, y)


def test_an_outcome_may_be_a_single_number():
    X, y, X_val, y_val = cut(load_iris)
    kept = draw_subsets(60, 3, random_state=0)
    found = retrain(
        LinearSVC(), X, y, kept, X_val, y_val, outcome=lambda f, X, y: f.score(X, y), random_state=0
    )
    assert found.shape == (3, 1)


# --- randomness --------------------------------------------------------------------------------


def test_seeds_are_the_same_for_every_subset_and_every_call():
    X, y = line(20)
    kept = draw_subsets(20, 3, random_state=0)
    one, again = (retrain(Noise(), X, y, kept, X[:1], [0.0], random_state=3) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert len(np.unique(one)) == 1
    assert retrain(Noise(), X, y, kept, X[:1], [0.0], random_state=4)[0] != one[0]


def own_draw(fitted, X, y):
    return fitted.value_[0]


def test_outcomes_are_means_over_seeds_that_replace_the_estimators_seed():
    X, y = line(20)
    kept, options = np.ones((1, 20), dtype=bool), {"outcome": own_draw, "random_state": 0}
    one, three = (
        retrain(Noise(7), X, y, kept, X[:1], [0.0], n_seeds=k, **options).item() for k in (1, 3)
    )
    assert one != np.random.RandomState(7).rand()
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)
    each = [
        retrain(
            Noise(), X, y, kept, X[:1], [0.0], outcome=own_draw, random_state=Given(seed)
        ).item()
        for seed in seeds
    ]
    assert one == each[0]
    assert three == pytest.approx(np.mean(each))


class Given(np.random.RandomState):
    """Draws a number from its own `random_state` only."""

    def __init__(self, number):
        super().__init__(0)
        self.number = number

    def randint(self, *args, size, **kwargs):
        return np.full(size, self.number)


@pytest.mark.slow  # starts two processes, each of which imports torch
@pytest.mark.parametrize("kind", ["net", "forest"])
def test_numbers_do_not_depend_on_the_number_of_jobs(kind):
    X, y = blobs(45)
    kept = draw_subsets(45, 3, stratify=y, random_state=0)
    model = quick() if kind == "net" else RandomForestClassifier(5)
    one, two = (
        retrain(model, X, y, kept, X, y, n_seeds=2, n_jobs=n_jobs, random_state=0)
        for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_the_callers_random_states_and_estimator_stay_unchanged():
    X, y = blobs(45)
    net, threads = quick(), torch.get_num_threads()
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    params = str(net.get_params(deep=False))
    leave_some_out(net, X, y, [[0, 1]], X, y, random_state=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
    assert str(net.get_params(deep=False)) == params
    assert not net.initialized_
    assert torch.get_num_threads() == threads


# --- leaving rows out --------------------------------------------------------------------------


def test_leaving_out_a_row_of_least_squares_gives_the_closed_form():
    X, y, X_val, y_val = cut(load_diabetes)
    design, reference = (np.column_stack([np.ones(len(A)), A]) for A in (X, X_val))
    inverse = np.linalg.inv(design.T @ design)
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    residual = y - design @ (inverse @ design.T @ y)
    before = reference @ (inverse @ design.T @ y)
    shift = (residual / (1 - leverage))[:, None] * (design @ inverse @ reference.T)
    exact = (before - shift - y_val) ** 2 - (before - y_val) ** 2
    found = leave_one_out(LinearRegression(), X, y, X_val, y_val)
    np.testing.assert_allclose(found, exact, atol=1e-8 * np.abs(exact).max())


def test_rows_that_help_have_positive_changes():
    y = np.r_[np.zeros(9), 10.0]
    changes = leave_one_out(DummyRegressor(), np.zeros((10, 1)), y, [[0.0]], [0.0])
    assert (changes[:9] > 0).all()
    assert changes[9] < 0


def test_a_group_of_one_is_a_row():
    X, y, X_val, y_val = cut(load_iris)
    model = LogisticRegression(C=0.1)
    some = leave_some_out(model, X, y, [[3], np.array([-1])], X_val, y_val)
    np.testing.assert_array_equal(some, leave_one_out(model, X, y, X_val, y_val, rows=[3, 59]))


def test_exact_influence_agrees_with_leaving_out_rows_of_least_squares():
    X, y, X_val, y_val = cut(load_diabetes)
    changes = leave_one_out(LinearRegression(), X, y, X_val, y_val)
    report = leave_one_out_correlation(changes * 7, changes, n_resamples=50, random_state=0)
    assert report["correlation"] == pytest.approx(1)


def test_leaving_out_single_rows_predicts_random_halves_of_a_ridge_model():
    X, y, X_val, y_val = cut(load_iris)
    model = LogisticRegression(C=0.1)
    changes = leave_one_out(model, X, y, X_val, y_val)
    kept = draw_subsets(60, 20, 0.8, stratify=y, random_state=0)
    report = linear_datamodeling_score(
        changes, kept, retrain(model, X, y, kept, X_val, y_val), random_state=0
    )
    assert report["lds"] > 0.9  # 0.98 measured


# --- removal -----------------------------------------------------------------------------------


def test_dropping_no_rows_gives_the_plain_fit_on_every_curve():
    X, y, X_val, y_val = cut(load_iris)
    model = LogisticRegression()
    curve = removal_curve(
        model, X, y, np.arange(60.0), X_val, y_val, fractions=[0, 0.5], n_random=2, random_state=0
    )
    plain = model.fit(X, y).score(X_val, y_val)
    assert [curve.lowest[0], curve.highest[0], *curve.random[0]] == [plain] * 4
    assert curve.n_removed.tolist() == [0, 30]


def test_each_curve_drops_the_rows_it_names():
    y = np.arange(10.0)
    curve = removal_curve(
        DummyRegressor(),
        np.zeros((10, 1)),
        y,
        y,
        [[0.0]],
        [0.0],
        fractions=[0.2, 0.4],
        n_random=3,
        score=lambda fitted, X, y: fitted.predict(X)[0],
        random_state=0,
    )
    np.testing.assert_allclose(curve.lowest, [y[2:].mean(), y[4:].mean()])
    np.testing.assert_allclose(curve.highest, [y[:8].mean(), y[:6].mean()])
    assert curve.random.shape == (2, 3)
    np.testing.assert_allclose(curve.random_mean, curve.random.mean(1))
    np.testing.assert_allclose(curve.random_std, np.std(curve.random, axis=1, ddof=1))


def test_curves_can_be_switched_off():
    X, y, X_val, y_val = cut(load_iris)
    curve = removal_curve(
        LogisticRegression(),
        X,
        y,
        np.arange(60.0),
        X_val,
        y_val,
        fractions=[0.1],
        highest=False,
        n_random=0,
        score="neg_log_loss",
    )
    assert curve.highest is None
    assert curve.random.shape == (1, 0)
    assert np.isnan(curve.random_mean).all()
    assert np.isnan(curve.random_std).all()
    assert curve.score_name == "neg_log_loss"


def test_rows_of_equal_score_are_dropped_in_random_order():
    X, y = load_iris(return_X_y=True)  # sorted by class
    curve = removal_curve(
        KNeighborsClassifier(1), X, y, np.zeros(150), X, y, fractions=[1 / 3], random_state=0
    )
    assert curve.lowest[0] > 0.9  # without one class it would be 2/3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": np.zeros(3)}, "scores has 3 entries, X has 60 rows"),
        ({"scores": np.full(60, np.nan)}, "scores holds 60 NaN"),
        ({"fractions": [0.1, 1.0]}, "shares of the rows, each in"),
        ({"fractions": [0.999]}, "leaves none of the 60 rows"),
        ({"n_random": -1}, "n_random=-1: expected an integer"),
    ],
)
def test_bad_arguments_of_removal_curve_are_refused(arguments, message):
    X, y, X_val, y_val = cut(load_iris)
    given = {"scores": np.arange(60.0)} | arguments
    with pytest.raises(ValueError, match=message):
        removal_curve(KNeighborsClassifier(), X, y, X_val=X_val, y_val=y_val, **given)


# --- brittleness -------------------------------------------------------------------------------


def neighbors(n_own, n_other):
    """Rows on a line and one reference row at 0: its own class is near, the other one far."""
    X = np.r_[0.01 * np.arange(1, n_own + 1), 1 + 0.01 * np.arange(n_other)][:, None]
    return X, np.r_[np.zeros(n_own, int), np.ones(n_other, int)]


@pytest.mark.parametrize("n_own", [1, 2, 3, 5, 6, 8, 11])
def test_a_nearest_neighbor_is_wrong_without_the_rows_of_its_class(n_own):
    X, y = neighbors(n_own, 12)
    found = brittleness(KNeighborsClassifier(1), X, y, -X, [[0.0]], [0], max_removed=12)
    assert found.tolist() == [n_own]


@pytest.mark.parametrize("n_own", [7, 8, 9, 12])
def test_bisection_finds_the_exact_number_and_the_powers_of_two_one_above(n_own):
    # 5 rows of the other class: `Majority` is wrong when fewer than 5 of its own class are left
    X, y = neighbors(n_own, 5)
    edge, options = n_own - 4, {"max_removed": n_own}
    fine = brittleness(Majority(), X, y, -X, [[0.0]], [0], **options)
    rough = brittleness(Majority(), X, y, -X, [[0.0]], [0], refine=False, **options)
    assert fine.tolist() == [edge]
    assert rough.tolist() == [2 ** np.ceil(np.log2(edge))]


def test_a_wrong_prediction_counts_zero_and_a_stable_one_infinity():
    X, y = neighbors(8, 4)
    found = brittleness(
        KNeighborsClassifier(1), X, y, -np.c_[X, X], [[0.0], [1.0]], [0, 0], max_removed=4
    )
    assert found.tolist() == [np.inf, 0]


def test_better_scores_need_fewer_rows_than_random_scores():
    X, y, X_val, y_val = cut(load_iris)
    model = KNeighborsClassifier(5)
    near = -np.linalg.norm(X[:, None] - X_val, axis=2) * np.where(y[:, None] == y_val, 1, -1)
    by_lot = np.random.RandomState(0).randn(*near.shape)
    helpful = np.where(y[:, None] == y_val, near, -np.inf)
    known, chance = (
        brittleness(model, X, y, s, X_val, y_val, max_removed=40) for s in (helpful, by_lot)
    )
    assert (known <= chance).all()
    assert np.median(known) < np.median(chance)


def test_threads_give_the_same_numbers_and_leave_every_random_state_as_it_was():
    X, y = line(30)
    kept = draw_subsets(30, 20, random_state=0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    one = retrain(Noise(), X, y, kept, X[:2], y[:2], random_state=0)
    with parallel_config(backend="threading"):
        four = retrain(Noise(), X, y, kept, X[:2], y[:2], n_jobs=4, random_state=0)
    np.testing.assert_array_equal(four, one)
    assert np.array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.slow
def test_brittleness_of_a_net_is_the_same_with_two_jobs():
    X, y = blobs(45, classes=2)
    scores = np.where(y[:, None] == y[:3], 1.0, -1.0) * np.arange(1, 46)[:, None]
    one, two = (
        brittleness(quick(), X, y, scores, X[:3], y[:3], random_state=0, n_seeds=2, n_jobs=n_jobs)
        for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scores": np.zeros(60)}, ValueError, r"scores has shape \(60,\); expected \(60, 15\)"),
        ({"scores": np.full((60, 15), np.nan)}, ValueError, "scores holds 900 NaN"),
        ({"max_removed": 60}, ValueError, "max_removed=60: expected an integer from 1 to 59"),
        ({"estimator": LinearRegression()}, TypeError, "is not a classifier"),
    ],
)
def test_bad_arguments_of_brittleness_are_refused(arguments, error, message):
    X, y, X_val, y_val = cut(load_iris)
    given = {"estimator": KNeighborsClassifier(), "scores": np.zeros((60, 15))} | arguments
    with pytest.raises(error, match=message):
        brittleness(X=X, y=y, X_val=X_val, y_val=y_val, **given)


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"kept": np.ones(60, bool)}, ValueError, r"kept has shape \(60,\); expected"),
        ({"kept": np.ones((2, 59), bool)}, ValueError, r"expected \(n_subsets, 60\)"),
        ({"kept": np.arange(60)[None]}, ValueError, "masks of the rows, not their positions"),
        ({"kept": np.zeros((2, 60), bool)}, ValueError, "subset 0 of kept keeps no row"),
        ({"y": [0, 1]}, ValueError, "X has 60 rows and y is of 2 rows"),
        ({"y": None}, ValueError, "X has 60 rows and y is None"),
        ({"y_val": [0]}, ValueError, "X_val has 15 rows and y_val is of 1 rows"),
        ({"y_val": [7] * 15}, ValueError, "not fitted to any row of class 7"),
        ({"n_seeds": 0}, ValueError, "n_seeds=0: expected an integer"),
        ({"X": DataLoader([0])}, TypeError, r"X is a DataLoader.*Pass its dataset"),
        ({"X_val": DataLoader([0])}, TypeError, r"X_val is a DataLoader.*Pass its dataset"),
        ({"outcome": lambda *_: [1.0, 2.0]}, ValueError, r"outcome returned shape \(2,\)"),
        ({"estimator": LinearSVC()}, TypeError, "LinearSVC has no predict_proba"),
        ({"estimator": LogisticRegression}, TypeError, "expected an estimator, an object"),
        ({"estimator": FrozenEstimator(LogisticRegression())}, TypeError, "is frozen"),
    ],
)
def test_bad_arguments_of_retrain_are_refused(changed, error, message):
    X, y, X_val, y_val = cut(load_iris)
    given = {
        "estimator": LogisticRegression(),
        "X": X,
        "y": y,
        "kept": draw_subsets(60, 2, stratify=y, random_state=0),
        "X_val": X_val,
        "y_val": y_val,
    }
    with pytest.raises(error, match=message):
        retrain(**given | changed)


def test_a_subset_that_loses_a_class_is_refused_before_any_fit():
    X, y, X_val, y_val = cut(load_iris)
    kept = np.array([np.ones(60, bool), y != 1])
    with pytest.raises(ValueError, match=r"subset 1 of kept has no row of class 1.*stratify=y"):
        retrain(LogisticRegression(), X, y, kept, X_val, y_val)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ([60], r"groups\[1\] names rows 60 to 60; X has 60 rows"),
        ([], r"groups\[1\] is"),
        ([0.5], "positions"),
    ],
)
def test_groups_without_valid_positions_are_refused(group, message):
    X, y, X_val, y_val = cut(load_iris)
    with pytest.raises(ValueError, match=message):
        leave_some_out(LogisticRegression(), X, y, [[0], group], X_val, y_val)


def test_a_progress_bar_counts_the_trainings(capsys):
    X, y = line(20)
    kept = draw_subsets(20, 2, random_state=0)
    retrain(LinearRegression(), X, y, kept, X, y, n_seeds=2, verbose=1)
    assert "4/4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({}, "a dict of 0 entries"),
        ({"a": np.zeros((6, 2)), "b": np.zeros((5, 2))}, r"with \[6, 5\] rows"),
    ],
)
def test_a_dict_of_unequal_entries_is_refused(rows, said):
    with pytest.raises(ValueError, match=said):
        retrain(LogisticRegression(), rows, np.zeros(6), np.ones((1, 6)), np.zeros((1, 2)), [0])


def test_a_dataset_with_other_labels_than_y_is_refused():
    rows = TensorDataset(torch.zeros(6, 2), torch.tensor([0, 1, 0, 1, 0, 1]))
    with pytest.raises(ValueError, match="have other labels than y"):
        retrain(LogisticRegression(), rows, np.ones(6), np.ones((1, 6)), np.zeros((1, 2)), [0])
