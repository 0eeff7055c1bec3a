"""The influence score: inner products of gradients."""

from __future__ import annotations

from skinfluence._core.directions import directions
from skinfluence._core.gradients import Directions
from skinfluence._core.members import InnerProducts, Member, MemberScores
from skinfluence._data.params import check_bool, check_choice
from skinfluence.methods._base import Case, Method

NORMALIZE = (None, "rows", "reference", "both")


class InnerProduct(Method):
    """Inner product of the row's gradient with the target's gradient: the influence score [1]_.

    ``InfluenceScorer(method=None)`` uses this method, with the scorer's own `normalize` and
    `classwise`. To find wrong labels by influence alone, pass this method to a
    :class:`~skinfluence.NoisyLabelDetector`.

    Parameters
    ----------
    normalize : {None, "rows", "reference", "both"}, default=None
        Which gradients are divided by their norm. "rows": the gradient of the scored row.
        "reference": the gradient of each reference row, before these gradients are added. "both":
        all of them, so that the score is a mean cosine. None: no gradient.
    classwise : bool, default=False
        If True, the gradient of the target is computed for the reference rows of each class
        separately. A row then gets one score per class, and the lowest of them is its score.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, "Revisit, Extend, and Enhance Hessian-Free Influence Functions",
       arXiv 2405.17490.

    Examples
    --------
    >>> from skinfluence import NoisyLabelDetector
    >>> from skinfluence.methods import InnerProduct
    >>> NoisyLabelDetector(method=InnerProduct(normalize="reference", classwise=True))
    NoisyLabelDetector(method=InnerProduct(classwise=True, normalize='reference'))
    """

    uses = frozenset({"target", "curvature"})

    def __init__(self, normalize: str | None = None, classwise: bool = False) -> None:
        self.normalize = normalize
        self.classwise = classwise

    def member_scores(self, case: Case) -> MemberScores:
        """Return the members with their directions."""
        self.check()
        U = [self._direction(case, member) for member in case.bar(case.members, "members")]
        return InnerProducts(case.members, U, normalize=self.normalizes_rows)

    def check(self) -> None:
        """Raise ValueError for an unknown `normalize`, or a `classwise` that is not a bool."""
        check_choice("normalize", self.normalize, NORMALIZE)
        check_bool("classwise", self.classwise)

    @property
    def normalizes_rows(self) -> bool:
        """Whether scores are divided by the norm of the scored row's gradient."""
        return self.normalize in ("rows", "both")

    @property
    def normalizes_reference(self) -> bool:
        """Whether each reference row's gradient is divided by its norm."""
        return self.normalize in ("reference", "both")

    def _direction(self, case: Case, member: Member) -> Directions:
        by_class = self.classwise and case.objective.is_classification
        v = directions(
            case.fnet.at(member.state),
            case.objective,
            groups=case.objective.y.astype(int) if by_class else None,
            normalize=self.normalizes_reference,
        )
        u = v if member.solve is None else member.solve(v)
        return {name: value.cpu() for name, value in u.items()}
