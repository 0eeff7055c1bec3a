"""Scores depend on neither batches nor memory; bad input ends in a clear error."""

import signal
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import Dataset as SkorchDataset
from small import blobs, logits_net, quick, scorer
from torch import nn
from torch.utils.data import TensorDataset

from skinfluence import (
    FilteredEstimator,
    InfluenceSampleSelector,
    InfluenceScorer,
    NoisyLabelDetector,
)
from skinfluence.active import InfluenceQuery, LDMQuery
from skinfluence.ensembles import Checkpoints, Seeds
from skinfluence.methods import LayerAware, Loss, OutlierGradients, SelfInfluence
from skinfluence.pairwise import influence_matrix
from skinfluence.retraining import brittleness, removal_curve, retrain
from skinfluence.stream import score_stream

X, Y = blobs()
X32 = X.astype(np.float32)


class Greedy(nn.Linear):
    """A layer that runs out of memory for more than a few rows at a time."""

    most = None
    asked = []

    def forward(self, X):
        if self.most is not None and len(X) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        Greedy.asked.append(len(X))
        return super().forward(X)


@pytest.fixture
def greedy(monkeypatch):
    """A function that sets for how many rows there is memory."""
    monkeypatch.setattr(Greedy, "asked", [])
    yield lambda most: setattr(Greedy, "most", most)
    Greedy.most = None


def of_greedy(**params):
    net = NeuralNetClassifier(
        Greedy,
        module__in_features=4,
        module__out_features=3,
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        verbose=0,
        max_epochs=3,
    )
    return InfluenceScorer(net, random_state=0, **params).fit(X32, Y)


@pytest.mark.parametrize("most", [1, 7, 45, 89])
@pytest.mark.parametrize(
    "params",
    [{}, {"normalize": "rows"}, {"method": SelfInfluence()}, {"method": Loss()}],
    ids=str,
)
def test_a_batch_too_large_for_memory_is_halved(params, most, greedy):
    fitted = of_greedy(**params)
    want, columns = fitted.score_samples(X32, Y), fitted.transform(X32)
    greedy(most)
    Greedy.asked.clear()
    np.testing.assert_allclose(fitted.score_samples(X32, Y), want, rtol=1e-4, atol=1e-6)
    assert max(Greedy.asked) <= most
    np.testing.assert_allclose(fitted.transform(X32), columns, rtol=1e-4, atol=1e-6)


def test_if_not_even_one_row_fits_the_memory_error_is_raised(greedy):
    fitted = of_greedy()
    greedy(0)
    with pytest.raises(torch.OutOfMemoryError):
        fitted.score_samples(X32, Y)


def test_a_memory_error_is_not_taken_for_a_missing_forward_mode_rule(greedy, recwarn):
    """No warning about forward mode, and no slower engine for the remaining rows."""
    fitted = of_greedy()
    greedy(10)
    fitted.score_samples(X32, Y)
    assert not [w for w in recwarn if "forward-mode" in str(w.message)]


# Properties


@pytest.fixture(scope="module")
def in_double():
    """A scorer whose sums differ only by rounding in double precision."""
    net = NeuralNetClassifier(
        nn.Linear,
        module__in_features=4,
        module__out_features=3,
        module__dtype=torch.float64,
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        verbose=0,
        max_epochs=3,
    )
    return InfluenceScorer(net, random_state=0).fit(X, Y)


numbers = st.floats(-5, 5, width=32)
tables = st.integers(1, 40).flatmap(lambda n: arrays(np.float64, (n, 4), elements=numbers))


@settings(max_examples=40, deadline=None)
@given(rows=tables, batch=st.integers(1, 50), chunk=st.integers(1, 50), seed=st.integers(0, 9))
def test_neither_batches_nor_chunks_nor_order_change_a_score(rows, batch, chunk, seed, in_double):
    labels = np.random.RandomState(seed).randint(3, size=len(rows))
    want = in_double.score_samples(rows, labels)
    in_double.estimator_.iterator_valid__batch_size = batch
    try:
        got = score_stream(in_double, rows, labels, chunk_size=chunk)
        order = np.random.RandomState(seed).permutation(len(rows))
        shuffled = in_double.score_samples(rows[order], labels[order])
    finally:
        del in_double.estimator_.iterator_valid__batch_size
    scale = max(np.abs(want).max(), 1e-6)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(shuffled, want[order], rtol=0, atol=1e-12 * scale)


@settings(max_examples=30, deadline=None)
@given(rows=tables)
def test_a_column_of_transform_is_the_score_under_its_label(rows, in_double):
    columns = in_double.transform(rows)
    for label in range(3):
        got = in_double.score_samples(rows, np.full(len(rows), label))
        np.testing.assert_allclose(columns[:, label], got, atol=1e-12 * np.abs(columns).max())


@settings(max_examples=30, deadline=None)
@given(rows=tables, factor=st.floats(0.125, 8))
def test_scores_are_linear_in_the_target(rows, factor, in_double):
    labels = np.zeros(len(rows), dtype=int)
    one = in_double.retarget(lambda f, y: f[:, 0].mean(), rows, labels).scores_
    more = in_double.retarget(lambda f, y: factor * f[:, 0].mean(), rows, labels).scores_
    np.testing.assert_allclose(more, factor * one, rtol=1e-9, atol=1e-12)


# Fuzzing: bad input to every estimator ends in a clear error

ESTIMATORS = [
    scorer(),
    scorer(method=LayerAware()),
    scorer(method=OutlierGradients()),
    NoisyLabelDetector(quick(), cv=2, random_state=0),
    InfluenceSampleSelector(scorer(), cv=2),
    FilteredEstimator(selector=InfluenceSampleSelector(scorer(), cv=2)),
]
BAD = {
    "nan in X": (np.where(np.arange(360).reshape(90, 4) == 7, np.nan, X), Y),
    "infinity in X": (np.where(np.arange(360).reshape(90, 4) == 7, np.inf, X), Y),
    "huge X": (np.where(np.arange(360).reshape(90, 4) == 7, 1e300, X), Y),
    "text in X": (np.where(np.arange(360).reshape(90, 4) == 7, "a", X.astype(str)), Y),
    "no rows": (X[:0], Y[:0]),
    "no columns": (X[:, :0], Y),
    "one axis": (X[:, 0], Y),
    "complex": (X.astype(complex), Y),
    "too few labels": (X, Y[:80]),
    "one class": (X, np.zeros(90, dtype=int)),
    "no labels": (X, None),
    "nan in y": (X, np.where(np.arange(90) == 3, np.nan, Y)),
    "mixed y": (X, np.array([1, "a", *[0] * 88], dtype=object)),
    "nested y": (X, [[1, 2], [3], *[[1]] * 88]),
    "one row": (X[:1], Y[:1]),
    "a scalar": (3.0, Y),
    "nothing": (None, None),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_bad_input_ends_in_a_clear_error(estimator, kind):
    with pytest.raises((ValueError, TypeError)) as error:
        estimator.fit(*BAD[kind])
    assert len(str(error.value)) > 15
    assert not [name for name in vars(estimator) if name.endswith("_") and name == "scores_"]


def stopped(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("estimator", "place"),
    [
        (ESTIMATORS[0], "skinfluence.methods._inner_product.directions"),
        (ESTIMATORS[3], "skinfluence._label_noise.label_scores.LogOdds.finish"),
        (ESTIMATORS[4], "skinfluence._selector.InfluenceSampleSelector._check_decision"),
        (ESTIMATORS[5], "skinfluence._filtered.HistGradientBoostingClassifier.fit"),
    ],
    ids=["scorer", "detector", "selector", "filtered"],
)
@pytest.mark.parametrize("before", [False, True], ids=["at first", "fitted before"])
def test_after_a_fit_stopped_by_ctrl_c_the_estimator_is_not_fitted(
    estimator, place, before, monkeypatch
):
    estimator = clone(estimator)
    if before:
        estimator.fit(X, Y)
        check_is_fitted(estimator)
    with monkeypatch.context() as patch:
        patch.setattr(place, stopped)
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(X, Y)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


class PressCtrlC(Callback):
    """Sends the signal of Ctrl-C to this process at the end of a fit's second epoch."""

    fits_before = 0  # number of fits that are not interrupted

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            PressCtrlC.fits_before -= 1
            if PressCtrlC.fits_before < 0:
                signal.raise_signal(signal.SIGINT)


@pytest.fixture
def press(monkeypatch):
    """A function that sets how many fits run before Ctrl-C is pressed."""
    monkeypatch.setattr(PressCtrlC, "fits_before", 0)
    return lambda after: setattr(PressCtrlC, "fits_before", after)


NET = quick(callbacks=[PressCtrlC()])


@pytest.mark.parametrize(
    ("estimator", "after"),
    [
        (scorer(estimator=NET), 0),
        (scorer(estimator=NET, ensemble=Seeds(2)), 1),
        (scorer(estimator=NET, ensemble=Checkpoints(2)), 0),
        (NoisyLabelDetector(NET, cv=2, random_state=0), 1),
        (InfluenceSampleSelector(scorer(estimator=NET), cv=2), 1),
        (FilteredEstimator(NET, InfluenceSampleSelector(scorer(), cv=2)), 0),
        (
            FilteredEstimator(
                make_pipeline(StandardScaler(), NET), InfluenceSampleSelector(scorer(), cv=2)
            ),
            0,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_ctrl_c_that_skorch_swallows_ends_every_fit(estimator, after, press):
    """skorch ends its training loop at a KeyboardInterrupt, as if the net was fitted."""
    press(after)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X32, Y)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


class InterruptsForward(nn.Linear):
    """Raises a KeyboardInterrupt in a forward pass of the training, without a signal."""

    calls = 0

    def forward(self, X):
        InterruptsForward.calls += self.training
        if self.training and InterruptsForward.calls == 2:
            raise KeyboardInterrupt
        return super().forward(X)


class InterruptsReading(SkorchDataset):
    """Raises one while reading the fourth row."""

    def __getitem__(self, i):
        if i == 3:
            raise KeyboardInterrupt
        return super().__getitem__(i)


class InterruptsBatch(Callback):
    """Raises one in the middle of an epoch."""

    def on_batch_end(self, net, training, **kwargs):
        if training:
            raise KeyboardInterrupt


class InterruptsScoring(Callback):
    """Raises one where the net predicts at the end of an epoch."""

    def on_epoch_end(self, net, **kwargs):
        with patch.object(nn.Linear, "forward", side_effect=KeyboardInterrupt):
            net.predict(X32)


INTERRUPTED = {
    "forward": {"module": InterruptsForward},
    "dataset": {"dataset": InterruptsReading},
    "batch": {"callbacks": [InterruptsBatch()]},
    "scoring": {"callbacks": [InterruptsScoring()]},
}


@pytest.mark.parametrize("place", INTERRUPTED)
@pytest.mark.parametrize(
    "door",
    [
        lambda net: scorer(estimator=net).fit(X32, Y),
        lambda net: NoisyLabelDetector(net, cv=2).fit(X32, Y),
        lambda net: InfluenceSampleSelector(scorer(estimator=net), cv=2).fit(X32, Y),
        lambda net: FilteredEstimator(
            make_pipeline(StandardScaler(), net), InfluenceSampleSelector(scorer(), cv=2)
        ).fit(X32, Y),
        lambda net: FilteredEstimator(
            GridSearchCV(net, {"lr": [0.1]}, cv=2), InfluenceSampleSelector(scorer(), cv=2)
        ).fit(X32, Y),
        lambda net: retrain(net, X32, Y, np.ones((1, 90), bool), X32[:9], Y[:9]),
        lambda net: LDMQuery(net).query(X32, np.where(np.arange(90) % 3, Y, np.nan)),
    ],
    ids=["scorer", "detector", "selector", "filtered", "grid search", "retrain", "LDMQuery"],
)
def test_an_interrupt_without_a_signal_ends_every_fit(door, place, monkeypatch):
    monkeypatch.setattr(InterruptsForward, "calls", 0)
    with pytest.raises(KeyboardInterrupt):
        door(logits_net().set_params(**INTERRUPTED[place]))


def test_scores_of_an_interrupted_fit_are_not_cached(press, tmp_path):
    selector = InfluenceSampleSelector(scorer(estimator=NET), cv=2, random_state=0)
    press(1)
    with pytest.raises(KeyboardInterrupt):
        selector.set_params(memory=str(tmp_path)).fit(X32, Y)
    press(99)
    cached = selector.fit(X32, Y).scores_
    press(99)
    np.testing.assert_array_equal(cached, selector.set_params(memory=None).fit(X32, Y).scores_)


@pytest.mark.parametrize(
    "function",
    [
        lambda: retrain(NET, X32, Y, np.ones((1, 90), bool), X32[:9], Y[:9]),
        lambda: brittleness(NET, X32, Y, np.zeros((90, 2)), X32[:2], Y[:2]),
        lambda: removal_curve(NET, X32, Y, Y, X32[:9], Y[:9]),
        lambda: LDMQuery(NET).query(X32, np.where(np.arange(90) % 3, Y, np.nan)),
        lambda: InfluenceQuery(scorer(estimator=NET)).query(
            X32, np.where(np.arange(90) < 45, Y, np.nan)
        ),
    ],
    ids=["retrain", "brittleness", "removal_curve", "LDMQuery", "InfluenceQuery"],
)
def test_ctrl_c_that_skorch_swallows_ends_every_function_that_fits_nets(function, press):
    press(0)
    with pytest.raises(KeyboardInterrupt):
        function()


# Threads


class Drops(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))


def dropping(**params):
    """Make a net whose training draws initial weights, dropout masks and an order of the rows."""
    own = {"criterion": nn.CrossEntropyLoss, "train_split": None, "verbose": 0, "max_epochs": 10}
    return NeuralNetClassifier(Drops, iterator_train__shuffle=True, **own | params)


def scores_of(estimator, seed, as_dataset=False):
    estimator = clone(estimator).set_params(random_state=seed)
    if as_dataset:
        rows = TensorDataset(torch.as_tensor(X32), torch.as_tensor(Y))
        return estimator.fit(rows).scores_
    return getattr(estimator.fit(X32, Y), "selector_", estimator).scores_


@pytest.mark.parametrize(
    ("estimator", "as_dataset"),
    [
        (InfluenceScorer(dropping()), False),
        (InfluenceScorer(dropping()), True),
        (InfluenceScorer(dropping(), ensemble=Seeds(2)), False),
        (InfluenceScorer(quick()), False),
        (NoisyLabelDetector(dropping(), cv=2), False),
        (InfluenceSampleSelector(InfluenceScorer(dropping()), cv=2), False),
        (
            FilteredEstimator(
                dropping(), InfluenceSampleSelector(InfluenceScorer(dropping()), cv=2)
            ),
            False,
        ),
    ],
    ids=["scorer", "Dataset", "seeds", "ready-made net", "detector", "selector", "filtered"],
)
def test_a_seed_gives_the_same_scores_in_threads(estimator, as_dataset):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    alone = [scores_of(estimator, seed, as_dataset) for seed in range(3)]
    together = Parallel(3, backend="threading")(
        delayed(scores_of)(estimator, seed, as_dataset) for seed in range(3)
    )
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-9)
    if not isinstance(estimator, FilteredEstimator):  # the net that it fits itself has no seed
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("net", [quick(), dropping()], ids=["ready-made", "own"])
def test_fits_and_scores_do_not_depend_on_an_inference_mode_around_the_call(net):
    def scores():
        fitted = InfluenceScorer(net, random_state=0).fit(X32, Y)
        found = [fitted.scores_, fitted.score_samples(X32, Y), fitted.transform(X32)[:, 0]]
        return [*found, influence_matrix(fitted, X32, Y, X32[:1], Y[:1])[:, 0]]

    def detected():
        return NoisyLabelDetector(net, cv=2, random_state=0).fit(X32, Y).scores_

    def retrained():
        return retrain(net, X32, Y, np.ones((1, 90), bool), X32[:9], Y[:9], random_state=0)

    for function in (scores, detected, retrained):
        want = function()
        with torch.inference_mode():
            got = function()
            assert torch.is_inference_mode_enabled()
        np.testing.assert_array_equal(got, want)
