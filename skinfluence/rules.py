"""Rules that turn scores into a decision: which rows to drop, relabel or reweight.

A rule is an object with ``decide(scores, y, suggested) -> Decision``, where ``suggested`` holds the
labels to relabel rows with. A grid search can set the rule's parameters. Most rules pick the rows
with the lowest scores; their parameter ``action`` says what happens to the picked rows. If a rule
has ``rescores = True``, it decides step by step: `decide` gets a fourth argument, a function that
scores the remaining rows again. Rules do not depend on nets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skinfluence._data.arrays import as_array, check_classes, check_numbers, check_values
from skinfluence._data.params import (
    check_bool,
    check_choice,
    check_count,
    check_int,
    check_number,
)

_ACTIONS = ("drop", "relabel")


@dataclass
class Decision:
    """What a rule decides about n rows.

    Attributes
    ----------
    keep : ndarray of shape (n,), bool
        True for the rows that are kept.
    y : ndarray of shape (n,) or None
        New labels, if the rule relabels.
    sample_weight : ndarray of shape (n,) or None
        Weights, if the rule reweights.
    """

    keep: np.ndarray
    y: np.ndarray | None = None
    sample_weight: np.ndarray | None = None


class Rule(ABC, BaseEstimator):
    """Base class of the rules."""

    rescores = False

    @property
    def relabels(self) -> bool:
        """Whether `decide` needs suggested labels."""
        return getattr(self, "action", "drop") == "relabel"

    @abstractmethod
    def decide(
        self, scores: np.ndarray, y: np.ndarray, suggested: np.ndarray | None = None
    ) -> Decision:
        """Decide about n rows by their scores and labels; `suggested` is needed to relabel."""


class _Picking(Rule):
    """A rule that picks bad rows and drops or relabels them."""

    action: str

    @abstractmethod
    def pick(self, scores: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return a mask of the bad rows."""

    def decide(
        self, scores: np.ndarray, y: np.ndarray, suggested: np.ndarray | None = None
    ) -> Decision:
        """Drop or relabel the rows that `pick` finds."""
        action = check_choice("action", self.action, _ACTIONS)
        scores, y = _check_rows(scores, y)
        bad = self.pick(scores, y)
        if action == "drop":
            return Decision(~bad)
        if suggested is None:
            raise ValueError("action='relabel' needs suggested labels, but suggested is None.")
        suggested = check_values("suggested", suggested, y.shape, "one label per row")
        if _kind(suggested) != _kind(y):
            raise TypeError(
                f"suggested has dtype {suggested.dtype}, and y has {y.dtype}; give labels of one "
                "type."
            )
        return Decision(np.ones(len(bad), dtype=bool), np.where(bad, suggested, y))


class Budget(_Picking):
    """Pick a fixed number of rows: those with the lowest scores.

    Parameters
    ----------
    fraction : float, default=0.05
        Share of the rows to pick, in [0, 1). Include 0 in a grid search to compare with keeping
        all rows.
    count : int, default=None
        Number of rows to pick; overrides `fraction`.
    per_class : bool, default=False
        If True, pick the same share of each class, so that no small class loses all of its rows. If
        `count` is given, it is divided among the classes in proportion to their sizes.
    action : {"drop", "relabel"}, default="drop"
        What to do with the picked rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence.rules import Budget
    >>> Budget(count=1).decide(np.array([0.3, -1.0, 0.2]), np.array([0, 0, 1])).keep
    array([ True, False,  True])
    """

    def __init__(
        self,
        fraction: float = 0.05,
        *,
        count: int | None = None,
        per_class: bool = False,
        action: str = "drop",
    ) -> None:
        self.fraction = fraction
        self.count = count
        self.per_class = per_class
        self.action = action

    def pick(self, scores: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return a mask of the lowest scores; among equal scores, the first are picked."""
        n = len(scores)
        share = self._share(n)
        bad = np.zeros(n, dtype=bool)
        per_class = check_bool("per_class", self.per_class, owner=self)
        groups = _rows_by_class(y) if per_class else [np.arange(n)]
        counts = _apportioned(share, np.array([len(rows) for rows in groups]))
        for rows, count in zip(groups, counts, strict=True):
            bad[rows[np.argsort(scores[rows], kind="stable")[:count]]] = True
        return bad

    def _share(self, n: int) -> float:
        if self.count is not None:
            hint = f", fewer than the {n} rows"
            return check_int("count", self.count, 0, n - 1, owner=self, hint=hint) / n
        wanted = "a share of the rows in [0, 1); for a number of rows, use count="
        return check_number("fraction", self.fraction, wanted, lambda s: 0 <= s < 1, owner=self)


class Threshold(_Picking):
    """Pick the rows whose score is below a threshold.

    To first order, a negative score argues for dropping that one row. Dropping all rows with
    negative scores at once can do more harm than good. Choose the threshold by a search on held-out
    rows.

    Parameters
    ----------
    threshold : float, default=0.0
        Rows with a lower score are picked.
    action : {"drop", "relabel"}, default="drop"
        What to do with the picked rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence.rules import Threshold
    >>> Threshold(0.0).decide(np.array([0.3, -1.0, 0.2]), np.array([0, 0, 1])).keep
    array([ True, False,  True])
    """

    def __init__(self, threshold: float = 0.0, *, action: str = "drop") -> None:
        self.threshold = threshold
        self.action = action

    def pick(self, scores: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return a mask of the scores below the threshold."""
        threshold = check_number(
            "threshold", self.threshold, "a finite number", lambda number: True, owner=self
        )
        return scores < threshold


class AdaptiveGreedy(Rule):
    """Drop the lowest-scored rows a few at a time; fit and score again after each step [1]_.

    The k rows with the lowest scores need not be the worst set of k rows, for two reasons. First,
    two copies of a bad row mask one another: neither copy looks bad while the other is present.
    Second, once one row of a bad cluster has been dropped, the rest may no longer do harm. Scoring
    again after each step accounts for both effects, at the cost of one fit per step. A net with
    ``warm_start=True`` continues from its weights of the previous step, so give it few epochs.

    Parameters
    ----------
    fraction : float, default=0.05
        Share of the rows to drop in total, in [0, 1).
    count : int, default=None
        Number of rows to drop in total; overrides `fraction`.
    step : int, default=5
        Number of rows to drop between two fits; 1 is the most careful.
    per_class : bool, default=False
        If True, drop the same share of each class in each step; see :class:`Budget`.

    References
    ----------
    .. [1] Hu, Hu, Zhao, Ma, "Most Influential Subset Selection: Challenges, Promises, and Beyond",
       NeurIPS 2024, arXiv 2409.18153.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence.rules import AdaptiveGreedy, Budget
    >>> x = np.array([0.0, 1.0, 2.0, 8.0, 9.0])
    >>> def near_the_mean(rows):
    ...     return -np.abs(x[rows] - x[rows].mean())
    >>> scores = near_the_mean(np.arange(5))
    >>> Budget(count=2).decide(scores, np.zeros(5)).keep  # drops 0 and 9
    array([False,  True,  True,  True, False])
    >>> rule = AdaptiveGreedy(count=2, step=1)
    >>> rule.decide(scores, np.zeros(5), None, near_the_mean).keep  # drops 9, and then 8
    array([ True,  True,  True, False, False])
    """

    rescores = True

    def __init__(
        self,
        fraction: float = 0.05,
        *,
        count: int | None = None,
        step: int = 5,
        per_class: bool = False,
    ) -> None:
        self.fraction = fraction
        self.count = count
        self.step = step
        self.per_class = per_class

    def decide(
        self,
        scores: np.ndarray,
        y: np.ndarray,
        suggested: np.ndarray | None = None,
        rescore: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> Decision:
        """Drop rows step by step.

        ``rescore(rows)`` fits to the rows at these positions and returns their scores.
        """
        check_count(self, "step")
        if not callable(rescore):
            raise TypeError(
                "AdaptiveGreedy has to score again after each step: use it as the rule of an "
                "InfluenceSampleSelector, or give decide(..., rescore=)."
            )
        scores, y = _check_rows(scores, y)
        rows = np.arange(len(scores))
        left = int(Budget(self.fraction, count=self.count).pick(scores, y).sum())
        while left > 0:
            number = min(self.step, left)
            worst = Budget(count=number, per_class=self.per_class).pick(scores, y[rows])
            rows = rows[~worst]
            left -= int(worst.sum())
            if left > 0:
                hint = "one for each row that is left"
                scores = check_numbers("the scores of rescore", rescore(rows), (len(rows),), hint)
        return Decision(np.isin(np.arange(len(y)), rows))


class Reweight(Rule):
    """Keep every row, with a weight that grows with its score [1]_.

    Let n be the number of rows, and z the standardized scores multiplied by `strength`. The weights
    are ``4 n softmax(z)``, clipped to [0, 2].

    Parameters
    ----------
    strength : float, default=1.0
        Factor on the standardized scores. From 0 to about 0.3, all rows have the same weight, since
        all weights are clipped to 2. A factor of 1 is a strong reweighting. Choose the factor by a
        search on held-out rows.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, arXiv 2405.17490.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence.rules import Reweight
    >>> decision = Reweight().decide(np.array([0.3, -1.0, 0.2]), np.array([0, 0, 1]))
    >>> bool(decision.sample_weight[1] < decision.sample_weight[0])
    True
    """

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength

    def decide(
        self, scores: np.ndarray, y: np.ndarray, suggested: np.ndarray | None = None
    ) -> Decision:
        """Return the weights."""
        scores, _ = _check_rows(scores, y)
        strength = check_number(
            "strength", self.strength, "a number, 0 or more", lambda s: s >= 0, owner=self
        )
        spread = scores.std()
        z = strength * (scores - scores.mean()) / (spread if spread > 0 else 1.0)
        raised = np.exp(z - z.max())
        weights = np.clip(4 * len(z) * raised / raised.sum(), 0, 2)
        return Decision(np.ones(len(z), dtype=bool), sample_weight=weights)


def check_rule(rule: Any) -> Rule:
    """Return the rule for an argument ``rule=``; None means ``Budget()``."""
    if rule is None:
        return Budget()
    if not hasattr(rule, "decide") or isinstance(rule, type):
        raise TypeError(
            f"rule={rule!r}: expected an instance from skinfluence.rules, such as Budget(0.05), or "
            "any object with decide(scores, y, suggested)."
        )
    return rule


def _check_rows(scores: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores and the labels of the rows as arrays of equal length."""
    scores, y = check_numbers("scores", scores), as_array("y", y)
    return scores, check_values("y", y, (len(scores), *y.shape[1:]), "one label per score")


def _kind(y: np.ndarray) -> str:
    """Whether labels are numbers, text or something else."""
    is_text = y.dtype.kind == "U" or (y.size > 0 and isinstance(y.flat[0], str))
    return "text" if is_text else "number" if y.dtype.kind in "biufO" else y.dtype.kind


def _apportioned(share: float, sizes: np.ndarray) -> np.ndarray:
    """Return how many rows to pick from each group, by the largest remainder method."""
    quota = share * sizes
    counts = np.floor(quota + 1e-9).astype(int)
    left = round(share * int(sizes.sum())) - counts.sum()
    counts[np.argsort(counts - quota, kind="stable")[: max(left, 0)]] += 1
    return counts


def _rows_by_class(y: np.ndarray) -> list[np.ndarray]:
    y = as_array("y", y)
    if y.ndim != 1 or (y.dtype.kind == "f" and not (y == np.floor(y)).all()):
        raise ValueError(
            "per_class=True picks rows from each class, but y holds numbers, not class labels."
        )
    y = check_classes("y", y)
    return [np.flatnonzero(y == label) for label in np.unique(y)]
