"""Scores, losses and predictions of rows equal those of a loop, at any batch size."""

import copy

import numpy as np
import pytest
import torch
from core_cases import ask, broken, each_batch_size, each_kind, fnet_of
from skorch import NeuralNetRegressor
from torch import nn
from zoo import assert_close, initialized, loop_gradients, rows_for

from skinfluence._core.directions import Objective, directions
from skinfluence._core.influence import (
    label_losses,
    label_scores,
    predicted_outputs,
    predictions,
    row_losses,
    row_scores,
)
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import label_square_norms, self_influences
from skinfluence.targets import Utility

F = nn.functional
LABELS = np.arange(3)


# Scores of rows -------------------------------------------------------------------------------


@each_kind
@each_batch_size
def test_row_scores_are_the_inner_products_of_the_loop(name, batch_size):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    rows = loop_gradients(net, X, y)
    assert_close(row_scores(fnet, ask(fnet, Utility(), X, y), X, y), rows @ rows.mean(0))


@each_kind
@each_batch_size
def test_normalized_row_scores_are_divided_by_the_norm_of_the_row(name, batch_size):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    rows = loop_gradients(net, X, y)
    got = row_scores(fnet, ask(fnet, Utility(), X, y), X, y, normalize=True)
    assert_close(got, rows @ rows.mean(0) / np.linalg.norm(rows, axis=1))


@pytest.mark.parametrize("n_groups", [2, 3, 7])
@each_batch_size
@each_kind
def test_several_directions_give_the_lowest_of_their_scores(name, batch_size, n_groups):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    rows = loop_gradients(net, X, y)
    groups = np.arange(len(y)) % n_groups
    means = np.stack([rows[groups == k].mean(0) for k in range(n_groups)])
    U = ask(fnet, Utility(), X, y, groups=groups)
    assert_close(row_scores(fnet, U, X, y), (rows @ means.T).min(1))


@pytest.mark.parametrize("n_outputs", [1, 4])
def test_row_scores_of_a_regressor_are_those_of_the_loop(n_outputs):
    X, _ = rows_for("mlp")
    y = np.random.RandomState(1).randn(7, n_outputs)
    module = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, n_outputs))
    net = initialized(module, NeuralNetRegressor, criterion=nn.MSELoss)
    fnet = FunctionalNet(net)
    rows = loop_gradients(net, X, y, F.mse_loss)
    U = directions(fnet, Objective(Utility(), X, y, False))
    assert_close(row_scores(fnet, U, X, y), rows @ rows.mean(0))


def test_row_scores_are_one_float64_per_row():
    fnet, X, y, _ = fnet_of("mlp", dtype=torch.float32, batch_size=3)
    scores = row_scores(fnet, ask(fnet, Utility(), X, y), X, y)
    assert (scores.dtype, scores.shape) == (np.float64, (7,))


def test_the_progress_bar_sees_every_batch():
    fnet, X, y, _ = fnet_of("mlp", batch_size=3)
    seen = []

    def watch(batches):
        for batch in batches:
            seen.append(len(batch[1]))
            yield batch

    row_scores(fnet, ask(fnet, Utility(), X, y), X, y, progress=watch)
    assert seen == [3, 3, 1]


@each_kind
def test_row_losses_are_those_of_the_criterion(name):
    fnet, X, y, net = fnet_of(name, batch_size=3)
    outputs = copy.deepcopy(net.module_).eval()(torch.as_tensor(X))
    want = F.cross_entropy(outputs, torch.as_tensor(y), reduction="none").detach().numpy()
    assert_close(row_losses(fnet, X, y), want)


# Under every label ----------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("label", LABELS)
def test_a_column_of_label_scores_is_the_score_under_that_label(name, normalize, label):
    fnet, X, y, _ = fnet_of(name, batch_size=3)
    U = ask(fnet, Utility(), X, y, groups=y)
    column = label_scores(fnet, U, X, LABELS, normalize=normalize)[:, label]
    under = np.full(7, label)
    assert_close(column, row_scores(fnet, U, X, under, normalize=normalize))


@each_kind
def test_predictions_are_the_nets_own(name):
    fnet, X, _, net = fnet_of(name, batch_size=3, classes=[0, 1, 2])
    np.testing.assert_array_equal(predictions(fnet, X), net.predict_proba(X).argmax(1))


def test_predicted_probabilities_are_the_nets_own():
    fnet, X, _, net = fnet_of("mlp", batch_size=3)
    got = predicted_outputs(fnet, X, is_classification=True)
    np.testing.assert_allclose(got, net.predict_proba(X), rtol=1e-12)


# Values that are not finite -------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "function",
    [
        lambda fnet, U, X, y: row_scores(fnet, U, X, y),
        lambda fnet, U, X, y: label_scores(fnet, U, X, LABELS),
        lambda fnet, U, X, y: row_losses(fnet, X, y),
        lambda fnet, U, X, y: label_losses(fnet, X, LABELS),
        lambda fnet, U, X, y: self_influences(fnet, X, y),
        lambda fnet, U, X, y: label_square_norms(fnet, X, LABELS),
    ],
    ids=[
        "row_scores",
        "label_scores",
        "row_losses",
        "label_losses",
        "self_influences",
        "label_square_norms",
    ],
)
def test_scores_that_are_not_finite_raise(function, value):
    with pytest.raises(
        ValueError, match="7 of 7 rows have a NaN or infinite loss, gradient or score"
    ):
        function(*broken(value))
