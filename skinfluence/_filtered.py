"""FilteredEstimator: any scikit-learn estimator, fitted on curated rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter
from torch.utils.data import Dataset

from skinfluence._base import Estimator
from skinfluence._core.tensors import n_rows
from skinfluence._data.labels import RelabeledDataset, check_labels, default_task, own_labels
from skinfluence._data.params import pass_seed
from skinfluence._data.reference import REFERENCE_ARGUMENTS
from skinfluence._data.rows import check_rows, labels_like, rows_of
from skinfluence._selector import InfluenceSampleSelector


def _estimator_has(method: str) -> Callable[[Any], bool]:
    def has(self: FilteredEstimator) -> bool:
        if hasattr(self, "estimator_"):
            return hasattr(self.estimator_, method)
        inner = self.estimator
        return hasattr(HistGradientBoostingClassifier if inner is None else inner, method)

    return has


class FilteredEstimator(MetaEstimatorMixin, Estimator):
    """Fit an estimator on the rows that a selector keeps; predict like that estimator.

    Rows are dropped, relabelled or reweighted in `fit` only, so this is the step with which
    curation goes into a plain scikit-learn Pipeline, cross-validation or grid search without
    leaking: test rows are never filtered.

    Parameters
    ----------
    estimator : estimator, default=None
        Any classifier or regressor; a clone of it is fitted. None:
        :class:`~sklearn.ensemble.HistGradientBoostingClassifier` or its regressor, as y asks; what
        it will be is not known before `fit`, so a cross-validation does not stratify its folds.
    selector : InfluenceSampleSelector, default=None
        None is ``InfluenceSampleSelector()``. Any resampler with ``fit_resample`` and
        ``sample_indices_`` will do.
    random_state : int, RandomState instance or None, default=None
        Seeds the selector and the estimator where they have a ``random_state`` that is None.

    Attributes
    ----------
    selector_ : fitted selector
        Its ``sample_indices_``, ``scores_`` and so on tell what became of the rows.
    estimator_ : fitted estimator
    classes_ : ndarray of shape (n_classes,)
        Only for classifiers.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Only when X has string column names.

    Notes
    -----
    Other arguments of `fit`: with metadata routing enabled they go where the steps ask for them
    (our selector asks for ``X_val``, ``y_val``, ``sensitive_features`` and
    ``sensitive_features_val``). Without it those four go to the selector and the rest to the
    estimator. What is aligned with the rows, such as
    ``sample_weight``, is cut to the kept ones; weights of the rule multiply it.

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

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Select rows, then fit a clone of the estimator on them.

        Parameters
        ----------
        X : array-like, DataFrame, Tensor, dict of arrays or Dataset of n_samples rows
        y : array-like of shape (n_samples,)
        **params : dict
            Metadata; see the notes above.

        Returns
        -------
        self : FilteredEstimator
        """
        self._forget_fit()
        if self.estimator is not None and not hasattr(self.estimator, "fit"):
            raise TypeError(f"estimator={self.estimator!r}: expected a classifier or a regressor.")
        checked = check_rows(self, X, reset=True)
        labels = check_labels(own_labels(X, y), n_rows(checked))
        for_selector, for_estimator = self._route(params)
        n, weight = len(labels), for_estimator.get("sample_weight")
        if weight is not None and n_rows(weight) != n:
            raise ValueError(
                f"sample_weight has {n_rows(weight)} entries, X has {n} rows: one weight a row."
            )
        estimator = self._estimator_for(labels)
        selector = InfluenceSampleSelector() if self.selector is None else clone(self.selector)
        if not hasattr(selector, "fit_resample"):
            raise TypeError(
                f"selector={self.selector!r}: expected an InfluenceSampleSelector, or a resampler "
                "with fit_resample and sample_indices_."
            )
        pass_seed(self.random_state, selector, estimator)
        weight = None
        if isinstance(selector, InfluenceSampleSelector):
            self.selector_ = selector.fit(X, y, **for_selector)
            kept, weight = selector.sample_indices_, selector.sample_weight_
            if isinstance(X, Dataset):  # a net looks at its items' labels only
                X = RelabeledDataset(X, selector.labels_)
            X_kept, y_kept = rows_of(X, kept), rows_of(labels_like(y, selector.labels_), kept)
        else:
            X_kept, y_kept = selector.fit_resample(X, y, **for_selector)
            self.selector_, kept = selector, selector.sample_indices_
        aligned = {k: rows_of(v, kept) if _aligned(v, n) else v for k, v in for_estimator.items()}
        if weight is not None:
            _put_weight(aligned, weight, estimator)
        self.estimator_ = estimator.fit(X_kept, y_kept, **aligned)
        return self

    @available_if(_estimator_has("predict"))
    def predict(self, X: Any) -> Any:
        """Predict with the fitted estimator."""
        return self._ask("predict", X)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any) -> Any:
        """Predict class probabilities with the fitted estimator."""
        return self._ask("predict_proba", X)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> Any:
        """Predict log-probabilities with the fitted estimator."""
        return self._ask("predict_log_proba", X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X: Any) -> Any:
        """Return the decision function of the fitted estimator."""
        return self._ask("decision_function", X)

    @available_if(_estimator_has("score"))
    def score(self, X: Any, y: Any, **params: Any) -> float:
        """Score of the fitted estimator on the given rows, none of which is filtered."""
        check_is_fitted(self)
        if _routing_enabled():
            params = process_routing(self, "score", **params).estimator.score
        return self.estimator_.score(X, y, **params)

    @property
    def classes_(self) -> np.ndarray:
        """Class labels of the fitted estimator."""
        return self.estimator_.classes_

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata the selector and the estimator ask for."""
        router = MetadataRouter(owner=type(self).__name__)
        selector = InfluenceSampleSelector() if self.selector is None else self.selector
        fit = MethodMapping().add(caller="fit", callee="fit")
        router.add(selector=selector, method_mapping=fit)
        if self.estimator is not None:
            mapping = MethodMapping().add(caller="fit", callee="fit")
            mapping.add(caller="score", callee="score")
            router.add(estimator=self.estimator, method_mapping=mapping)
        return router

    def _ask(self, method: str, X: Any) -> Any:
        check_is_fitted(self)
        check_rows(self, X, reset=False)
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

    def _estimator_for(self, y: np.ndarray) -> Any:
        if self.estimator is not None:
            return clone(self.estimator)
        if default_task(y) == "regression":
            return HistGradientBoostingRegressor()
        return HistGradientBoostingClassifier()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = getattr(self, "estimator_", self.estimator)
        if inner is not None:
            inner = get_tags(inner)
            tags.estimator_type = inner.estimator_type
            tags.classifier_tags = inner.classifier_tags
            tags.regressor_tags = inner.regressor_tags
        return tags


def _routing_enabled() -> bool:
    return sklearn.get_config()["enable_metadata_routing"]


def _aligned(value: Any, n: int) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | dict) and len(value) == n


def _put_weight(params: dict[str, Any], weight: np.ndarray, estimator: Any) -> None:
    if not has_fit_parameter(estimator, "sample_weight"):
        raise ValueError(
            f"the rule gives weights, but {type(estimator).__name__}.fit takes no sample_weight; "
            "choose an estimator that does, or a rule that drops or relabels."
        )
    given = params.get("sample_weight")
    params["sample_weight"] = weight if given is None else weight * np.asarray(given)
