"""Fit an estimator to parts of the training rows, and measure its outcome on reference rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from skinfluence._data.arrays import as_array, check_classes, check_mask, check_numbers
from skinfluence._data.params import check_int, check_number, read_random_state
from skinfluence.retraining._refit import (
    check_reference,
    check_training,
    draw_seeds,
    fit_and_evaluate,
    labels_of,
    run_all,
)


def draw_subsets(
    n: int,
    n_subsets: int = 50,
    fraction: float = 0.5,
    *,
    stratify: Any = None,
    random_state: Any = None,
) -> np.ndarray:
    """Draw random subsets of the rows, all of the same size, as masks of the kept rows.

    Parameters
    ----------
    n : int
        Number of rows.
    n_subsets : int, default=50
        Number of subsets.
    fraction : float, default=0.5
        Share of the rows that each subset keeps, between 0 and 1.
    stratify : array-like of shape (n,), default=None
        Labels. If given, each subset keeps `fraction` of each class, and at least one row per
        class.
    random_state : int, RandomState instance or None, default=None
        Seeds the draws.

    Returns
    -------
    kept : ndarray of shape (n_subsets, n), bool

    Examples
    --------
    >>> from skinfluence.retraining import draw_subsets
    >>> draw_subsets(6, 2, random_state=0).sum(axis=1)
    array([3, 3])
    """
    check_int("n", n, 1)
    check_int("n_subsets", n_subsets, 1)
    wanted = "a number between 0 and 1"
    fraction = check_number("fraction", fraction, wanted, lambda share: 0 < share < 1)
    groups = [np.arange(n)]
    if stratify is not None:
        classes = check_classes(
            "stratify", labels_of(stratify, "stratify"), (n,), "one label per row"
        )
        codes = np.unique(classes, return_inverse=True)[1]
        groups = [np.flatnonzero(codes == c) for c in range(codes.max() + 1)]
    rng, kept = read_random_state(random_state), np.zeros((n_subsets, n), dtype=bool)
    for mask in kept:
        for rows in groups:
            size = max(round(fraction * len(rows)), 1)
            mask[rng.choice(rows, size, replace=False)] = True
    return kept


def retrain(
    estimator: Any,
    X: Any,
    y: Any,
    kept: Any,
    X_val: Any,
    y_val: Any,
    *,
    outcome: Any = None,
    n_seeds: int = 1,
    n_jobs: int | None = None,
    random_state: Any = None,
    verbose: int = 0,
) -> np.ndarray:
    """Fit the estimator to each subset of the rows; return its outcome on the reference rows.

    Parameters
    ----------
    estimator : scikit-learn estimator
        A net, a Pipeline, or any classifier or regressor; clones of it are fitted. Each
        ``random_state`` in it is replaced by a seed.
    X, y : array-like, DataFrame, Tensor, list or dict of arrays, of n rows
        Training rows and their labels.
    kept : array-like of bool of shape (n_subsets, n)
        One mask per fit: True for the rows to train on; see `draw_subsets`.
    X_val, y_val : like X and y, of m rows
        Reference rows and their labels.
    outcome : callable, default=None
        ``outcome(fitted, X_val, y_val)`` returns one number per reference row, (m,), or a single
        number. None means `row_losses`.
    n_seeds : int, default=1
        Number of fits per subset, each with its own seed. Outcomes are means over these fits. All
        subsets use the same seeds.
    n_jobs : int, default=None
        Number of parallel fits, as in joblib. Results do not depend on it. Use processes, not
        threads: threads share one random state, so they fit one after another.
    random_state : int, RandomState instance or None, default=None
        Seeds the fits: the ``random_state`` of estimators, torch, and NumPy's global state. The
        caller's states are restored afterwards.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    outcomes : ndarray of shape (n_subsets, m), or (n_subsets, 1) if an outcome is a single number

    Notes
    -----
    Each fit uses one thread of torch; use `n_jobs` for more cores.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skinfluence.retraining import draw_subsets, retrain
    >>> X, y = load_iris(return_X_y=True)
    >>> kept = draw_subsets(150, 4, stratify=y, random_state=0)
    >>> retrain(LogisticRegression(C=0.1), X, y, kept, X[::10], y[::10]).shape
    (4, 15)
    """
    n, m = check_training(estimator, X, y), check_reference(X_val, y_val)
    kept = _check_kept(kept, n)
    if outcome is None:
        if is_classifier(estimator):
            _check_classes(kept, labels_of(y))
        outcome = row_losses
    if not callable(outcome):
        raise TypeError(
            f"outcome={outcome!r}: expected a callable (fitted, X_val, y_val), or None."
        )
    evaluate = partial(_evaluate, outcome, X_val, y_val, m)
    seeds = draw_seeds(random_state, n_seeds)
    jobs = (
        (estimator, X, y, np.flatnonzero(mask), seed, evaluate) for mask in kept for seed in seeds
    )
    found = run_all(fit_and_evaluate, jobs, len(kept) * n_seeds, n_jobs=n_jobs, verbose=verbose)
    return np.reshape(found, (len(kept), n_seeds, -1)).mean(1)


def leave_one_out(
    estimator: Any,
    X: Any,
    y: Any,
    X_val: Any,
    y_val: Any,
    *,
    rows: Any = None,
    outcome: Any = None,
    n_seeds: int = 1,
    n_jobs: int | None = None,
    random_state: Any = None,
    verbose: int = 0,
) -> np.ndarray:
    """Change of the outcome when one row is left out; positive if the row helps.

    Parameters
    ----------
    estimator, X, y, X_val, y_val : see `retrain`
    rows : array-like of int of shape (n_left_out,), default=None
        Positions of the rows to leave out, one at a time; None means all rows.
    outcome, n_seeds, n_jobs, random_state, verbose : see `retrain`
        Like a loss, `outcome` should be larger for worse predictions. Otherwise changes and scores
        have opposite signs.

    Returns
    -------
    changes : ndarray of shape (n_left_out, m)
        Outcome without the row minus the outcome with all rows.

    Notes
    -----
    The outcome of a net also depends on the seed, often more strongly than on a single row. Use a
    larger `n_seeds`, or leave out groups of rows with `leave_some_out`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import LinearRegression
    >>> from skinfluence.retraining import leave_one_out
    >>> X, y = load_diabetes(return_X_y=True)
    >>> leave_one_out(LinearRegression(), X[:50], y[:50], X[50:60], y[50:60], rows=[0, 7]).shape
    (2, 10)
    """
    n = check_training(estimator, X, y)
    rows = range(n) if rows is None else np.ravel(as_array("rows", rows))
    if isinstance(rows, np.ndarray) and len(rows) and rows.dtype.kind not in "iu":
        raise ValueError(f"rows={rows!r}: expected the positions of rows, which are integers.")
    return leave_some_out(
        estimator,
        X,
        y,
        [[row] for row in rows],
        X_val,
        y_val,
        outcome=outcome,
        n_seeds=n_seeds,
        n_jobs=n_jobs,
        random_state=random_state,
        verbose=verbose,
    )


def leave_some_out(
    estimator: Any,
    X: Any,
    y: Any,
    groups: Sequence[Any],
    X_val: Any,
    y_val: Any,
    *,
    outcome: Any = None,
    n_seeds: int = 1,
    n_jobs: int | None = None,
    random_state: Any = None,
    verbose: int = 0,
) -> np.ndarray:
    """Change of the outcome when a group of rows is left out; positive if the group helps.

    Parameters
    ----------
    estimator, X, y, X_val, y_val : see `retrain`
    groups : sequence of array-like of int
        Each group holds the positions of rows that are left out together.
    outcome, n_seeds, n_jobs, random_state, verbose : see `retrain`
        Like a loss, `outcome` should be larger for worse predictions. Otherwise changes and scores
        have opposite signs.

    Returns
    -------
    changes : ndarray of shape (n_groups, m)
        Outcome without the group minus the outcome with all rows.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from skinfluence.retraining import leave_some_out
    >>> X, y = load_diabetes(return_X_y=True)
    >>> leave_some_out(Ridge(), X[:50], y[:50], [[0, 1, 2], [7, 9]], X[50:], y[50:]).shape
    (2, 392)
    """
    n = check_training(estimator, X, y)
    if (
        isinstance(groups, str)
        or not hasattr(groups, "__len__")
        or getattr(groups, "shape", 1) == ()
    ):
        raise TypeError(f"groups={groups!r}: expected a list of lists of row positions.")
    kept = np.ones((1 + len(groups), n), dtype=bool)
    for k, group in enumerate(groups):
        kept[1 + k, _check_group(group, n, k)] = False
    outcomes = retrain(
        estimator,
        X,
        y,
        kept,
        X_val,
        y_val,
        outcome=outcome,
        n_seeds=n_seeds,
        n_jobs=n_jobs,
        random_state=random_state,
        verbose=verbose,
    )
    return outcomes[1:] - outcomes[0]


def row_losses(fitted: Any, X: Any, y: Any) -> np.ndarray:
    """Loss of each row: log loss for a classifier, squared error for a regressor.

    Parameters
    ----------
    fitted : fitted classifier or regressor
    X : array-like of m rows
    y : array-like of shape (m,) or (m, n_outputs)
        Class labels that the classifier was fitted to, or regression targets. If there are several
        outputs, the loss of a row is the mean of the squared errors of its outputs.

    Returns
    -------
    losses : ndarray of shape (m,)

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> from skinfluence.retraining import row_losses
    >>> row_losses(DummyRegressor().fit([[0], [0]], [1.0, 3.0]), [[0], [0]], [2.0, 5.0])
    array([0., 9.])
    """
    y = labels_of(y)
    if not is_classifier(fitted):
        if not hasattr(fitted, "predict"):
            raise TypeError(f"fitted={fitted!r}: expected a fitted classifier or regressor.")
        predicted = labels_of(fitted.predict(X))
        if predicted.shape != y.shape:
            raise ValueError(
                f"predictions have shape {predicted.shape} and y has {y.shape}; they must match."
            )
        y = check_numbers("y", y, None)
        return np.square(predicted - y, dtype=np.float64).reshape(len(y), -1).mean(1)
    if not hasattr(fitted, "predict_proba"):
        raise TypeError(
            f"{type(fitted).__name__} has no predict_proba, which log loss needs; give outcome=, a "
            "callable (fitted, X_val, y_val) that returns one loss per row."
        )
    classes, proba = np.asarray(fitted.classes_), np.asarray(fitted.predict_proba(X))
    if y.shape != (len(proba),):
        raise ValueError(
            f"y has shape {y.shape}, and X has {len(proba)} rows; give one label per row of X."
        )
    unknown = ~np.isin(y, classes)
    if unknown.any():
        raise ValueError(
            f"the classifier was not fitted to any row of class {y[unknown][0].item()!r}; it knows "
            f"{classes.tolist()!r}. Draw subsets with draw_subsets(..., stratify=y)."
        )
    own = proba[np.arange(len(y)), (y[:, None] == classes).argmax(1)]
    return -np.log(np.clip(own, np.finfo(proba.dtype).eps, 1), dtype=np.float64)


def _evaluate(outcome: Any, X_val: Any, y_val: Any, m: int, fitted: Any) -> np.ndarray:
    values = np.asarray(outcome(fitted, X_val, y_val), dtype=np.float64)
    if values.shape not in ((), (m,)):
        raise ValueError(
            f"outcome returned shape {values.shape}; expected ({m},), one number per reference "
            "row, or a single number."
        )
    return values


def _check_kept(kept: Any, n: int) -> np.ndarray:
    kept = as_array("kept", kept)
    if kept.ndim != 2 or kept.shape[1] != n or not len(kept):
        raise ValueError(
            f"kept has shape {kept.shape}; expected (n_subsets, {n}), one mask of the {n} rows "
            "per subset, as returned by draw_subsets."
        )
    kept = check_mask("kept", kept, kept.shape)
    if not kept.any(1).all():
        raise ValueError(
            f"subset {np.argmin(kept.any(1))} of kept keeps no row; each subset needs one or more."
        )
    return kept


def _check_classes(kept: np.ndarray, y: np.ndarray) -> None:
    if y.ndim > 1:
        return
    classes, codes = np.unique(check_classes("y", y), return_inverse=True)
    for k, mask in enumerate(kept):
        lost = np.bincount(codes[mask], minlength=len(classes)) == 0
        if lost.any():
            raise ValueError(
                f"subset {k} of kept has no row of class {classes[lost][0].item()!r}, and log loss "
                "needs every class; use draw_subsets(..., stratify=y), leave out fewer rows, or "
                "give outcome=."
            )


def _check_group(group: Any, n: int, k: int) -> np.ndarray:
    group = as_array(f"groups[{k}]", group)
    if group.ndim != 1 or not len(group) or group.dtype.kind not in "iu":
        raise ValueError(f"groups[{k}] is {group!r}; expected the positions of one row or more.")
    if group.min() < -n or group.max() >= n:
        raise ValueError(f"groups[{k}] names rows {group.min()} to {group.max()}; X has {n} rows.")
    return group
