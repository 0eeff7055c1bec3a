"""Switches off or replaces the kernels that lack a derivative or a rule for vmap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from skinfluence._core.net import FunctionalNet
from skinfluence._core.switches import VMAP_WARNINGS, Switch


class _PlainOperations(TorchFunctionMode):
    """Replaces operations that have no second derivative by operations that have one."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.embedding_bag and args[0].ndim == 2:
            return _plain_bags(*args, **kwargs)
        if func is torch.cdist or func is torch.functional.cdist:
            return _plain_distances(*args, **kwargs)
        return func(*args, **kwargs)


def _plain_distances(
    x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None
) -> Tensor:
    # Trap: under vmap, torch 2.13 also gives wrong first derivatives of cdist of two weights.
    return torch.linalg.vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), ord=p, dim=-1)


def _plain_bags(
    index: Tensor,
    weight: Tensor,
    *,
    mode: str,
    max_norm: float | None,
    norm_type: float,
    per_sample_weights: Tensor | None,
    padding_idx: int | None,
    **others: Any,
) -> Tensor:
    embedded = F.embedding(index, weight, max_norm=max_norm, norm_type=norm_type)
    counted = torch.ones_like(index) if padding_idx is None else (index != padding_idx).long()
    counted, number = counted.unsqueeze(2), counted.sum(1, keepdim=True)
    if mode == "max":
        most = embedded.masked_fill(counted == 0, -torch.inf).max(1).values
        return torch.where(number > 0, most, 0)
    if per_sample_weights is not None:
        embedded = embedded * per_sample_weights.unsqueeze(2)
    total = (embedded * counted).sum(1)
    return total / number.clamp_min(1) if mode == "mean" else total


def _flag(backend: Any) -> Switch:
    # Trap: backend.flags() warns about TF32 on CPU builds, whatever its arguments are.
    return Switch(lambda: backend.enabled, lambda value: setattr(backend, "enabled", value))


_MKLDNN, _CUDNN = _flag(torch.backends.mkldnn), _flag(torch.backends.cudnn)

_ATTENTION_FASTPATH = Switch(
    torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled
)

# Trap: sdpa_kernel(MATH) restores wrong flags if two threads leave it in another order than they
# entered it.
_FUSED_ATTENTION = [
    Switch(torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    Switch(
        torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp
    ),
    Switch(torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp),
]


@contextmanager
def plain_kernels(fnet: FunctionalNet) -> Iterator[None]:
    """Run without the fused kernels that lack a rule for forward-mode derivatives or vmap."""
    with ExitStack() as stack:
        for switch in (VMAP_WARNINGS, *_FUSED_ATTENTION):
            stack.enter_context(switch.off())
        if fnet.contains(nn.RNNBase):
            stack.enter_context(_MKLDNN.off())
            stack.enter_context(_CUDNN.off())
        if fnet.contains(nn.MultiheadAttention):
            stack.enter_context(_ATTENTION_FASTPATH.off())
        if not fnet.is_known:
            stack.enter_context(_PlainOperations())
        yield
