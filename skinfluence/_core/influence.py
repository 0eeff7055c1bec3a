"""Scores from a net: directions out of the reference rows, inner products with the other rows.

score_i = <g_i, u>, g_i the gradient of row i's loss, u = v = grad of the target (or P v). Every
differentiable target splits over the reference rows, v = Σ_j v_j with v_j = J_j^T ∂T/∂f_j, so
normalising the reference rows, or keeping one direction a class, works for all of them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skinfluence._core.ghost import Ghost
from skinfluence._core.gradients import (
    Directions,
    by_halves,
    forward,
    pullback,
    pushforward,
    pushforward_members,
    wide_zeros,
)
from skinfluence._core.net import FunctionalNet
from skinfluence._core.states import State
from skinfluence._core.tensors import IGNORED, Rows, join_rows, n_rows, slice_rows, wide
from skinfluence.targets import Reference, Target, Utility, evaluate, not_finite

_WIDE = 4096  # outputs of a language model's head: summed in their own precision, by halves


def directions(
    fnet: FunctionalNet,
    target: Target | Callable[..., Tensor],
    X: Rows,
    y: Any,
    *,
    is_classification: bool,
    groups: np.ndarray | None = None,
    normalize: bool = False,
    classes: np.ndarray | None = None,
    metadata: dict[str, Any] | None = None,
) -> Directions:
    """Gradient of the target by the parameters, one direction a group: entries (d, *shape).

    Two passes over the reference rows in the memory of one batch, exact also for targets that are
    no sum over rows. With `normalize`, Σ_j v_j/‖v_j‖ instead of Σ_j v_j; sums are taken as means
    over each group's rows, so that groups of any size speak equally loud.
    """
    cotangents = reference_cotangents(
        fnet, target, X, y, is_classification=is_classification, classes=classes, metadata=metadata
    )
    m = n_rows(X)
    groups = np.zeros(m, dtype=int) if groups is None else groups
    ids = np.unique(groups)
    sums = [wide_zeros(fnet) for _ in ids]
    counts = np.zeros(len(ids))
    ghost, start = None, 0
    # A row's share in a mean underflows in float16. By a power of two, which rounds nothing.
    lift = 2.0 ** m.bit_length()
    for (Xb, _), G in zip(fnet.batches(X, y), cotangents, strict=True):
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
    else:  # the target's own scale as a whole; a group's direction as if it were all there is
        scales = m / np.array([np.sum(groups == k) for k in ids]) / lift
    return {
        name: torch.stack([s[name] * float(c) for s, c in zip(sums, scales, strict=True)]).to(p)
        for name, p in fnet.params.items()
    }


def reference_cotangents(
    fnet: FunctionalNet,
    target: Target | Callable[..., Tensor],
    X: Rows,
    y: Any,
    *,
    is_classification: bool,
    classes: np.ndarray | None = None,
    metadata: dict[str, Any] | None = None,
) -> Iterator[Tensor]:
    """∂T/∂f of the reference rows, a tensor a batch."""
    if type(target) is Utility and target.rows == "all":
        # Batch by batch: the outputs of a language model are too large to hold those of all rows.
        n = n_rows(X)
        for Xb, yb in fnet.batches(X, y):
            G = wide(fnet.cotangents(forward(fnet, Xb), Xb, yb)) / n
            if not torch.isfinite(G).all():
                raise not_finite(target, float("nan"))
            yield G
        return
    leaves, losses, ys = [], [], []
    with torch.enable_grad():
        for Xb, yb in fnet.batches(X, y):
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
            is_classification,
            metadata or {},
            classes,
        )
        grads = torch.autograd.grad(evaluate(target, reference), leaves, materialize_grads=True)
    yield from grads


def row_scores(
    fnet: FunctionalNet,
    U: Directions,
    X: Rows,
    y: Any,
    *,
    normalize: bool = False,
    progress: Callable[[Iterator[Any]], Iterator[Any]] = iter,
) -> np.ndarray:
    """<g_i, u> (over ‖g_i‖ with `normalize`), the worst over the directions: (n,) float64."""
    ghost: Ghost | None = None

    def of_batch(Xb: Rows, yb: Tensor) -> Tensor:
        nonlocal ghost
        # A direction costs a plain pass in forward mode; from factors, norms and each further one
        # cost a fraction of it (benchmarks/scoring_cost.py).
        if normalize or len(next(iter(U.values()))) > 2:
            ghost = ghost or Ghost(fnet, Xb)
            if normalize or ghost.has_rules:
                G = ghost.of_losses(Xb, yb)
                return ghost.inner(Xb, G, U, normalize=normalize).amin(1)
        f, t = pushforward(fnet, Xb, U)
        return _contract(fnet, f, t, Xb, yb, None)

    return _over_rows(of_batch, progress(fnet.batches(X, y)))


def member_scores(
    fnet: FunctionalNet,
    states: list[State],
    U: list[Directions],
    X: Rows,
    y: Any,
    progress: Callable[[Iterator[Any]], Iterator[Any]] = iter,
) -> np.ndarray | None:
    """Scores by each member of an ensemble, (k, n), all members in one pass; None if impossible."""
    stacked = fnet.stacked(states)
    every = {name: torch.stack([u[name] for u in U]) for name in fnet.params}
    scores = []
    for Xb, yb in progress(fnet.batches(X, y)):
        try:
            f, t = pushforward_members(fnet, Xb, stacked, every)
        except (NotImplementedError, RuntimeError):
            return None
        rows = [_contract(fnet, f[k], t[k], Xb, yb, None) for k in range(len(f))]
        scores.append(torch.stack(rows))
    return finite(torch.cat(scores, 1).T.cpu().numpy()).T


def label_scores(
    fnet: FunctionalNet,
    U: Directions,
    X: Rows,
    labels: np.ndarray,
    *,
    normalize: bool = False,
) -> np.ndarray:
    """Score of each row under each label, (n, n_labels), from the same single pass.

    The tangent of the outputs does not depend on the label: score_i(c) = <∂ℓ/∂f(f_i, c), t_i>.
    """
    candidates = torch.as_tensor(labels, device=fnet.device)
    norms = _Norms() if normalize else None

    def of_batch(Xb: Rows, _: Tensor) -> Tensor:
        f, t = pushforward(fnet, Xb, U)
        columns = [_contract(fnet, f, t, Xb, y.expand(len(f)), norms) for y in candidates]
        return torch.stack(columns, 1)

    return _over_rows(of_batch, fnet.batches(X))


def predictions(fnet: FunctionalNet, X: Rows) -> np.ndarray:
    """Index of each row's most probable class, (n,)."""
    return predicted_outputs(fnet, X, is_classification=True).argmax(1)


def predicted_outputs(fnet: FunctionalNet, X: Rows, is_classification: bool) -> np.ndarray:
    """Class probabilities, or a regressor's predictions, (n, ...) float64."""
    readable = fnet.probabilities if is_classification else (lambda f: f)
    found = [by_halves(lambda Xb, _: readable(forward(fnet, Xb)), *b) for b in fnet.batches(X)]
    return torch.cat(found).double().cpu().numpy()


def row_losses(fnet: FunctionalNet, X: Rows, y: Any) -> np.ndarray:
    """Loss of each row, (n,) float64."""
    return _each_row(fnet, X, y, _losses)


def label_losses(fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
    """Loss of each row under each label, (n, n_labels)."""
    return _each_label(fnet, X, labels, _losses)


def row_norms(fnet: FunctionalNet, X: Rows, y: Any) -> np.ndarray:
    """‖g_i‖ of each row, (n,) float64."""
    return _each_row(fnet, X, y, _Norms())


def label_norms(fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
    """‖g_i‖ of each row under each label, (n, n_labels)."""
    return _each_label(fnet, X, labels, _Norms())


OfBatch = Callable[[FunctionalNet, Tensor, Rows, Tensor], Tensor]  # (fnet, f, X, y) -> (n,)


def _each_row(fnet: FunctionalNet, X: Rows, y: Any, of_batch: OfBatch) -> np.ndarray:
    return _over_rows(lambda Xb, yb: of_batch(fnet, forward(fnet, Xb), Xb, yb), fnet.batches(X, y))


def _each_label(fnet: FunctionalNet, X: Rows, labels: np.ndarray, of_batch: OfBatch) -> np.ndarray:
    candidates = torch.as_tensor(labels, device=fnet.device)

    def under_each(Xb: Rows, _: Tensor) -> Tensor:
        f = forward(fnet, Xb)
        columns = [of_batch(fnet, f, Xb, label.expand(len(f))) for label in candidates]
        return torch.stack(columns, 1)

    return _over_rows(under_each, fnet.batches(X))


def _over_rows(of_batch: Callable[[Rows, Tensor], Tensor], batches: Iterator[Any]) -> np.ndarray:
    """What `of_batch` says of all rows, checked, as float64."""
    found = [by_halves(of_batch, Xb, yb) for Xb, yb in batches]
    return finite(torch.cat(found).double().cpu().numpy())


def _losses(fnet: FunctionalNet, f: Tensor, X: Rows, y: Tensor) -> Tensor:
    with torch.no_grad():
        return fnet.losses(f, X, y)


class _Norms:
    """‖g_i‖ of a batch; which layers' rules hold is found out at the first one."""

    def __init__(self) -> None:
        self.ghost: Ghost | None = None

    def __call__(self, fnet: FunctionalNet, f: Tensor, X: Rows, y: Tensor) -> Tensor:
        self.ghost = self.ghost or Ghost(fnet, X)
        return self.ghost.square_norms(X, fnet.cotangents(f, X, y)).sqrt()


def _contract(
    fnet: FunctionalNet, f: Tensor, t: Tensor, X: Rows, y: Tensor, norms: _Norms | None
) -> Tensor:
    """Least over the directions of <G_i, t_i> [/ ‖g_i‖], (n,) float64."""
    G = fnet.cotangents(f, X, y)
    if G.ndim > 2 and G.shape[-1] >= _WIDE:  # a copy in double precision would cost more than it
        products = torch.linalg.vecdot(wide(t), wide(G)).double()
        inner = products.reshape(*t.shape[:2], -1).sum(-1).amin(0)
    else:
        inner = torch.linalg.vecdot(
            t.reshape(*t.shape[:2], -1).double(), G.reshape(len(G), -1).double()
        ).amin(0)
    if norms is None:
        return inner
    length = norms(fnet, f, X, y).double()
    return torch.where(length > 0, inner / length, 0)


def _scale_rows(G: Tensor, weights: Tensor) -> Tensor:
    return G * weights.reshape(-1, *[1] * (G.ndim - 1))


def finite(values: np.ndarray) -> np.ndarray:
    """Return the values; raise where a row's are not finite."""
    bad = int((~np.isfinite(values)).reshape(len(values), -1).any(1).sum())
    if bad:
        raise ValueError(
            f"{bad} of {len(values)} rows have a NaN or infinite loss, gradient or score; the "
            "net's weights or outputs are not finite there: did training diverge (try a smaller "
            "lr, or scale X), or does the loss take the log of 0?"
        )
    return values
