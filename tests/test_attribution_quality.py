"""Scores with a curvature agree with retraining on real data better than inner products do.

benchmarks/attribution_quality measures every method at full size.
"""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier
from torch import nn

from skinfluence import InfluenceScorer
from skinfluence.curvature import CG, EKFAC, Exact
from skinfluence.metrics import leave_one_out_correlation, linear_datamodeling_score
from skinfluence.nets import table_batches
from skinfluence.pairwise import influence_matrix
from skinfluence.retraining import draw_subsets, leave_one_out, retrain

N, M = 200, 20


class MLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))


class Logistic(nn.Linear):
    def __init__(self):
        super().__init__(64, 10, dtype=torch.float64)


def net(module, lr, weight_decay, epochs):
    """Make a net that trains on full batches: its losses depend on little but the rows."""
    return NeuralNetClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        optimizer__weight_decay=weight_decay,
        lr=lr,
        max_epochs=epochs,
        batch_size=N,
        iterator_train=table_batches,
        iterator_valid__batch_size=1024,
        train_split=None,
        callbacks="disable",
        verbose=0,
    )


def digits(dtype):
    X, y = load_digits(return_X_y=True)
    rows = np.random.RandomState(0).permutation(len(y))[: N + M]
    X, y = (X[rows] / 16).astype(dtype), y[rows]
    return X[:N], y[:N], X[N:], y[N:]


def pairs(net, data, curvature=None):
    X, y, X_ref, y_ref = data
    scorer = InfluenceScorer(net, curvature=curvature, random_state=0)
    return influence_matrix(scorer.fit(X, y, X_val=X_ref, y_val=y_ref), X, y)


def test_exact_influence_matches_leave_one_out_for_logistic_regression():
    data, rows = digits(np.float64), np.arange(0, N, 8)
    model = net(Logistic, 0.5, 0.01, 300)  # to convergence: gradients are 0 to seven digits
    changes = leave_one_out(model, *data, rows=rows, random_state=1)

    def agreement(curvature):
        scores = pairs(model, data, curvature)[rows]
        return leave_one_out_correlation(scores, changes, n_resamples=2)["per_reference"]

    # Weight decay adds its value to the Hessian of the mean loss, exactly as damping does.
    exact = agreement(Exact(damping=0.01))
    assert exact.mean() > 0.98
    assert exact.min() > 0.9  # 25 rows; the rest is a second-order error
    assert agreement(None).mean() < 0.5


@pytest.mark.slow
def test_curvature_predicts_the_losses_of_subsets_better_than_inner_products():
    data = digits(np.float32)
    X, y, X_ref, y_ref = data
    model = net(MLP, 0.3, 1e-3, 150)
    kept = draw_subsets(N, 30, stratify=y, random_state=0)
    losses = retrain(model, X, y, kept, X_ref, y_ref, n_seeds=2, random_state=1)

    def lds(curvature):
        found = pairs(model, data, curvature)
        return linear_datamodeling_score(found, kept, losses, n_resamples=2)["lds"]

    plain = lds(None)
    assert lds(CG(damping=1e-3, max_iter=300, tol=1e-3)) > plain + 0.2
    assert lds(EKFAC(n_samples=20)) > plain + 0.15
