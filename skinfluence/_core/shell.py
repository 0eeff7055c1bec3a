"""A copy of the user's net that shares its weights and leaves the net itself untouched."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import Tensor, nn

from skinfluence._core.tensors import Rows, wide


def module_of(net: Any) -> nn.Module:
    """Return the net's module without torch.compile's wrapper, which prefixes every name."""
    return getattr(net.module_, "_orig_mod", net.module_)


def copy_module(module: nn.Module) -> nn.Module:
    """Copy a module's structure and buffers; its parameters are shared with the original."""
    memo: dict[int, Any] = {id(p): p for p in module.parameters()}
    # A forward pass that writes into a buffer must not write into the user's.
    memo |= {id(b): b.detach().clone() for b in module.buffers()}
    for layer in module.modules():
        # An embedding with max_norm rewrites its weight in forward: it gets one of its own.
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag) and layer.max_norm is not None:
            memo.pop(id(layer.weight), None)
        # What forward has left behind (attention weights, say) cannot be copied with its graph.
        # Not detached: were it part of the function, the self-check would not see that it is.
        kept = [t for t in vars(layer).values() if isinstance(t, Tensor) and not t.is_leaf]
        memo |= {id(t): t for t in kept}
    return copy.deepcopy(module, memo=memo)


def stop_padding_gradient(
    layer: nn.Embedding, inputs: tuple[Tensor, ...], output: Tensor
) -> Tensor:
    # Backward leaves the padding row alone; torch's forward mode forgets to.
    padding = inputs[0].eq(cast(int, layer.padding_idx)).unsqueeze(-1)
    return torch.where(padding, output.detach(), output)


def twin_net(net: Any, shell: nn.Module) -> Any:
    """Return a net that runs `shell` and has a per-row criterion, sharing all else with `net`."""
    # Not copy.copy(net): that pickles the module through skorch's __getstate__.
    twin = object.__new__(type(net))
    twin.__dict__.update(vars(net))
    criterion = net.criterion_
    if isinstance(criterion, nn.Module):
        criterion = copy_module(criterion)
        if hasattr(criterion, "reduction"):
            setattr(criterion, "reduction", "none")  # noqa: B010
        for name, buffer in criterion.named_buffers(recurse=False):  # class weights
            setattr(criterion, name, wide(buffer))
    twin.__dict__.update(module_=shell, criterion_=criterion)
    for key in ("sampler", "batch_sampler"):
        if vars(net).get(f"iterator_valid__{key}") is not None:
            raise ValueError(
                f"iterator_valid__{key} is set on the net, so rows may come out in another order "
                "than they went in; influence needs them in order: remove that parameter."
            )
    twin.__dict__.update({k: False for k in _REORDERING if k in vars(net)})
    return twin


_REORDERING = ("iterator_valid__shuffle", "iterator_valid__drop_last")


def matching_parameters(module: nn.Module, parameters: str | Sequence[str]) -> list[str]:
    globs = [parameters] if isinstance(parameters, str) else list(parameters)
    named = list(module.named_parameters())
    trainable = [name for name, p in named if p.requires_grad]
    chosen = [name for name in trainable if any(fnmatchcase(name, g) for g in globs)]
    if not chosen:
        have = ", ".join(trainable) or f"none (all {len(named)} are frozen)"
        raise ValueError(
            f"parameters={parameters!r} matches no trainable parameter of the module; "
            f"it has: {have}."
        )
    return chosen


def refuse_parameters_elsewhere(net: Any) -> None:
    inside = {id(p) for p in net.module_.parameters()}
    outside = [name for name, p in net.get_all_learnable_params() if id(p) not in inside]
    if outside:
        raise ValueError(
            f"the net learns parameters outside its module ({', '.join(outside)}); influence is "
            "defined over one module: move them into it."
        )


class Inference(nn.Module):
    """`net.infer` as a module, so that `functional_call` can swap the parameters under it."""

    def __init__(self, twin: Any, shell: nn.Module) -> None:
        super().__init__()
        self.module = shell
        self._infer = twin.infer

    def forward(self, X: Rows) -> Any:
        return self._infer(X)
