"""What all estimators of the library have in common."""

from __future__ import annotations

import warnings
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning

import skinfluence


class Estimator(BaseEstimator):
    """An estimator whose pickle says which version of the library wrote it."""

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_skinfluence_version": skinfluence.__version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        theirs = state.get("_skinfluence_version", "unknown")
        if theirs != skinfluence.__version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=f"skinfluence's {type(self).__name__}",
                    current_sklearn_version=skinfluence.__version__,
                    original_sklearn_version=theirs,
                ),
                stacklevel=2,
            )
        super().__setstate__({k: v for k, v in state.items() if k != "_skinfluence_version"})
