"""A few rows of the user's own net, checked against plain autograd before any score is believed.

Each check fails with a sentence that names the likely cause. The oracle calls the module itself
and differentiates row by row: it shares no engine with the scores it guards.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from skinfluence._core.gradients import Directions, forward, precision, pullback, pushforward, wide
from skinfluence._core.kernels import plain_kernels
from skinfluence._core.net import FunctionalNet
from skinfluence._core.tensors import Rows, map_tensors, slice_rows


def check_gradients(fnet: FunctionalNet, X: Rows, y: Any, rows: int = 6) -> None:
    """Raise ValueError where the net's scores cannot be what they claim to be."""
    X, y = next(iter(fnet.batches(X, y)))
    X, y = slice_rows(X, slice(0, rows)), y[:rows]
    f, eps = forward(fnet, X), precision(fnet, X)
    _check_outputs(fnet, X, f, eps)
    _warn_of_logits(fnet, f)
    _check_losses(fnet, X, y, f, eps)
    _check_scores(fnet, _own_direction(fnet, X, y, f), X, y, eps)


def _check_outputs(fnet: FunctionalNet, X: Rows, f: Tensor, eps: float) -> None:
    if not torch.isfinite(f).all():
        raise ValueError(
            "the fitted net's outputs are NaN or infinite: training diverged (try a smaller lr, or "
            "scale X), or the module takes a log or a division at 0."
        )
    if not _close(forward(fnet, X), f, eps):
        raise ValueError(
            "the net gives another output for the same rows each time, though it is in eval mode: "
            "a random operation in forward ignores self.training (F.dropout without "
            "training=self.training?), or forward changes a buffer."
        )
    if not _close(_in_halves(X, len(f), lambda Xh, _: forward(fnet, Xh)), f, eps):
        raise ValueError(
            "a row's output depends on the other rows of its batch (BatchNorm with "
            "track_running_stats=False, a softmax or a mean over the batch axis?); a row has no "
            "influence of its own there. Use a layer that treats rows one by one."
        )


def _warn_of_logits(fnet: FunctionalNet, f: Tensor) -> None:
    """Warn where skorch takes the logarithm of what are no probabilities."""
    if not fnet.takes_logarithms:
        return
    total = wide(f).sum(1)
    if (f < 0).any() or not torch.allclose(total, torch.ones_like(total), atol=1e-2):
        warnings.warn(
            "the net's criterion is NLLLoss (skorch's default), which takes probabilities, but the "
            "outputs of a row do not sum to 1: its losses mean nothing. End the module with a "
            "softmax, or use criterion=torch.nn.CrossEntropyLoss for logits.",
            UserWarning,
            stacklevel=2,
        )


def _check_losses(fnet: FunctionalNet, X: Rows, y: Tensor, f: Tensor, eps: float) -> None:
    losses = fnet.losses(f, X, y)
    halves = _in_halves(X, len(f), lambda Xh, rows: fnet.losses(f[rows], Xh, y[rows]))
    raw = fnet.raw_loss(f, X, y)
    whole = losses.mean() if raw.ndim == 0 else None
    additive = whole is None or _close(raw, whole, eps) or _close(raw, losses.sum(), eps)
    if not _close(halves, losses, eps) or not additive:
        raise ValueError(
            "the net's loss is not a function of single rows: the loss of a batch is neither the "
            "sum nor the mean of its rows' losses (a contrastive or ranking loss, statistics over "
            "the batch, or a weighted mean made by hand?). Give a criterion that has a `reduction` "
            "attribute and honours reduction='none'."
        )


def _own_direction(fnet: FunctionalNet, X: Rows, y: Tensor, f: Tensor) -> Directions:
    """Gradient of the rows' own losses: no row is at right angles to it, as to a random one."""
    v = pullback(fnet, X, fnet.cotangents(f, X, y))
    return {name: value.unsqueeze(0).to(fnet.params[name]) for name, value in v.items()}


def _check_scores(fnet: FunctionalNet, U: Directions, X: Rows, y: Tensor, eps: float) -> None:
    error, scale, tolerance = _score_error(fnet, U, X, y, eps)
    if error > tolerance:
        # At the kink of a ReLU a batch of six and a batch of one may round to different sides, and
        # both be right. A little further on they agree, unless something is wrong.
        error, scale, tolerance = _score_error(fnet, U, _nudged(X), y, eps)
    if error > tolerance:
        raise ValueError(
            f"the scores of {len(y)} rows differ from plain autograd by {error:.3g} (scale "
            f"{scale:.3g}); scores of this net cannot be trusted. Likely causes: the module uses "
            "tensors that it took from its parameters earlier (a cached weight, .data, .detach()), "
            "or an autograd.Function whose derivatives disagree."
        )


def _score_error(
    fnet: FunctionalNet, U: Directions, X: Rows, y: Tensor, eps: float
) -> tuple[float, float, float]:
    """Largest difference from plain autograd, the scores' scale, and the tolerance."""
    f, t = pushforward(fnet, X, U)
    G = fnet.cotangents(f, X, y)
    got = (t[0].double() * G.double()).reshape(len(f), -1).sum(1).cpu()
    want, besides = [], []
    scale = torch.zeros((), dtype=torch.float64)
    length = _length(u[0] for u in U.values())
    for i in range(len(f)):
        row = slice(i, i + 1)
        Xi = slice_rows(X, row)
        with torch.enable_grad(), plain_kernels(fnet):
            outputs, parameters = fnet.plain_outputs(Xi)
            loss = fnet.losses(outputs, Xi, y[row]).sum()
            # What get_loss adds that is no function of the outputs: a penalty on the weights.
            penalty = fnet.losses(outputs.detach(), Xi, y[row]).sum()
            whole, fixed = (_gradient(value, parameters) for value in (loss, penalty))
        besides.append(_along(U, fixed))
        want.append(_along(U, whole) - besides[-1])
        scale = torch.maximum(scale, _length(whole) * length)
    tolerance = eps**0.5 * scale
    if (torch.stack(besides) - besides[0]).abs().max() > tolerance:
        raise ValueError(
            "the net's get_loss depends on the parameters other than through the outputs that it "
            "is given, and not alike for every row; only a penalty on the weights, the same for "
            "all rows, may be added there. Have the module return what the loss is computed from."
        )
    return float((got - torch.stack(want)).abs().max()), float(scale), float(tolerance)


def _nudged(X: Rows) -> Rows:
    """Rows a thousandth of their spread away; integers stay."""
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


def _along(U: Directions, gradient: Sequence[Tensor]) -> Tensor:
    """<gradient, u>; no gradient at all is 0."""
    pairs = zip(gradient, U.values(), strict=False)
    return _total(wide(g).flatten() @ wide(u[0]).flatten() for g, u in pairs)


def _length(tensors: Iterable[Tensor]) -> Tensor:
    return _total(torch.linalg.vector_norm(wide(t)) ** 2 for t in tensors) ** 0.5


def _total(terms: Iterable[Tensor]) -> Tensor:
    return sum((term.cpu().double() for term in terms), torch.zeros((), dtype=torch.float64))


def _in_halves(X: Rows, n: int, function: Any) -> Tensor:
    halves = [slice(0, n // 2), slice(n // 2, n)] if n > 1 else [slice(0, n)]
    return torch.cat([function(slice_rows(X, rows), rows) for rows in halves])


def _close(a: Tensor, b: Tensor, eps: float) -> bool:
    # Batched kernels round differently for other batch sizes: a fraction of the precision is lost.
    eps = eps if b.is_floating_point() else 0.0
    scale = b.abs().max().clamp_min(1e-30) if b.numel() else 1.0
    return bool(((a - b).abs() <= eps**0.6 * scale).all())
