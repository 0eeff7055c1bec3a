"""Brittleness of predictions: drop the most helpful rows until the prediction is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skinfluence._data.arrays import check_numbers
from skinfluence._data.params import check_bool, check_int
from skinfluence._data.rows import rows_of
from skinfluence.retraining._refit import (
    check_reference,
    check_training,
    draw_seeds,
    fit_and_evaluate,
    labels_of,
    run_all,
)


def brittleness(
    estimator: Any,
    X: Any,
    y: Any,
    scores: Any,
    X_val: Any,
    y_val: Any,
    *,
    max_removed: int | None = None,
    refine: bool = True,
    n_seeds: int = 1,
    n_jobs: int | None = None,
    random_state: Any = None,
    verbose: int = 0,
) -> np.ndarray:
    """Count how many of the most helpful rows to drop until each prediction is wrong [1]_.

    For each reference row, the training rows are sorted by the reference row's column of `scores`,
    most helpful rows first. The estimator is fitted without the first 1, 2, 4, 8, ... training
    rows, up to `max_removed`, until its prediction for the reference row is wrong. Bisection then
    searches between the last number of rows with a right prediction and the first number with a
    wrong prediction. The result k has two properties. Without the first k rows, the prediction is
    wrong. Without the first k - 1 rows, it is right, if `refine` is True. A smaller number than k
    that was not tried may also give a wrong prediction, since the prediction may change more than
    once as rows are dropped.

    The better the scores, the fewer rows have to be dropped. For a baseline, use random scores,
    ``scores=rng.normal(size=(n, m))``.

    Parameters
    ----------
    estimator : scikit-learn classifier
        See `retrain`, which also describes `X`, `y`, `n_jobs` and `verbose`.
    X, y : array-like of n rows
    scores : array-like of shape (n, m)
        Scores of the training rows for each reference row; higher is more helpful.
    X_val, y_val : array-like of m rows
        Reference rows and their labels. To count how many rows must be dropped until a prediction
        changes, whether it is right or wrong, give the estimator's own predictions as `y_val`.
    max_removed : int, default=None
        The largest number of rows to drop; None means half of the training rows.
    refine : bool, default=True
        False skips the bisection: the result is the first power of two (or `max_removed`) with a
        wrong prediction.
    n_seeds : int, default=1
        Number of fits per subset. A prediction is taken as right if it is right in at least half of
        these fits.
    random_state : int, RandomState instance or None, default=None
        Seeds the fits, as in `retrain`.

    Returns
    -------
    n_rows : ndarray of shape (m,), float64
        0 if the prediction of the estimator fitted to all rows is wrong; ``np.inf`` if no tried
        number up to `max_removed` makes it wrong.

    Notes
    -----
    Some subsets need no fit. If a subset has no row with the label of the reference row, the
    prediction is counted as wrong. If all rows of a subset have this label, it is counted as right.

    References
    ----------
    .. [1] Ilyas, Park, Engstrom, Leclerc, Madry, "Datamodels: Predicting Predictions from Training
       Data", ICML 2022, arXiv 2202.00622.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from skinfluence.retraining import brittleness
    >>> X, y = np.array([[0.0], [0.1], [0.2], [1.0], [1.1]]), np.array([0, 0, 0, 1, 1])
    >>> near = -np.abs(X - 0.05)  # the nearest rows help the one reference row most
    >>> brittleness(KNeighborsClassifier(1), X, y, near, [[0.05]], [0], max_removed=4)
    array([3.])
    """
    n, m = check_training(estimator, X, y), check_reference(X_val, y_val)
    if not is_classifier(estimator):
        raise TypeError(
            f"estimator={estimator!r} is not a classifier, so its predictions are not right or "
            "wrong; use leave_some_out."
        )
    scores = _check_scores(scores, n, m)
    max_removed = n // 2 if max_removed is None else max_removed
    most = check_int("max_removed", max_removed, 1, n - 1, hint=f", fewer than the {n} rows")
    check_bool("refine", refine)
    given, labels = labels_of(y), labels_of(y_val, "y_val")
    seeds = draw_seeds(random_state, n_seeds)
    whole = [
        fit_and_evaluate(estimator, X, y, np.arange(n), seed, lambda f: labels_of(f.predict(X_val)))
        for seed in seeds
    ]
    right = (np.array(whole) == labels).mean(0) >= 0.5
    jobs = (
        (estimator, X, y, given, np.argsort(-scores[:, j], kind="stable"))
        + (rows_of(X_val, np.array([j])), labels[j], seeds, most, refine)
        for j in np.flatnonzero(right)
    )
    counts = np.zeros(m)
    counts[right] = run_all(_count_until_wrong, jobs, right.sum(), n_jobs=n_jobs, verbose=verbose)
    return counts


def _count_until_wrong(
    estimator: Any,
    X: Any,
    y: Any,
    given: np.ndarray,
    order: np.ndarray,
    row: Any,
    label: Any,
    seeds: list[int],
    max_removed: int,
    refine: bool,
) -> float:
    """Count the first rows of `order` without which the label of `row` is not predicted."""

    def is_wrong(number: int) -> bool:
        index = np.sort(order[number:])
        left = given[index]
        if (left == label).all() or not (left == label).any():
            return not (left == label).all()
        right = [
            fit_and_evaluate(
                estimator, X, y, index, s, lambda f: labels_of(f.predict(row))[0] == label
            )
            for s in seeds
        ]
        return np.mean(right) < 0.5

    return _find_wrong(is_wrong, max_removed, refine)


def _find_wrong(is_wrong: Callable[[int], bool], most: int, refine: bool) -> float:
    """Find a number for which `is_wrong` is True; with `refine`, also False for the number before.

    For 0, `is_wrong` is known to be False.
    """
    fine = 0
    for number in _doubling(most):
        if is_wrong(number):
            break
        fine = number
    else:
        return np.inf
    while refine and number - fine > 1:
        middle = (fine + number) // 2
        if is_wrong(middle):
            number = middle
        else:
            fine = middle
    return number


def _doubling(most: int) -> Iterator[int]:
    number = 1
    while number < most:
        yield number
        number *= 2
    yield most


def _check_scores(scores: Any, n: int, m: int) -> np.ndarray:
    hint = f"one column for each of the {m} reference rows"
    scores = check_numbers("scores", scores, (n, m), hint, finite=False)
    if np.isnan(scores).any():
        raise ValueError(
            f"scores holds {np.isnan(scores).sum()} NaN; give a number for every pair of rows."
        )
    return scores
