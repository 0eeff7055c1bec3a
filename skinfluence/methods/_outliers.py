"""A method that scores how unusual a row's gradient is."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.ensemble import IsolationForest

from skinfluence._core.members import AtEachMember, MemberScores
from skinfluence._core.projection import Projection
from skinfluence._core.row_scores import (
    NegativeNorm,
    OutlierScore,
    RowScore,
)
from skinfluence._data.params import check_count, pass_seed
from skinfluence.methods._base import Case, Method


class OutlierGradients(Method):
    """Outlier score of a row's gradient among the gradients of the training rows [1]_.

    Parameters
    ----------
    detector : outlier detector, "l1" or "l2", default=None
        Any object with ``fit`` and ``score_samples`` (or ``decision_function``), such as
        scikit-learn's outlier detectors. At each member of the ensemble, a clone is fitted to the
        gradients of the training rows. None means :class:`sklearn.ensemble.IsolationForest`. With
        "l1" or "l2", no detector is used; the score is minus that norm of the gradient.
    n_components : int, default=1000
        If a gradient has more entries than this, a sparse random matrix reduces it to this number.

    References
    ----------
    .. [1] Chhabra, Li, Chen, Mohapatra, Liu, "Outlier Gradient Analysis: Efficiently Identifying
       Detrimental Training Samples for Deep Learning Models", ICML 2025, arXiv 2405.03869.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.methods import OutlierGradients
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = InfluenceScorer(method=OutlierGradients(), random_state=0).fit(X, y)
    >>> scorer.scores_.shape
    (150,)
    """

    def __init__(self, detector: Any = None, *, n_components: int = 1000) -> None:
        self.detector = detector
        self.n_components = n_components

    def member_scores(self, case: Case) -> MemberScores:
        """Fit a detector at each member."""
        check_count(self, "n_components")
        if isinstance(self.detector, str) and self.detector in ("l1", "l2"):
            norm = NegativeNorm(int(self.detector[1]))
            return AtEachMember(case.members, [norm] * len(case.members))
        detector = self._checked()
        scores: list[RowScore] = []
        projection = Projection(case.fnet, self.n_components, case.rng)
        for member in case.members:
            own = clone(detector)
            pass_seed(case.rng, own)
            own.fit(projection.rows(case.fnet.at(member.state), case.X, case.y))
            scores.append(OutlierScore(own, projection))
        return AtEachMember(case.members, scores)

    def _checked(self) -> Any:
        detector = IsolationForest() if self.detector is None else self.detector
        scores = any(hasattr(detector, name) for name in ("score_samples", "decision_function"))
        if not (hasattr(detector, "fit") and scores) or isinstance(detector, type):
            raise TypeError(
                f"OutlierGradients(detector={detector!r}): expected 'l1', 'l2', or an outlier "
                "detector with fit and score_samples or decision_function, such as "
                "IsolationForest() or LocalOutlierFactor(novelty=True)."
            )
        return detector
