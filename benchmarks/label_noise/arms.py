"""The scores that are compared, all from the same few trainings. Lower is more suspect."""

from __future__ import annotations

import time
import warnings
from typing import Any
from unittest import mock

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import IsolationForest, RandomForestClassifier

from skinfluence import NoisyLabelDetector
from skinfluence._core.directions import Objective, directions
from skinfluence._core.gradients import forward, row_gradients
from skinfluence._core.influence import row_losses, row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import self_influences
from skinfluence._data.params import draw_seed
from skinfluence._data.reference import folds as cut
from skinfluence._fitting.checkpoints import Snapshots
from skinfluence._fitting.fit import fit_net
from skinfluence.ensembles import Dropout, Training
from skinfluence.targets import Utility

try:
    import cleanlab
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores
except ImportError:
    cleanlab = None

DEFAULT = "NoisyLabelDetector()"
MISSING = [] if cleanlab else ["cleanlab (pip install cleanlab)"]


def detect(problem: Any, seed: int) -> tuple[Any, Any, float]:
    """The default detector without and with clean reference rows, and the seconds of the first.

    Both use the same folds and seeds and nothing stops early, so their nets are the same. They are
    trained once.
    """
    nets: dict[int, Any] = {}

    def once(net: Any, X: Any, y: Any, reference: Any, seed: int, checkpoints: Any) -> Any:
        if seed not in nets:
            nets[seed] = fit_net(net, X, y, reference, seed, checkpoints)
        return nets[seed]

    with mock.patch("skinfluence._detector.fit_net", once):
        start = time.perf_counter()
        detector = NoisyLabelDetector(problem.net, random_state=seed).fit(problem.X, problem.y)
        seconds = time.perf_counter() - start
        X_val, y_val = problem.reference
        trusted = NoisyLabelDetector(problem.net, random_state=seed)
        trusted.fit(problem.X, problem.y, X_val=X_val, y_val=y_val)
    return detector, trusted, seconds


def out_of_fold(detector: Any, problem: Any, seed: int) -> np.ndarray:
    """Out-of-sample probabilities of the final fold nets, (n, n_classes)."""
    found = np.zeros((len(problem.y), len(detector.classes_)))
    for fold_net, (_, held) in zip(
        detector._label_scores.fold_nets, folds(problem, seed), strict=True
    ):
        assert np.array_equal(fold_net.reference.X, problem.X[held])
        found[held] = fold_net.net.predict_proba(problem.X[held])[:, : found.shape[1]]
    return found


def folds(problem: Any, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and held-out rows of each fold net: the detector's own folds, drawn again."""
    rng = np.random.RandomState(draw_seed(seed))
    fold = cut(problem.y, 5, rng, stratify=True)
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(5)]


def out_of_fold_scores(probabilities: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """cleanlab's label quality scores, the first of which is out-of-fold self-confidence."""
    if cleanlab is None:
        own = probabilities[np.arange(len(y)), y]
        return {"out-of-fold self-confidence": own}
    return {
        f"cleanlab, {method}": get_label_quality_scores(y, probabilities, method=method)
        for method in ("self_confidence", "normalized_margin")
    }


def issues(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """Rows that cleanlab's filter flags."""
    return None if cleanlab is None else find_label_issues(y, probabilities, n_jobs=1)


class Trained:
    """One net trained on all rows, with a checkpoint of each epoch."""

    def __init__(self, problem: Any, seed: int) -> None:
        every = Snapshots(10**6)
        self.net, states = fit_net(
            problem.net, problem.X, problem.y, problem.reference, seed, every
        )
        self.every = states
        last = len(states)
        spaced = np.unique(np.round(np.geomspace(1, last, 6)).astype(int))
        self.fnet = FunctionalNet(self.net)
        self.six = [self.fnet.at(states[e - 1]) for e in spaced]


def dynamics(trained: Trained, problem: Any, seed: int) -> dict[str, np.ndarray]:
    """Scores of one net that need no reference rows."""
    X, y = problem.X, problem.y
    losses = [row_losses(at, X, y) for at in trained.six]
    norms = [self_influences(at, X, y) ** 0.5 for at in trained.six]
    found = {
        "loss, mean over checkpoints": -np.mean(losses, axis=0),
        "loss, final": -losses[-1],
        "AUM": area_under_margin(trained, X, y),
        "self-influence, final": -(norms[-1] ** 2),
        "self-influence, checkpoints": -np.mean(np.square(norms), axis=0),
    }
    return found | outlier_gradients(trained.fnet, X, y, seed)


def area_under_margin(trained: Trained, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Logit of the label minus the largest other logit, averaged over all epochs."""
    total, rows = np.zeros(len(y)), np.arange(len(y))
    for state in trained.every:
        at = trained.fnet.at(state)
        f = np.concatenate([forward(at, Xb).numpy() for Xb, _ in at.batches(X)])
        own = f[rows, y].copy()
        f[rows, y] = -np.inf
        total += own - f.max(1)
    return total / len(trained.every)


def outlier_gradients(fnet: Any, X: np.ndarray, y: np.ndarray, seed: int) -> dict[str, Any]:
    """Scores from the final net's last-layer gradients, projected to 64 numbers per row."""
    names = [name for name in fnet.params if name.startswith("head.")]
    rows = []
    for Xb, yb in fnet.batches(X, y):
        G = fnet.cotangents(forward(fnet, Xb), Xb, yb)
        g = row_gradients(fnet, Xb, G, names)
        rows.append(np.hstack([v.reshape(len(v), -1).numpy() for v in g.values()]))
    gradients = np.concatenate(rows)
    rng = np.random.RandomState(seed)
    small = gradients @ rng.normal(size=(gradients.shape[1], 64)).astype(np.float32)
    forest = IsolationForest(random_state=seed).fit(small)
    return {
        "outlier gradients, isolation forest": forest.score_samples(small),
        "outlier gradients, L1": -np.abs(gradients).sum(1),
        "outlier gradients, L2": -np.linalg.norm(gradients, axis=1),
    }


def influences(
    fnets: list[Any], reference: Any, X: np.ndarray, y: np.ndarray
) -> dict[str, np.ndarray]:
    """Influence scores of training rows; `fnets` are six checkpoints of one net."""
    final = fnets[-1]
    X_ref, y_ref = reference

    def along(at: Any, keep: Any = slice(None), normalize_rows: bool = False, **options: Any):
        u = directions(at, Objective(Utility(), X_ref[keep], y_ref[keep], True), **options)
        return row_scores(at, u, X, y, normalize=normalize_rows)

    f = np.concatenate([forward(final, Xb).numpy() for Xb, _ in final.batches(X_ref)])
    right = f.argmax(1) == y_ref
    right = right if right.any() else slice(None)
    by_class = {"groups": y_ref}
    unit = {"normalize": True}
    cosine = {"normalize": True, "normalize_rows": True}
    return {
        "IP (the paper's)": along(final),
        "IP, correct reference rows": along(final, right),
        "IP, checkpoints": np.mean([along(at) for at in fnets], axis=0),
        "pairwise cosine": along(final, **cosine),
        "pairwise cosine, correct reference rows": along(final, right, **cosine),
        "pairwise cosine, checkpoints": np.mean([along(at, **cosine) for at in fnets], axis=0),
        "class-wise": along(final, **by_class),
        "class-wise, unit reference": along(final, **by_class, **unit),
        "class-wise, unit reference, checkpoints": np.mean(
            [along(at, **by_class, **unit) for at in fnets], axis=0
        ),
    }


def dropout_ensemble(fnet: Any, reference: Any, X: np.ndarray, y: np.ndarray, seed: int) -> Any:
    """The paper's IP Ensemble: five members under fixed masks."""
    rng = np.random.RandomState(seed)
    members = Dropout().members([Training([{}], [1.0])], fnet, X[:2], rng)
    nets = [fnet.at(member.state) for member in members]
    return {"IP Ensemble (dropout)": mean_inner_product(nets, reference, X, y)}


def mean_inner_product(nets: list[Any], reference: Any, X: np.ndarray, y: np.ndarray) -> Any:
    found = []
    for at in nets:
        u = directions(at, Objective(Utility(), *reference, True))
        found.append(row_scores(at, u, X, y))
    return np.mean(found, axis=0)


def with_reference(trained: Trained, detector: Any, problem: Any, seed: int) -> dict[str, Any]:
    """Scores that use clean reference rows."""
    X, y, reference = problem.X, problem.y, problem.reference
    found = influences(trained.six, reference, X, y)
    found |= dropout_ensemble(trained.fnet, reference, X, y, seed)
    seeds = np.zeros(len(y))
    for fold_net, (rows, _) in zip(
        detector._label_scores.fold_nets, folds(problem, seed), strict=True
    ):
        fnet = FunctionalNet(fold_net.net)
        seeds[rows] += mean_inner_product([fnet], reference, X[rows], y[rows])
    found["IP Ensemble (seeds)"] = seeds
    found["KNN-Shapley"] = knn_shapley(X, y, *reference)
    return found


def cross_fitted(detector: Any, problem: Any, seed: int) -> dict[str, Any]:
    """Scores with the rows of the other folds as reference rows: their labels are noisy too."""
    X, y = problem.X, problem.y
    total: dict[str, np.ndarray] = {}
    for fold_net, (rows, held) in zip(
        detector._label_scores.fold_nets, folds(problem, seed), strict=True
    ):
        reference = X[held], y[held]
        fnet = FunctionalNet(fold_net.net)
        found = influences([fnet.at(s) for s in fold_net.states], reference, X[rows], y[rows])
        found |= dropout_ensemble(fnet, reference, X[rows], y[rows], seed)
        found["KNN-Shapley"] = knn_shapley(X[rows], y[rows], *reference)
        for name, values in found.items():
            total.setdefault(name, np.zeros(len(y)))[rows] += values
    return total


def rank_sums(found: dict[str, Any]) -> dict[str, np.ndarray]:
    loss = rankdata(found["loss, mean over checkpoints"])
    parts = ("class-wise, unit reference, checkpoints", "pairwise cosine, checkpoints")
    return {f"ranks of loss + {name}": loss + rankdata(found[name]) for name in parts}


def knn_shapley(
    X: np.ndarray, y: np.ndarray, X_ref: np.ndarray, y_ref: np.ndarray, k: int = 10
) -> np.ndarray:
    """Shapley value of each row for a k-nearest-neighbor classifier, in closed form."""
    X, X_ref = X.reshape(len(X), -1), X_ref.reshape(len(X_ref), -1)
    n, j = len(X), np.arange(1, len(X))
    values = np.zeros(n)
    for x, label in zip(X_ref, y_ref, strict=True):
        order = np.argsort(((X - x) ** 2).sum(1), kind="stable")
        match = (y[order] == label).astype(float)
        steps = (match[:-1] - match[1:]) / k * np.minimum(k, j) / j
        last = match[-1] / n
        values[order] += last + np.append(np.cumsum(steps[::-1])[::-1], 0)
    return values / len(X_ref)


def data_oob(X: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
    """How often the trees that did not draw a row predict its label: no net is involved."""
    forest = RandomForestClassifier(100, max_features=None, oob_score=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows that every tree has drawn
        forest.fit(X.reshape(len(X), -1), y)
    votes = np.nan_to_num(forest.oob_decision_function_, nan=0.5)
    return votes[np.arange(len(y)), np.searchsorted(forest.classes_, y)]
