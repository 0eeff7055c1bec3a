"""Compares a few scores with plain autograd, after they were computed.

The self-check, before scoring, sees only a few rows in a small batch. A net may treat a large
batch, or other rows, differently; the recheck finds such nets. In each of a few batches, it picks
four rows: the one with the lowest score, the one with the highest score, the one that is most
unlike the others, and a random one. It compares their scores with those that plain autograd gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from skinfluence._core.checked_rows import rarest_row
from skinfluence._core.gradients import Directions, forward, precision, pushforward
from skinfluence._core.kernels import plain_kernels
from skinfluence._core.net import FunctionalNet
from skinfluence._core.selfcheck import (
    Error,
    floor,
    gradient,
    norm,
    nudged,
    plain_gradients,
    products_alone,
    refuse_errors,
)
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows, as_matrix, slice_rows, wide

Scores = Callable[[Rows, Tensor], Tensor]  # scores of labeled rows, (n,)


def recheck(
    fnet: FunctionalNet,
    U: Directions,
    scores: Scores,
    found: Tensor,
    X: Rows,
    y: Tensor,
    *,
    normalize: bool = False,
) -> None:
    """Compare the scores ``found = scores(X, y)``.

    The score of row i is the lowest product <g_i, u> over the directions u. If `normalize` is true,
    it is divided by ‖g_i‖.
    """
    if fnet.take_recheck():
        _compare_products(fnet, U, scores, found, X, y, normalize)


def recheck_labels(
    fnet: FunctionalNet,
    U: Directions,
    scores: Callable[[Rows], Tensor],
    found: Tensor,
    X: Rows,
    labels: Tensor,
    *,
    normalize: bool = False,
) -> None:
    """Compare scores under each label, (n, n_labels): for each row, only the largest one."""
    if fnet.take_recheck():
        at = found.abs().argmax(1)
        _compare_products(
            fnet,
            U,
            lambda X, _: _one_per_row(scores(X), at),
            _one_per_row(found, at),
            X,
            labels[at.to(labels.device)],
            normalize,
        )


def recheck_pairs(
    fnet: FunctionalNet,
    direction: Callable[[int], Directions],
    scores: Scores,
    found: Tensor,
    X: Rows,
    y: Tensor,
    *,
    normalize: bool = False,
) -> None:
    """Compare products <g_i, v_j>, (n, m), for two j: that of the largest product, and a random j.

    ``direction(j)`` returns v_j from plain autograd. If the products are <g_i, P v_j> with an
    inverse curvature P, it returns P v_j as it was computed.
    """
    if not fnet.take_recheck():
        return
    for j in {int(found.abs().amax(0).argmax()), _random(found.shape[1])}:

        def column(X: Rows, y: Tensor, j: int = j) -> Tensor:
            return scores(X, y)[:, j]

        _compare_products(fnet, direction(j), column, found[:, j], X, y, normalize)


def recheck_norms(fnet: FunctionalNet, scores: Scores, found: Tensor, X: Rows, y: Tensor) -> None:
    """Compare squared norms ‖g_i‖²."""
    if not fnet.take_recheck():
        return
    rows = _drawn(found, X)

    def error(X: Rows, found: Tensor) -> Error:
        def difference(i: int, g: list[Tensor]) -> float:
            return abs(float(found[i].double()) ** 0.5 - norm(g))

        return _gradient_error(fnet, X, y, rows, difference)

    refuse_errors(error(X, found), lambda: error(moved := nudged(X), scores(moved, y)))


def recheck_gradients(
    fnet: FunctionalNet,
    gradients: Callable[[Rows, Tensor], Params],
    found: Params,
    X: Rows,
    y: Tensor,
) -> None:
    """Compare the gradients g_i themselves, entries (n, *shape)."""
    if not fnet.take_recheck():
        return
    norms = torch.stack([as_matrix(g).double().norm(dim=1) for g in found.values()]).sum(0)
    rows = _drawn(norms, X)

    def error(X: Rows, found: Params) -> Error:
        def difference(i: int, g: list[Tensor]) -> float:
            pairs = zip(found.values(), g, strict=True)
            return norm(wide(of_rows[i]) - wide(plain) for of_rows, plain in pairs)

        return _gradient_error(fnet, X, y, rows, difference)

    refuse_errors(error(X, found), lambda: error(moved := nudged(X), gradients(moved, y)))


def recheck_losses(fnet: FunctionalNet, scores: Scores, found: Tensor, X: Rows, y: Tensor) -> None:
    """Compare the losses of rows."""
    if fnet.take_recheck():
        _compare_losses(fnet, scores, found, X, y)


def recheck_label_losses(
    fnet: FunctionalNet,
    losses: Callable[[Rows], Tensor],
    found: Tensor,
    X: Rows,
    labels: Tensor,
) -> None:
    """Compare losses under each label, (n, n_labels): for each row, only the largest one."""
    if fnet.take_recheck():
        at = found.abs().argmax(1)
        largest = _one_per_row(found, at)
        _compare_losses(fnet, lambda X, _: _one_per_row(losses(X), at), largest, X, labels[at])


def plain_direction(fnet: FunctionalNet, X: Rows, G: Tensor) -> Directions:
    """J^T G of one row from plain autograd, as one direction."""
    with torch.enable_grad(), plain_kernels(fnet):
        outputs, parameters = fnet.plain_outputs(X)
        g = gradient((wide(outputs) * G).sum(), parameters)
    named = zip(fnet.params.items(), g, strict=True)
    return {name: value.unsqueeze(0).to(p) for (name, p), value in named}


def _compare_products(
    fnet: FunctionalNet,
    U: Directions,
    scores: Scores,
    found: Tensor,
    X: Rows,
    y: Tensor,
    normalize: bool,
) -> None:
    rows = _drawn(found, X)

    def error(X: Rows, found: Tensor) -> Error:
        plain, few = products_alone(fnet, U, X, y, rows), slice_rows(X, rows)
        found = found[rows].double().cpu() * (plain.norms if normalize else 1)
        compared = plain.error(found, precision(fnet, few))
        if compared.excess > 0:
            compared.floor = floor(pushforward(fnet, few, U)[1], compared.eps)
        return compared

    refuse_errors(error(X, found), lambda: error(moved := nudged(X), scores(moved, y)))


def _compare_losses(fnet: FunctionalNet, scores: Scores, found: Tensor, X: Rows, y: Tensor) -> None:
    rows = _drawn(found, X)

    def error(X: Rows, found: Tensor) -> Error:
        difference = scale = 0.0
        for i in rows:
            x, own = slice_rows(X, slice(i, i + 1)), y[i : i + 1]
            with torch.no_grad(), plain_kernels(fnet):
                f = fnet.plain_outputs(x)[0]
                loss = fnet.losses(f, x, own)[0]
            difference = max(difference, float((found[i].double() - loss.double()).abs()))
            scale = max(scale, float(loss.abs()) + float(f.abs().max()))
        return Error(difference, scale, len(rows), precision(fnet, slice_rows(X, rows)))

    refuse_errors(error(X, found), lambda: error(moved := nudged(X), scores(moved, y)))


def _gradient_error(
    fnet: FunctionalNet,
    X: Rows,
    y: Tensor,
    rows: Sequence[int],
    difference: Callable[[int, list[Tensor]], float],
) -> Error:
    """Largest ``difference(i, g_i)`` over these rows, with g_i from plain autograd."""
    alone_rows = [slice_rows(X, slice(i, i + 1)) for i in rows]
    largest = scale = 0.0
    for i, x in zip(rows, alone_rows, strict=True):
        g, of_penalty = plain_gradients(fnet, x, y[i : i + 1])
        largest = max(largest, difference(i, g))
        scale = max(scale, norm(a + b for a, b in zip(g, of_penalty, strict=True)))
    error = Error(largest, scale, len(rows), precision(fnet, slice_rows(X, rows)))
    if error.excess > 0:  # cotangents below eps carry no information
        error.floor = 16 * error.eps * max(_size(fnet, x) for x in alone_rows)
    return error


def _size(fnet: FunctionalNet, X: Rows) -> float:
    """‖J^T G‖ of one row for a random G."""
    f = forward(fnet, X)
    G = torch.randn(f.shape, generator=torch.Generator().manual_seed(0)).to(wide(f))
    return norm(plain_direction(fnet, X, G).values())


def _one_per_row(values: Tensor, at: Tensor) -> Tensor:
    return values.gather(1, at.unsqueeze(1))[:, 0]


def _drawn(found: Tensor, X: Rows) -> list[int]:
    """Positions of the lowest and the highest score, of an unusual row, and of a random one."""
    extremes = int(found.argmin()), int(found.argmax())
    return sorted({*extremes, rarest_row(X), _random(len(found))})


def _random(n: int) -> int:
    return int(torch.randint(n, (1,), generator=torch.Generator().manual_seed(0)))
