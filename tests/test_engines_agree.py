"""Scores of a net in train mode equal those of a loop with one backward pass per row."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from zoo import MODULES, loop_gradients, make

from skinfluence import InfluenceScorer

# Both sides sum the same terms in another order: a few hundred roundings at most.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
LABELS = [0, 1, 2]

each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
each_net = pytest.mark.parametrize("name", MODULES)
pytestmark = pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning")


def fitted(name, dtype=torch.float64, **options):
    """A scorer of a frozen net, with the last three rows as reference rows; the net, X and y."""
    net, X, y = make(name, dtype, classes=LABELS, batch_size=3)
    scorer = InfluenceScorer(FrozenEstimator(net), **options)
    scorer.fit(X, y, X_val=X[4:], y_val=y[4:])
    assert net.module_.training
    return scorer, net, X, y


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def assert_close(got, want, dtype=torch.float64):
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE[dtype] * np.abs(want).max())


@each_dtype
@each_net
@pytest.mark.parametrize("normalize", [None, "rows", "reference", "both"])
def test_scores_are_inner_products_of_the_loop(name, normalize, dtype):
    scorer, net, X, y = fitted(name, dtype, normalize=normalize)
    rows, reference = loop_gradients(net, X, y), loop_gradients(net, X[4:], y[4:])
    if normalize in ("rows", "both"):
        rows = unit(rows)
    if normalize in ("reference", "both"):
        reference = unit(reference)
    assert_close(scorer.score_samples(X, y), rows @ reference.mean(0), dtype)


@each_dtype
@each_net
def test_classwise_scores_are_the_lowest_over_the_classes_of_the_loop(name, dtype):
    scorer, net, X, y = fitted(name, dtype, classwise=True)
    rows, reference = loop_gradients(net, X, y), loop_gradients(net, X[4:], y[4:])
    assert len(np.unique(y[4:])) > 1
    means = np.stack([reference[y[4:] == c].mean(0) for c in np.unique(y[4:])])
    assert_close(scorer.score_samples(X, y), (rows @ means.T).min(1), dtype)


@each_dtype
@each_net
@pytest.mark.parametrize("normalize", [None, "rows"])
def test_a_column_of_transform_is_the_score_under_that_label(name, normalize, dtype):
    scorer, _, X, y = fitted(name, dtype, normalize=normalize)
    columns = [scorer.score_samples(X, np.full(len(y), label)) for label in LABELS]
    assert_close(scorer.transform(X), np.stack(columns, 1), dtype)


@each_net
def test_scores_of_fit_are_those_of_score_samples(name):
    scorer, _, X, y = fitted(name)
    assert_close(scorer.scores_, scorer.score_samples(X, y))


@pytest.mark.parametrize("parameters", ["0.*", "2.weight", ["*.bias"]])
def test_only_the_chosen_parameters_count(parameters):
    scorer, net, X, y = fitted("mlp", parameters=parameters)
    globs = {"0.*": "0.", "2.weight": "2.weight"}
    for name, p in net.module_.named_parameters():
        chosen = (
            "bias" in name if isinstance(parameters, list) else name.startswith(globs[parameters])
        )
        p.requires_grad_(chosen)
    want = loop_gradients(net, X, y) @ loop_gradients(net, X[4:], y[4:]).mean(0)
    assert_close(scorer.score_samples(X, y), want)
