"""Out-of-fold scores: each fold serves as reference rows to score all other rows.

The scorer may be any estimator with ``fit(X, y, X_val=, y_val=)`` and ``scores_``, or a pipeline
that ends in one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import has_fit_parameter
from skorch import NeuralNet

from skinfluence._data.labels import default_task, ignored_rows
from skinfluence._data.params import draw_seed
from skinfluence._data.reference import check_groups_present, folds
from skinfluence._data.rows import rows_of
from skinfluence._fitting.isolation import interruptible
from skinfluence.nets import TabularClassifier


@dataclass(frozen=True, eq=False)
class ScoringTask:
    """Everything that the scores of the rows depend on; it is the key of the score cache.

    Attributes
    ----------
    scorer : unfitted estimator
    X : rows, in the container of the user
    y : ndarray of shape (n,)
    reference : (X_val, y_val), or None to use each fold in turn
    groups, groups_val : ndarray or None
        Group of each row, and of each row of X_val.
    cv : int
        Number of folds.
    random_state : int, RandomState instance or None
        Seeds the folds.
    makes_own_folds : bool
        Whether the scorer splits the rows into folds itself, as NoisyLabelDetector does. Such a
        scorer has `inlier_mask_` and `suggested_labels_`.
    suggest : bool
        Whether the scorer has to suggest labels.
    """

    scorer: Any
    X: Any
    y: np.ndarray
    reference: tuple[Any, Any] | None
    groups: np.ndarray | None
    groups_val: np.ndarray | None
    cv: int
    random_state: Any
    makes_own_folds: bool
    suggest: bool


class RowScores(NamedTuple):
    """The results of a scorer for n rows."""

    scores: np.ndarray
    suggested_labels: np.ndarray | None  # None unless the task asks for them
    suspect: np.ndarray | None  # mask of the rows that a detector flags


def score_rows(task: ScoringTask) -> RowScores:
    """Score all rows of a task. This is a module-level function, so that joblib can cache it."""
    return Scoring(task)()


class Scoring:
    """Score the rows of a task against reference rows that they are not part of.

    A later call fits the same scorers again, so that nets with ``warm_start=True`` continue from
    their weights.
    """

    def __init__(self, task: ScoringTask) -> None:
        self.task = task
        self.fold: np.ndarray | None = None
        if task.reference is None and not task.makes_own_folds:
            stratify = has_classes(task.scorer, task.y)
            if stratify and task.y.ndim == 1:
                check_classification_targets(task.y)
            rng = np.random.RandomState(draw_seed(task.random_state))
            self.fold = folds(task.y, task.cv, rng, stratify=stratify, groups=task.groups)
        self.scorers = [clone(task.scorer) for _ in range(1 if self.fold is None else task.cv)]

    def __call__(self, rows: np.ndarray | None = None) -> RowScores:
        """Score the rows at these positions, in this order; None means all rows."""
        rows = np.arange(len(self.task.y)) if rows is None else rows
        with interruptible():  # otherwise, scores of half-trained nets would be cached
            if self.fold is None:
                return self._at_once(rows)
            return self._in_folds(rows, self.fold[rows])

    def _at_once(self, rows: np.ndarray) -> RowScores:
        """Fit one scorer, on the given reference rows or on folds that it makes itself."""
        task, scorer = self.task, self.scorers[0]
        X, known = rows_of(task.X, rows), {}
        if task.reference is not None:
            known = dict(zip(("X_val", "y_val"), task.reference, strict=True))
        if task.groups is not None:
            known |= _groups_for(scorer, sensitive_features=task.groups[rows])
        known |= _groups_for(scorer, sensitive_features_val=task.groups_val)
        fitted, X = _fit(scorer, X, task.y[rows], known)
        if task.makes_own_folds:
            suggested = fitted.suggested_labels_ if task.suggest else None
            return RowScores(fitted.scores_, suggested, ~fitted.inlier_mask_)
        if not task.suggest:
            return RowScores(fitted.scores_, None, None)
        classes = _classes_of(fitted)
        best = np.asarray(fitted.transform(X)).argmax(1)
        return RowScores(fitted.scores_, classes[best], None)

    def _in_folds(self, rows: np.ndarray, fold: np.ndarray) -> RowScores:
        """Fit one scorer per fold, which scores the rows outside the fold; average the scores."""
        task, y = self.task, self.task.y[rows]
        scores, counts = np.zeros(len(rows)), np.zeros(len(rows))
        by_label: np.ndarray | None = None
        classes = np.empty(0)
        is_labeled = labeled_rows(task.scorer, y)
        for k, scorer in enumerate(self.scorers):
            held, rest = np.flatnonzero((fold == k) & is_labeled), np.flatnonzero(fold != k)
            known = {"X_val": (rows_of(task.X, rows[held]),), "y_val": (y[held],)}
            known |= self._groups_of_fold(rows, held, rest)
            X_rest = rows_of(task.X, rows[rest])
            fitted, X_rest = _fit(scorer, X_rest, y[rest], known)
            scores[rest] += fitted.scores_
            counts[rest] += 1
            if task.suggest:
                # A frozen net may know more classes than there are in y.
                classes = _classes_of(fitted)
                by_label = np.zeros((len(rows), len(classes))) if by_label is None else by_label
                by_label[rest] += np.asarray(fitted.transform(X_rest))
        suggested = None if by_label is None else classes[by_label.argmax(1)]
        return RowScores(scores / counts, suggested, None)

    def _groups_of_fold(
        self, rows: np.ndarray, held: np.ndarray, rest: np.ndarray
    ) -> dict[str, Any]:
        if self.task.groups is None:
            return {}
        groups = self.task.groups[rows]
        check_groups_present(groups[held], groups)
        return _groups_for(
            self.scorers[0],
            sensitive_features=groups[rest],
            sensitive_features_val=(groups[held],),
        )


def final_step(scorer: Any) -> Any:
    """Return the last step of a pipeline, whose other steps encode rows, or the scorer itself."""
    return scorer.steps[-1][1] if isinstance(scorer, Pipeline) else scorer


def _fit(scorer: Any, X: Any, y: np.ndarray, known: dict[str, Any]) -> tuple[Any, Any]:
    """Fit a scorer; return its final step, and the rows in the form that this step reads."""
    last, n = final_step(scorer), len(y)
    if last is not scorer and len(scorer.steps) > 1:
        encoder = scorer[:-1]
        X = encoder.fit_transform(X, y)
        if "X_val" in known:
            X_val = known["X_val"]
            X_val = X_val[0] if isinstance(X_val, tuple) and len(X_val) == 1 else X_val
            known = known | {"X_val": encoder.transform(X_val)}
    fitted = last.fit(X, y, **known)
    if len(fitted.scores_) != n:
        raise ValueError(
            f"{type(last).__name__} gave {len(fitted.scores_)} scores for {n} rows; expected one "
            "score per row. Steps in front of it must not add or drop rows."
        )
    return fitted, X


def _groups_for(scorer: Any, **groups: Any) -> dict[str, Any]:
    """Return the groups that are not None as arguments of the scorer's `fit`."""
    groups = {name: value for name, value in groups.items() if value is not None}
    scorer = final_step(scorer)
    for name in groups:
        if not has_fit_parameter(scorer, name):
            raise TypeError(
                f"{name} was provided, but {type(scorer).__name__}.fit does not take it: use "
                "InfluenceScorer with a target that compares groups."
            )
    return groups


def has_classes(scorer: Any, y: np.ndarray) -> bool:
    """Whether y holds class labels: the scorer's net decides or, without a net, y itself."""
    net = getattr(final_step(scorer), "estimator", None)
    net = net.estimator if isinstance(net, FrozenEstimator) else net
    if isinstance(net, NeuralNet):
        return is_classifier(net)
    return y.ndim == 1 and default_task(y) == "classification"


def labeled_rows(scorer: Any, y: np.ndarray) -> np.ndarray:
    """Return a mask of the rows whose label is not the ``ignore_index`` of the scorer's net.

    If `scorer` is None, the default scorer is meant.
    """
    last = final_step(scorer)
    net = getattr(last, "estimator", None)
    has_default = last is None or hasattr(last, "estimator")
    if net is None and has_default and has_classes(scorer, y):
        net = TabularClassifier()
    return ~ignored_rows(net, y)


def _classes_of(fitted: Any) -> np.ndarray:
    if not hasattr(fitted, "classes_"):
        raise ValueError(
            f"the rule relabels, but {type(fitted).__name__} suggests labels for classes only. For "
            "regression, use NoisyLabelDetector as the scorer, or a rule that drops rows."
        )
    return fitted.classes_
