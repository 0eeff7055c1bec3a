"""Digits, three nets, and the retrained nets that scores are compared with.

Each training step uses all rows. With random batches, the losses of single rows vary more between
two trainings than they change when half of the training rows are left out, so that retraining
could not tell two methods apart (--batch-size shows it).
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from skorch import NeuralNetClassifier
from torch import nn

from skinfluence.datasets import flip_labels
from skinfluence.nets import table_batches
from skinfluence.retraining import draw_subsets, retrain

N_TRAIN, N_REFERENCE, NOISE = 500, 45, 0.2


class Net(NeuralNetClassifier):
    """A skorch net that counts all trainings of its class and adds up their seconds."""

    trainings, seconds = 0, 0.0

    def fit(self, X, y, **params):
        start = time.perf_counter()
        super().fit(X, y, **params)
        Net.trainings += 1
        Net.seconds += time.perf_counter() - start
        return self


class Logistic(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(64, 10, dtype=torch.float64))


class MLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


class CNN(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 16, 3, stride=2, padding=1),
            nn.Tanh(),
            nn.Conv2d(16, 24, 3, stride=2, padding=1),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(96, 10),
        )


@dataclass
class Kind:
    """A net, how it is trained, and how many retrainings it is compared with."""

    module: Any
    dtype: Any
    lr: float
    weight_decay: float
    epochs: int
    matrix: str  # of the exact curvature
    n_left_out: int
    n_seeds: int

    def net(self, batch_size=None, **params):
        """The net; the number of training steps is the same for every batch size."""
        epochs = self.epochs * (batch_size or N_TRAIN) // N_TRAIN
        return Net(
            self.module,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.SGD,
            optimizer__momentum=0.9,
            optimizer__weight_decay=self.weight_decay,
            lr=self.lr,
            max_epochs=epochs,
            batch_size=batch_size or N_TRAIN,
            iterator_train=table_batches,
            iterator_train__shuffle=batch_size is not None,
            iterator_valid__batch_size=1024,
            train_split=None,
            verbose=0,
            **{"callbacks": "disable"} | params,
        )


KINDS = {
    "logistic regression": Kind(Logistic, np.float64, 0.5, 1e-2, 300, "hessian", 200, 2),
    "MLP": Kind(MLP, np.float32, 0.3, 1e-3, 200, "ggn", 80, 3),
    "CNN": Kind(CNN, np.float32, 0.1, 3e-3, 200, "ggn", 60, 3),
}


@dataclass
class Problem:
    """Training, reference and test rows of one net; `y_noisy` has a fifth of the labels wrong."""

    name: str
    kind: Kind
    net: Net

    def __post_init__(self):
        X, y = load_digits(return_X_y=True)
        X = (X / 16).astype(self.kind.dtype)
        self.X, X, self.y, y = train_test_split(
            X, y, train_size=N_TRAIN, random_state=0, stratify=y
        )
        self.X_ref, self.y_ref = X[:N_REFERENCE], y[:N_REFERENCE]
        self.X_test, self.y_test = X[N_REFERENCE:], y[N_REFERENCE:]
        self.y_noisy = flip_labels(self.y, NOISE, random_state=0)[0]
        self.is_noisy = self.y_noisy != self.y
        self.reference = {"X_val": self.X_ref, "y_val": self.y_ref}


def kept_truth(problem: Problem, n_subsets: int, cache: Path | None, log: Any) -> dict[str, Any]:
    """The result of `truth`, from the directory `cache` if an earlier run left it there."""
    if cache is None:
        return truth(problem, n_subsets, log)
    asked = repr((problem.kind, n_subsets, problem.net.batch_size, N_TRAIN, N_REFERENCE))
    path = cache / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, **truth(problem, n_subsets, log))
    with np.load(path) as found:
        return dict(found)


def truth(problem: Problem, n_subsets: int, log: Any) -> dict[str, np.ndarray]:
    """Outcomes after retraining on halves of the rows, and without single rows.

    Each array is (seeds, subsets, reference rows).
    """
    kind, n = problem.kind, len(problem.y)
    halves = draw_subsets(n, n_subsets, stratify=problem.y, random_state=1)
    rows = np.sort(np.random.RandomState(2).permutation(n)[: kind.n_left_out])
    without = np.ones((1 + len(rows), n), dtype=bool)
    without[1 + np.arange(len(rows)), rows] = False
    found = {"halves": halves, "rows": rows}
    for name, kept in {"half": halves, "left out": without}.items():
        log(f"{problem.name}: {len(kept)} subsets ({name}) x {kind.n_seeds} seeds")
        found[name] = np.stack(
            [
                retrain(
                    problem.net,
                    problem.X,
                    problem.y,
                    kept,
                    problem.X_ref,
                    problem.y_ref,
                    random_state=seed,
                )
                for seed in range(kind.n_seeds)
            ]
        )
    found["change"] = found["left out"][:, 1:] - found["left out"][:, :1]
    return found


def reliability(outcomes: np.ndarray) -> tuple[float, float]:
    """How well the outcomes of retraining agree with themselves, as Spearman correlations.

    The first number compares one seed with another, averaged over reference rows. The second
    compares the mean of all seeds with the mean of as many others, by the Spearman-Brown formula.
    """
    k, _, m = outcomes.shape
    pairs = [(a, b) for a in range(k) for b in range(a)]
    each = [spearmanr(outcomes[a, :, j], outcomes[b, :, j])[0] for a, b in pairs for j in range(m)]
    one = float(np.nanmean(each))
    return one, k * one / (1 + (k - 1) * one)


def seconds_a_pass(problem: Problem, net: Any) -> float:
    """One forward and backward pass over the training rows, median of 20."""
    X, y = torch.as_tensor(problem.X), torch.as_tensor(problem.y)
    module, times = net.module_, []
    for _ in range(20):
        start = time.perf_counter()
        nn.functional.cross_entropy(module(X), y).backward()
        times.append(time.perf_counter() - start)
        module.zero_grad()
    return float(np.median(times))
