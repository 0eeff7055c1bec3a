"""Kronecker factors of the Fisher matrix, a layer at a time, from the factors of row gradients.

The gradient of a row by a weight is Σ_t d_t ⊗ a_t, so the Fisher matrix is near E[dd^T] ⊗ E[aa^T];
in the eigenvectors of the two, EK-FAC takes the diagonal that fits the rows best.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skinfluence._core.factors import Dense, Outer
from skinfluence._core.gradients import Directions


class Block:
    """Row gradients of parameters that are inverted together: a weight with its bias, or one alone.

    `names` are the parameters; the inputs of a weight whose bias is known have a column of ones.
    """

    def __init__(self, factor: Any, names: list[str]) -> None:
        self.factor, self.names = factor, names
        if isinstance(factor, Outer):
            ones = torch.ones_like(factor.a[..., 0, :1])
            a = factor.a[:, :, 0]
            self.a = torch.cat([a, ones], 2) if len(names) == 2 else a  # (n, T, in)
            self.d = factor.d[:, :, 0]  # (n, T, out)


class Eigenbasis:
    """Eigenvectors of a layer's two factors, and the eigenvalues of its Fisher matrix in them."""

    def __init__(self, block: Block) -> None:
        self.names, self.n, self.n_steps = block.names, 0, 0
        width_a, width_d = block.a.shape[2], block.d.shape[2]
        self.A = block.a.new_zeros(width_a, width_a)
        self.S = block.d.new_zeros(width_d, width_d)

    def see(self, block: Block) -> None:
        self.A += torch.einsum("nti,ntj->ij", block.a, block.a)
        self.S += torch.einsum("nti,ntj->ij", block.d, block.d)
        self.n += len(block.a)
        self.n_steps += len(block.a) * block.a.shape[1]

    def turn(self, corrected: bool) -> None:
        of_a, self.A = torch.linalg.eigh(self.A / self.n)
        of_s, self.S = torch.linalg.eigh(self.S / self.n_steps)
        self.values = torch.outer(of_s, of_a).clamp_min(0)
        if corrected:
            self.values = torch.zeros_like(self.values)

    def correct(self, block: Block) -> None:
        a, d = block.a @ self.A, block.d @ self.S
        if a.shape[1] == 1:
            self.values += d[:, 0].square().T @ a[:, 0].square() / self.n
            return
        for rows in torch.arange(len(a), device=a.device).split(64):  # memory of 64 gradients
            g = torch.einsum("nto,nti->noi", d[rows], a[rows])
            self.values += g.square().sum(0) / self.n

    def solve(self, V: Directions, damping: float | None) -> Directions:
        flat = [V[name].reshape(*V[name].shape[:2], -1) for name in self.names]
        lam = float(self.values.mean()) / 10 if damping is None else damping
        turned = self.S.T @ torch.cat(flat, 2).to(self.S) @ self.A  # parameters may be in half
        scaled = torch.where(self.values + lam > 0, turned / (self.values + lam), 0)
        u = self.S @ scaled @ self.A.T
        parts = u.split([f.shape[2] for f in flat], 2)
        return {
            n: part.reshape(V[n].shape).to(V[n]) for n, part in zip(self.names, parts, strict=True)
        }


class Diagonal:
    """Mean square of each entry of the gradient: for what has no Kronecker factors."""

    def __init__(self, block: Block) -> None:
        self.names, self.n = block.names, 0
        self.values: Tensor = torch.zeros(())

    def see(self, block: Block) -> None:
        self.values = self.values + block.factor.dense().square().sum(0)
        self.n += len(block.factor.d if hasattr(block.factor, "d") else block.factor.g)

    def turn(self, corrected: bool) -> None:
        self.values = self.values / self.n

    def correct(self, block: Block) -> None:
        """It is as right as it can be."""

    def solve(self, V: Directions, damping: float | None) -> Directions:
        (name,) = self.names
        values = self.values.reshape(V[name].shape[1:])
        lam = float(values.mean()) / 10 if damping is None else damping
        u = torch.where(values + lam > 0, V[name] / (values + lam), 0)
        return {name: u.to(V[name])}


def blocks(found: dict[str, Any]) -> dict[str, Block]:
    """Weights with Kronecker factors, each with the bias of its layer; the rest one by one."""
    made = {}
    for name, factor in found.items():
        layer, _, own = name.rpartition(".")
        bias = f"{layer}.bias" if layer else "bias"
        if isinstance(factor, Outer) and own == "weight" and factor.a.shape[2] == 1:
            names = [name, bias] if bias in found else [name]
            made[name] = Block(factor, names)
    covered = {name for block in made.values() for name in block.names}
    for name in found.keys() - covered:
        factor = found[name]
        made[name] = Block(Dense(factor.dense()) if isinstance(factor, Outer) else factor, [name])
    return made
