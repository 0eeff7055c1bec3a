"""Compares the engine with plain autograd on a few rows, before a net is scored.

Each error says what is wrong, the likely cause, and what to do. The expected values come from plain
calls of the module, without the code of the engine.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointFunction

from skinfluence._core.checked_rows import rows_to_check
from skinfluence._core.gradients import (
    Directions,
    forward,
    forward_with_precision,
    pushforward,
)
from skinfluence._core.kernels import plain_kernels
from skinfluence._core.net import FunctionalNet
from skinfluence._core.tensors import Rows, as_real, map_tensors, slice_rows, wide

# `_ROWS` rows are checked in one batch, again in batches of `_SMALL_BATCH` rows, and the first
# `_ROWS_ALONE` of them also alone.
_ROWS, _SMALL_BATCH, _ROWS_ALONE = 12, 5, 3

_OTHER_ROWS = (
    "a row's output depends on the other rows of its batch, so the influence of a single row is "
    "not defined. Likely causes: BatchNorm with track_running_stats=False, or a softmax or mean "
    "over axis 0, the batch. Use layers that treat each row separately, such as LayerNorm, or "
    "BatchNorm with running statistics."
)


def check_gradients(fnet: FunctionalNet, X: Rows, y: Any) -> None:
    """Check that influence can be computed for this net, on a few rows from the whole table.

    Some of the batches that are scored afterwards are compared as well, see `recheck.py`.

    Raises
    ------
    ValueError
        If the outputs are not finite, change from call to call, or depend on other rows; if the
        loss is neither a sum nor a mean over rows; or if scores differ from plain autograd.
    """
    size = fnet.batch_size(X)
    rows = rows_to_check(X, y, min(_ROWS, max(size, 6)) if size > 0 else _ROWS)
    for number, (Xb, yb) in enumerate(fnet.batches_of(rows, X, y)):
        try:
            f, eps = forward_with_precision(fnet, Xb)
            _check_outputs(fnet, Xb, f, eps)
        except ValueError as error:
            if "Expected more than 1 value per channel" in str(error):  # BatchNorm of one row
                raise ValueError(_OTHER_ROWS) from error
            raise
        if number == 0:
            _warn_about_logits(fnet, f)
        _check_losses(fnet, Xb, yb, f, eps)
        refuse_errors(
            _score_error(fnet, Xb, yb, eps), partial(_score_error, fnet, nudged(Xb), yb, eps)
        )
    fnet.expect_recheck()


def _check_outputs(fnet: FunctionalNet, X: Rows, f: Tensor, eps: float) -> None:
    if not torch.isfinite(f).all():
        raise ValueError(
            "the fitted net's outputs are NaN or infinite: training diverged, or the module takes "
            "the log of 0 or divides by 0. Try a smaller lr, scale X, and look for log and / in "
            "the module's forward."
        )
    pieces = _pieces(X, len(f), _SMALL_BATCH, lambda Xp, _: forward(fnet, Xp))
    if _close(pieces, f, eps) and _is_same_alone(fnet, X, f, eps):
        return
    if not _close(forward(fnet, X), f, eps):
        raise ValueError(
            "the net gives another output for the same rows each time, although it is in eval "
            "mode. Influence needs a deterministic net. Either forward draws random numbers (if "
            "it calls F.dropout, pass training=self.training), or it changes a buffer of the "
            "module."
        )
    raise ValueError(_OTHER_ROWS)


def _is_same_alone(fnet: FunctionalNet, X: Rows, f: Tensor, eps: float) -> bool:
    """Whether the second row has the same outputs in a batch of one row."""
    row = slice(1, 2)
    return len(f) < 2 or _close(forward(fnet, slice_rows(X, row)), f[row], eps)


def _warn_about_logits(fnet: FunctionalNet, f: Tensor) -> None:
    """Warn if skorch takes the logarithm of outputs that are not probabilities."""
    if not fnet.takes_logarithms:
        return
    total = wide(f).sum(1)
    if (f < 0).any() or not torch.allclose(total, torch.ones_like(total), atol=1e-2):
        warnings.warn(
            "the net's criterion is NLLLoss (skorch's default), for which skorch expects "
            "probabilities, but the outputs of a row do not sum to 1, so the losses are "
            "meaningless. If the module returns logits, pass "
            "criterion=torch.nn.CrossEntropyLoss, or end the module with a softmax.",
            UserWarning,
            stacklevel=2,
        )


def _check_losses(fnet: FunctionalNet, X: Rows, y: Tensor, f: Tensor, eps: float) -> None:
    """Compare the loss of the batch with the sum and the mean of its rows' losses."""
    if fnet.row_loss.is_known:
        return
    G = fnet.cotangents(f, X, y)
    with torch.enable_grad():
        leaf = f.detach().requires_grad_()
        loss = fnet.row_loss.of_batch(leaf, X, y)
        # Compare derivatives with respect to f, which a penalty on the weights does not change.
        whole = gradient(loss, [leaf])[0]
    n, size = len(f), max(float(G.abs().max()), eps**0.4)  # in a perfect fit, G is only rounding
    if min(float((k * whole - G).abs().max()) for k in (1, n)) > eps**0.6 * size:
        raise ValueError(
            "the net's loss is not a function of single rows: the loss of a batch is neither the "
            "sum nor the mean of its rows' losses. Likely causes: a contrastive or ranking loss, a "
            "statistic over the batch, or a weighted mean computed in the criterion, such as one "
            "over all tokens of a batch. Use a criterion that computes the loss of each row "
            "without the other rows, and returns the sum or the mean of these losses."
        )


def _score_error(fnet: FunctionalNet, X: Rows, y: Tensor, eps: float) -> Error:
    """Error of the scores of single rows, and of the sum of all rows' scores."""
    g, of_penalty = plain_gradients(fnet, X, y)
    # The direction is the gradient of these rows' summed loss. A random direction may be almost
    # orthogonal to the row gradients, so that errors would be missed.
    named = zip(fnet.params.items(), g, strict=True)
    U = {name: value.unsqueeze(0).to(p) for (name, p), value in named}
    f, t = pushforward(fnet, X, U)
    G = fnet.cotangents(f, X, y)
    scores = (t[0].double() * G.double()).reshape(len(f), -1).sum(1).cpu()
    # If forward has no branches, what holds for one row holds for all.
    rows = list(range(min(len(f), 1 if fnet.is_known else _ROWS_ALONE)))
    alone = products_alone(fnet, U, X, y, rows)
    if (alone.penalties - alone.penalties[0]).abs().max() > eps**0.5 * alone.scale:
        raise ValueError(
            "the net's get_loss depends on the parameters other than through the outputs, and "
            "differently for different rows. A penalty on the weights is allowed, because it is "
            "the same for all rows. Let the module return everything else that the loss needs."
        )
    of_rows = alone.error(scores[rows], eps)
    of_rows.floor = floor(t, eps)
    if len(rows) == len(f):
        return of_rows
    # The sum over all rows takes one pass, and is wrong if the score of any row is.
    together = _products(U, g, of_penalty)
    size = together.scale + float((_lengths(t[0]) * _lengths(G)).sum())
    of_sum = Error(float((scores.sum() - together.scores[0]).abs()), size, len(f), eps)
    of_sum.floor = of_rows.floor * len(f)
    return max(of_rows, of_sum, key=lambda error: error.excess)


def floor(t: Tensor, eps: float) -> float:
    """Largest error of a score from cotangents below eps, which carry no information.

    In a perfect fit, all cotangents are that small, and scores have no correct digit.
    """
    return 16 * eps * float(_lengths(t.flatten(0, 1)).max())


@dataclass
class Error:
    """Largest difference between n scores and plain autograd, and the largest possible score."""

    difference: float
    scale: float
    n: int
    eps: float
    floor: float = 0.0

    @property
    def excess(self) -> float:
        """Difference minus the largest difference that rounding may cause."""
        return self.difference - self.eps**0.5 * self.scale - self.floor


def refuse_errors(error: Error, of_nudged: Callable[[], Error]) -> None:
    if error.excess > 0:
        # At the kink of a ReLU, a row in a batch and the same row alone may round to different
        # sides. Both results are then right. For slightly moved rows, the results must agree.
        error = of_nudged()
    if error.excess > 0:
        raise ValueError(
            f"the scores of {error.n} rows differ from plain autograd by up to "
            f"{error.difference:.3g}, while no score can be larger than {error.scale:.3g}. Scores "
            "of this net cannot be trusted. Likely causes: forward uses a tensor that was taken "
            "from a parameter earlier (a stored weight, .data, .detach()), treats large batches in "
            "another way, or calls an autograd.Function whose backward and jvp disagree. Read "
            "parameters as attributes inside forward, and test the function with "
            "torch.autograd.gradcheck."
        )


@dataclass
class Plain:
    """Lowest products of gradients with directions, from plain autograd: one entry per gradient."""

    scores: Tensor
    penalties: Tensor
    norms: Tensor
    scale: float

    def error(self, found: Tensor, eps: float) -> Error:
        difference = float((found - self.scores).abs().max())
        return Error(difference, self.scale, len(self.scores), eps)


def products_alone(
    fnet: FunctionalNet, U: Directions, X: Rows, y: Tensor, rows: Sequence[int]
) -> Plain:
    """Products of the gradients of each of these rows alone."""
    slices = [slice(i, i + 1) for i in rows]
    gradients = (plain_gradients(fnet, slice_rows(X, row), y[row]) for row in slices)
    each = [_products(U, *pair) for pair in gradients]
    return Plain(
        torch.cat([one.scores for one in each]),
        torch.cat([one.penalties for one in each]),
        torch.cat([one.norms for one in each]),
        max(one.scale for one in each),
    )


def plain_gradients(fnet: FunctionalNet, X: Rows, y: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Gradient of the rows' summed loss: its part through the outputs, and the rest."""
    with torch.enable_grad(), plain_kernels(fnet):
        outputs, parameters = fnet.plain_outputs(X)
        _refuse_reentrant_checkpoints(outputs)
        loss = fnet.losses(outputs, X, y).sum()
        # The part of get_loss that does not depend on the outputs, such as a weight penalty.
        penalty = fnet.losses(outputs.detach(), X, y).sum()
        of_loss, of_penalty = (gradient(value, parameters) for value in (loss, penalty))
    return [a - b for a, b in zip(of_loss, of_penalty, strict=True)], of_penalty


def _refuse_reentrant_checkpoints(outputs: Tensor) -> None:
    """Raise if an operation can only add gradients to `.grad` of the parameters."""
    nodes, seen = [outputs.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if getattr(node, "_forward_cls", None) is CheckpointFunction:
            raise ValueError(
                "the net's forward calls torch.utils.checkpoint with use_reentrant=True. The "
                "gradients of such a net can be accumulated in its parameters, but not computed "
                "for single rows. Pass use_reentrant=False, which torch recommends: the net is "
                "trained in the same way, and can be scored."
            )
        nodes += [following for following, _ in node.next_functions]


def _products(U: Directions, g: list[Tensor], of_penalty: list[Tensor]) -> Plain:
    """Lowest product of one gradient with the directions."""
    directions = [[u[k] for u in U.values()] for k in range(len(next(iter(U.values()))))]
    length = max(norm(u) for u in directions)
    return Plain(
        _one(min(_inner(u, g) for u in directions)),
        _one(max(_inner(u, of_penalty) for u in directions)),
        _one(norm(g)),
        norm(a + b for a, b in zip(g, of_penalty, strict=True)) * length,
    )


def nudged(X: Rows) -> Rows:
    """The rows plus noise of a thousandth of their standard deviation; integers are unchanged."""
    generator = torch.Generator().manual_seed(0)

    def nudge(t: Tensor) -> Tensor:
        if not t.is_floating_point():
            return t
        noise = torch.randn(t.shape, generator=generator).to(t)
        return t + 1e-3 * noise * (t.std() if t.numel() > 1 else t.abs())

    return map_tensors(nudge, X)


def gradient(value: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    if not value.requires_grad:
        zeros = (torch.zeros((), dtype=p.dtype, device=p.device) for p in parameters)
        return [as_real(zero.expand_as(p)) for zero, p in zip(zeros, parameters, strict=True)]
    grads = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return [as_real(g.detach()) for g in grads]


def _inner(direction: Sequence[Tensor], gradient: Sequence[Tensor]) -> float:
    pairs = zip(gradient, direction, strict=True)
    return sum(float(wide(g).flatten() @ wide(u).flatten()) for g, u in pairs)


def _one(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def _lengths(values: Tensor) -> Tensor:
    """Euclidean norm of each row."""
    return values.double().reshape(len(values), -1).norm(dim=1).cpu()


def norm(tensors: Iterable[Tensor]) -> float:
    """Euclidean norm of several tensors as one vector."""
    return math.hypot(*(float(torch.linalg.vector_norm(wide(t))) for t in tensors))


def _pieces(X: Rows, n: int, size: int, function: Callable[[Rows, slice], Tensor]) -> Tensor:
    """``function(X, rows)`` of each piece of at most `size` of n rows, joined."""
    pieces = [slice(i, min(i + size, n)) for i in range(0, n, size)]
    return torch.cat([function(slice_rows(X, rows), rows) for rows in pieces])


def _close(a: Tensor, b: Tensor, eps: float) -> bool:
    """Whether a equals b up to rounding."""
    # Kernels round differently at another batch size, so the tolerance is larger than eps.
    eps = eps if b.is_floating_point() else 0.0
    scale = b.abs().max().clamp_min(1e-30) if b.numel() else 1.0
    return bool(((a - b).abs() <= eps**0.6 * scale).all())
