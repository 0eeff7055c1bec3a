"""The base classes of the estimators of the library: pickles, fitted state, tags, HTML links."""

from __future__ import annotations

import warnings
from functools import cache
from importlib import metadata
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import InconsistentVersionWarning

from skinfluence import _version


class Estimator(BaseEstimator):
    """Base class of the estimators of this library.

    A pickle of an estimator records which version of the library wrote it. An estimator counts as
    fitted only after `fit` has finished without an error. If the package metadata contain an
    address of the documentation, the HTML representation links to the estimator's page there.

    Attributes
    ----------
    _last_fitted_attribute : str or None
        Name of the attribute that `fit` sets last. A class that learns from labeled rows sets this
        name; None means that the class needs no `fit`.
    """

    _last_fitted_attribute: ClassVar[str | None] = None
    _doc_link_module = "skinfluence"

    @property
    def _doc_link_template(self) -> str:
        """Address of a class's API page for scikit-learn to fill in; empty means no link."""
        address = documentation_address()
        page = "generated/{estimator_module}.{estimator_name}.html"
        return f"{address.rstrip('/')}/{page}" if address else ""

    def _forget_fit(self) -> None:
        """Make the estimator unfitted, until `fit` has finished again."""
        if self._last_fitted_attribute is not None:
            self.__dict__.pop(self._last_fitted_attribute, None)

    def __sklearn_is_fitted__(self) -> bool:
        last = self._last_fitted_attribute
        return last is None or hasattr(self, last)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self._last_fitted_attribute is not None
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_skinfluence_version": _version.__version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        theirs = state.get("_skinfluence_version", "unknown")
        if theirs != _version.__version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=f"skinfluence's {type(self).__name__}",
                    current_sklearn_version=_version.__version__,
                    original_sklearn_version=theirs,
                ),
                stacklevel=2,
            )
        super().__setstate__({k: v for k, v in state.items() if k != "_skinfluence_version"})


class Embedder(TransformerMixin, Estimator):
    """Base class of transformers that embed one column by a pretrained network.

    `fit` learns nothing. A class sets `_n_outputs`.
    """

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name of each column of the output.

        Parameters
        ----------
        input_features : Ignored
            Present for the API of scikit-learn.

        Returns
        -------
        names : ndarray of str
        """
        # Not by scikit-learn's mixin: dir() would read its property, which loads the network.
        name = type(self).__name__.lower()
        return np.array([f"{name}{i}" for i in range(self._n_outputs())], dtype=object)

    def _n_outputs(self) -> int:
        """Length of an embedding."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags


@cache
def documentation_address() -> str:
    """Address of the documentation, from the metadata of the package; "" if they have none."""
    try:
        urls = metadata.metadata("skinfluence").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    return dict(url.split(", ", 1) for url in urls).get("Documentation", "")
