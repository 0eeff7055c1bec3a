"""Inner products <g_i, P v_j> of the gradients of rows i and of reference rows j.

Let g_i be the gradient of row i's loss, v_j the term of reference row j in the gradient of the
target (see `directions`), and P an inverse curvature. P is the identity if `solve` is not given.

Inner products are computed in blocks. A block has one batch of rows and a chunk of reference rows.
A chunk holds factors of v_j, or P v_j, with about `_MAX_REFERENCE_NUMBERS` numbers. This file also
computes <g_i, P g_i>, the product of a row with itself, and g_i itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from skinfluence._core.directions import Objective, reference_cotangents
from skinfluence._core.factors import Factor, products, square_norms
from skinfluence._core.ghost import Ghost
from skinfluence._core.gradients import Directions, forward
from skinfluence._core.influence import Progress, finite
from skinfluence._core.memory import in_halves_if_needed
from skinfluence._core.net import FunctionalNet
from skinfluence._core.recheck import (
    plain_direction,
    recheck_gradients,
    recheck_norms,
    recheck_pairs,
)
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows, as_matrix, map_tensors, n_rows, slice_rows

Solve = Callable[[Directions], Directions]  # multiplies directions with P

Pairs = list[tuple[Rows, Tensor]]  # batches of reference rows, each with ∂T/∂f_j

Chunk = list[dict[str, Factor] | Directions]  # reference rows: factors of v_j, or P v_j

Block = tuple[slice, slice, np.ndarray]  # rows, reference rows, and their products

_MAX_REFERENCE_NUMBERS = 2**26  # factors or gradients of reference rows: 256 MB of float32

_MAX_GRADIENT_NUMBERS = 2**24  # row gradients formed at a time


def reference_pairs(fnet: FunctionalNet, objective: Objective) -> Pairs:
    """Batches of reference rows with ∂T/∂f_j, on the CPU: the input of `pair_blocks`."""
    cotangents = reference_cotangents(fnet, objective)
    batches = fnet.batches(objective.X, objective.y)
    return [
        (map_tensors(Tensor.cpu, Xb), G.cpu())
        for (Xb, _), G in zip(batches, cotangents, strict=True)
    ]


def pair_blocks(
    fnet: FunctionalNet,
    reference: Pairs,
    X: Rows,
    y: Any,
    *,
    normalize: bool = False,
    solve: Solve | None = None,
    progress: Progress = iter,
) -> Iterator[Block]:
    """<g_i, P v_j> in blocks ``(rows, columns, values)``; `normalize` divides it by ‖g_i‖.

    All blocks with the same columns come one after another, with rows in ascending order.
    `reference` comes from `reference_pairs`.
    """
    left = 0
    # Use one Ghost for both sides: a second one might trust other rules, and then the factors of
    # the two sides would not match.
    ghost = Ghost(fnet, next(_on_device(fnet, reference))[0])
    for chunk in _reference_chunks(ghost, reference, solve):
        top, right = 0, left
        of_batch = partial(_block, ghost, chunk, normalize)
        if solve is None:
            direction = partial(_plain_column, fnet, reference, left)
        else:  # solvers stop at a tolerance, so solving again for v_j alone would differ
            direction = partial(_solved_column, cast(list[Directions], chunk))
        for Xb, yb in progress(fnet.batches(X, y)):
            block = of_batch(Xb, yb)
            recheck_pairs(fnet, direction, of_batch, block, Xb, yb, normalize=normalize)
            right = left + block.shape[1]
            yield slice(top, top + len(block)), slice(left, right), finite(block.cpu().numpy())
            top += len(block)
        left = right


def _block(ghost: Ghost, chunk: Chunk, normalize: bool, X: Rows, y: Tensor) -> Tensor:
    """Products of the rows of one batch with the reference rows of a chunk, (n, m) float64."""
    rows = ghost.factors(X, ghost.of_losses(X, y))
    block = torch.cat([products(rows, columns) for columns in chunk], 1).double()
    if not normalize:
        return block
    norms = square_norms(rows).sqrt().double().unsqueeze(1)
    return torch.where(norms > 0, block / norms, 0)


def _plain_column(fnet: FunctionalNet, reference: Pairs, left: int, j: int) -> Directions:
    """v_j from plain autograd, for the j-th reference row after the first `left` ones."""
    j += left
    for Xr, Gr in reference:
        if j < len(Gr):
            row = slice(j, j + 1)
            x = map_tensors(lambda t: t.to(fnet.device), slice_rows(Xr, row))
            return plain_direction(fnet, x, Gr[row].to(fnet.device))
        j -= len(Gr)
    raise IndexError(j)


def _solved_column(chunk: Sequence[Directions], j: int) -> Directions:
    """P v_j of the j-th reference row of a chunk, as it was computed."""
    for columns in chunk:
        n = len(next(iter(columns.values())))
        if j < n:
            return {name: v[j : j + 1] for name, v in columns.items()}
        j -= n
    raise IndexError(j)


def gradient_rows(
    fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter
) -> Iterator[Params]:
    """Row gradients g_i, a few rows at a time: entries (b, *shape) for b rows."""
    ghost = None
    for Xb, yb in progress(fnet.batches(X, y)):
        ghost, start = ghost or Ghost(fnet, Xb), 0
        for rows in _gradient_chunks(ghost, Xb, fnet.cotangents(forward(fnet, Xb), Xb, yb)):
            own = slice(start, start := start + len(next(iter(rows.values()))))
            recheck_gradients(
                fnet, partial(_dense_gradients, ghost), rows, slice_rows(Xb, own), yb[own]
            )
            yield rows


def self_influences(
    fnet: FunctionalNet, X: Rows, y: Any, solve: Solve | None = None, progress: Progress = iter
) -> np.ndarray:
    """<g_i, P g_i>, (n,) float64. Without `solve`, this is ‖g_i‖², computed from factors."""
    values, square_norms_of = [], _SquareNorms(fnet)
    if solve is None:
        values = [
            in_halves_if_needed(square_norms_of, Xb, yb) for Xb, yb in progress(fnet.batches(X, y))
        ]
    else:
        for rows in gradient_rows(fnet, X, y, progress):
            solved = solve(rows)
            each = (as_matrix(rows[n] * solved[n]).sum(1).double() for n in rows)
            values.append(reduce(torch.add, each))
    return finite(torch.cat(values).cpu().numpy())


def label_square_norms(fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
    """‖g_i‖² of each row under each label, (n, n_labels): one backward pass per label."""
    candidates, square_norms_of = torch.as_tensor(labels, device=fnet.device), _SquareNorms(fnet)

    def of_batch(Xb: Rows, _: Any) -> Tensor:
        n = n_rows(Xb)
        return torch.stack([square_norms_of(Xb, label.expand(n)) for label in candidates], 1)

    values = [in_halves_if_needed(of_batch, Xb, yb) for Xb, yb in fnet.batches(X)]
    return finite(torch.cat(values).cpu().numpy())


def unit_pairs(fnet: FunctionalNet, reference: Pairs) -> Pairs:
    """Reference rows with v_j scaled to length 1; if v_j is 0, it stays 0."""
    scaled, ghost = [], None
    for Xr, Gr in _on_device(fnet, reference):
        ghost = ghost or Ghost(fnet, Xr)
        scaled.append((Xr, ghost.unit_cotangents(Xr, Gr)))
    return scaled


class _SquareNorms:
    """‖g_i‖² of a batch. The rules are tested on the first batch that fits in memory."""

    def __init__(self, fnet: FunctionalNet) -> None:
        self.fnet = fnet
        self.ghost: Ghost | None = None

    def __call__(self, X: Rows, y: Tensor) -> Tensor:
        self.ghost = self.ghost or Ghost(self.fnet, X)
        found = self._of_batch(X, y)
        recheck_norms(self.fnet, self._of_batch, found, X, y)
        return found

    def _of_batch(self, X: Rows, y: Tensor) -> Tensor:
        assert self.ghost is not None
        return self.ghost.square_norms(X, self.ghost.of_losses(X, y)).double()


def _reference_chunks(ghost: Ghost, reference: Pairs, solve: Solve | None) -> Iterator[Chunk]:
    """Factors of v_j, or P v_j if `solve` is given, for as many reference rows as memory allows."""
    chunk: Chunk = []
    size = 0
    for Xr, Gr in _on_device(ghost.fnet, reference):
        pieces: Iterable[dict[str, Factor] | Directions] = (
            [ghost.factors(Xr, Gr)]
            if solve is None
            else map(solve, _gradient_chunks(ghost, Xr, Gr))
        )
        for piece in pieces:
            chunk.append(piece)
            size += sum(part.numel() for part in piece.values())
            if size >= _MAX_REFERENCE_NUMBERS:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def _dense_gradients(ghost: Ghost, X: Rows, y: Tensor) -> Params:
    """Gradients of all rows of a batch, entries (n, *shape)."""
    factors = ghost.factors(X, ghost.of_losses(X, y))
    params = ghost.fnet.params
    return {name: factors[name].dense().reshape(-1, *p.shape) for name, p in params.items()}


def _gradient_chunks(ghost: Ghost, X: Rows, G: Tensor) -> Iterator[Params]:
    """Row gradients, at most `_MAX_GRADIENT_NUMBERS` numbers at a time."""
    width = sum(p.numel() for p in ghost.fnet.params.values())
    step = max(1, _MAX_GRADIENT_NUMBERS // width)
    for start in range(0, len(G), step):
        rows = slice(start, start + step)
        factors = ghost.factors(slice_rows(X, rows), G[rows])
        yield {
            name: factors[name].dense().reshape(-1, *p.shape)
            for name, p in ghost.fnet.params.items()
        }


def _on_device(fnet: FunctionalNet, reference: Pairs) -> Iterator[tuple[Rows, Tensor]]:
    for Xr, Gr in reference:
        yield map_tensors(lambda t: t.to(fnet.device), Xr), Gr.to(fnet.device)
