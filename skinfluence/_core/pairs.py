"""Pairs of rows: <g_i, P g_j> of every row with every reference row, of a row with itself, and g_i.

A block at a time: of the reference rows only as many are held, as factors of their gradients, as
`_HELD` allows; the other rows go past them a batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

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
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows, map_tensors, n_rows, slice_rows

Solve = Callable[[Directions], Directions]


Pairs = list[tuple[Rows, Tensor]]  # batches of reference rows, and ∂T/∂f there

Block = tuple[slice, slice, np.ndarray]

_HELD = 2**26  # numbers of reference rows' gradients or factors in memory: 256 MB of float32

_DENSE = 2**24  # numbers of gradient rows that are formed at a time


def reference_pairs(fnet: FunctionalNet, objective: Objective) -> Pairs:
    """Batches of reference rows with ∂T/∂f there, on the CPU, as `pair_blocks` takes them."""
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
    """<g_i, v_j> or <g_i, P v_j> in blocks: rows, columns, values; over ‖g_i‖ with `normalize`.

    Blocks of the same columns follow each other, rows ascending. `reference` is from
    `reference_pairs`.
    """
    left = 0
    # One for both sides: which layers it trusts is found out on the rows that it is given.
    ghost = Ghost(fnet, next(_there(fnet, reference))[0])
    for held in _held(ghost, reference, solve):
        top, right = 0, left
        for Xb, yb in progress(fnet.batches(X, y)):
            rows = ghost.factors(Xb, ghost.of_losses(Xb, yb))
            block = torch.cat([products(rows, columns) for columns in held], 1).double()
            if normalize:
                norms = square_norms(rows).sqrt().double().unsqueeze(1)
                block = torch.where(norms > 0, block / norms, 0)
            right = left + block.shape[1]
            yield slice(top, top + len(block)), slice(left, right), finite(block.cpu().numpy())
            top += len(block)
        left = right


def gradient_rows(
    fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter
) -> Iterator[Params]:
    """Row gradients g_i themselves, entries (b, *shape), b rows at a time."""
    ghost = None
    for Xb, yb in progress(fnet.batches(X, y)):
        ghost = ghost or Ghost(fnet, Xb)
        yield from _dense(ghost, Xb, fnet.cotangents(forward(fnet, Xb), Xb, yb))


def self_influences(
    fnet: FunctionalNet, X: Rows, y: Any, solve: Solve | None = None, progress: Progress = iter
) -> np.ndarray:
    """<g_i, P g_i>, (n,) float64; ‖g_i‖² without `solve`, from the layers' factors alone."""
    found, squares = [], _Squares(fnet)
    if solve is None:
        found = [in_halves_if_needed(squares, Xb, yb) for Xb, yb in progress(fnet.batches(X, y))]
    else:
        for rows in gradient_rows(fnet, X, y, progress):
            solved = solve(rows)
            each = ((rows[n] * solved[n]).flatten(1).sum(1).double() for n in rows)
            found.append(reduce(torch.add, each))
    return finite(torch.cat(found).cpu().numpy())


def label_square_norms(fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
    """‖g_i‖² of each row under each label, (n, n_labels): one backward pass per label."""
    candidates, squares = torch.as_tensor(labels, device=fnet.device), _Squares(fnet)

    def of_batch(Xb: Rows, _: Any) -> Tensor:
        n = n_rows(Xb)
        return torch.stack([squares(Xb, label.expand(n)) for label in candidates], 1)

    found = [in_halves_if_needed(of_batch, Xb, yb) for Xb, yb in fnet.batches(X)]
    return finite(torch.cat(found).cpu().numpy())


def unit_pairs(fnet: FunctionalNet, reference: Pairs) -> Pairs:
    """Reference rows with their gradients scaled to length 1 (those without one stay 0)."""
    found, ghost = [], None
    for Xr, Gr in _there(fnet, reference):
        ghost = ghost or Ghost(fnet, Xr)
        norms = ghost.square_norms(Xr, Gr).sqrt()
        scale = torch.where(norms > 0, 1 / norms, 0)
        found.append((Xr, Gr * scale.reshape(-1, *[1] * (Gr.ndim - 1))))
    return found


class _Squares:
    """‖g_i‖² of a batch; the first that fits in memory decides which layers' rules are used."""

    def __init__(self, fnet: FunctionalNet) -> None:
        self.fnet = fnet
        self.ghost: Ghost | None = None

    def __call__(self, X: Rows, y: Tensor) -> Tensor:
        self.ghost = self.ghost or Ghost(self.fnet, X)
        return self.ghost.square_norms(X, self.ghost.of_losses(X, y)).double()


def _held(
    ghost: Ghost, reference: Pairs, solve: Solve | None
) -> Iterator[list[dict[str, Factor] | Directions]]:
    """Reference rows in the form that rows are multiplied with, as many at a time as may be."""
    held: list[dict[str, Factor] | Directions] = []
    size = 0
    for Xr, Gr in _there(ghost.fnet, reference):
        pieces = [ghost.factors(Xr, Gr)] if solve is None else map(solve, _dense(ghost, Xr, Gr))
        for piece in pieces:
            held.append(piece)
            size += sum(part.numel() for part in piece.values())
            if size >= _HELD:
                yield held
                held, size = [], 0
    if held:
        yield held


def _dense(ghost: Ghost, X: Rows, G: Tensor) -> Iterator[Params]:
    width = sum(p.numel() for p in ghost.fnet.params.values())
    step = max(1, _DENSE // width)
    for start in range(0, len(G), step):
        rows = slice(start, start + step)
        found = ghost.factors(slice_rows(X, rows), G[rows])
        yield {
            name: found[name].dense().reshape(-1, *p.shape) for name, p in ghost.fnet.params.items()
        }


def _there(fnet: FunctionalNet, reference: Pairs) -> Iterator[tuple[Rows, Tensor]]:
    for Xr, Gr in reference:
        yield map_tensors(lambda t: t.to(fnet.device), Xr), Gr.to(fnet.device)
