"""Per-row gradients of a layer as small factors, and the rule for each kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce, singledispatch
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from skinfluence._core.tensors import join_rows

_ELEMENTS = 2**24  # explicit per-row gradients are made in pieces of at most this many numbers


@dataclass
class Outer:
    """Row gradients Σ_t d_t ⊗ a_t of a weight: a (n, T, g, in), d (n, T, g, out), g groups."""

    a: Tensor
    d: Tensor

    def dense(self) -> Tensor:
        return torch.einsum("ntgo,ntgi->ngoi", self.d, self.a)

    def square_norms(self) -> Tensor:
        steps, width = self.a.shape[1], self.a.shape[3] * self.d.shape[3]
        if steps == 1:
            return (self.a.square().sum(3) * self.d.square().sum(3)).sum((1, 2))
        if steps * (self.a.shape[3] + self.d.shape[3]) < width:
            both = torch.einsum("ntgi,nsgi->ngts", self.a, self.a)
            return (both * torch.einsum("ntgo,nsgo->ngts", self.d, self.d)).sum((1, 2, 3))
        return _in_pieces(self, lambda piece: piece.dense().square().flatten(1).sum(1))

    def gram(self, other: Outer) -> Tensor:
        if self.a.shape[1] == other.a.shape[1] == 1:
            a = torch.einsum("ngi,mgi->gnm", self.a[:, 0], other.a[:, 0])
            return (a * torch.einsum("ngo,mgo->gnm", self.d[:, 0], other.d[:, 0])).sum(0)
        right = other.dense().flatten(1).T
        return _in_pieces(self, lambda piece: piece.dense().flatten(1) @ right)

    def inner(self, V: Tensor) -> Tensor:
        """<g_i, v> of k directions, (n, k)."""
        V = V.reshape(len(V), self.d.shape[2], self.d.shape[3], self.a.shape[3]).to(self.d)
        if self._is_long(len(V)):
            return _in_pieces(self, lambda piece: piece.dense().flatten(1) @ V.flatten(1).T)
        # From left to right: what the first product leaves is as wide as the other side.
        if self.d.shape[3] < self.a.shape[3]:
            return torch.einsum("ntgi,kgoi,ntgo->nk", self.a, V, self.d)
        return torch.einsum("ntgo,kgoi,ntgi->nk", self.d, V, self.a)

    def combine(self, c: Tensor) -> Tensor:
        """Σ_i c_i g_i for k sets of factors c (n, k): (k, ...)."""
        if self._is_long(c.shape[1]):
            step = _rows_a_piece(self.dense_numbers)
            pieces = [slice(i, i + step) for i in range(0, len(c), step)]
            parts = ((c[rows], Outer(self.a[rows], self.d[rows])) for rows in pieces)
            total = sum(ci.T @ piece.dense().flatten(1) for ci, piece in parts)
            return total.reshape(c.shape[1], *self.d.shape[2:], self.a.shape[3])  # type: ignore[union-attr]
        return torch.einsum("nk,ntgo,ntgi->kgoi", c, self.d, self.a)

    @property
    def dense_numbers(self) -> int:
        """Numbers in one row's gradient."""
        return self.a.shape[2] * self.a.shape[3] * self.d.shape[3]

    def _is_long(self, k: int) -> bool:
        """Whether k products with single steps cost more than to form the rows' gradients."""
        steps, out = self.a.shape[1], self.d.shape[3]
        # Products, and numbers that are written to memory at about the price of eight of them.
        return (steps + k + 8) * out < steps * k * (out + 8)

    def join(self, other: Outer) -> Outer:
        """Gradient of a layer that was called twice."""
        return Outer(torch.cat([self.a, other.a], 1), torch.cat([self.d, other.d], 1))


@dataclass
class Lookup:
    """Row gradients of an embedding: d (n, T, out) lands in the rows `index` (n, T)."""

    index: Tensor
    d: Tensor
    size: int

    def dense(self) -> Tensor:
        out = self.d.new_zeros(len(self.d), self.size, self.d.shape[2])
        return out.scatter_add_(1, self.index.unsqueeze(2).expand_as(self.d), self.d)

    def square_norms(self) -> Tensor:
        same = self.index.unsqueeze(2) == self.index.unsqueeze(1)
        return (torch.einsum("nto,nso->nts", self.d, self.d) * same).sum((1, 2))

    def gram(self, other: Lookup) -> Tensor:
        def block(piece: Lookup) -> Tensor:
            same = piece.index[:, :, None, None] == other.index[None, None]
            return (torch.einsum("nto,mso->ntms", piece.d, other.d) * same).sum((1, 3))

        return _in_pieces(self, block, other.index.numel() * self.index.shape[1])

    def inner(self, V: Tensor) -> Tensor:
        """<g_i, v> of k directions, (n, k)."""
        return torch.einsum("nto,knto->nk", self.d, V[:, self.index].to(self.d))

    def combine(self, c: Tensor) -> Tensor:
        """Σ_i c_i g_i for k sets of factors c (n, k): (k, size, out)."""
        out = self.d.new_zeros(c.shape[1], self.size, self.d.shape[2])
        scaled = torch.einsum("nk,nto->knto", c, self.d).flatten(1, 2)
        return out.index_add_(1, self.index.flatten(), scaled)

    def join(self, other: Lookup) -> Lookup:
        index = torch.cat([self.index, other.index], 1)
        return Lookup(index, torch.cat([self.d, other.d], 1), self.size)


@dataclass
class Dense:
    """Row gradients as they are, (n, ...): biases and the vectors of normalisation layers."""

    g: Tensor

    def dense(self) -> Tensor:
        return self.g

    def square_norms(self) -> Tensor:
        return self.g.square().flatten(1).sum(1)

    def gram(self, other: Dense) -> Tensor:
        return self.g.flatten(1) @ other.g.flatten(1).T

    def inner(self, V: Tensor) -> Tensor:
        """<g_i, v> of k directions, (n, k)."""
        return self.g.flatten(1) @ V.flatten(1).T.to(self.g)

    def combine(self, c: Tensor) -> Tensor:
        """Σ_i c_i g_i for k sets of factors c (n, k): (k, ...)."""
        return c.T @ self.g.flatten(1)

    def join(self, other: Dense) -> Dense:
        return Dense(self.g + other.g)


Factor = Outer | Lookup | Dense


@singledispatch
def factors(layer: nn.Module, a: Tensor, d: Tensor) -> dict[str, Factor]:
    """Row gradients of a layer's own parameters, from what entered it and the gradient after it."""
    return {}


@factors.register
def _(layer: nn.Linear, a: Tensor, d: Tensor) -> dict[str, Factor]:
    n = len(a)
    d = d.reshape(n, -1, d.shape[-1])
    outer = Outer(a.reshape(n, -1, 1, a.shape[-1]), d.unsqueeze(2))
    return {"weight": outer, "bias": Dense(d.sum(1))}


@factors.register(nn.Conv1d)
@factors.register(nn.Conv2d)
def _(layer: _ConvNd, a: Tensor, d: Tensor) -> dict[str, Factor]:
    n, groups = len(a), layer.groups
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    a = F.pad(a, layer._reversed_padding_repeated_twice, mode=mode)
    kernel, dilation, stride = layer.kernel_size, layer.dilation, layer.stride
    if a.ndim == 3:
        a, kernel, dilation, stride = a.unsqueeze(2), (1, *kernel), (1, *dilation), (1, *stride)
    patches = F.unfold(a, kernel, dilation=dilation, stride=stride).reshape(
        n, groups, -1, d[0, 0].numel()
    )
    d = d.reshape(n, groups, -1, patches.shape[3])
    outer = Outer(patches.permute(0, 3, 1, 2), d.permute(0, 3, 1, 2))
    return {"weight": outer, "bias": Dense(d.sum(3).flatten(1))}


@factors.register
def _(layer: nn.Embedding, a: Tensor, d: Tensor) -> dict[str, Factor]:
    n = len(a)
    index, d = a.reshape(n, -1), d.reshape(n, -1, d.shape[-1])
    if layer.padding_idx is not None:
        d = d * (index != layer.padding_idx).unsqueeze(2)
    return {"weight": Lookup(index, d, layer.num_embeddings)}


@factors.register
def _(layer: nn.EmbeddingBag, a: Tensor, d: Tensor) -> dict[str, Factor]:
    if layer.mode == "max" or a.ndim != 2:
        return {}
    counted = torch.ones_like(a) if layer.padding_idx is None else (a != layer.padding_idx).long()
    d = d.unsqueeze(1) * counted.unsqueeze(2)
    if layer.mode == "mean":
        d = d / counted.sum(1).clamp_min(1)[:, None, None]
    return {"weight": Lookup(a, d, layer.num_embeddings)}


@factors.register
def _(layer: nn.LayerNorm, a: Tensor, d: Tensor) -> dict[str, Factor]:
    shape = (len(a), -1, *layer.normalized_shape)
    return {
        "weight": Dense((a * d).reshape(shape).sum(1)),
        "bias": Dense(d.reshape(shape).sum(1)),
    }


@factors.register
def _(layer: _BatchNorm, a: Tensor, d: Tensor) -> dict[str, Factor]:
    d = d.reshape(*d.shape[:2], -1)
    return {"weight": Dense((a.reshape(d.shape) * d).sum(2)), "bias": Dense(d.sum(2))}


@singledispatch
def _entering(layer: nn.Module, x: Tensor) -> Tensor:
    """Return what the layer's parameters multiply: its input, standardised by the normalisers."""
    return x.detach()


@_entering.register
def _(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    return F.layer_norm(x.detach(), layer.normalized_shape, eps=layer.eps)


@_entering.register
def _(layer: _BatchNorm, x: Tensor) -> Tensor:
    # Done while the forward pass runs: a snapshot's statistics are in the layer only then.
    return F.batch_norm(x.detach(), layer.running_mean, layer.running_var, eps=layer.eps)


def _stacked(pieces: list[Any]) -> Any:
    """Factors of some rows below those of others; sequences are as long as the longest then."""
    tensors = [key for key, value in vars(pieces[0]).items() if isinstance(value, Tensor)]
    joined = {key: join_rows([getattr(piece, key) for piece in pieces]) for key in tensors}
    return replace(pieces[0], **joined)


def gram(left: dict[str, Factor], right: dict[str, Factor]) -> Tensor:
    """<g_i, g_j> of two batches, (n, m), from their factors."""
    return reduce(torch.add, (f.gram(right[name]) for name, f in left.items()))  # type: ignore[arg-type]


def square_norms(rows: dict[str, Factor]) -> Tensor:
    """‖g_i‖² of a batch, (n,), from its factors."""
    return reduce(torch.add, (f.square_norms() for f in rows.values()))


def _rows_a_piece(numbers_a_row: int) -> int:
    return max(1, _ELEMENTS // numbers_a_row)


def _in_pieces(
    factor: Any, function: Callable[[Any], Tensor], numbers_a_row: int | None = None
) -> Tensor:
    """Apply `function` to pieces of rows, so that what it forms stays below `_ELEMENTS`."""
    tensors = {k: v for k, v in vars(factor).items() if isinstance(v, Tensor)}
    n = len(factor.d)
    step = _rows_a_piece(factor.dense_numbers if numbers_a_row is None else numbers_a_row)
    if step >= n:
        return function(factor)
    return torch.cat(
        [
            function(replace(factor, **{k: v[i : i + step] for k, v in tensors.items()}))
            for i in range(0, n, step)
        ]
    )
