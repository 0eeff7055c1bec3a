"""Compares the engine with plain autograd on a few rows of a user's net, before the net is scored.

Each error says what is wrong, the likely cause, and what to do. The expected values come from plain
calls of the module, differentiated row by row, without the code of the engine.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from skinfluence._core.gradients import Directions, forward, precision, pullback, pushforward, wide
from skinfluence._core.kernels import plain_kernels
from skinfluence._core.net import FunctionalNet
from skinfluence._core.tensors import Rows, map_tensors, slice_rows


def check_gradients(fnet: FunctionalNet, X: Rows, y: Any, rows: int = 6) -> None:
    """Check that influence can be computed for this net, on a few rows.

    Raises
    ------
    ValueError
        If the outputs are not finite, change from call to call, or depend on other rows; if the
        loss is neither a sum nor a mean over rows; or if scores differ from plain autograd.
    """
    X, y = next(iter(fnet.batches(X, y)))
    X, y = slice_rows(X, slice(0, rows)), y[:rows]
    f, eps = forward(fnet, X), precision(fnet, X)
    _check_outputs(fnet, X, f, eps)
    _warn_about_logits(fnet, f)
    _check_losses(fnet, X, y, f, eps)
    _check_scores(fnet, _own_direction(fnet, X, y, f), X, y, eps)


def _check_outputs(fnet: FunctionalNet, X: Rows, f: Tensor, eps: float) -> None:
    if not torch.isfinite(f).all():
        raise ValueError(
            "the fitted net's outputs are NaN or infinite: training diverged, or the module takes "
            "the log of 0 or divides by 0. Try a smaller lr, scale X, and look for log and / in "
            "the module's forward."
        )
    if not _close(forward(fnet, X), f, eps):
        raise ValueError(
            "the net gives another output for the same rows each time, although it is in eval "
            "mode. Influence needs a deterministic net. Either forward draws random numbers (if "
            "it calls F.dropout, pass training=self.training), or it changes a buffer of the "
            "module."
        )
    if not _close(_in_halves(X, len(f), lambda Xh, _: forward(fnet, Xh)), f, eps):
        raise ValueError(
            "a row's output depends on the other rows of its batch, so the influence of a single "
            "row is not defined. Likely causes: BatchNorm with track_running_stats=False, or a "
            "softmax or mean over axis 0, the batch. Use layers that treat each row separately, "
            "such as LayerNorm, or BatchNorm with running statistics."
        )


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
    losses = fnet.losses(f, X, y)
    halves = _in_halves(X, len(f), lambda Xh, rows: fnet.losses(f[rows], Xh, y[rows]))
    raw = fnet.raw_loss(f, X, y)
    whole = losses.mean() if raw.ndim == 0 else None
    is_additive = whole is None or _close(raw, whole, eps) or _close(raw, losses.sum(), eps)
    if not _close(halves, losses, eps) or not is_additive:
        raise ValueError(
            "the net's loss is not a function of single rows: the loss of a batch is neither the "
            "sum nor the mean of its rows' losses. Likely causes: a contrastive or ranking loss, a "
            "statistic over the batch, or a weighted mean computed in the criterion. Use a "
            "criterion that has a `reduction` attribute and returns one loss per row for "
            "reduction='none'."
        )


def _own_direction(fnet: FunctionalNet, X: Rows, y: Tensor, f: Tensor) -> Directions:
    """Gradient of the sum of these rows' losses.

    A random direction may be orthogonal to the row gradients, and errors would be missed.
    """
    v = pullback(fnet, X, fnet.cotangents(f, X, y))
    return {name: value.unsqueeze(0).to(fnet.params[name]) for name, value in v.items()}


def _check_scores(fnet: FunctionalNet, U: Directions, X: Rows, y: Tensor, eps: float) -> None:
    error, scale, tolerance = _score_error(fnet, U, X, y, eps)
    if error > tolerance:
        # At the kink of a ReLU, a batch of six rows and a batch of one row may round to different
        # sides. Both results are then right. For slightly moved rows, the results must agree.
        error, scale, tolerance = _score_error(fnet, U, _nudged(X), y, eps)
    if error > tolerance:
        raise ValueError(
            f"the scores of {len(y)} rows differ from plain autograd by up to {error:.3g}, while "
            f"no score can be larger than {scale:.3g}. Scores of this net cannot be trusted. "
            "Likely causes: forward uses a tensor that was taken from a parameter earlier (a "
            "stored weight, .data, .detach()), or an autograd.Function whose backward and jvp "
            "disagree. Read parameters as attributes inside forward, and test the function with "
            "torch.autograd.gradcheck."
        )


def _score_error(
    fnet: FunctionalNet, U: Directions, X: Rows, y: Tensor, eps: float
) -> tuple[float, float, float]:
    """Largest difference from plain autograd, the largest score possible, and the tolerance."""
    f, t = pushforward(fnet, X, U)
    G = fnet.cotangents(f, X, y)
    scores = (t[0].double() * G.double()).reshape(len(f), -1).sum(1).cpu()
    expected, penalties = [], []
    scale = torch.zeros((), dtype=torch.float64)
    length = _norm(u[0] for u in U.values())
    for i in range(len(f)):
        row = slice(i, i + 1)
        Xi = slice_rows(X, row)
        with torch.enable_grad(), plain_kernels(fnet):
            outputs, parameters = fnet.plain_outputs(Xi)
            loss = fnet.losses(outputs, Xi, y[row]).sum()
            # The part of get_loss that does not depend on the outputs, such as a weight penalty.
            penalty = fnet.losses(outputs.detach(), Xi, y[row]).sum()
            of_loss, of_penalty = (_gradient(value, parameters) for value in (loss, penalty))
        penalties.append(_inner(U, of_penalty))
        expected.append(_inner(U, of_loss) - penalties[-1])
        scale = torch.maximum(scale, _norm(of_loss) * length)
    tolerance = eps**0.5 * scale
    if (torch.stack(penalties) - penalties[0]).abs().max() > tolerance:
        raise ValueError(
            "the net's get_loss depends on the parameters other than through the outputs, and "
            "differently for different rows. A penalty on the weights is allowed, because it is "
            "the same for all rows. Let the module return everything else that the loss needs."
        )
    return float((scores - torch.stack(expected)).abs().max()), float(scale), float(tolerance)


def _nudged(X: Rows) -> Rows:
    """The rows plus noise of a thousandth of their standard deviation; integers are unchanged."""
    generator = torch.Generator().manual_seed(0)

    def nudge(t: Tensor) -> Tensor:
        if not t.is_floating_point():
            return t
        noise = torch.randn(t.shape, generator=generator).to(t)
        return t + 1e-3 * noise * (t.std() if t.numel() > 1 else t.abs())

    return map_tensors(nudge, X)


def _gradient(value: Tensor, parameters: list[Tensor]) -> tuple[Tensor, ...]:
    if not value.requires_grad:
        return ()
    return torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)


def _inner(U: Directions, gradient: Sequence[Tensor]) -> Tensor:
    """<gradient, u>, which is 0 if there is no gradient."""
    pairs = zip(gradient, U.values(), strict=False)
    return _total(wide(g).flatten() @ wide(u[0]).flatten() for g, u in pairs)


def _norm(tensors: Iterable[Tensor]) -> Tensor:
    """Euclidean norm of several tensors as one vector."""
    return _total(torch.linalg.vector_norm(wide(t)) ** 2 for t in tensors) ** 0.5


def _total(terms: Iterable[Tensor]) -> Tensor:
    return sum((term.cpu().double() for term in terms), torch.zeros((), dtype=torch.float64))


def _in_halves(X: Rows, n: int, function: Callable[[Rows, slice], Tensor]) -> Tensor:
    """``function(X, rows)`` of each half of n rows, joined."""
    halves = [slice(0, n // 2), slice(n // 2, n)] if n > 1 else [slice(0, n)]
    return torch.cat([function(slice_rows(X, rows), rows) for rows in halves])


def _close(a: Tensor, b: Tensor, eps: float) -> bool:
    """Whether a equals b up to rounding."""
    # Kernels round differently at another batch size, so the tolerance is larger than eps.
    eps = eps if b.is_floating_point() else 0.0
    scale = b.abs().max().clamp_min(1e-30) if b.numel() else 1.0
    return bool(((a - b).abs() <= eps**0.6 * scale).all())
