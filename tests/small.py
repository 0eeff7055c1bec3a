"""Small data, quick nets and spies for the tests of the estimators."""

import numpy as np
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from skinfluence import InfluenceSampleSelector, InfluenceScorer
from skinfluence.nets import TabularClassifier, TabularRegressor


def blobs(n=90, classes=3, seed=0):
    """Make rows of overlapping classes, (n, 4) float64, and labels 0, 1, ..."""
    rng = np.random.RandomState(seed)
    y = np.arange(n) % classes
    centers = 2 * np.random.RandomState(7).randn(classes, 4)
    return centers[y] + rng.randn(n, 4), y


def line(n=80, outputs=None, seed=0):
    """Make rows (n, 4) and numeric targets: (n,) float64, or (n, outputs)."""
    rng = np.random.RandomState(seed)
    X = rng.randn(n, 4)
    slopes = np.random.RandomState(7).randn(4, outputs or 1)
    y = X @ slopes + 0.1 * rng.randn(n, outputs or 1)
    return X, y if outputs else y[:, 0]


def quick(**params):
    """Make the ready-made classifier, small and trained for a few epochs."""
    return TabularClassifier(
        **{"module__hidden": (8,), "max_epochs": 5, "lr": 0.02, "batch_size": 16} | params
    )


def quick_regressor(**params):
    return TabularRegressor(
        **{"module__hidden": (8,), "max_epochs": 5, "lr": 0.02, "batch_size": 16} | params
    )


def scorer(**params):
    return InfluenceScorer(**{"estimator": quick(), "random_state": 0} | params)


def selector(rule=None, **params):
    """Make a selector with two folds of quick scorers, for classes."""
    return InfluenceSampleSelector(
        **{"scorer": scorer(), "rule": rule, "cv": 2, "random_state": 0} | params
    )


_OWN = {"max_epochs": 5, "lr": 0.1, "verbose": 0, "train_split": None}


def logits_net(**params):
    """Make a custom linear skorch net with four columns and three classes."""
    own = {"module__in_features": 4, "module__out_features": 3, "criterion": nn.CrossEntropyLoss}
    return NeuralNetClassifier(nn.Linear, **_OWN | own | params)


class OwnCrossEntropy(nn.Module):
    """Cross-entropy of logits, as a criterion that skorch does not know."""

    reduction = "mean"

    def forward(self, f, y):
        return nn.functional.cross_entropy(f, y, reduction=self.reduction)


class Probabilities(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, X):
        return torch.softmax(self.head(X), 1)


def probabilities_net(**params):
    """Make a net with NLLLoss on probabilities, the default of skorch."""
    return NeuralNetClassifier(Probabilities, **_OWN | params)


def binary_net(**params):
    own = {"module__in_features": 4, "module__out_features": 1}
    return NeuralNetBinaryClassifier(nn.Linear, **_OWN | own | params)


def linear_regressor(outputs=1, **params):
    own = {"module__in_features": 4, "module__out_features": outputs}
    return NeuralNetRegressor(nn.Linear, **_OWN | own | params)


def own_net(module, kind=NeuralNetClassifier, **params):
    """Make a custom skorch net around a module whose constructor needs no arguments."""
    if issubclass(kind, NeuralNetClassifier):
        params = {"criterion": nn.CrossEntropyLoss} | params
    return kind(module, **_OWN | params)


class Flat(nn.Module):
    """Its outputs have shape (n,)."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 1)

    def forward(self, X):
        return self.head(X).squeeze(1)


class TwoInputs(nn.Module):
    """Its input is a dict of a vector and a matrix."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, first, rest):
        return self.head(torch.cat([first[:, None], rest], 1))


def as_dict(X, dtype=np.float32):
    X = X.astype(dtype)
    return {"first": X[:, 0], "rest": X[:, 1:]}


def dict_net(**params):
    return own_net(TwoInputs, **params)


class CountingScorer(InfluenceScorer):
    """Counts the fits of all clones."""

    fits = 0

    def fit(self, X, y=None, *, X_val=None, y_val=None):
        CountingScorer.fits += 1
        return super().fit(X, y, X_val=X_val, y_val=y_val)


class RecordingNet(TabularClassifier):
    """Records the rows and labels that each clone is trained on."""

    trained_on: list = []

    def fit(self, X, y=None, **params):
        RecordingNet.trained_on.append((np.array(X), np.array(y)))
        return super().fit(X, y, **params)
