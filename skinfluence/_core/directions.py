"""From a target and its reference rows to directions in parameter space.

Let T be the target, a scalar function of the outputs f_j of all reference rows j, and J_j the
Jacobian of f_j with respect to the parameters. The gradient of the target with respect to the
parameters has one term v_j per reference row:

    v = Σ_j v_j,  v_j = J_j^T ∂T/∂f_j.

A direction is the sum of the v_j of all reference rows, or of the reference rows of one class.
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
from skinfluence._core.states import Params
from skinfluence._core.tensors import IGNORED, Rows, join_rows, n_rows, slice_rows, wide
from skinfluence.targets import Reference, Target, evaluate, not_finite


@dataclass(frozen=True)
class Objective:
    """A target and the reference rows on which it is evaluated.

    Attributes
    ----------
    target : Target or callable
    X, y : reference rows and their labels, or None
        In the form that the net and its criterion accept. Both are None if the method needs no
        reference rows.
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
        """Arguments of the target in addition to the outputs and y."""
        groups = self.sensitive_features
        return {} if groups is None else {"sensitive_features": groups}


def directions(
    fnet: FunctionalNet,
    objective: Objective,
    *,
    groups: np.ndarray | None = None,
    normalize: bool = False,
) -> Directions:
    """Gradient of the target in parameter space, one direction per group: entries (d, *shape).

    The computation takes two passes over the reference rows, one batch at a time. It is exact for
    every target, also for a target that is not a sum over rows. Unless the target is the mean loss,
    the outputs of all reference rows are in memory.

    Parameters
    ----------
    fnet : FunctionalNet
    objective : Objective
    groups : ndarray of shape (m,), optional
        Group of each reference row. The direction of a group is m times the mean of v_j over the
        group, so that small groups have the same weight as large ones. By default there is one
        direction, v.
    normalize : bool, default=False
        First divide each v_j by its norm. The direction of a group is then the mean over the rows
        of the group whose gradient is not 0.
    """
    m = n_rows(objective.X)
    groups = np.zeros(m, dtype=int) if groups is None else groups
    # In a mean over m rows, the term of one row may underflow in float16. Scale it up by a power of
    # two, which causes no rounding.
    loss_scale = 2.0 ** m.bit_length()
    batches = _scaled_cotangents(fnet, objective, None if normalize else loss_scale)
    sums, counts = _group_sums(fnet, batches, groups)
    if normalize:
        scales = 1 / np.maximum(counts, 1)
    else:  # m / group size gives each group the weight of all m reference rows
        scales = m / np.unique(groups, return_counts=True)[1] / loss_scale
    return {
        name: torch.stack([s[name] * float(c) for s, c in zip(sums, scales, strict=True)]).to(p)
        for name, p in fnet.params.items()
    }


def _group_sums(
    fnet: FunctionalNet, batches: Iterator[tuple[Rows, Tensor]], groups: np.ndarray
) -> tuple[list[Params], np.ndarray]:
    """Σ_j v_j over the rows of each group, and how many of these rows have a nonzero gradient."""
    ids = np.unique(groups)
    sums = [wide_zeros(fnet) for _ in ids]
    counts = np.zeros(len(ids))
    start = 0
    for Xb, G in batches:
        batch_groups = groups[start : start + len(G)]
        start += len(G)
        for k in np.unique(batch_groups):
            at = int(np.searchsorted(ids, k))
            rows = torch.as_tensor(np.flatnonzero(batch_groups == k), device=fnet.device)
            Gk = G[rows]
            counts[at] += int((Gk != 0).reshape(len(Gk), -1).any(1).sum())
            part = (Xb, G) if len(rows) == len(G) else (slice_rows(Xb, rows), Gk)
            for name, value in pullback(fnet, *part).items():
                sums[at][name] += value
    return sums, counts


def _scaled_cotangents(
    fnet: FunctionalNet, objective: Objective, scale: float | None
) -> Iterator[tuple[Rows, Tensor]]:
    """Batches of reference rows with ∂T/∂f_j times `scale`; without `scale`, divided by ‖v_j‖."""
    cotangents = reference_cotangents(fnet, objective)
    ghost = None
    for (Xb, _), G in zip(fnet.batches(objective.X, objective.y), cotangents, strict=True):
        if scale is not None:
            yield Xb, wide(G) * scale
            continue
        ghost = ghost or Ghost(fnet, Xb)
        yield Xb, ghost.unit_cotangents(Xb, G)


def reference_cotangents(fnet: FunctionalNet, objective: Objective) -> Iterator[Tensor]:
    """∂T/∂f_j of the reference rows, one tensor per batch."""
    if getattr(objective.target, "is_mean_loss", False):
        return _mean_loss_cotangents(fnet, objective)
    return iter(_joint_cotangents(fnet, objective))


def _mean_loss_cotangents(fnet: FunctionalNet, objective: Objective) -> Iterator[Tensor]:
    """∂T/∂f_j of the mean loss, with one batch in memory at a time, since outputs may be large."""
    n = n_rows(objective.X)
    for Xb, yb in fnet.batches(objective.X, objective.y):
        G = wide(fnet.cotangents(forward(fnet, Xb), Xb, yb)) / n
        if not torch.isfinite(G).all():
            raise not_finite(objective.target, float("nan"))
        yield G


def _joint_cotangents(fnet: FunctionalNet, objective: Objective) -> tuple[Tensor, ...]:
    """∂T/∂f_j of any target, which may mix rows: the outputs of all rows are held in memory."""
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
