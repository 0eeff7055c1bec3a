"""Scores of rows as inner products with given directions; losses and predictions of rows.

Let g_i be the gradient of the loss of row i with respect to the parameters. Let the direction u be
the gradient of the target, or an inverse Hessian times this gradient. The score of row i is <g_i,
u>. Scores without a direction are in `row_scores`.
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
    forward,
    pushforward,
    pushforward_members,
    tangents_are_costly,
)
from skinfluence._core.label_gradients import LabelGradients
from skinfluence._core.memory import OutputWatch, in_halves_if_needed
from skinfluence._core.net import FunctionalNet
from skinfluence._core.recheck import (
    recheck,
    recheck_label_losses,
    recheck_labels,
    recheck_losses,
)
from skinfluence._core.states import State
from skinfluence._core.tensors import Rows, wide

# Wraps an iterator of batches in a progress bar; `iter` shows none.
Progress = Callable[[Iterator[Any]], Iterator[Any]]

# If a step has at least this many outputs (a language model's vocabulary), products are computed in
# single precision.
_MANY_OUTPUTS = 4096

# Bytes of the tangents of one batch along several directions.
_TANGENT_BYTES = {"cpu": 2**28, "cuda": 2**32}


def row_scores(
    fnet: FunctionalNet,
    U: Directions,
    X: Rows,
    y: Any,
    *,
    normalize: bool = False,
    progress: Progress = iter,
) -> np.ndarray:
    """Lowest <g_i, u> over the directions u, (n,) float64; `normalize` divides it by ‖g_i‖."""
    ghost: Ghost | None = None

    def of_batch(Xb: Rows, yb: Tensor) -> Tensor:
        nonlocal ghost
        # In forward mode, each direction takes about as long as one forward and backward pass. With
        # factors, norms and further directions take a fraction of that time
        # (benchmarks/scoring_cost.py).
        needs_row_gradients = normalize or tangents_are_costly(fnet)
        if needs_row_gradients or len(next(iter(U.values()))) > 2:
            ghost = ghost or Ghost(fnet, Xb)
            if needs_row_gradients or ghost.has_rules:
                G = ghost.of_losses(Xb, yb)
                return ghost.inner(Xb, G, U, normalize=normalize).amin(1)
        f, t = pushforward(fnet, Xb, U)
        return _contract(fnet, f, t, Xb, yb)

    def of_checked_batch(Xb: Rows, yb: Tensor) -> Tensor:
        found = of_batch(Xb, yb)
        recheck(fnet, U, of_batch, found, Xb, yb, normalize=normalize)
        return found

    return _over_rows(of_checked_batch, progress(fnet.batches(X, y)))


def member_scores(
    fnet: FunctionalNet,
    states: list[State],
    U: list[Directions],
    X: Rows,
    y: Any,
    progress: Progress = iter,
) -> np.ndarray | None:
    """Scores at each of k members, (k, n), in one pass; None if an operation does not allow it."""
    stacked = fnet.stacked(states)
    every = {name: torch.stack([u[name] for u in U]) for name in fnet.params}
    scores, first = [], fnet.at(states[0])

    def of_first(Xb: Rows, yb: Tensor) -> Tensor:
        f, t = pushforward_members(fnet, Xb, stacked, every)
        return _contract(fnet, f[0], t[0], Xb, yb)

    for Xb, yb in progress(fnet.batches(X, y)):
        try:
            f, t = pushforward_members(fnet, Xb, stacked, every)
        except (NotImplementedError, RuntimeError):
            return None
        rows = [_contract(fnet, f[k], t[k], Xb, yb) for k in range(len(f))]
        recheck(first, U[0], of_first, rows[0], Xb, yb)
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
    """Score of each row under each label, (n, n_labels), from one pass.

    The score of row i under label c is <∂ℓ(f_i, c)/∂f, t_i>. The tangent t_i does not depend on the
    label c, so it is computed once. If there are K directions, such as one per class, the tangents
    of a batch are K times as large as its outputs. They are therefore computed for only as many
    directions at a time as fit into memory.
    """
    candidates = torch.as_tensor(labels, device=fnet.device)
    norms = _Norms() if normalize else None
    step = _directions_at_once(fnet, U, X)

    def of_batch(Xb: Rows) -> Tensor:
        gradients: LabelGradients | None = None
        lowest = []
        number = len(next(iter(U.values())))
        for start in range(0, number, step):
            part = {name: u[start : start + step] for name, u in U.items()}
            f, t = pushforward(fnet, Xb, part)
            gradients = gradients or LabelGradients(fnet, Xb, f, candidates, number)
            lowest.append(gradients.lowest_products(t))
        inner = torch.stack(lowest).amin(0)
        if norms is None:
            return inner
        each = [norms(fnet, f, Xb, c.expand(len(f))) for c in candidates]
        lengths = torch.stack(each, 1).double()
        return torch.where(lengths > 0, inner / lengths, 0)

    def of_checked_batch(Xb: Rows, _: Tensor) -> Tensor:
        found = of_batch(Xb)
        recheck_labels(fnet, U, of_batch, found, Xb, candidates, normalize=normalize)
        return found

    return _over_rows(of_checked_batch, fnet.batches(X))


def _directions_at_once(fnet: FunctionalNet, U: Directions, X: Rows) -> int:
    """Number of directions whose tangents, in all layers and for one batch, fit in memory."""
    number = len(next(iter(U.values())))
    if number == 1:
        return 1
    with OutputWatch() as watch:
        f = forward(fnet, next(iter(fnet.batches(X)))[0])
    # Products with the outputs' tangents need up to three more arrays of float64 per direction.
    of_one = watch.bytes + 3 * 8 * f.numel()
    limit = _TANGENT_BYTES.get(fnet.device.type, _TANGENT_BYTES["cpu"])
    return min(number, max(1, limit // of_one))


def predictions(fnet: FunctionalNet, X: Rows) -> np.ndarray:
    """Index of each row's most probable class, (n,)."""
    return predicted_outputs(fnet, X, is_classification=True).argmax(1)


def predicted_outputs(fnet: FunctionalNet, X: Rows, is_classification: bool) -> np.ndarray:
    """Class probabilities, (n, n_classes), or a regressor's predictions, (n, ...); float64."""
    nonlinearity = fnet.probabilities if is_classification else (lambda f: f)
    outputs = [
        in_halves_if_needed(lambda Xb, _: nonlinearity(forward(fnet, Xb)), *b)
        for b in fnet.batches(X)
    ]
    return torch.cat(outputs).double().cpu().numpy()


def row_losses(fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
    """Loss of each row, (n,) float64."""

    def of_batch(Xb: Rows, yb: Tensor) -> Tensor:
        with torch.no_grad():
            return fnet.losses(forward(fnet, Xb), Xb, yb)

    def of_checked_batch(Xb: Rows, yb: Tensor) -> Tensor:
        found = of_batch(Xb, yb)
        recheck_losses(fnet, of_batch, found, Xb, yb)
        return found

    return _over_rows(of_checked_batch, progress(fnet.batches(X, y)))


def label_losses(
    fnet: FunctionalNet, X: Rows, labels: np.ndarray, progress: Progress = iter
) -> np.ndarray:
    """Loss of each row under each label, (n, n_labels), from one forward pass."""
    candidates = torch.as_tensor(labels, device=fnet.device)

    def of_batch(Xb: Rows) -> Tensor:
        f = forward(fnet, Xb)
        with torch.no_grad():
            return torch.stack([fnet.losses(f, Xb, c.expand(len(f))) for c in candidates], 1)

    def of_checked_batch(Xb: Rows, _: Tensor) -> Tensor:
        found = of_batch(Xb)
        recheck_label_losses(fnet, of_batch, found, Xb, candidates)
        return found

    return _over_rows(of_checked_batch, progress(fnet.batches(X)))


def _over_rows(of_batch: Callable[[Rows, Tensor], Tensor], batches: Iterator[Any]) -> np.ndarray:
    """Join ``of_batch(X, y)`` of all batches, float64; raise if a value is not finite."""
    values = [in_halves_if_needed(of_batch, Xb, yb) for Xb, yb in batches]
    return finite(torch.cat(values).double().cpu().numpy())


class _Norms:
    """‖g_i‖ of a batch. The rules for layers are tested on the first batch."""

    def __init__(self) -> None:
        self.ghost: Ghost | None = None

    def __call__(self, fnet: FunctionalNet, f: Tensor, X: Rows, y: Tensor) -> Tensor:
        self.ghost = self.ghost or Ghost(fnet, X)
        return self.ghost.square_norms(X, fnet.cotangents(f, X, y)).sqrt()


def _contract(fnet: FunctionalNet, f: Tensor, t: Tensor, X: Rows, y: Tensor) -> Tensor:
    """Lowest <G_i, t_i> over the directions, (n,) float64."""
    G = fnet.cotangents(f, X, y)
    if G.ndim > 2 and G.shape[-1] >= _MANY_OUTPUTS:
        # A copy in float64 would take longer than the sum.
        products = torch.linalg.vecdot(wide(t), wide(G)).double()
        return products.reshape(*t.shape[:2], -1).sum(-1).amin(0)
    return torch.linalg.vecdot(
        t.reshape(*t.shape[:2], -1).double(), G.reshape(len(G), -1).double()
    ).amin(0)


def finite(values: np.ndarray) -> np.ndarray:
    """Return the values; raise if those of some rows are not finite."""
    bad = int((~np.isfinite(values)).reshape(len(values), -1).any(1).sum())
    if bad:
        raise ValueError(
            f"{bad} of {len(values)} rows have a NaN or infinite loss, gradient or score, because "
            "the weights of the net, or the outputs of the net for these rows, are not finite. If "
            "training diverged, try a smaller lr or scale X. Otherwise check whether the loss "
            "takes the log of 0."
        )
    return values
