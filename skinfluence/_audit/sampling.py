"""Training on a sample of the rows of a large table; all other rows are scored as new rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from skinfluence._audit.features import Prepared
from skinfluence._audit.labels import Problem
from skinfluence._audit.options import Options

# About five minutes of training on one core of 2020; the rest of the ten minutes is for scoring.
# A fixed number, not a measured time: the same seed has to give the same result everywhere.
MAX_WORK = 240_000_000

CHUNK = 50_000  # rows that are scored at a time


@dataclass(frozen=True)
class Fitted:
    """What a detector says about all rows.

    Attributes
    ----------
    scores : ndarray of shape (n,)
        Scores of the detector.
    signals : dict of str to ndarray of shape (n, ...)
        Signals by name. Rows that the nets were not trained on only have "out_of_sample"; their
        other signals are NaN.
    n_trained : int
        Number of rows that the nets were trained on, in turn.
    """

    scores: np.ndarray
    signals: dict[str, np.ndarray]
    n_trained: int


def fit(prepared: Prepared, problem: Problem, y: np.ndarray, detector: Any, o: Options) -> Fitted:
    """Fit the detector to all rows or to a sample, and score all rows.

    Parameters
    ----------
    prepared, problem
        The rows.
    y : ndarray of shape (n,)
        Labels: codes of classes, or numbers.
    detector : NoisyLabelDetector
        The detector, not yet fitted.
    o : Options
        The options of the audit.
    """
    X = prepared.X
    size = o.train_rows or most_rows(X.shape[1], len(problem.spelling), o.cv)
    if len(y) <= size:
        detector.fit_predict(X, y)
        return Fitted(np.asarray(detector.scores_, dtype=float), detector.signals_, len(y))
    is_class = problem.task == "classification"
    chosen = choose_rows(y if is_class else np.zeros(len(y), int), size, 2 * o.cv, o.seed)
    detector.fit_predict(X[chosen], y[chosen])
    scores = np.full(len(y), np.nan)
    scores[chosen] = detector.scores_
    signals = {}
    for name, known in detector.signals_.items():
        signals[name] = np.full((len(y), *known.shape[1:]), np.nan)
        signals[name][chosen] = known
    rest = np.setdiff1d(np.arange(len(y)), chosen)
    for rows in _chunks(rest, is_quiet=o.quiet):
        # A row that no net was trained on is out of sample for all of them.
        signals["out_of_sample"][rows] = detector.predict_out_of_sample(X[rows])
        if is_class:
            scores[rows] = detector.score_samples(X[rows], y[rows])
    return Fitted(scores, signals, len(chosen))


def most_rows(n_inputs: int, n_classes: int, cv: int) -> int:
    """Number of rows that nets are trained on within a few minutes."""
    return int(MAX_WORK / (cv - 1) / (100 + n_inputs + 10 * n_classes))


def choose_rows(codes: np.ndarray, size: int, least: int, seed: int) -> np.ndarray:
    """About `size` rows, in order: the same share of each class, but at least `least` of each."""
    rng = np.random.RandomState(seed)
    chosen = []
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        wanted = max(round(size * len(rows) / len(codes)), least)
        chosen.append(rng.permutation(rows)[:wanted])
    return np.sort(np.concatenate(chosen))


def _chunks(rows: np.ndarray, *, is_quiet: bool) -> Iterator[np.ndarray]:
    with tqdm(total=len(rows), desc="other rows", unit="row", disable=is_quiet) as bar:
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            yield chunk
            bar.update(len(chunk))
