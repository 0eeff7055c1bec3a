"""Methods: what `InfluenceScorer` asks of a row, other than its inner product with a target.

A method says what it uses of the scorer's arguments and turns members into voices, which give each
row a number at each member; higher is more helpful, or at least less suspicious, everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import IsolationForest
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from skinfluence._core.gradients import forward
from skinfluence._core.influence import finite, label_losses, reference_cotangents, row_losses
from skinfluence._core.members import Member, Voices
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import Progress, gradient_rows, self_influences
from skinfluence._core.projection import Projection, _wide
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows, n_rows
from skinfluence._data.params import check_count, pass_seed

__all__ = ["LayerAware", "Loss", "Margin", "Method", "OutlierGradients", "SelfInfluence"]


@dataclass
class Case:
    """What a method may know: the net and its members, the training rows X and y, and the question.

    `labels` are all that a row may have (None for numbers). The question is what `directions`
    takes; its X and y are None where there are no reference rows.
    """

    fnet: FunctionalNet
    members: list[Member]
    X: Rows
    y: Any
    labels: np.ndarray | None
    question: dict[str, Any]
    rng: np.random.RandomState


class Method(ABC, BaseEstimator):
    """Base of the methods.

    `uses` names those of the scorer's arguments ``target``, ``curvature``, ``normalize`` and
    ``classwise`` that have a part in the method; the others must be left as they are. A method
    that uses a target needs reference rows.
    """

    uses: frozenset[str] = frozenset()

    @abstractmethod
    def voices(self, case: Case) -> Voices:
        """Return the members' voices."""


class SelfInfluence(Method):
    """Minus the influence of a row on its own loss, -<g_i, P g_i> [1]_.

    A row that nothing but itself supports pulls hard for itself: a wrong label, or a rare case.
    Without a curvature P is the identity, and the squared norms come from the layers' inputs and
    output gradients, in about the time of a training step's forward and backward pass. With one,
    the gradient of every row is formed and solved for, which is cheap for
    :class:`~skinfluence.curvature.EKFAC` and :class:`~skinfluence.curvature.Exact` only.

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

    def voices(self, case: Case) -> Voices:
        """Return the members with what multiplies gradients there."""
        return _Each(case.members, [_OwnInfluence(member.solve) for member in case.members])


class OutlierGradients(Method):
    """How far a row's gradient lies out among the gradients of the training rows [1]_.

    Parameters
    ----------
    detector : outlier detector, "l1" or "l2", default=None
        Any of scikit-learn's, or with their ``fit`` and ``score_samples`` (or
        ``decision_function``); a clone of it is fitted to the training rows' gradients at each
        member. None is :class:`sklearn.ensemble.IsolationForest`. "l1" and "l2": minus that norm of
        the gradient.
    n_components : int, default=1000
        Wider gradients are projected to as many numbers, by a sparse random matrix.

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

    def voices(self, case: Case) -> Voices:
        """Fit a detector at each member."""
        if self.detector in ("l1", "l2"):
            return _Each(case.members, [_Norm(int(self.detector[1]))] * len(case.members))
        check_count(self, "n_components")
        detector = self._checked()
        asked = []
        project = Projection(case.fnet, self.n_components, case.rng)
        for member in case.members:
            own = clone(detector)
            pass_seed(case.rng, own)
            own.fit(project.rows(case.fnet.at(member.state), case.X, case.y))
            asked.append(_Outlier(own, project))
        return _Each(case.members, asked)

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

    δ are gradients by the net's outputs (of a row's loss, or of the target at a reference row), h_l
    is what enters linear or convolutional layer l (sequences as their mean over time). With the
    last layer as the only one, this is the exact inner product for its weights.

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

    def voices(self, case: Case) -> Voices:
        """Return what the reference rows sum up to, layer by layer, at each member."""
        layers = [_Layers(case.fnet.at(m.state), case.question) for m in case.members]
        return _Each(case.members, layers)


class Loss(Method):
    """Minus the loss of the row; with :class:`~skinfluence.ensembles.Checkpoints` its mean [1]_.

    No influence at all: the floor that an influence has to beat where labels are wrong.

    References
    ----------
    .. [1] Arazo et al., "Unsupervised Label Noise Modeling and Loss Correction", ICML 2019.

    Examples
    --------
    >>> from skinfluence.methods import Loss
    >>> Loss()
    Loss()
    """

    def voices(self, case: Case) -> Voices:
        """Return the members."""
        return _Each(case.members, [_MinusLoss()] * len(case.members))


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

    def voices(self, case: Case) -> Voices:
        """Return the members, with the labels that they choose among."""
        if case.labels is None:
            raise ValueError("Margin() compares class labels; for a regressor use Loss().")
        return _Each(case.members, [_LogOdds(case.labels)] * len(case.members))


Ask = Callable[[FunctionalNet, Rows, Any, Progress], np.ndarray]


class _Each(Voices):
    """Something asked of the rows at each member, one after another."""

    def __init__(self, members: list[Member], asked: list[Any]) -> None:
        super().__init__(members)
        self.asked: list[Ask] = asked

    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        pairs = zip(self.states, self.asked, strict=True)
        return np.stack([ask(fnet.at(state), X, y, progress) for state, ask in pairs])

    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        n = n_rows(X)
        return np.stack([self.scores(fnet, X, np.full(n, c), iter) for c in labels], 2)


class _OwnInfluence:
    def __init__(self, solve: Any) -> None:
        self.solve = solve

    def __call__(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        return -self_influences(fnet, X, y, self.solve, progress)


class _Norm:
    """Minus a norm of the row gradients."""

    def __init__(self, order: int) -> None:
        self.order = order

    def __call__(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        if self.order == 2:
            return -np.sqrt(self_influences(fnet, X, y, None, progress))
        found = [_wide(rows).abs().sum(1) for rows in gradient_rows(fnet, X, y, progress)]
        return finite(-torch.cat(found).double().cpu().numpy())


class _Outlier:
    """A fitted detector, and the projection in front of it."""

    def __init__(self, detector: Any, project: Projection) -> None:
        self.detector, self.project = detector, project

    def __call__(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        score = getattr(self.detector, "score_samples", None) or self.detector.decision_function
        blocks = self.project.blocks(fnet, X, y, progress)
        return np.concatenate([score(finite(block)) for block in blocks]).astype(float)


class _Layers:
    """Σ_j δ_j ⊗ h_l(j) of the reference rows, a matrix (outputs, width) a layer."""

    def __init__(self, fnet: FunctionalNet, question: dict[str, Any]) -> None:
        X, y = question["X"], question["y"]
        self.sums: Params = {}
        cotangents = reference_cotangents(fnet, **question)
        for (Xb, _), G in zip(fnet.batches(X, y), cotangents, strict=True):
            for name, h in _entering(fnet, Xb)[1].items():
                part = (G.flatten(1).T @ h).cpu()
                self.sums[name] = self.sums[name] + part if name in self.sums else part

    def __call__(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        sums = {name: v.to(fnet.device) for name, v in self.sums.items()}
        found = []
        for Xb, yb in progress(fnet.batches(X, y)):
            f, entering = _entering(fnet, Xb)
            G = fnet.cotangents(f, Xb, yb).flatten(1)
            each = [((G @ sums[name]) * h).sum(1).double() for name, h in entering.items()]
            found.append(torch.stack(each).sum(0))
        return finite(torch.cat(found).cpu().numpy())


class _MinusLoss:
    def __call__(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        return -row_losses(fnet, X, y)


class _LogOdds:
    """Least loss under any other label - loss under the row's own."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels

    def __call__(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        losses = label_losses(fnet, X, self.labels)
        own = np.reshape(y, (-1, 1)) == self.labels
        return finite(np.where(own, np.inf, losses).min(1) - losses[own])


def check_method(scorer: Any) -> Method | None:
    """Return the method of a scorer; raise where an argument has no part in it."""
    method = scorer.method
    if method is None:
        return None
    if not isinstance(method, Method):
        raise TypeError(
            f"method={method!r}: expected an instance from skinfluence.methods, such as "
            "SelfInfluence(), or None."
        )
    for name in ("target", "curvature", "normalize", "classwise"):
        value = getattr(scorer, name)
        if name not in method.uses and value is not None and value is not False:
            raise ValueError(
                f"{name}={value!r} has no part in method={method!r}; leave it out, or leave out "
                "method= for the inner product with the target."
            )
    return method


def _entering(fnet: FunctionalNet, X: Rows) -> tuple[Tensor, Params]:
    """Outputs, and what enters each linear or convolutional layer, (n, width) each."""
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
            "LayerAware() needs linear or convolutional layers whose weight is among `parameters`; "
            "this net has none."
        )
    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers]
    try:
        return forward(fnet, X), kept
    finally:
        for hook in hooks:
            hook.remove()


def _over_time(h: Tensor) -> Tensor:
    return h.mean(tuple(range(1, h.ndim - 1)))
