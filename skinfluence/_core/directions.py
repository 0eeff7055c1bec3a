"""From a target and its reference rows to directions in parameter space.

Let T be the target, a scalar function of the net's outputs f_j on the reference rows. Its gradient
by the parameters is v = Σ_j v_j with v_j = J_j^T ∂T/∂f_j, one term per reference row. A direction
is such a sum, over all reference rows or over those of one class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skinfluence._core.ghost import Ghost
from skinfluence._core.gradients import Directions, forward, pullback, wide_zeros
from skinfluence._core.net import FunctionalNet
from skinfluence._core.tensors import IGNORED, Rows, join_rows, n_rows, slice_rows, wide
from skinfluence.targets import Reference, Target, evaluate, not_finite


@dataclass(frozen=True)
class Objective:
    """A target and the reference rows on which it is evaluated.

    Attributes
    ----------
    target : Target or callable
    X, y : reference rows as the net takes them; both None where a method needs no reference rows
    is_classification : bool
    classes : ndarray of shape (n_classes,) or None
        The user's label for each column of the net's probabilities.
    sensitive_features : ndarray of shape (m,) or None
        Group of each reference row.
    """

    target: Target | Callable[..., Tensor]
    X: Rows
    y: Any
    is_classification: bool
    classes: np.ndarray | None = None
    sensitive_features: np.ndarray | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """What a target gets besides the outputs and y."""
        groups = self.sensitive_features
        return {} if groups is None else {"sensitive_features": groups}


def directions(
    fnet: FunctionalNet,
    objective: Objective,
    *,
    groups: np.ndarray | None = None,
    normalize: bool = False,
) -> Directions:
    """Gradient of the target by the parameters, one direction per group: entries (d, *shape).

    It takes two passes over the reference rows in the memory of one batch, and is exact also for
    targets that are not a sum over rows. Without `groups` there is one direction, the whole
    gradient. With `groups`, each direction is the mean over the group's rows, so that large and
    small groups count alike. With `normalize`, each v_j is divided by its norm first.
    """
    X, y = objective.X, objective.y
    m = n_rows(X)
    groups = np.zeros(m, dtype=int) if groups is None else groups
    ids = np.unique(groups)
    sums = [wide_zeros(fnet) for _ in ids]
    counts = np.zeros(len(ids))
    ghost, start = None, 0
    # A row's share in a mean underflows in float16. A power of two rounds nothing.
    lift = 2.0 ** m.bit_length()
    for (Xb, _), G in zip(fnet.batches(X, y), reference_cotangents(fnet, objective), strict=True):
        if normalize:
            ghost = ghost or Ghost(fnet, Xb)
            norms = ghost.square_norms(Xb, G).sqrt()
            G = _scale_rows(G, torch.where(norms > 0, 1 / norms, 0))
        else:
            G = wide(G) * lift
        of_batch = groups[start : start + len(G)]
        start += len(G)
        for k in np.unique(of_batch):
            at = int(np.searchsorted(ids, k))
            rows = torch.as_tensor(np.flatnonzero(of_batch == k), device=fnet.device)
            Gk = G[rows]
            counts[at] += int((Gk != 0).reshape(len(Gk), -1).any(1).sum())
            part = (Xb, G) if len(rows) == len(G) else (slice_rows(Xb, rows), Gk)
            for name, value in pullback(fnet, *part).items():
                sums[at][name] += value
    if normalize:
        scales = 1 / np.maximum(counts, 1)
    else:  # one group: the target's own scale; several: each as if it were all reference rows
        scales = m / np.array([np.sum(groups == k) for k in ids]) / lift
    return {
        name: torch.stack([s[name] * float(c) for s, c in zip(sums, scales, strict=True)]).to(p)
        for name, p in fnet.params.items()
    }


def reference_cotangents(fnet: FunctionalNet, objective: Objective) -> Iterator[Tensor]:
    """∂T/∂f of the reference rows, one tensor per batch."""
    if getattr(objective.target, "is_mean_loss", False):
        return _mean_loss_cotangents(fnet, objective)
    return iter(_joint_cotangents(fnet, objective))


def _mean_loss_cotangents(fnet: FunctionalNet, objective: Objective) -> Iterator[Tensor]:
    """Batch by batch: all outputs of a language model at once would not fit in memory."""
    n = n_rows(objective.X)
    for Xb, yb in fnet.batches(objective.X, objective.y):
        G = wide(fnet.cotangents(forward(fnet, Xb), Xb, yb)) / n
        if not torch.isfinite(G).all():
            raise not_finite(objective.target, float("nan"))
        yield G


def _joint_cotangents(fnet: FunctionalNet, objective: Objective) -> tuple[Tensor, ...]:
    """Of any target, which may mix all reference rows: their outputs are held together."""
    leaves, losses, ys = [], [], []
    with torch.enable_grad():
        for Xb, yb in fnet.batches(objective.X, objective.y):
            leaves.append(forward(fnet, Xb).requires_grad_())
            losses.append(fnet.losses(leaves[-1], Xb, yb))
            if not losses[-1].requires_grad:
                raise fnet.not_differentiable()
            ys.append(yb)
        reference = Reference(
            join_rows(leaves),
            join_rows(ys, IGNORED),
            torch.cat(losses),
            fnet.probabilities,
            objective.is_classification,
            objective.metadata,
            objective.classes,
        )
        value = evaluate(objective.target, reference)
        return torch.autograd.grad(value, leaves, materialize_grads=True)


def _scale_rows(G: Tensor, weights: Tensor) -> Tensor:
    return G * weights.reshape(-1, *[1] * (G.ndim - 1))
