"""Makes torch's forward mode give the derivatives of its backward mode, and skip useless work."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only


class NoGradStops(TorchFunctionMode):
    """Makes ``torch.no_grad`` stop forward mode, as it stops backward mode.

    Under no_grad, operations get tensors without their tangents. A tensor that is written into
    keeps its tangent, because backward mode also ignores the write. Our passes enable gradients, so
    gradients are disabled only where a module disables them.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inside = not torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        if not inside or func.__name__ == "__set__":
            return func(*args, **kwargs)
        given: dict[int, tuple[Tensor, Tensor]] = {}

        def without_tangent(t: Tensor) -> Tensor:
            if forward_ad.unpack_dual(t).tangent is None:
                return t
            alias = t.detach()
            given[id(alias)] = alias, t
            return alias

        found = func(*tree_map_only(Tensor, without_tangent, args), **kwargs)
        # An in-place operation returns its first argument.
        return tree_map_only(Tensor, lambda t: given.get(id(t), (t, t))[1], found)


class BackwardRules(NoGradStops):
    """`NoGradStops` that also ignores the padding row of an embedding.

    torch's backward mode gives the padding row no gradient, but its forward mode does use the
    tangent of this row. Here, only the result of the lookup loses this tangent: anything that a
    layer adds to the result, such as positions, keeps its derivative. One class does both tasks,
    because each TorchFunctionMode adds to the time of every operation.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = super().__torch_function__(func, types, args, kwargs)
        if func is not F.embedding and func is not torch.embedding:
            return found
        names = ("input", "weight") if func is F.embedding else ("weight", "indices", "padding_idx")
        named = dict(zip(names, args, strict=False)) | (kwargs or {})
        padding, weight = named.get("padding_idx"), named["weight"]
        # padding_idx=-1 means no padding in torch.embedding, but the last row in F.embedding.
        if padding is None or (func is torch.embedding and padding < 0):
            return found
        index = named["input" if func is F.embedding else "indices"]
        is_padding = index.eq(padding % len(weight)).unsqueeze(-1)
        return torch.where(is_padding, found.detach(), found)


class FrozenLinears(TorchFunctionMode):
    """Replaces each linear layer whose parameters have no tangent by `_FrozenLinear`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear and not kwargs:
            x, weight, bias = (*args, None)[:3]
            parameters = (weight,) if bias is None else (weight, bias)
            if all(forward_ad.unpack_dual(p).tangent is None for p in parameters):
                return _FrozenLinear.apply(x, weight, bias)
        return func(*args, **(kwargs or {}))


class _FrozenLinear(torch.autograd.Function):
    """x W^T + b for W and b without a tangent.

    torch's forward-mode rule would also compute x times a matrix of zeros.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def jvp(ctx: Any, x_t: Tensor, *of_parameters: Any) -> Tensor:
        return F.linear(x_t, ctx.saved_tensors[0])
