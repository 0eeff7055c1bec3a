"""Scores equal the expected numbers in the tests of other libraries, copied as literals."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetRegressor
from torch import nn

from skinfluence import InfluenceScorer
from skinfluence._core.members import Member
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import self_influences
from skinfluence.ensembles import Ensemble

# captum 0.9.0, test_tracin_regression.py: the net w x with label x, for x = 1, ..., 16 and five
# weights w. A row's gradient is 2 (w - 1) x², so the score of a pair is 4 (w - 1)² x_i² x_j².
WEIGHTS = [0.4379, 0.1653, 0.5132, 0.3651, 0.9992]
ROWS = np.arange(1.0, 17.0)

each_weight = pytest.mark.parametrize("w", WEIGHTS)


def line_through(w):
    net = NeuralNetRegressor(nn.Linear(1, 1, bias=False).double(), criterion=nn.MSELoss)
    net.initialize()
    with torch.no_grad():
        net.module_.weight.fill_(w)
    return net


def scores(net, reference, **options):
    X = ROWS.reshape(-1, 1)
    scorer = InfluenceScorer(FrozenEstimator(net), random_state=0, **options)
    return scorer.fit(X, ROWS, X_val=X[reference], y_val=ROWS[reference]).scores_


def assert_close(ours, known, rtol=1e-12):
    np.testing.assert_allclose(ours, known, rtol=rtol)  # float64: products of a few numbers


@each_weight
@pytest.mark.parametrize("j", [0, 7, 15])
def test_pairs_on_captums_line(w, j):
    assert_close(scores(line_through(w), [j]), 4 * (w - 1) ** 2 * ROWS**2 * ROWS[j] ** 2)


@each_weight
def test_scores_on_captums_line_are_means_over_pairs(w):
    mean_square = 93.5  # of 1, ..., 16
    known = 4 * (w - 1) ** 2 * ROWS**2 * mean_square
    assert_close(scores(line_through(w), slice(None)), known)


class Weights(Ensemble):
    """captum's five checkpoints."""

    aggregate = "mean"

    def members(self, trainings, fnet, X, rng):
        return [Member({"weight": torch.full((1, 1), w, dtype=torch.float64)}) for w in WEIGHTS]


@pytest.mark.parametrize("j", [0, 7, 15])
def test_checkpoints_on_captums_line_are_averaged(j):
    ours = scores(line_through(WEIGHTS[0]), [j], ensemble=Weights())
    # captum: 4 Σ_w (w - 1)² to nine digits. Ours is the mean over the five weights.
    assert_close(5 * ours, 6.61101356 * ROWS**2 * ROWS[j] ** 2, 1e-8)


@each_weight
def test_self_influence_on_captums_line(w):
    fnet = FunctionalNet(line_through(w))
    norms = self_influences(fnet, ROWS.reshape(-1, 1), ROWS.reshape(-1, 1)) ** 0.5
    assert_close(norms**2, 4 * (w - 1) ** 2 * ROWS**4)
