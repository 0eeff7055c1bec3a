"""Copies of a user's net and module to run, so that the user's own are never changed.

The copy of the module is called the *shell*: it shares the weights of the original, so they are in
memory once, but it has its own buffers, train/eval flags and hooks. The *twin* is a net that runs
the shell and returns one loss per row.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, cast

import torch
from torch import Tensor, nn

from skinfluence._core.tensors import Rows, wide

_REORDERING_OPTIONS = ("iterator_valid__shuffle", "iterator_valid__drop_last")


def module_of(net: Any) -> nn.Module:
    """Return the net's module, without the wrapper of torch.compile, which prefixes every name."""
    return getattr(net.module_, "_orig_mod", net.module_)


def copy_module(module: nn.Module) -> nn.Module:
    """Return the shell of a module: structure and buffers are copied, parameters are shared."""
    memo: dict[int, Any] = {id(p): p for p in module.parameters()}
    # A forward pass may write into a buffer. It must not write into the user's.
    memo |= {id(b): b.detach().clone() for b in module.buffers()}
    for layer in module.modules():
        # An embedding with max_norm rewrites its weight in forward, so the weight is copied too.
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag) and layer.max_norm is not None:
            memo.pop(id(layer.weight), None)
        # deepcopy refuses tensors that a forward pass left on the module (attention weights, say).
        # They are shared, not detached: the self-check must notice if the outputs depend on them.
        left_behind = [t for t in vars(layer).values() if isinstance(t, Tensor) and not t.is_leaf]
        memo |= {id(t): t for t in left_behind}
    return copy.deepcopy(module, memo=memo)


def stop_padding_gradient(
    layer: nn.Embedding, inputs: tuple[Tensor, ...], output: Tensor
) -> Tensor:
    """Forward hook: no derivative by the padding row of an embedding."""
    # torch's backward mode already leaves the padding row out; its forward mode does not.
    padding = inputs[0].eq(cast(int, layer.padding_idx)).unsqueeze(-1)
    return torch.where(padding, output.detach(), output)


def twin_net(net: Any, shell: nn.Module) -> Any:
    """Return a net that runs `shell` and gives one loss per row; the rest is shared with `net`."""
    # Trap: copy.copy(net) would pickle the module, through skorch's __getstate__.
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
                f"iterator_valid__{key} is set on the net, so its batches may hold the rows in "
                "another order than X does. Scores need the rows in order: remove that parameter."
            )
    twin.__dict__.update({k: False for k in _REORDERING_OPTIONS if k in vars(net)})
    return twin


def matching_parameters(module: nn.Module, parameters: str | Sequence[str]) -> list[str]:
    """Names of the trainable parameters that match one of the globs."""
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
    """Raise where the net also trains parameters of its criterion or of a second module."""
    inside = {id(p) for p in net.module_.parameters()}
    outside = [name for name, p in net.get_all_learnable_params() if id(p) not in inside]
    if outside:
        raise ValueError(
            f"the net learns parameters outside its module ({', '.join(outside)}). Influence is "
            "computed over the parameters of one module: move them into it."
        )


class Inference(nn.Module):
    """The net's `infer` as a module, so that `functional_call` can replace its parameters."""

    def __init__(self, twin: Any, shell: nn.Module) -> None:
        super().__init__()
        self.module = shell
        self._infer = twin.infer

    def forward(self, X: Rows) -> Any:
        return self._infer(X)
