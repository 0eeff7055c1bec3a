"""InfluenceSampleSelector: a scorer scores the rows, and a rule decides which rows to keep."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from joblib import Memory
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.utils.validation import check_is_fitted, check_memory, has_fit_parameter
from torch.utils.data import Dataset

from skinfluence._base import Estimator
from skinfluence._core.tensors import n_rows
from skinfluence._data.labels import RelabeledDataset, check_labels, own_labels
from skinfluence._data.params import check_int, pass_seed
from skinfluence._data.reference import (
    REFERENCE_ARGUMENTS,
    check_groups,
    check_reference,
)
from skinfluence._data.rows import Forms, check_rows, check_size, labels_like, rows_of
from skinfluence._detector import NoisyLabelDetector
from skinfluence._fitting.cross_scoring import (
    Scoring,
    ScoringTask,
    final_step,
    has_classes,
    labeled_rows,
    score_rows,
)
from skinfluence._scorer import InfluenceScorer
from skinfluence.nets import is_ready_made
from skinfluence.rules import Decision, check_rule


class InfluenceSampleSelector(MetaEstimatorMixin, Estimator):
    """Keep the rows that help a model: a scorer scores the rows, and a rule selects by score.

    Use the selector in an :class:`imblearn.pipeline.Pipeline`, which calls ``fit_resample``. In a
    scikit-learn Pipeline, use it inside a :class:`FilteredEstimator`. The selector is not a
    transformer: it removes rows during fitting only, never at prediction.

    Parameters
    ----------
    scorer : InfluenceScorer or NoisyLabelDetector, default=None
        None means ``InfluenceScorer(normalize="reference", classwise=True)``. Unlike the plain
        inner product, this scorer still works if some reference rows are mislabeled. Any estimator
        with ``fit(X, y, X_val=, y_val=)`` that sets ``scores_`` is accepted. A
        :class:`~sklearn.pipeline.Pipeline` that ends in a scorer is accepted as well: its other
        steps, such as an encoder, are fitted to the rows that the scorer is fitted to.
    rule : rule of :mod:`skinfluence.rules`, default=None
        What to do with the scored rows. If None and the scorer is a NoisyLabelDetector, the rows
        that the detector flags are dropped; its `contamination` sets how many. If None and the
        scorer is of another type, the rule is ``Budget(0.05)``, which drops the 5% of the rows with
        the lowest scores. If a rule is given, a detector's `contamination` is not used.
    cv : int, default=5
        Number of folds if no ``X_val`` is given. The scorer is fitted once per fold: the fold
        serves as the reference rows, and all other rows are scored. A row is therefore never a
        reference row for its own score. A row's scores from the different fits are averaged. If the
        scorer is a `NoisyLabelDetector`, the detector's own `cv` is used instead.
    memory : None, str or joblib.Memory, default=None
        Where to cache the scores. Scores do not depend on the rule, so a grid search over the
        rule's parameters fits the scorer only once per split.
    random_state : int, RandomState instance or None, default=None
        Seeds the folds, and the scorer if its own ``random_state`` is None.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Score of each row; higher is more helpful. If the rule scores again after each step, these
        are the scores before the first step.
    support_ : ndarray of shape (n_samples,), bool
        True for the rows that are kept.
    sample_indices_ : ndarray of shape (n_kept,)
        Positions of the kept rows, ascending.
    sample_weight_ : ndarray of shape (n_kept,) or None
        Weights of the kept rows, if the rule reweights.
    suggested_labels_ : ndarray of shape (n_samples,) or None
        The label that the scorer suggests for each row, if the rule relabels.
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
    # With metadata routing enabled, reference rows are routed here without a request.
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
    ) -> Self:
        """Score the rows and decide which to keep; `fit_resample` returns the kept rows.

        Parameters
        ----------
        X : array-like, DataFrame, Tensor, dict or tuple of arrays or Dataset, of n_samples rows
        y : array-like of shape (n_samples,)
        X_val, y_val : like X and y, default=None
            Trusted reference rows and their labels; none of these rows may be in X. 1-tuples are
            accepted, as in :meth:`InfluenceScorer.fit`.
        sensitive_features, sensitive_features_val : array-like, default=None
            Groups of the rows of X and of ``X_val``, for a scorer whose target compares groups;
            see :meth:`InfluenceScorer.fit`. Each fold holds the same share of each group.

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
        """Score the rows, decide which to keep, and return the kept rows.

        Parameters
        ----------
        X, y, X_val, y_val, sensitive_features, sensitive_features_val : see `fit`

        Returns
        -------
        X_resampled, y_resampled : of the types of X and y
            The kept rows in the order of X, and their labels. If the rule relabels, these are the
            new labels.
        """
        decision = self._fit(X, y, (X_val, y_val), (sensitive_features, sensitive_features_val))
        if decision.sample_weight is not None:
            raise ValueError(
                f"rule={self.rule!r} gives weights, which fit_resample cannot return: use "
                "FilteredEstimator, or fit(X, y) and sample_weight_."
            )
        if y is None:
            y = self._given
        if decision.y is not None:
            y = labels_like(y, decision.y)
            X = RelabeledDataset(X, decision.y) if isinstance(X, Dataset) else X
        return rows_of(X, self.sample_indices_), rows_of(y, self.sample_indices_)

    def get_support(self, indices: bool = False) -> np.ndarray:
        """Return the mask of the kept rows, or their positions."""
        check_is_fitted(self)
        return self.sample_indices_ if indices else self.support_

    def _fit(self, X: Any, y: Any, reference: tuple[Any, Any], groups: tuple[Any, Any]) -> Decision:
        self._forget_fit()
        rule: Any = check_rule(self.rule)
        task = self._check_task(X, y, reference, groups, getattr(rule, "relabels", False))
        self._given = task.y
        decision = self._decide(rule, task)
        self._check_decision(decision, task.y)
        self.support_ = decision.keep
        self.sample_indices_ = np.flatnonzero(decision.keep)
        weight = decision.sample_weight
        self.sample_weight_ = None if weight is None else weight[decision.keep]
        self.labels_ = task.y if decision.y is None else decision.y
        return decision

    def _check_task(
        self,
        X: Any,
        y: Any,
        reference: tuple[Any, Any],
        groups: tuple[Any, Any],
        suggest: bool,
    ) -> ScoringTask:
        """Check the data and the parameters, and collect what the scores depend on."""
        cv = check_int("cv", self.cv, 2)
        scorer = _default_scorer() if self.scorer is None else clone(_check_scorer(self.scorer))
        labels = check_labels(own_labels(X, y), check_rows_for(self, self, X, reset=True))
        pass_seed(self.random_state, final_step(scorer))
        trusted = check_reference(*reference)
        of_rows, of_val = check_groups(*groups, len(labels), trusted)
        return ScoringTask(
            scorer=scorer,
            X=X,
            y=labels,
            reference=trusted,
            groups=of_rows,
            groups_val=of_val,
            cv=cv,
            random_state=self.random_state,
            makes_own_folds=isinstance(final_step(scorer), NoisyLabelDetector),
            suggest=suggest,
        )

    def _decide(self, rule: Any, task: ScoringTask) -> Decision:
        """Score the rows, set `scores_` and `suggested_labels_`, and let the rule decide."""
        memory: Memory = check_memory(self.memory)
        if getattr(rule, "rescores", False):  # not cached: its later steps need the scorers
            scoring = Scoring(task)
            self.scores_, self.suggested_labels_, _ = scoring()
            return rule.decide(self.scores_, task.y, None, lambda rows: scoring(rows).scores)
        self.scores_, self.suggested_labels_, suspect = memory.cache(score_rows)(task)
        if self.rule is None and suspect is not None:
            return Decision(~suspect)
        return rule.decide(self.scores_, task.y, self.suggested_labels_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = _forms_for(self.scorer).sparse
        return tags

    def _check_decision(self, decision: Decision, y: np.ndarray) -> None:
        if not decision.keep.any():
            raise ValueError(f"rule={self.rule!r} keeps no row; loosen it.")
        if not has_classes(self.scorer, y):
            return
        lost = np.setdiff1d(
            y[labeled_rows(self.scorer, y)],
            (y if decision.y is None else decision.y)[decision.keep],
        )
        if len(lost):
            raise ValueError(
                f"rule={self.rule!r} leaves no row of class {lost[0].item()!r} among the "
                f"{decision.keep.sum()} of {len(y)} rows that it keeps; loosen it, or use "
                "Budget(per_class=True), which drops the same share of each class."
            )


def check_rows_for(selector: Any, estimator: Any, X: Any, *, reset: bool) -> int:
    """Check the rows of an estimator as far as its selector needs it; return their number.

    Only the scorers of this library need numeric rows. Other scorers, such as a pipeline with an
    encoder, may accept strings or missing entries, and check the rows themselves.
    """
    scorer = selector.scorer if isinstance(selector, InfluenceSampleSelector) else selector
    if scorer is None or isinstance(scorer, InfluenceScorer | NoisyLabelDetector):
        return n_rows(check_rows(estimator, X, reset=reset, forms=_forms_for(scorer)))
    return check_size(estimator, X, reset=reset)


def _forms_for(scorer: Any) -> Forms:
    """Forms of a table that a scorer of this library accepts, because its net is ready-made."""
    if not (scorer is None or isinstance(scorer, InfluenceScorer | NoisyLabelDetector)):
        return Forms()
    net = None if scorer is None else scorer.estimator
    return Forms(frames=net is None, sparse=is_ready_made(net))


def is_scorer(scorer: Any) -> bool:
    """Whether an object is a scorer, or a pipeline that ends in one."""
    return not isinstance(scorer, type) and has_fit_parameter(final_step(scorer), "X_val")


def _check_scorer(scorer: Any) -> Any:
    if not is_scorer(scorer):
        raise TypeError(
            f"scorer={scorer!r}: expected an InfluenceScorer, a NoisyLabelDetector, another "
            "estimator with fit(X, y, X_val=, y_val=) and scores_, or a Pipeline that ends in one "
            "of these. To use a net, wrap it: InfluenceScorer(net)."
        )
    return scorer


def _default_scorer() -> InfluenceScorer:
    return InfluenceScorer(normalize="reference", classwise=True)
