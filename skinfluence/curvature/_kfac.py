"""Kronecker factors of the Fisher matrix, one block per layer.

Let a_t be the inputs of a layer at step t (a patch of a convolution, a position of a sequence) and
d_t the gradient of a row's loss with respect to the outputs at step t. The row's gradient with
respect to the weight is

    Σ_t d_t ⊗ a_t,

so the Fisher matrix is close to the product of two factors, E[d d^T] ⊗ E[a a^T]. KFAC uses this
product. EK-FAC keeps the eigenvectors of the product, and replaces its eigenvalues by the values
that fit the row gradients best.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skinfluence._core.factors import Dense, Outer
from skinfluence._core.gradients import Directions


class Block:
    """Per-row gradients of the parameters that form one block of the Fisher matrix.

    `names` are the parameters of the block: a weight and its bias, or a single parameter. If the
    block has a bias, a column of ones is appended to the inputs.
    """

    def __init__(self, factor: Any, names: list[str]) -> None:
        self.factor, self.names = factor, names
        if isinstance(factor, Outer):
            ones = torch.ones_like(factor.a[..., 0, :1])
            a = factor.a[:, :, 0]
            self.a = torch.cat([a, ones], 2) if len(names) == 2 else a  # (n, T, in)
            self.d = factor.d[:, :, 0]  # (n, T, out)


class Eigenbasis:
    """Eigenvectors of the two factors of a layer, and the eigenvalues of the layer's block.

    Call `accumulate` with each batch, then `diagonalize` once. If corrected, call `fit_eigenvalues`
    with each batch. Then call `solve`.
    """

    def __init__(self, block: Block) -> None:
        self.names, self.n, self.n_steps = block.names, 0, 0
        width_a, width_d = block.a.shape[2], block.d.shape[2]
        self.A = block.a.new_zeros(width_a, width_a)
        self.S = block.d.new_zeros(width_d, width_d)

    def accumulate(self, block: Block) -> None:
        """Add a batch to the sums A of a a^T and S of d d^T."""
        self.A += torch.einsum("nti,ntj->ij", block.a, block.a)
        self.S += torch.einsum("nti,ntj->ij", block.d, block.d)
        self.n += len(block.a)
        self.n_steps += len(block.a) * block.a.shape[1]

    def diagonalize(self, corrected: bool) -> None:
        """Replace A and S by their eigenvectors; if not corrected, set the eigenvalues of KFAC."""
        of_A, self.A = torch.linalg.eigh(self.A / self.n)
        of_S, self.S = torch.linalg.eigh(self.S / self.n_steps)
        self.values = torch.outer(of_S, of_A).clamp_min(0)
        if corrected:
            self.values = torch.zeros_like(self.values)

    def fit_eigenvalues(self, block: Block) -> None:
        """Add a batch to the mean squared entries of the gradients in the eigenvector basis."""
        a, d = block.a @ self.A, block.d @ self.S
        if a.shape[1] == 1:
            self.values += d[:, 0].square().T @ a[:, 0].square() / self.n
            return
        for rows in torch.arange(len(a), device=a.device).split(64):  # memory of 64 gradients
            g = torch.einsum("nto,nti->noi", d[rows], a[rows])
            self.values += g.square().sum(0) / self.n

    def solve(self, V: Directions, damping: float | None) -> Directions:
        """Solve for the layer's parameters; damping None means a tenth of the mean eigenvalue."""
        flat = [V[name].reshape(*V[name].shape[:2], -1) for name in self.names]
        lam = float(self.values.mean()) / 10 if damping is None else damping
        in_basis = self.S.T @ torch.cat(flat, 2).to(self.S) @ self.A  # V may be half precision
        scaled = torch.where(self.values + lam > 0, in_basis / (self.values + lam), 0)
        u = self.S @ scaled @ self.A.T
        parts = u.split([f.shape[2] for f in flat], 2)
        return {
            n: part.reshape(V[n].shape).to(V[n]) for n, part in zip(self.names, parts, strict=True)
        }


class Diagonal:
    """Diagonal of the Fisher matrix, for a parameter without Kronecker factors.

    The diagonal is the mean of the squared gradients. The methods are those of `Eigenbasis`.
    """

    def __init__(self, block: Block) -> None:
        self.names, self.n = block.names, 0
        self.values: Tensor = torch.zeros(())

    def accumulate(self, block: Block) -> None:
        """Add a batch to the sum of squared gradients."""
        g = block.factor.dense()
        self.values = self.values + g.square().sum(0)
        self.n += len(g)

    def diagonalize(self, corrected: bool) -> None:
        """Turn the sum into a mean."""
        self.values = self.values / self.n

    def fit_eigenvalues(self, block: Block) -> None:
        """Do nothing, because the diagonal is already exact."""

    def solve(self, V: Directions, damping: float | None) -> Directions:
        """Solve for the parameter; damping None means a tenth of the mean entry."""
        (name,) = self.names
        values = self.values.reshape(V[name].shape[1:])
        lam = float(values.mean()) / 10 if damping is None else damping
        u = torch.where(values + lam > 0, V[name] / (values + lam), 0)
        return {name: u.to(V[name])}


def blocks(factors: dict[str, Any]) -> dict[str, Block]:
    """Group parameters into blocks.

    A weight with Kronecker factors and its bias form one block. Every other parameter is a block of
    its own.
    """
    grouped = {}
    for name, factor in factors.items():
        layer, _, own = name.rpartition(".")
        bias = f"{layer}.bias" if layer else "bias"
        if isinstance(factor, Outer) and own == "weight" and factor.a.shape[2] == 1:
            names = [name, bias] if bias in factors else [name]
            grouped[name] = Block(factor, names)
    covered = {name for block in grouped.values() for name in block.names}
    for name in factors.keys() - covered:
        factor = factors[name]
        whole = Dense(factor.dense()) if isinstance(factor, Outer) else factor
        grouped[name] = Block(whole, [name])
    return grouped
