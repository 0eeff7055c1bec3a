"""Removal curves: performance of an estimator as rows are dropped in the order of their scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring

from skinfluence._data.arrays import check_numbers
from skinfluence._data.params import check_bool, check_int, read_random_state
from skinfluence.retraining._refit import check_reference, check_training
from skinfluence.retraining._retrain import retrain


@dataclass(frozen=True, eq=False)
class RemovalCurve:
    """Result of `removal_curve`.

    Attributes
    ----------
    fractions : ndarray of shape (n_fractions,)
        Shares of the rows that were dropped.
    n_removed : ndarray of shape (n_fractions,), int
        Numbers of rows that were dropped.
    lowest : ndarray of shape (n_fractions,)
        Performance of the estimator fitted without the lowest-scored rows. Like the other
        performances, it is a mean over the seeds.
    highest : ndarray of shape (n_fractions,) or None
        Performance of the estimator fitted without the highest-scored rows.
    random : ndarray of shape (n_fractions, n_random)
        Performance of the estimator fitted without random rows, one column per draw.
    score_name : str
        Name of the performance measure.
    """

    fractions: np.ndarray
    n_removed: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray | None
    random: np.ndarray
    score_name: str = "score"

    @property
    def random_mean(self) -> np.ndarray:
        """Mean over the draws, (n_fractions,); NaN if there are none."""
        return self.random.mean(1) if self.random.shape[1] else np.full(len(self.random), np.nan)

    @property
    def random_std(self) -> np.ndarray:
        """Standard deviation over the draws, (n_fractions,); NaN for fewer than two."""
        several = self.random.shape[1] > 1
        return self.random.std(1, ddof=1) if several else np.full(len(self.random), np.nan)


def removal_curve(
    estimator: Any,
    X: Any,
    y: Any,
    scores: Any,
    X_val: Any,
    y_val: Any,
    *,
    fractions: Any = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4),
    highest: bool = True,
    n_random: int = 5,
    score: Any = None,
    n_seeds: int = 1,
    n_jobs: int | None = None,
    random_state: Any = None,
    verbose: int = 0,
) -> RemovalCurve:
    """Drop rows in the order of their scores, fit the estimator again, and measure its performance.

    If the scores are right, the curve rises when the lowest-scored rows are dropped, and falls when
    the highest-scored rows are dropped. The curve for random rows shows the cost of losing the same
    number of rows. If all curves fall together, the scores carry no information about the model's
    performance.

    Parameters
    ----------
    estimator, X, y, n_seeds, n_jobs, verbose : see `retrain`
    scores : array-like of shape (n,)
        Higher is more helpful. Rows of equal score are dropped in random order.
    X_val, y_val : like X and y
        Rows on which performance is measured, and their labels. Do not use the reference rows that
        the scores were computed with, because the scores are fitted to them.
    fractions : array-like of shape (n_fractions,), default=(0, 0.05, 0.1, 0.2, 0.3, 0.4)
        Shares of the rows to drop, from 0 to less than 1.
    highest : bool, default=True
        Whether to compute the curve for the highest-scored rows as well.
    n_random : int, default=5
        Number of random orders. Within an order, a larger share includes all rows of a smaller
        share.
    score : str, callable or None, default=None
        Performance measure, like ``scoring`` in scikit-learn: larger is better. None means the
        estimator's ``score``.
    random_state : int, RandomState instance or None, default=None
        Seeds the fits and the orders.

    Returns
    -------
    curve : RemovalCurve

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from skinfluence.datasets import flip_labels
    >>> from skinfluence.retraining import removal_curve
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, is_noisy = flip_labels(y[::2], 0.2, random_state=0)
    >>> knn, fractions = KNeighborsClassifier(1), [0, 0.2]
    >>> curve = removal_curve(
    ...     knn, X[::2], y_noisy, ~is_noisy, X[1::2], y[1::2], fractions=fractions, random_state=0
    ... )
    >>> bool(curve.lowest[1] > curve.lowest[0]), curve.random.shape
    (True, (2, 5))
    """
    n = check_training(estimator, X, y)
    check_reference(X_val, y_val)
    scores = _check_scores(scores, n)
    n_removed = _check_fractions(fractions, n)
    check_int("n_random", n_random, 0)
    check_bool("highest", highest)
    scorer = _check_scoring(estimator, score)
    rng = read_random_state(random_state)
    orders = _draw_orders(scores, highest, n_random, rng)
    ranks = np.argsort(orders, axis=1)  # position of each row in each order
    kept = (ranks[None] >= n_removed[:, None, None]).reshape(-1, n)
    kept, at = np.unique(kept, axis=0, return_inverse=True)  # all orders share the fit to all rows
    values = retrain(
        estimator,
        X,
        y,
        kept,
        X_val,
        y_val,
        outcome=partial(_scored, scorer),
        n_seeds=n_seeds,
        n_jobs=n_jobs,
        random_state=rng,
        verbose=verbose,
    )
    arms = values[at.ravel(), 0].reshape(len(n_removed), len(orders))
    return RemovalCurve(
        fractions=np.asarray(fractions, dtype=np.float64),
        n_removed=n_removed,
        lowest=arms[:, 0],
        highest=arms[:, 1] if highest else None,
        random=arms[:, 1 + bool(highest) :],
        score_name=score if isinstance(score, str) else "score",
    )


def _draw_orders(
    scores: np.ndarray, highest: bool, n_random: int, rng: np.random.RandomState
) -> list[np.ndarray]:
    """Return orders to drop the rows in: lowest first, highest first, and random ones."""
    ties = rng.permutation(len(scores))  # in random order: tables are often sorted by class
    orders = [np.lexsort((ties, scores))]
    orders += [np.lexsort((ties, -scores))] if highest else []
    return orders + [rng.permutation(len(scores)) for _ in range(n_random)]


def _check_scoring(estimator: Any, score: Any) -> Any:
    if score is not None and not isinstance(score, str) and not callable(score):
        raise TypeError(f"score={score!r}: expected the name of a score, a callable, or None.")
    try:
        return check_scoring(estimator, scoring=score)
    except ValueError as error:
        raise ValueError(f"score={score!r}: {error}") from error


def _scored(scorer: Any, fitted: Any, X_val: Any, y_val: Any) -> float:
    return scorer(fitted, X_val, y_val)


def _check_scores(scores: Any, n: int) -> np.ndarray:
    scores = check_numbers("scores", scores, finite=False)
    if len(scores) != n:
        raise ValueError(f"scores has {len(scores)} entries, X has {n} rows; give one per row.")
    if np.isnan(scores).any():
        raise ValueError(f"scores holds {np.isnan(scores).sum()} NaN; give a number for every row.")
    return scores


def _check_fractions(fractions: Any, n: int) -> np.ndarray:
    shares = check_numbers("fractions", fractions, None, finite=False)
    if shares.ndim != 1 or not len(shares) or not ((shares >= 0) & (shares < 1)).all():
        raise ValueError(f"fractions={fractions!r}: expected shares of the rows, each in [0, 1).")
    n_removed = np.round(shares * n).astype(int)
    if n_removed.max() >= n:
        raise ValueError(f"fractions={fractions!r} leaves none of the {n} rows to fit.")
    return n_removed
