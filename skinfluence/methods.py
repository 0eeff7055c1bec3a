"""Methods: how `InfluenceScorer` and `NoisyLabelDetector` score a row.

A method says which of the scorer's other arguments it uses, and scores rows at each member of an
ensemble. Higher is more helpful, or at least less suspicious, for every method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import IsolationForest
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from skinfluence._core.directions import Objective, directions, reference_cotangents
from skinfluence._core.gradients import Directions, forward
from skinfluence._core.influence import Progress, finite
from skinfluence._core.members import AtEachMember, InnerProducts, Member, MemberScores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.projection import Projection
from skinfluence._core.row_scores import (
    LabelMargin,
    NegativeLoss,
    NegativeNorm,
    NegativeSelfInfluence,
    OutlierScore,
    RowScore,
)
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows
from skinfluence._data.params import check_count, pass_seed

__all__ = [
    "InnerProduct",
    "LayerAware",
    "Loss",
    "Margin",
    "Method",
    "OutlierGradients",
    "SelfInfluence",
]

NORMALIZE = (None, "rows", "reference", "both")

ProgressBar = Callable[[Any, str], Iterable[Any]]  # (items, description) -> items


def no_bar(items: Any, description: str) -> Iterable[Any]:
    """Show no progress."""
    return items


@dataclass
class Case:
    """What a method may use.

    Attributes
    ----------
    fnet : FunctionalNet
    members : list of Member
        Where to take gradients; states of `fnet`.
    X, y : training rows and their labels, as the net takes them
    labels : ndarray or None
        Every label that a row may have, as the net takes them; None for regression.
    objective : Objective
        The target and its reference rows. Its X and y are None where there are none.
    rng : RandomState
    bar : callable
        Progress bar over the members.
    """

    fnet: FunctionalNet
    members: list[Member]
    X: Rows
    y: Any
    labels: np.ndarray | None
    objective: Objective
    rng: np.random.RandomState
    bar: ProgressBar = no_bar


class Method(ABC, BaseEstimator):
    """Base class of the methods.

    `uses` names the arguments of the scorer that have an effect on the method, out of ``target``,
    ``curvature``, ``normalize`` and ``classwise``. The scorer refuses values for the others. A
    method that uses ``target`` needs reference rows.
    """

    uses: frozenset[str] = frozenset()

    @abstractmethod
    def member_scores(self, case: Case) -> MemberScores:
        """Return what scores rows at each member."""


class InnerProduct(Method):
    """Inner product of the row's gradient with the target's gradient: the influence score [1]_.

    It is what ``InfluenceScorer(method=None)`` uses, with the scorer's own `normalize` and
    `classwise`; give it to a :class:`~skinfluence.NoisyLabelDetector` to detect by influence alone.

    Parameters
    ----------
    normalize : {None, "rows", "reference", "both"}, default=None
        Divide by the norm of the scored row's gradient, by each reference row's norm before they
        are added, or by both (the mean cosine).
    classwise : bool, default=False
        Use one direction per class of reference rows, and a row's worst score over them.

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
        """Raise ValueError for an unknown `normalize`."""
        if self.normalize not in NORMALIZE:
            raise ValueError(
                f"normalize={self.normalize!r}: expected None, 'rows', 'reference' or 'both'."
            )

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


class SelfInfluence(Method):
    """Minus the influence of a row on its own loss, -<g_i, P g_i> [1]_.

    A row that no other row supports has a large influence on itself: its label is wrong, or it is
    a rare case. Without a curvature, P is the identity, and the scores cost about one forward and
    one backward pass. With a curvature, P is the inverse curvature, and the gradient of every row
    is formed; this is cheap only for :class:`~skinfluence.curvature.EKFAC` and
    :class:`~skinfluence.curvature.Exact`.

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


class OutlierGradients(Method):
    """Outlier score of a row's gradient among the gradients of the training rows [1]_.

    Parameters
    ----------
    detector : outlier detector, "l1" or "l2", default=None
        Any object with ``fit`` and ``score_samples`` (or ``decision_function``), such as
        scikit-learn's outlier detectors. A clone of it is fitted to the training rows' gradients
        at each member. None is :class:`sklearn.ensemble.IsolationForest`. "l1" and "l2" are minus
        that norm of the gradient, with no detector.
    n_components : int, default=1000
        Gradients with more entries are projected to this many, by a sparse random matrix.

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
        if self.detector in ("l1", "l2"):
            norm = NegativeNorm(int(self.detector[1]))
            return AtEachMember(case.members, [norm] * len(case.members))
        check_count(self, "n_components")
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


class LayerAware(Method):
    """Influence without a backward pass: Σ_j <δ_i, δ_j> Σ_l <h_l(i), h_l(j)> [1]_.

    Let δ_i be the gradient of row i's loss by the net's outputs, δ_j the gradient of the target by
    the outputs of reference row j, and h_l(i) the input of linear or convolutional layer l
    (sequences are averaged over time). With the last layer alone, the score is the exact inner
    product for that layer's weights.

    References
    ----------
    .. [1] Yang, Huang, Liu, "Layer-Aware Influence for Online Data Valuation Estimation",
       arXiv 2510.16007.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.methods import LayerAware
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = InfluenceScorer(method=LayerAware(), random_state=0).fit(X, y)
    >>> scorer.scores_.shape
    (150,)
    """

    uses = frozenset({"target"})

    def member_scores(self, case: Case) -> MemberScores:
        """Return the layer-wise products at each member."""
        layers: list[RowScore] = [
            _LayerProducts(case.fnet.at(m.state), case.objective) for m in case.members
        ]
        return AtEachMember(case.members, layers)


class Loss(Method):
    """Minus the loss of the row; with :class:`~skinfluence.ensembles.Checkpoints`, its mean [1]_.

    It uses no influence. It is the baseline that an influence score should beat on noisy labels.

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
    """Log-odds of the row's label against the best other one; for classifiers.

    With :class:`~skinfluence.ensembles.Checkpoints`, its mean over a training: area under the
    margin [1]_.

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


class _LayerProducts(RowScore):
    """<Σ_j δ_j ⊗ h_l(j), δ_i ⊗ h_l(i)> summed over layers l: one matrix (outputs, width) each."""

    def __init__(self, fnet: FunctionalNet, objective: Objective) -> None:
        self.sums: Params = {}
        batches = fnet.batches(objective.X, objective.y)
        cotangents = reference_cotangents(fnet, objective)
        for (Xb, _), G in zip(batches, cotangents, strict=True):
            for name, h in _layer_inputs(fnet, Xb)[1].items():
                part = (G.flatten(1).T @ h).cpu()
                self.sums[name] = self.sums[name] + part if name in self.sums else part

    def of_rows(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        """Scores of rows, (n,)."""
        sums = {name: v.to(fnet.device) for name, v in self.sums.items()}
        found = []
        for Xb, yb in progress(fnet.batches(X, y)):
            f, entering = _layer_inputs(fnet, Xb)
            G = fnet.cotangents(f, Xb, yb).flatten(1)
            each = [((G @ sums[name]) * h).sum(1).double() for name, h in entering.items()]
            found.append(torch.stack(each).sum(0))
        return finite(torch.cat(found).cpu().numpy())


def method_of(scorer: Any) -> Method:
    """Return the method of a scorer; raise where an argument of the scorer has no effect on it."""
    method = scorer.method
    if method is None:
        product = InnerProduct(scorer.normalize, scorer.classwise)
        product.check()
        return product
    check_method(method)
    for name in ("target", "curvature", "normalize", "classwise"):
        value = getattr(scorer, name)
        if name not in method.uses and value is not None and value is not False:
            raise ValueError(
                f"{name}={value!r} has no effect on method={method!r}. Remove {name}=, or remove "
                "method= to use the inner product with the target."
            )
    return method


def check_method(method: Any) -> None:
    """Raise unless `method` is an instance of a method."""
    if not isinstance(method, Method):
        raise TypeError(
            f"method={method!r}: expected None or an instance of a class in skinfluence.methods, "
            "such as SelfInfluence()."
        )


def _layer_inputs(fnet: FunctionalNet, X: Rows) -> tuple[Tensor, Params]:
    """Outputs, and the input of each linear or convolutional layer, (n, width) each."""
    kept: Params = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            h = inputs[0].detach()
            h = h.flatten(1) if isinstance(layer, _ConvNd) or h.ndim == 2 else _over_time(h)
            kept[name] = kept[name] + h if name in kept else h  # a layer that is called twice

        return hook

    layers = [
        (name, layer)
        for name, layer in fnet.shell.named_modules()
        if isinstance(layer, nn.Linear | _ConvNd)
        and (f"{name}.weight" if name else "weight") in fnet.params
    ]
    if not layers:
        raise ValueError(
            "LayerAware() needs a linear or convolutional layer whose weight is among "
            "`parameters`; this net has none."
        )
    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers]
    try:
        return forward(fnet, X), kept
    finally:
        for hook in hooks:
            hook.remove()


def _over_time(h: Tensor) -> Tensor:
    return h.mean(tuple(range(1, h.ndim - 1)))
