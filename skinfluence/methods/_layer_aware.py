"""Influence from layer inputs and output gradients, without a backward pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from skinfluence._core.directions import Objective, reference_cotangents
from skinfluence._core.gradients import forward
from skinfluence._core.influence import Progress, finite
from skinfluence._core.members import AtEachMember, MemberScores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.recheck import recheck_losses
from skinfluence._core.row_scores import (
    RowScore,
)
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows, as_matrix, as_real, layer_argument, wide
from skinfluence.methods._base import Case, Method


class LayerAware(Method):
    """Influence without a backward pass, from layer inputs and output gradients [1]_.

    Let δ_i be the gradient of the loss of row i with respect to the net's outputs, δ_j the gradient
    of the target with respect to the outputs for reference row j, and h_l(i) the input of layer l
    for row i. The score of row i is ::

        Σ_j <δ_i, δ_j> Σ_l <h_l(i), h_l(j)>

    where l runs over the linear and convolutional layers. For a sequence, h_l(i) is the mean over
    its steps. If only the last layer is used, the score is the exact inner product for its weights.

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


class _LayerProducts(RowScore):
    """Σ_l <Σ_j δ_j ⊗ h_l(j), δ_i ⊗ h_l(i)>, with a matrix (outputs, width) for each layer l."""

    def __init__(self, fnet: FunctionalNet, objective: Objective) -> None:
        self.sums: Params = {}
        batches = fnet.batches(objective.X, objective.y)
        cotangents = reference_cotangents(fnet, objective)
        for (Xb, _), G in zip(batches, cotangents, strict=True):
            for name, h in _layer_inputs(fnet, Xb)[1].items():
                part = (as_matrix(G).T.to(h) @ h).cpu()
                self.sums[name] = self.sums[name] + part if name in self.sums else part

    def of_rows(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        """Scores of rows, (n,)."""
        sums = {name: v.to(fnet.device) for name, v in self.sums.items()}
        found = []
        for Xb, yb in progress(fnet.batches(X, y)):
            f, entering = _layer_inputs(fnet, Xb)
            G = as_matrix(fnet.cotangents(f, Xb, yb))
            losses = fnet.losses(f, Xb, yb).detach()
            recheck_losses(fnet, partial(_losses, fnet), losses, Xb, yb)
            each = [((G.to(h) @ sums[name]) * h).sum(1).double() for name, h in entering.items()]
            found.append(torch.stack(each).sum(0))
        return finite(torch.cat(found).cpu().numpy())


def _losses(fnet: FunctionalNet, X: Rows, y: Tensor) -> Tensor:
    return fnet.losses(forward(fnet, X), X, y)


def _layer_inputs(fnet: FunctionalNet, X: Rows) -> tuple[Tensor, Params]:
    """Return the outputs, and the input of each linear or convolutional layer, (n, width)."""
    kept: Params = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(
            layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
        ) -> None:
            h = layer_argument(inputs, named).detach()
            h = h.flatten(1) if isinstance(layer, _ConvNd) or h.ndim == 2 else _over_time(h)
            h = wide(as_real(h).flatten(1))
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
    hooks = [layer.register_forward_hook(keep(name), with_kwargs=True) for name, layer in layers]
    try:
        return forward(fnet, X), kept
    finally:
        for hook in hooks:
            hook.remove()


def _over_time(h: Tensor) -> Tensor:
    return h.mean(tuple(range(1, h.ndim - 1)))
