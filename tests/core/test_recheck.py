"""Scores are compared with plain autograd again after they were computed, through every door."""

from functools import partial

import numpy as np
import pytest
import torch
from core_cases import random_directions
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from zoo import initialized, make, rows_for

from skinfluence import InfluenceScorer, NoisyLabelDetector
from skinfluence._core.directions import Objective
from skinfluence._core.influence import label_losses, label_scores, row_losses, row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import (
    gradient_rows,
    label_square_norms,
    pair_blocks,
    reference_pairs,
    self_influences,
)
from skinfluence.curvature import CG, EKFAC
from skinfluence.ensembles import Checkpoints, Seeds, WeightNoise
from skinfluence.methods import LayerAware, Loss, Margin, OutlierGradients, SelfInfluence
from skinfluence.pairwise import gradient_features, influence_matrix, top_rows
from skinfluence.targets import Utility

DIFFER = "differ from plain autograd"
LABELS = np.arange(3)


class Branches(nn.Linear):
    """Treats batches of more than 100 rows in another way."""

    def forward(self, X):
        return super().forward(X) * (1 if len(X) <= 100 else 1.5)


class KeepsForRare(nn.Module):
    """Uses a stored parameter for one rare row only, so that this row has no gradient by it."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(5, 4), nn.Linear(4, 3)
        self.double()
        self.kept = [self.head.weight]

    def forward(self, X):
        hidden = torch.tanh(self.body(X))
        rare = (X > 50).all(1, keepdim=True)
        return torch.where(rare, 9 * hidden @ self.kept[0].T, self.head(hidden))


def with_rare_row(X):
    X = X.copy()
    X[len(X) // 2] = 60.0
    return X


def pairs(fnet, X, y, **options):
    reference = reference_pairs(fnet, Objective(Utility(), X[:7], y[:7], True))
    return [block for *_, block in pair_blocks(fnet, reference, X, y, **options)]


def halved(U):
    return {name: u / 2 for name, u in U.items()}


CORE = {
    "row_scores": lambda f, X, y: row_scores(f, random_directions(f, 1), X, y),
    "label_scores": lambda f, X, y: label_scores(f, random_directions(f, 1), X, LABELS),
    "label_scores, three directions": lambda f, X, y: label_scores(
        f, random_directions(f, 3), X, LABELS
    ),
    "label_scores, normalized": lambda f, X, y: label_scores(
        f, random_directions(f, 1), X, LABELS, normalize=True
    ),
    "pairs": pairs,
    "pairs, normalized": partial(pairs, normalize=True),
    "pairs, solved": partial(pairs, solve=halved),
    "self_influences": self_influences,
    "self_influences, solved": lambda f, X, y: self_influences(f, X, y, halved),
    "label_square_norms": lambda f, X, y: label_square_norms(f, X, LABELS),
    "gradient_rows": lambda f, X, y: list(gradient_rows(f, X, y)),
    "row_losses": row_losses,
    "label_losses": lambda f, X, y: label_losses(f, X, LABELS),
}
LOSSES = ("row_losses", "label_losses")


def expecting(net):
    fnet = FunctionalNet(net)
    fnet.expect_recheck()
    return fnet


@pytest.mark.parametrize("door", CORE)
def test_a_net_that_treats_large_batches_in_another_way_is_refused(door):
    with pytest.raises(ValueError, match=DIFFER):
        CORE[door](expecting(initialized(Branches(5, 3))), *rows_for("mlp", n=300))


@pytest.mark.parametrize("door", [door for door in CORE if door not in LOSSES])
def test_a_net_that_treats_a_rare_row_in_another_way_is_refused(door):
    torch.manual_seed(0)
    X, y = rows_for("mlp", n=300)
    with pytest.raises(ValueError, match=DIFFER):
        CORE[door](expecting(initialized(KeepsForRare())), with_rare_row(X), y)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("door", CORE)
@pytest.mark.parametrize("name", ["mlp", "batchnorm1d", "lstm", "conv1d"])
@pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning")
def test_right_scores_pass(name, door, dtype):
    net, X, y = make(name, dtype)
    CORE[door](expecting(net), X, y)


@pytest.mark.parametrize("factor", [1.0, 30.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("door", CORE)
def test_a_classifier_that_is_certain_passes(door, dtype, factor):
    net = initialized(nn.Linear(5, 3), dtype=dtype)
    with torch.no_grad():
        for p in net.module_.parameters():
            p *= factor
    X = torch.as_tensor(rows_for("mlp", n=50)[0]).to(dtype)
    CORE[door](expecting(net), X, net.module_(X).argmax(1).numpy())


def test_nothing_is_compared_where_it_is_not_expected():
    row_losses(FunctionalNet(initialized(Branches(5, 3))), *rows_for("mlp", n=300))


def test_comparing_draws_nothing_from_the_global_random_state():
    net, (X, y) = initialized(nn.Linear(5, 3)), rows_for("mlp", n=50)
    before = torch.get_rng_state()
    for door in CORE.values():
        door(expecting(net), X, y)
    assert torch.equal(before, torch.get_rng_state())


# Through the public classes


class Branches32(Branches):
    def __init__(self):
        super().__init__(5, 3)


def rows_and_net(n=300, kind=NeuralNetClassifier, **params):
    X, y = rows_for("mlp", n=n)
    criterion = {"criterion": nn.CrossEntropyLoss} if kind is NeuralNetClassifier else {}
    net = kind(Branches32, train_split=None, verbose=0, max_epochs=2, batch_size=50,
               **criterion | params)  # fmt: skip
    return X.astype(np.float32), y, net


def fit_scorer(**params):
    X, y, net = rows_and_net()
    InfluenceScorer(net, random_state=0, **params).fit(X, y)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"classwise": True, "normalize": "both"},
        {"curvature": EKFAC()},
        {"method": SelfInfluence()},
        {"method": SelfInfluence(), "curvature": EKFAC()},
        {"method": Loss()},
        {"method": Margin()},
        {"method": LayerAware()},
        {"method": OutlierGradients()},
        {"method": OutlierGradients("l1")},
        {"method": OutlierGradients("l2")},
        {"ensemble": WeightNoise(2)},
        {"ensemble": WeightNoise(2, aggregate="votes")},
        {"ensemble": Seeds(2, aggregate="votes"), "curvature": CG()},
        {"ensemble": Checkpoints(2, aggregate="ranks"), "method": Loss()},
    ],
    ids=str,
)
def test_every_method_and_ensemble_of_a_scorer_is_compared(params):
    with pytest.raises(ValueError, match=DIFFER):
        fit_scorer(**params)


def test_a_scorer_told_not_to_check_compares_nothing():
    fit_scorer(check_gradients=False)


DOORS = {
    "score_samples": lambda s, X, y: s.score_samples(X, y),
    "transform": lambda s, X, y: s.transform(X),
    "retarget": lambda s, X, y: s.retarget(None, X, y),
    "influence_matrix": influence_matrix,
    "top_rows": partial(top_rows, k=2),
    "gradient_features": gradient_features,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("params", [{}, {"normalize": "rows"}, {"curvature": EKFAC()}], ids=str)
def test_every_function_of_a_fitted_scorer_is_compared(door, params):
    X, y, net = rows_and_net(n=400)
    fitted = InfluenceScorer(net, random_state=0, **params).fit(X[:90], y[:90])
    DOORS[door](fitted, X[:90], y[:90])
    with pytest.raises(ValueError, match=DIFFER):
        DOORS[door](fitted, X, y)


@pytest.mark.parametrize("method", [None, Loss(), SelfInfluence(), Margin()], ids=str)
def test_the_fold_nets_of_a_detector_are_compared(method):
    X, y, net = rows_and_net()
    with pytest.raises(ValueError, match=DIFFER):
        NoisyLabelDetector(net, cv=2, checkpoints=2, method=method).fit(X, y)


@pytest.mark.parametrize("method", [None, Loss(), SelfInfluence()], ids=str)
def test_the_fold_nets_of_a_detector_of_wrong_targets_are_compared(method):
    X, _, net = rows_and_net(kind=NeuralNetRegressor)
    y = np.stack([X[:, 0]] * 3, 1)
    with pytest.raises(ValueError, match=DIFFER):
        NoisyLabelDetector(net, cv=2, checkpoints=2, method=method).fit(X, y)


def test_new_rows_are_compared_in_a_detector():
    X, y, net = rows_and_net(n=500)
    fitted = NoisyLabelDetector(net, cv=2, checkpoints=2, random_state=0).fit(X[:90], y[:90])
    for score in (fitted.score_labels, partial(fitted.score_samples, y=y)):
        with pytest.raises(ValueError, match=DIFFER):
            score(X)
