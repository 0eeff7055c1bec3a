"""Run one setting: draw the data, compute all scores, act on them. The result fits into JSON."""

from __future__ import annotations

import time
import warnings
from typing import Any

import arms
import numpy as np
import torch
from data import problem as draw
from sklearn.base import clone
from sklearn.metrics import f1_score

from skinfluence._fitting.isolation import seeded
from skinfluence.metrics import detection_report

ACTED = ["cleanlab, self_confidence", "loss, mean over checkpoints", "AUM", "KNN-Shapley"]
ACTED += ["IP (the paper's)"]


def run(key: tuple[str, str, float, int], rows: int, act: bool, options: Any) -> dict[str, Any]:
    """Run one setting. With `act`, nets are also retrained after each action."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    name, kind, rate, seed = key
    problem = draw(name, kind, rate, seed, rows, options)
    noisy, clean, detector, found = scores(problem, seed)
    line = {"data": name, "kind": kind, "rate": rate, "seed": seed, "rows": len(problem.y)}
    line |= {"truth": float(problem.is_noisy.mean()), **found}
    for label, of in (("noisy", noisy), ("clean", clean)):
        line[label] = {arm: report(problem.is_noisy, values) for arm, values in of.items()}
    if act:
        line["accuracy"] = actions(problem, noisy, detector, seed)
    return line


def scores(problem: Any, seed: int) -> tuple[dict[str, Any], dict[str, Any], Any, dict[str, Any]]:
    """Scores with noisy and with clean reference rows, the detector, and other measurements."""
    X, y = problem.X, problem.y
    detector, trusted, seconds = arms.detect(problem, seed)
    trained = arms.Trained(problem, seed)
    probabilities = arms.out_of_fold(detector, problem, seed)
    alone = arms.out_of_fold_scores(probabilities, y) | arms.dynamics(trained, problem, seed)
    alone["Data-OOB (trees)"] = arms.data_oob(X, y, seed)
    alone["random"] = np.random.RandomState(seed).rand(len(y))
    noisy = alone | arms.cross_fitted(detector, problem, seed)
    clean = alone | arms.with_reference(trained, detector, problem, seed)
    for of, own in ((noisy, detector), (clean, trusted)):
        of |= arms.rank_sums(of)
        of[arms.DEFAULT] = own.scores_
    training = sum(sum(net.history[:, "dur"]) for net in detector.estimators_)
    found = {
        "seconds": {
            arms.DEFAULT: seconds,
            "training of the five nets": training,
        },
        "contamination": {"noisy": detector.contamination_, "clean": trusted.contamination_},
        "flags": {arms.DEFAULT: flagged(problem, ~detector.inlier_mask_)},
    }
    if arms.cleanlab:
        issues = arms.issues(probabilities, y)
        found["contamination"]["cleanlab"] = float(issues.mean())
        found["flags"]["cleanlab, find_label_issues"] = flagged(problem, issues)
    return noisy, clean, detector, found


def report(is_noisy: np.ndarray, values: np.ndarray) -> list[float]:
    """AP, AUC, precision at the true count."""
    found = detection_report(is_noisy, values)
    return [found[k] for k in ("average_precision", "roc_auc", "precision_at_k")]


def flagged(problem: Any, flags: np.ndarray) -> float:
    return float(f1_score(problem.is_noisy, flags))


def actions(problem: Any, noisy: dict[str, Any], detector: Any, seed: int) -> dict[str, float]:
    """Accuracy on clean test rows of nets retrained after each action.

    Each action takes as many of the lowest-scored rows as there are mislabeled rows.
    """
    count = int(problem.is_noisy.sum())
    found = {"no action": accuracy(problem, problem.y, np.ones(len(problem.y), bool), seed)}

    def drop(rows: np.ndarray) -> float:
        return accuracy(problem, problem.y, ~rows, seed)

    def worst(values: np.ndarray) -> np.ndarray:
        rows = np.zeros(len(values), bool)
        rows[np.argsort(values, kind="stable")[:count]] = True
        return rows

    found["drop at random"] = drop(worst(noisy["random"]))
    found["drop the mislabeled rows (oracle)"] = drop(problem.is_noisy)
    for arm in [*ACTED, arms.DEFAULT]:
        if arm in noisy:
            found[f"drop: {arm}"] = drop(worst(noisy[arm]))
    found[f"drop: {arms.DEFAULT}, contamination='auto'"] = drop(~detector.inlier_mask_)
    suspects = worst(detector.scores_)
    relabeled = np.where(suspects, detector.suggested_labels_, problem.y)
    found[f"relabel: {arms.DEFAULT}"] = accuracy(problem, relabeled, suspects | True, seed)
    if arms.cleanlab:
        found["CleanLearning"] = clean_learning(problem, seed)
    return found


def accuracy(problem: Any, y: np.ndarray, keep: np.ndarray, seed: int) -> float:
    """Accuracy on clean test rows of a net trained on the kept rows."""
    X_test, y_test = problem.test
    with seeded(seed):
        net = clone(problem.net).fit(problem.X[keep], y[keep])
    return float((net.predict(X_test) == y_test).mean())


def clean_learning(problem: Any, seed: int) -> float:
    from cleanlab.classification import CleanLearning

    X_test, y_test = problem.test
    with seeded(seed):
        net = CleanLearning(
            clone(problem.net), seed=seed, find_label_issues_kwargs={"n_jobs": 1}
        ).fit(problem.X, problem.y)
    return float((net.predict(X_test) == y_test).mean())


def timed(*args: Any) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        line = run(*args)
    except Exception as error:  # a setting that fails must not stop the whole run
        line = {"failed": f"{args[0]}: {type(error).__name__}: {error}"}
    return line | {"wall": time.perf_counter() - start}
