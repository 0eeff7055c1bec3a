"""The rule for each type of layer: from the layer's input and output gradient to its factors.

Let a be the tensor that the parameters of a layer multiply (usually its input), and d the gradient
of a row's loss with respect to the output of the layer. To add a rule for a type of layer, register
a function on `layer_factors`. If a is not the input, also register a function on `layer_input`.
Nothing else has to be changed.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from skinfluence._core.factors import Dense, Factor, Lookup, Outer


def has_rule(layer: nn.Module) -> bool:
    """Whether this layer's row gradients can be computed by a rule."""
    if isinstance(layer, _BatchNorm) and layer.running_mean is None:
        return False  # outputs depend on the whole batch: single rows do not have a gradient
    if layer_factors.dispatch(type(layer)) is layer_factors.dispatch(object):
        return False
    # A rule holds for one forward method. A subclass with another forward may add positions or
    # adapters, or treat some rows differently, so its gradients are formed row by row.
    known: Any = next(c for c in type(layer).__mro__ if c in layer_factors.registry)
    same_forward = getattr(type(layer), "forward", None) is known.forward
    return same_forward and "forward" not in vars(layer)


@singledispatch
def layer_factors(layer: nn.Module, a: Tensor, d: Tensor) -> dict[str, Factor]:
    """Row gradients of each parameter of the layer itself; empty for a layer without a rule."""
    return {}


@layer_factors.register
def _(layer: nn.Linear, a: Tensor, d: Tensor) -> dict[str, Factor]:
    n = len(a)
    d = d.reshape(n, -1, d.shape[-1])
    outer = Outer(a.reshape(n, -1, 1, a.shape[-1]), d.unsqueeze(2))
    return {"weight": outer, "bias": Dense(d.sum(1))}


@layer_factors.register(nn.Conv1d)
@layer_factors.register(nn.Conv2d)
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


@layer_factors.register
def _(layer: nn.Embedding, a: Tensor, d: Tensor) -> dict[str, Factor]:
    n = len(a)
    index, d = a.reshape(n, -1), d.reshape(n, -1, d.shape[-1])
    if layer.padding_idx is not None:
        d = d * (index != layer.padding_idx).unsqueeze(2)
    return {"weight": Lookup(index, d, layer.num_embeddings)}


@layer_factors.register
def _(layer: nn.EmbeddingBag, a: Tensor, d: Tensor) -> dict[str, Factor]:
    if layer.mode == "max" or a.ndim != 2:
        return {}
    counted = torch.ones_like(a) if layer.padding_idx is None else (a != layer.padding_idx).long()
    d = d.unsqueeze(1) * counted.unsqueeze(2)
    if layer.mode == "mean":
        d = d / counted.sum(1).clamp_min(1)[:, None, None]
    return {"weight": Lookup(a, d, layer.num_embeddings)}


@layer_factors.register
def _(layer: nn.LayerNorm, a: Tensor, d: Tensor) -> dict[str, Factor]:
    shape = (len(a), -1, *layer.normalized_shape)
    return {
        "weight": Dense((a * d).reshape(shape).sum(1)),
        "bias": Dense(d.reshape(shape).sum(1)),
    }


@layer_factors.register
def _(layer: _BatchNorm, a: Tensor, d: Tensor) -> dict[str, Factor]:
    d = d.reshape(*d.shape[:2], -1)
    return {"weight": Dense((a.reshape(d.shape) * d).sum(2)), "bias": Dense(d.sum(2))}


@singledispatch
def layer_input(layer: nn.Module, x: Tensor) -> Tensor:
    """Tensor that the layer's parameters multiply.

    In normalization layers, this is the standardized input. In all other layers, it is the input.
    """
    return x.detach()


@layer_input.register
def _(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    return F.layer_norm(x.detach(), layer.normalized_shape, eps=layer.eps)


@layer_input.register
def _(layer: _BatchNorm, x: Tensor) -> Tensor:
    # Call this during the forward pass: only then does the layer have the statistics of the state.
    return F.batch_norm(x.detach(), layer.running_mean, layer.running_var, eps=layer.eps)
