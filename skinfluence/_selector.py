"""InfluenceSampleSelector: a scorer and a rule, as a resampler."""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import Memory
from sklearn.base import MetaEstimatorMixin, clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_memory, has_fit_parameter
from skorch import NeuralNet
from torch.utils.data import Dataset

from skinfluence._base import Estimator
from skinfluence._core.tensors import n_rows
from skinfluence._data.labels import Relabelled, check_labels, default_task, own_labels
from skinfluence._data.params import check_int, draw_seed, pass_seed
from skinfluence._data.reference import (
    REFERENCE_ARGUMENTS,
    check_groups,
    check_groups_present,
    check_reference,
    folds,
)
from skinfluence._data.rows import check_rows, like, rows_of
from skinfluence._detector import NoisyLabelDetector
from skinfluence._scorer import InfluenceScorer
from skinfluence.rules import Decision, check_rule


class InfluenceSampleSelector(MetaEstimatorMixin, Estimator):
    """Keep the rows that help: a scorer says how good each row is, a rule what follows from it.

    Use it in an :class:`imblearn.pipeline.Pipeline` (``fit_resample``), or inside
    :class:`FilteredEstimator` in a plain scikit-learn Pipeline. It is no transformer: rows leave
    while fitting only, never at prediction.

    Parameters
    ----------
    scorer : InfluenceScorer or NoisyLabelDetector, default=None
        None is ``InfluenceScorer(normalize="reference", classwise=True)``, which unlike the plain
        inner product does not collapse when the reference rows have wrong labels too. Any estimator
        with ``fit(X, y, X_val=, y_val=)`` that then has ``scores_`` will do.
    rule : rule of :mod:`skinfluence.rules`, default=None
        None drops the rows that a NoisyLabelDetector flags (as many as its `contamination` says),
        and with any other scorer the lowest twentieth, ``Budget(0.05)``. A rule that is given
        decides alone: a detector's `contamination` then has no part in it.
    cv : int, default=5
        Folds when no ``X_val`` is given: in turn each fold is the reference that scores the other
        rows, so no row judges itself and all are judged. Scores are means over the folds. The cost
        is `cv` fits of the scorer. A `NoisyLabelDetector` folds the rows itself, by its own `cv`.
    memory : None, str or joblib.Memory, default=None
        Caches the scores. They do not depend on the rule, so a grid search over the rule's
        parameters fits the scorer once a split.
    random_state : int, RandomState instance or None, default=None
        Seeds the folds, and the scorer when it has no seed of its own.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Higher is more helpful. With a rule that scores again, the scores before its first step.
    support_ : ndarray of shape (n_samples,), bool
        The rows that are kept.
    sample_indices_ : ndarray of shape (n_kept,)
        Their positions, ascending.
    sample_weight_ : ndarray of shape (n_kept,) or None
        Weights of the kept rows, when the rule reweights.
    suggested_labels_ : ndarray of shape (n_samples,) or None
        Best label of each row by the scorer, when the rule relabels.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Only when X has string column names.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceSampleSelector
    >>> from skinfluence.rules import Budget
    >>> X, y = load_iris(return_X_y=True)
    >>> selector = InfluenceSampleSelector(rule=Budget(0.1), cv=2, random_state=0)
    >>> X_kept, y_kept = selector.fit_resample(X, y)
    >>> X_kept.shape
    (135, 4)
    """

    _last_fitted_attribute = "labels_"
    # With metadata routing enabled, reference rows come without having to be asked for.
    __metadata_request__fit = dict.fromkeys(REFERENCE_ARGUMENTS, True)

    def __init__(
        self,
        scorer: Any = None,
        rule: Any = None,
        *,
        cv: int = 5,
        memory: Any = None,
        random_state: Any = None,
    ) -> None:
        self.scorer = scorer
        self.rule = rule
        self.cv = cv
        self.memory = memory
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sensitive_features: Any = None,
        sensitive_features_val: Any = None,
    ) -> Any:
        """Score the rows and decide; see `fit_resample` for the rows themselves.

        Parameters
        ----------
        X : array-like, DataFrame, Tensor, dict of arrays or Dataset of n_samples rows
        y : array-like of shape (n_samples,)
        X_val, y_val : like X and y, default=None
            Trusted reference rows, none of them in X; 1-tuples are accepted.
        sensitive_features, sensitive_features_val : array-like, default=None
            Groups of the rows of X, and of ``X_val``, for a scorer whose target compares groups;
            see :meth:`InfluenceScorer.fit`. Folds are of the same shares of each group.

        Returns
        -------
        self : InfluenceSampleSelector
        """
        self._fit(X, y, (X_val, y_val), (sensitive_features, sensitive_features_val))
        return self

    def fit_resample(
        self,
        X: Any,
        y: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sensitive_features: Any = None,
        sensitive_features_val: Any = None,
    ) -> tuple[Any, Any]:
        """Score the rows, decide, and return those that are kept.

        Parameters
        ----------
        X, y, X_val, y_val, sensitive_features, sensitive_features_val : see `fit`

        Returns
        -------
        X_resampled, y_resampled : of the types of X and y
            The kept rows in their order; labels as the rule leaves them.
        """
        decision = self._fit(X, y, (X_val, y_val), (sensitive_features, sensitive_features_val))
        if decision.sample_weight is not None:
            raise ValueError(
                f"rule={self.rule!r} gives weights, which fit_resample cannot hand on: use "
                "FilteredEstimator, or fit(X, y) and sample_weight_."
            )
        if y is None:
            y = self._given
        if decision.y is not None:
            y = like(decision.y, y)
            X = Relabelled(X, decision.y) if isinstance(X, Dataset) else X
        return rows_of(X, self.sample_indices_), rows_of(y, self.sample_indices_)

    def get_support(self, indices: bool = False) -> np.ndarray:
        """Return the mask of the kept rows, or their positions."""
        check_is_fitted(self)
        return self.sample_indices_ if indices else self.support_

    def _fit(self, X: Any, y: Any, reference: tuple[Any, Any], groups: tuple[Any, Any]) -> Decision:
        self._forget_fit()
        rule = check_rule(self.rule)
        check_int("cv", self.cv, 2)
        checked = check_rows(self, X, reset=True)
        self._given = labels = check_labels(own_labels(X, y), n_rows(checked))
        scorer = _default_scorer() if self.scorer is None else clone(_check_scorer(self.scorer))
        pass_seed(self.random_state, scorer)
        memory: Memory = check_memory(self.memory)
        trusted = check_reference(*reference)
        of_rows, of_val = check_groups(*groups, len(labels), trusted)
        given = [scorer, X, labels, trusted, (of_rows, of_val), self.cv, self.random_state]
        given.append(rule.relabels)
        if getattr(rule, "rescores", False):  # not cached: the scorers are needed for what follows
            scoring = Scoring(*given)
            self.scores_, self.suggested_labels_, _ = scoring()
            decision = rule.decide(self.scores_, labels, None, lambda rows: scoring(rows)[0])
        else:
            self.scores_, self.suggested_labels_, flagged = memory.cache(score_rows)(*given)
            if self.rule is None and flagged is not None:
                decision = Decision(~flagged)
            else:
                decision = rule.decide(self.scores_, labels, self.suggested_labels_)
        self._check_decision(decision, labels)
        self.support_ = decision.keep
        self.sample_indices_ = np.flatnonzero(decision.keep)
        weight = decision.sample_weight
        self.sample_weight_ = None if weight is None else weight[decision.keep]
        self.labels_ = labels if decision.y is None else decision.y
        return decision

    def _check_decision(self, decision: Decision, y: np.ndarray) -> None:
        if not decision.keep.any():
            raise ValueError(f"rule={self.rule!r} keeps no row; loosen it.")
        if not _has_classes(self.scorer, y):
            return
        lost = np.setdiff1d(y, (y if decision.y is None else decision.y)[decision.keep])
        if len(lost):
            raise ValueError(
                f"rule={self.rule!r} leaves no row of class {lost[0].item()!r} of the "
                f"{decision.keep.sum()} that it keeps of {len(y)}; loosen it, or use "
                "Budget(per_class=True), which takes its share from each class."
            )


Scored = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]


def score_rows(*given: Any) -> Scored:
    """Scores (n,) of all rows, labels if asked, what is flagged; `given`: those of `Scoring`."""
    return Scoring(*given)()


class Scoring:
    """Scores of rows by references that they are no part of, labels if asked, what is flagged.

    Called again, for some of the rows, it fits the same scorers again: warm, where their nets are.
    """

    def __init__(
        self,
        scorer: Any,
        X: Any,
        y: np.ndarray,
        reference: tuple[Any, Any] | None,
        groups: tuple[np.ndarray | None, np.ndarray | None],
        cv: int,
        random_state: Any,
        suggest: bool,
    ) -> None:
        self.X, self.y, self.reference, self.suggest = X, y, reference, suggest
        self.of_rows, self.of_val = groups
        self.by_itself = isinstance(scorer, NoisyLabelDetector)
        self.fold: np.ndarray | None = None
        if reference is None and not self.by_itself:  # a detector folds the rows on its own
            stratify = _has_classes(scorer, y)
            if stratify and y.ndim == 1:
                check_classification_targets(y)
            rng = np.random.RandomState(draw_seed(random_state))
            self.fold = folds(y, cv, rng, stratify=stratify, groups=self.of_rows)
        self.scorers = [clone(scorer) for _ in range(1 if self.fold is None else cv)]

    def __call__(self, rows: np.ndarray | None = None) -> Scored:
        """Return scores of the rows at these positions, in their order; None is all rows."""
        rows = np.arange(len(self.y)) if rows is None else rows
        return self._together(rows) if self.fold is None else self._in_folds(rows, self.fold[rows])

    def _together(self, rows: np.ndarray) -> Scored:
        X, known = rows_of(self.X, rows), {}
        if self.reference is not None:
            known = dict(zip(("X_val", "y_val"), self.reference, strict=True))
        if self.of_rows is not None:
            known |= self._given(sensitive_features=self.of_rows[rows])
        known |= self._given(sensitive_features_val=self.of_val)
        fitted = self.scorers[0].fit(X, self.y[rows], **known)
        if self.by_itself:
            suggested = fitted.suggested_labels_ if self.suggest else None
            return fitted.scores_, suggested, ~fitted.inlier_mask_
        if not self.suggest:
            return fitted.scores_, None, None
        return fitted.scores_, _classes_of(fitted)[np.asarray(fitted.transform(X)).argmax(1)], None

    def _in_folds(self, rows: np.ndarray, fold: np.ndarray) -> Scored:
        classes, y = np.unique(self.y), self.y[rows]
        scores, counts = np.zeros(len(rows)), np.zeros(len(rows))
        by_label = np.zeros((len(rows), len(classes))) if self.suggest else None
        for k, scorer in enumerate(self.scorers):
            held, rest = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
            X_rest, known = rows_of(self.X, rows[rest]), {}
            if self.of_rows is not None:
                groups = self.of_rows[rows]
                check_groups_present(groups[held], groups)
                known = self._given(
                    sensitive_features=groups[rest], sensitive_features_val=(groups[held],)
                )
            reference = {"X_val": (rows_of(self.X, rows[held]),), "y_val": (y[held],)}
            fitted = scorer.fit(X_rest, y[rest], **reference, **known)
            scores[rest] += fitted.scores_
            counts[rest] += 1
            if by_label is not None:
                _classes_of(fitted)
                by_label[rest] += np.asarray(fitted.transform(X_rest))
        suggested = None if by_label is None else classes[by_label.argmax(1)]
        return scores / counts, suggested, None

    def _given(self, **groups: Any) -> dict[str, Any]:
        return _given(self.scorers[0], **groups)


def _given(scorer: Any, **groups: Any) -> dict[str, Any]:
    """Return the groups that were given, for a scorer that takes them."""
    groups = {name: value for name, value in groups.items() if value is not None}
    for name in groups:
        if not has_fit_parameter(scorer, name):
            raise TypeError(
                f"{name} was provided, but {type(scorer).__name__}.fit does not take it: use "
                "InfluenceScorer with a target that compares groups."
            )
    return groups


def _check_scorer(scorer: Any) -> Any:
    if not has_fit_parameter(scorer, "X_val") or isinstance(scorer, type):
        raise TypeError(
            f"scorer={scorer!r}: expected an InfluenceScorer (around your net, if it is a net), a "
            "NoisyLabelDetector, or an estimator with fit(X, y, X_val=, y_val=) and scores_."
        )
    return scorer


def _has_classes(scorer: Any, y: np.ndarray) -> bool:
    """Whether y is of classes, as the scorer's net says or, without one, y itself."""
    net = getattr(scorer, "estimator", None)
    net = net.estimator if isinstance(net, FrozenEstimator) else net
    if isinstance(net, NeuralNet):
        return is_classifier(net)
    return y.ndim == 1 and default_task(y) == "classification"


def _classes_of(fitted: Any) -> np.ndarray:
    if not hasattr(fitted, "classes_"):
        raise ValueError(
            f"the rule relabels, but {type(fitted).__name__} suggests labels for classes only; for "
            "numbers use NoisyLabelDetector as the scorer, or a rule that drops."
        )
    return fitted.classes_


def _default_scorer() -> InfluenceScorer:
    return InfluenceScorer(normalize="reference", classwise=True)
