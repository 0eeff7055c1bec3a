"""Subsets: the effect of leaving out a set of rows together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from skinfluence._core.aggregation import Mean
from skinfluence._core.directions import directions
from skinfluence._core.influence import row_scores
from skinfluence._core.tensors import n_rows
from skinfluence._data.params import check_bool, draw_seed
from skinfluence._data.rows import take
from skinfluence._fitting.isolation import threads_for
from skinfluence._scorer import FittedParts, InfluenceScorer, fitted_parts
from skinfluence.curvature import Curvature

__all__ = ["group_influence"]


def group_influence(
    scorer: InfluenceScorer,
    X: Any,
    y: Any,
    groups: Any,
    *,
    of_rest: bool = False,
    random_state: Any = None,
) -> np.ndarray:
    """Estimate, for each group of rows, how much the target would rise without the group.

    To first order, the rise is the sum of the group's scores, divided by the number n of training
    rows [1]_. This estimate is accurate for small groups. For large groups, and for groups that
    alone determine some parameters, the estimate is too small, because the curvature changes
    without the group [2]_. If `of_rest` is True, the curvature is computed over the rows outside
    the group. The estimate is then a Newton step from the fitted net to the net without the group.
    For least squares, the Newton step is exact; for a single row, it is the leave-one-out formula
    with leverage. With `of_rest`, the curvature is prepared again for each group.

    Parameters
    ----------
    scorer : InfluenceScorer
        Fitted scorer with a curvature. Without a curvature, scores do not have the unit of the
        target.
    X, y : see :meth:`InfluenceScorer.fit`
        All rows that the net was trained on.
    groups : sequence of array-like of int, or of bool of shape (n_samples,)
        Positions, or a mask, of the rows of each group.
    of_rest : bool, default=False
        Whether to compute the curvature over the rows outside the group only.
    random_state : int, RandomState instance or None, default=None
        Seeds the curvature if it draws labels or batches. Used only if `of_rest` is True.

    Returns
    -------
    changes : ndarray of shape (n_groups,)
        Positive if the target would rise without the group, that is, if the group helps.

    References
    ----------
    .. [1] Koh, Ang, Teo, Liang, "On the Accuracy of Influence Functions for Measuring Group
       Effects", NeurIPS 2019.
    .. [2] Basu, You, Feizi, "On Second-Order Group Influence Functions for Black-Box Predictions",
       ICML 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.curvature import CG
    >>> from skinfluence.subsets import group_influence
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = InfluenceScorer(curvature=CG(damping=0.1), random_state=0)
    >>> _ = scorer.fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    >>> group_influence(scorer, X[::2], y[::2], [range(10), [3, 5]]).shape
    (2,)
    """
    parts = fitted_parts(scorer)
    if scorer.curvature is None or scorer.method is not None:
        raise ValueError(
            "group_influence needs a scorer with a curvature, such as CG(), and without method=. "
            "Plain inner products rank rows, but do not estimate a change of the target."
        )
    if scorer.normalize is not None or scorer.classwise or not isinstance(parts.aggregation, Mean):
        raise ValueError(
            f"normalize={scorer.normalize!r}, classwise={scorer.classwise!r}: scores can be added "
            "over a group only if they are plain means. Fit a scorer with normalize=None, "
            "classwise=False and an ensemble with aggregate='mean'."
        )
    check_bool("of_rest", of_rest)
    X, y = parts.read(X, y)
    n = n_rows(X)
    is_scalar = getattr(groups, "shape", None) == ()
    groups = list(groups) if isinstance(groups, Iterable) and not is_scalar else groups
    if not isinstance(groups, list) or not all(isinstance(g, Iterable) for g in groups):
        raise TypeError(
            f"groups={groups!r}: expected a list of groups, each a list of row positions."
        )
    masks = [_mask(group, n, k) for k, group in enumerate(groups)]
    with threads_for(scorer.estimator):
        if not of_rest:
            scores = parts.aggregation.scores(parts.fnet, X, y)
            return np.array([scores[mask].sum() for mask in masks]) / n
        seed = draw_seed(random_state)
        return np.array([_newton(parts, scorer.curvature, X, y, mask, seed) for mask in masks])


def _newton(
    parts: FittedParts, curvature: Curvature, X: Any, y: np.ndarray, mask: np.ndarray, seed: int
) -> float:
    """Return Σ over the group of <g_i, (M_rest + λI)^-1 v>, divided by the number of other rows."""
    rest, rng = np.flatnonzero(~mask), np.random.RandomState(seed)
    objective = parts.objective()
    total, weights = 0.0, sum(member.weight for member in parts.members)
    for member in parts.members:
        at = parts.fnet.at(member.state)
        solve = curvature.prepare(at, take(X, rest), y[rest], rng)
        u = solve(directions(at, objective))
        scores = row_scores(at, u, take(X, np.flatnonzero(mask)), y[mask])
        total += member.weight / weights * scores.sum() / len(rest)
    return total


def _mask(group: Any, n: int, number: int) -> np.ndarray:
    index = np.asarray(group if hasattr(group, "__len__") else list(group))
    if index.dtype.kind == "b" and index.shape == (n,):
        mask = index
    elif index.dtype.kind in "iu" and index.ndim == 1:
        if len(index) and not (index.min() >= 0 and index.max() < n):
            raise ValueError(f"groups[{number}] has positions outside 0 to {n - 1}.")
        mask = np.isin(np.arange(n), index)
        if len(index) != mask.sum():
            raise ValueError(f"groups[{number}] contains a row more than once.")
    else:
        raise ValueError(
            f"groups[{number}] is of dtype {index.dtype} and shape {index.shape}; expected "
            f"positions of rows, or a mask of shape ({n},)."
        )
    if not mask.any() or mask.all():
        raise ValueError(
            f"groups[{number}] has {int(mask.sum())} of the {n} rows; expected at least one row, "
            "but not all."
        )
    return mask
