"""FilteredEstimator: any scikit-learn estimator, fitted on the rows that a selector keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import sklearn
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.semi_supervised import LabelPropagation, LabelSpreading, SelfTrainingClassifier
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter
from torch import Tensor
from torch.nn import Module
from torch.utils.data import Dataset

from skinfluence._base import Estimator
from skinfluence._data.arrays import check_numbers
from skinfluence._data.frames import FrameRows, is_mixed
from skinfluence._data.labels import (
    RelabeledDataset,
    check_labels,
    default_task,
    ignored_rows,
    own_labels,
)
from skinfluence._data.params import pass_seed
from skinfluence._data.reference import REFERENCE_ARGUMENTS
from skinfluence._data.rows import labels_like, rows_of
from skinfluence._fitting.cross_scoring import final_step, labeled_rows
from skinfluence._fitting.fit import how_to_pass
from skinfluence._fitting.isolation import interruptible, turn_for
from skinfluence._fitting.training_data import make_encoder
from skinfluence._selector import InfluenceSampleSelector, check_rows_for, is_scorer


def _estimator_has(method: str) -> Callable[[Any], bool]:
    def has(self: FilteredEstimator) -> bool:
        if hasattr(self, "estimator_"):
            return hasattr(self.estimator_, method)
        inner = self.estimator
        return hasattr(HistGradientBoostingClassifier if inner is None else inner, method)

    return has


class FilteredEstimator(MetaEstimatorMixin, Estimator):
    """Fit an estimator on the rows that a selector keeps; predict like that estimator.

    Rows are dropped, relabeled or reweighted in `fit` only; test rows are never filtered. A
    FilteredEstimator can therefore be used in a scikit-learn Pipeline, cross-validation or grid
    search without leaking test data into training.

    Parameters
    ----------
    estimator : estimator, default=None
        Any classifier or regressor; a clone of it is fitted. None means
        :class:`~sklearn.ensemble.HistGradientBoostingClassifier` or
        :class:`~sklearn.ensemble.HistGradientBoostingRegressor`, depending on y, with
        a :class:`~skinfluence.columns.ColumnEncoder` in front if X is a DataFrame of mixed columns.
        With None, the type is not known before `fit`, so cross-validation does not stratify its
        folds.
    selector : InfluenceSampleSelector, default=None
        None means ``InfluenceSampleSelector()``. If a scorer is given, such as an
        :class:`InfluenceScorer` or a :class:`NoisyLabelDetector`, the selector is
        ``InfluenceSampleSelector(scorer)``. Any resampler with ``fit_resample`` and
        ``sample_indices_`` is accepted as well.
    random_state : int, RandomState instance or None, default=None
        Seeds the selector and the estimator if their own ``random_state`` is None.

    Attributes
    ----------
    selector_ : fitted selector
        Its ``sample_indices_``, ``scores_`` and other attributes say what was done to the rows.
    estimator_ : fitted estimator
    classes_ : ndarray of shape (n_classes,)
        Only for classifiers.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Only when X has string column names.

    Notes
    -----
    Keyword arguments of `fit` are passed to the selector or to the estimator. If metadata routing
    is enabled, each argument is passed to the object that requests it; an `InfluenceSampleSelector`
    requests ``X_val``, ``y_val``, ``sensitive_features`` and ``sensitive_features_val``. If
    metadata routing is disabled, these four arguments are passed to the selector and all other
    arguments to the estimator. If an argument for the estimator has one entry per row, such as
    ``sample_weight``, only the entries of the kept rows are passed. If the rule reweights the rows,
    its weights are multiplied with ``sample_weight``.

    If the criterion of the selector's net has an ``ignore_index``, rows with this number as their
    label are unlabeled. The estimator is fitted without unlabeled rows, because it would learn the
    number as a class. There are two exceptions, which are fitted on all kept rows: a net whose
    criterion ignores the same number and, if the number is -1, the estimators of
    :mod:`sklearn.semi_supervised`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skinfluence import FilteredEstimator, InfluenceSampleSelector
    >>> from skinfluence.rules import Budget
    >>> X, y = load_iris(return_X_y=True)
    >>> selector = InfluenceSampleSelector(rule=Budget(0.1), cv=2, random_state=0)
    >>> clf = FilteredEstimator(LogisticRegression(max_iter=1000), selector).fit(X, y)
    >>> len(clf.selector_.sample_indices_)
    135
    >>> clf.predict(X).shape
    (150,)
    """

    _last_fitted_attribute = "estimator_"

    def __init__(
        self, estimator: Any = None, selector: Any = None, *, random_state: Any = None
    ) -> None:
        self.estimator = estimator
        self.selector = selector
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Select rows, then fit a clone of the estimator on them.

        Parameters
        ----------
        X : array-like, DataFrame, Tensor, dict or tuple of arrays or Dataset, of n_samples rows
        y : array-like of shape (n_samples,)
        **params : dict
            Metadata; see the notes above.

        Returns
        -------
        self : FilteredEstimator
        """
        self._forget_fit()
        if self.estimator is not None and not hasattr(self.estimator, "fit"):
            hint = f" {how_to_pass(self.estimator)}" if isinstance(self.estimator, Module) else ""
            raise TypeError(
                f"estimator={self.estimator!r}: expected a classifier or a regressor.{hint}"
            )
        selector = self._make_selector()
        labels = check_labels(own_labels(X, y), check_rows_for(selector, self, X, reset=True))
        for_selector, for_estimator = self._route(params)
        n, weight = len(labels), for_estimator.get("sample_weight")
        if weight is not None:
            weight = check_numbers("sample_weight", weight, (n,), f"one for each of {n} rows")
        estimator = self._make_estimator(X, labels)
        pass_seed(self.random_state, selector, estimator)
        X_kept, y_kept, kept = self._select(selector, estimator, X, y, for_selector)
        self.selector_ = selector
        cut = {k: rows_of(v, kept) if _is_aligned(v, n) else v for k, v in for_estimator.items()}
        if isinstance(selector, InfluenceSampleSelector) and selector.sample_weight_ is not None:
            weights = selector.sample_weight_[np.isin(selector.sample_indices_, kept)]
            _multiply_weight(cut, weights, estimator)
        with interruptible(), turn_for(estimator):
            fitted = estimator.fit(X_kept, y_kept, **cut)
        self.estimator_ = fitted
        return self

    @available_if(_estimator_has("predict"))
    def predict(self, X: Any) -> Any:
        """Predict with the fitted estimator."""
        return self._call("predict", X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any) -> Any:
        """Predict class probabilities with the fitted estimator."""
        return self._call("predict_proba", X)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> Any:
        """Predict log-probabilities with the fitted estimator."""
        return self._call("predict_log_proba", X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any) -> Any:
        """Return the decision function of the fitted estimator."""
        return self._call("decision_function", X)

    @available_if(_estimator_has("score"))
    def score(self, X: Any, y: Any, **params: Any) -> float:
        """Score the fitted estimator on all given rows; no row is filtered out."""
        check_is_fitted(self)
        if _routing_enabled():
            params = process_routing(self, "score", **params).estimator.score
        return self.estimator_.score(X, y, **params)

    @property
    def classes_(self) -> np.ndarray:
        """Class labels of the fitted estimator."""
        return self.estimator_.classes_

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which metadata the selector and the estimator request."""
        router = MetadataRouter(owner=type(self).__name__)
        fit = MethodMapping().add(caller="fit", callee="fit")
        router.add(selector=self._make_selector(), method_mapping=fit)
        if self.estimator is not None:
            mapping = MethodMapping().add(caller="fit", callee="fit")
            mapping.add(caller="score", callee="score")
            router.add(estimator=self.estimator, method_mapping=mapping)
        return router

    def _call(self, method: str, X: Any) -> Any:
        check_is_fitted(self)
        check_rows_for(self.selector_, self, X, reset=False)
        X = X.detach() if isinstance(X, Tensor) else X
        return getattr(self.estimator_, method)(X)

    def _route(self, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        if _routing_enabled():
            routed = process_routing(self, "fit", **params)
            return dict(routed.selector.fit), dict(routed.get("estimator", {}).get("fit", {}))
        own = REFERENCE_ARGUMENTS
        return (
            {k: v for k, v in params.items() if k in own},
            {k: v for k, v in params.items() if k not in own},
        )

    def _make_estimator(self, X: Any, y: np.ndarray) -> Any:
        if self.estimator is not None:
            return clone(self.estimator)
        estimator: Any = HistGradientBoostingClassifier()
        if default_task(y) == "regression":
            estimator = HistGradientBoostingRegressor()
        return make_pipeline(make_encoder(FrameRows(X)), estimator) if is_mixed(X) else estimator

    def _make_selector(self) -> Any:
        """Make an unfitted selector: the default one, a clone of the given one, or a wrapper."""
        if self.selector is None:
            return InfluenceSampleSelector()
        selector = clone(self.selector)
        if hasattr(selector, "fit_resample"):
            return selector
        if is_scorer(selector):
            return InfluenceSampleSelector(selector)
        raise TypeError(
            f"selector={self.selector!r}: expected an InfluenceSampleSelector, a scorer "
            "(InfluenceScorer or NoisyLabelDetector), a Pipeline that ends in a scorer, or a "
            "resampler with fit_resample and sample_indices_."
        )

    def _select(
        self, selector: Any, estimator: Any, X: Any, y: Any, params: dict[str, Any]
    ) -> tuple[Any, Any, np.ndarray]:
        """Fit the selector; return the rows to fit the estimator on, their labels and positions."""
        if not isinstance(selector, InfluenceSampleSelector):
            with interruptible():
                resampled = selector.fit_resample(X, y, **params)
            if not hasattr(selector, "sample_indices_"):
                raise TypeError(
                    f"selector={selector!r} has no sample_indices_ after fit_resample, so it makes "
                    "new rows. Give a resampler that selects rows, such as RandomUnderSampler, or "
                    "put this resampler and the estimator into an imblearn Pipeline."
                )
            return *resampled, selector.sample_indices_
        kept = selector.fit(X, y, **params).sample_indices_
        kept = kept[_learnable_rows(selector.scorer, estimator, selector.labels_[kept])]
        if isinstance(X, Dataset):  # a net trains on the labels of the items, not on y
            X = RelabeledDataset(X, selector.labels_)
        # An array of strings would merge labels such as "a" and "a\0", so they are in an array of
        # objects. Keep it: scikit-learn would turn a list into an array of strings.
        labels = selector.labels_
        labels = labels if labels.dtype.kind == "O" else labels_like(y, labels)
        return rows_of(X, kept), rows_of(labels, kept), kept

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = getattr(self, "estimator_", self.estimator)
        if inner is not None:
            inner = get_tags(inner)
            tags.estimator_type = inner.estimator_type
            tags.classifier_tags = inner.classifier_tags
            tags.regressor_tags = inner.regressor_tags
            selects_sparse = get_tags(self._make_selector()).input_tags.sparse
            tags.input_tags.sparse = inner.input_tags.sparse and selects_sparse
        return tags


def _routing_enabled() -> bool:
    return sklearn.get_config()["enable_metadata_routing"]


def _learnable_rows(scorer: Any, estimator: Any, y: np.ndarray) -> np.ndarray:
    """Return a mask of the labeled rows, and of unlabeled rows if the estimator handles them."""
    is_labeled = labeled_rows(scorer, y)
    last = final_step(estimator)
    if is_labeled.all():
        return is_labeled
    if isinstance(last, SelfTrainingClassifier | LabelPropagation | LabelSpreading):
        return is_labeled | (y == -1)
    return is_labeled | ignored_rows(last, y)


def _is_aligned(value: Any, n: int) -> bool:
    """Whether a value has one entry for each of n rows."""
    return hasattr(value, "__len__") and not isinstance(value, str | dict) and len(value) == n


def _multiply_weight(params: dict[str, Any], weight: np.ndarray, estimator: Any) -> None:
    """Set `sample_weight` to the rule's weights, times the given weights if there are any."""
    if not has_fit_parameter(estimator, "sample_weight"):
        raise ValueError(
            f"the rule gives weights, but {type(estimator).__name__}.fit takes no sample_weight; "
            "choose an estimator that takes it, or a rule that drops or relabels rows."
        )
    given = params.get("sample_weight")
    if given is not None:
        weight = weight * check_numbers("sample_weight", given)
    params["sample_weight"] = weight
