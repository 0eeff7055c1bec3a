"""Methods that look at one row alone: its loss, its margin, its self-influence."""

from __future__ import annotations

from skinfluence._core.members import AtEachMember, MemberScores
from skinfluence._core.row_scores import (
    LabelMargin,
    NegativeLoss,
    NegativeSelfInfluence,
    RowScore,
)
from skinfluence.methods._base import Case, Method


class SelfInfluence(Method):
    """Minus the influence of a row on its own loss, -<g_i, P g_i> [1]_.

    A row that is unlike all other rows has a large influence on itself: either its label is wrong,
    or it is a rare case. In the formula, g_i is the gradient of row i. Without a curvature, P is
    the identity, and all scores together cost about one forward and one backward pass. With a
    curvature, P is the inverse of the curvature matrix; every row's gradient is computed and
    multiplied by P. This multiplication is cheap only for
    :class:`~skinfluence.curvature.EKFAC` and :class:`~skinfluence.curvature.Exact`.

    References
    ----------
    .. [1] Koh, Liang, "Understanding Black-box Predictions via Influence Functions", ICML 2017;
       Pruthi, Liu, Kale, Sundararajan, "Estimating Training Data Influence by Tracing Gradient
       Descent", NeurIPS 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.methods import SelfInfluence
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = InfluenceScorer(method=SelfInfluence(), random_state=0).fit(X, y)
    >>> bool((scorer.scores_ <= 0).all())
    True
    """

    uses = frozenset({"curvature"})

    def member_scores(self, case: Case) -> MemberScores:
        """Return self-influence at each member."""
        scores: list[RowScore] = [NegativeSelfInfluence(m.solve) for m in case.members]
        return AtEachMember(case.members, scores)


class Loss(Method):
    """Minus the loss of the row [1]_.

    With :class:`~skinfluence.ensembles.Checkpoints`, the loss is averaged over the training. This
    score uses no influence: it is the baseline that an influence score should beat on noisy labels.

    References
    ----------
    .. [1] Arazo et al., "Unsupervised Label Noise Modeling and Loss Correction", ICML 2019.

    Examples
    --------
    >>> from skinfluence.methods import Loss
    >>> Loss()
    Loss()
    """

    def member_scores(self, case: Case) -> MemberScores:
        """Return minus the loss at each member."""
        return AtEachMember(case.members, [NegativeLoss()] * len(case.members))


class Margin(Method):
    """Log-odds of the row's label against the most probable other label; for classifiers.

    With :class:`~skinfluence.ensembles.Checkpoints`, the score is the mean margin over the
    training, which is known as the area under the margin [1]_.

    References
    ----------
    .. [1] Pleiss, Zhang, Elenberg, Weinberger, "Identifying Mislabeled Data using the Area Under
       the Margin Ranking", NeurIPS 2020.

    Examples
    --------
    >>> from skinfluence.methods import Margin
    >>> Margin()
    Margin()
    """

    def member_scores(self, case: Case) -> MemberScores:
        """Return the margin at each member."""
        if case.labels is None:
            raise ValueError(
                "Margin() compares class labels, which a regressor does not have; use Loss()."
            )
        return AtEachMember(case.members, [LabelMargin(case.labels)] * len(case.members))
