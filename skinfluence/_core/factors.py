"""Gradients of single rows with respect to the parameters of one layer, in compact form.

For a row i, let a be the input of a layer, and d the gradient of the row's loss with respect to the
output of the layer. The gradient g_i of the loss with respect to a parameter of the layer can be
computed from a and d alone. For the weight of a linear layer,

    g_i = Σ_t d_t ⊗ a_t,

where t runs over the steps of a sequence or the positions of an image. A `Factor` represents the
gradients g_i of a batch of rows with respect to one parameter. It computes norms and products of
these gradients, where possible without forming them.

The rules that compute factors are in `layer_rules`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Self

import torch
from torch import Tensor

from skinfluence._core.tensors import as_matrix, join_rows

_MAX_NUMBERS = 2**24  # explicit row gradients are formed in pieces of at most this many numbers


@dataclass
class Factor(ABC):
    """Gradients g_i of n rows with respect to one parameter, in compact form."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Fields whose first axis has one entry per row."""

    @abstractmethod
    def dense(self) -> Tensor:
        """The gradients g_i themselves, (n, ...)."""

    @abstractmethod
    def square_norms(self) -> Tensor:
        """‖g_i‖² of each row, (n,)."""

    @abstractmethod
    def gram(self, other: Self) -> Tensor:
        """<g_i, g_j> for each row j of `other`, (n, m)."""

    @abstractmethod
    def inner(self, V: Tensor) -> Tensor:
        """<g_i, v> for k directions V (k, ...): (n, k)."""

    @abstractmethod
    def combine(self, c: Tensor) -> Tensor:
        """Σ_i c_i g_i for k sets of coefficients c (n, k): (k, ...)."""

    @abstractmethod
    def join(self, other: Self) -> Self:
        """Combine two calls of the same layer: the gradients are the sums over both calls."""

    def __len__(self) -> int:
        return len(next(iter(self.tensors().values())))

    def numel(self) -> int:
        """Count the numbers held in memory."""
        return sum(t.numel() for t in self.tensors().values())

    def rows(self, rows: slice) -> Self:
        """Select some of the rows."""
        return replace(self, **{name: t[rows] for name, t in self.tensors().items()})

    def stack(self, others: Sequence[Self]) -> Self:
        """Append the rows of `others`; sequences are padded to the longest length."""
        each = [self.tensors(), *(other.tensors() for other in others)]
        return replace(self, **{name: join_rows([t[name] for t in each]) for name in each[0]})

    def in_pieces(self, function: Callable[[Self], Tensor], numbers_per_row: int) -> Tensor:
        """Apply a function piece by piece, so that at most `_MAX_NUMBERS` numbers are formed."""
        step = rows_per_piece(numbers_per_row)
        if step >= len(self):
            return function(self)
        starts = range(0, len(self), step)
        return torch.cat([function(self.rows(slice(i, i + step))) for i in starts])


@dataclass
class Outer(Factor):
    """Row gradients Σ_t d_t ⊗ a_t of a weight.

    With T steps and k groups of channels, a is (n, T, k, in) and d is (n, T, k, out).
    """

    a: Tensor
    d: Tensor

    def tensors(self) -> dict[str, Tensor]:
        return {"a": self.a, "d": self.d}

    def dense(self) -> Tensor:
        """The gradients themselves, (n, k, out, in)."""
        return torch.einsum("ntgo,ntgi->ngoi", self.d, self.a)

    def square_norms(self) -> Tensor:
        steps, width = self.a.shape[1], self.a.shape[3] * self.d.shape[3]
        if steps == 1:
            return (self.a.square().sum(3) * self.d.square().sum(3)).sum((1, 2))
        if steps * (self.a.shape[3] + self.d.shape[3]) < width:
            both = torch.einsum("ntgi,nsgi->ngts", self.a, self.a)
            return (both * torch.einsum("ntgo,nsgo->ngts", self.d, self.d)).sum((1, 2, 3))
        return self.in_pieces(
            lambda piece: piece.dense().square().flatten(1).sum(1), self._numbers_per_row
        )

    def gram(self, other: Self) -> Tensor:
        if self.a.shape[1] == other.a.shape[1] == 1:
            a = torch.einsum("ngi,mgi->gnm", self.a[:, 0], other.a[:, 0])
            return (a * torch.einsum("ngo,mgo->gnm", self.d[:, 0], other.d[:, 0])).sum(0)
        right = other.dense().flatten(1).T
        return self.in_pieces(lambda piece: piece.dense().flatten(1) @ right, self._numbers_per_row)

    def inner(self, V: Tensor) -> Tensor:
        V = V.reshape(len(V), self.d.shape[2], self.d.shape[3], self.a.shape[3]).to(self.d)
        if self._is_cheaper_dense(len(V)):
            return self.in_pieces(
                lambda piece: piece.dense().flatten(1) @ V.flatten(1).T, self._numbers_per_row
            )
        # einsum multiplies from left to right. Start with the wider of a and d, so that the result
        # of the first product has the width of the narrower one.
        if self.d.shape[3] < self.a.shape[3]:
            return torch.einsum("ntgi,kgoi,ntgo->nk", self.a, V, self.d)
        return torch.einsum("ntgo,kgoi,ntgi->nk", self.d, V, self.a)

    def combine(self, c: Tensor) -> Tensor:
        """Σ_i c_i g_i for k sets of coefficients c (n, k): (k, groups, out, in)."""
        if self._is_cheaper_dense(c.shape[1]):
            step = rows_per_piece(self._numbers_per_row)
            pieces = [slice(i, i + step) for i in range(0, len(c), step)]
            total = reduce(
                torch.add, (c[rows].T @ self.rows(rows).dense().flatten(1) for rows in pieces)
            )
            return total.reshape(c.shape[1], *self.d.shape[2:], self.a.shape[3])
        return torch.einsum("nk,ntgo,ntgi->kgoi", c, self.d, self.a)

    def join(self, other: Self) -> Self:
        """Combine two calls of the same layer, by joining their steps."""
        return replace(self, a=torch.cat([self.a, other.a], 1), d=torch.cat([self.d, other.d], 1))

    @property
    def _numbers_per_row(self) -> int:
        return self.a.shape[2] * self.a.shape[3] * self.d.shape[3]

    def _is_cheaper_dense(self, k: int) -> bool:
        """Whether forming the row gradients is cheaper than k products with single steps."""
        steps, out = self.a.shape[1], self.d.shape[3]
        # Both sides are numbers of multiplications. Writing a number to memory takes about as long
        # as eight multiplications.
        return (steps + k + 8) * out < steps * k * (out + 8)


@dataclass
class Lookup(Factor):
    """Row gradients of an embedding: step t adds d_t to row index_t of the weight.

    `index` is (n, T), d is (n, T, out), and the weight has `n_embeddings` rows.
    """

    index: Tensor
    d: Tensor
    n_embeddings: int

    def tensors(self) -> dict[str, Tensor]:
        return {"index": self.index, "d": self.d}

    def dense(self) -> Tensor:
        """The gradients themselves, (n, n_embeddings, out)."""
        out = self.d.new_zeros(len(self.d), self.n_embeddings, self.d.shape[2])
        return out.scatter_add_(1, self.index.unsqueeze(2).expand_as(self.d), self.d)

    def square_norms(self) -> Tensor:
        same = self.index.unsqueeze(2) == self.index.unsqueeze(1)
        return (torch.einsum("nto,nso->nts", self.d, self.d) * same).sum((1, 2))

    def gram(self, other: Self) -> Tensor:
        def block(piece: Lookup) -> Tensor:
            same = piece.index[:, :, None, None] == other.index[None, None]
            return (torch.einsum("nto,mso->ntms", piece.d, other.d) * same).sum((1, 3))

        return self.in_pieces(block, other.index.numel() * self.index.shape[1])

    def inner(self, V: Tensor) -> Tensor:
        return torch.einsum("nto,knto->nk", self.d, V[:, self.index].to(self.d))

    def combine(self, c: Tensor) -> Tensor:
        """Σ_i c_i g_i for k sets of coefficients c (n, k): (k, n_embeddings, out)."""
        out = self.d.new_zeros(c.shape[1], self.n_embeddings, self.d.shape[2])
        scaled = torch.einsum("nk,nto->knto", c, self.d).flatten(1, 2)
        return out.index_add_(1, self.index.flatten(), scaled)

    def join(self, other: Self) -> Self:
        """Combine two calls of the same layer, by joining their steps."""
        index = torch.cat([self.index, other.index], 1)
        return replace(self, index=index, d=torch.cat([self.d, other.d], 1))


@dataclass
class Dense(Factor):
    """Row gradients in full, (n, ...): for biases and the vectors of normalization layers."""

    g: Tensor

    def tensors(self) -> dict[str, Tensor]:
        return {"g": self.g}

    def dense(self) -> Tensor:
        """The gradients themselves, (n, ...)."""
        return self.g

    def square_norms(self) -> Tensor:
        return as_matrix(self.g.square()).sum(1)

    def gram(self, other: Self) -> Tensor:
        return as_matrix(self.g) @ as_matrix(other.g).T

    def inner(self, V: Tensor) -> Tensor:
        return as_matrix(self.g) @ as_matrix(V).T.to(self.g)

    def combine(self, c: Tensor) -> Tensor:
        """Σ_i c_i g_i for k sets of coefficients c (n, k): (k, entries of g_i)."""
        return c.T @ as_matrix(self.g)

    def join(self, other: Self) -> Self:
        """Combine two calls of the same layer, by adding their gradients."""
        return replace(self, g=self.g + other.g)


def products(rows: dict[str, Factor], columns: Mapping[str, Factor | Tensor]) -> Tensor:
    """<g_i, v_j> summed over the parameters, (n, m). `columns` holds v_j as factors or tensors."""

    def of_parameter(name: str, factor: Factor) -> Tensor:
        column = columns[name]
        return factor.inner(column) if isinstance(column, Tensor) else factor.gram(column)

    return reduce(torch.add, (of_parameter(name, factor) for name, factor in rows.items()))


def square_norms(rows: dict[str, Factor]) -> Tensor:
    """‖g_i‖² of a batch, summed over the parameters: (n,)."""
    return reduce(torch.add, (factor.square_norms() for factor in rows.values()))


def rows_per_piece(numbers_per_row: int) -> int:
    """Number of rows whose gradients may be formed at a time."""
    return max(1, _MAX_NUMBERS // numbers_per_row)
