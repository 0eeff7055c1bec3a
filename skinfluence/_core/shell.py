"""Copies of a user's net and module. Only the copies are run, so the originals never change.

The copy of the module is called the *shell*. The shell shares the weights of the original, so the
weights are in memory only once. It has separate buffers, train/eval flags and hooks. The copy of
the net is called the *twin*. The twin runs the shell.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from skinfluence._core.forward_mode import BackwardRules
from skinfluence._core.tensors import Rows, as_net_takes, map_tensors, wide

_REORDERING_OPTIONS = ("iterator_valid__shuffle", "iterator_valid__drop_last")


def module_of(net: Any) -> nn.Module:
    """Return the net's module without the wrapper of torch.compile, which changes all names."""
    return getattr(net.module_, "_orig_mod", net.module_)


def copy_module(module: nn.Module) -> nn.Module:
    """Return the shell of a module: structure and buffers are copied, parameters are shared."""
    memo: dict[int, Any] = {id(p): p for p in module.parameters()}
    # A forward pass may write into a buffer. The user's buffers must not change.
    memo |= {id(b): b.detach().clone() for b in module.buffers()}
    for layer in module.modules():
        # An embedding with max_norm changes its weight in forward, so this weight is copied too.
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag) and layer.max_norm is not None:
            memo.pop(id(layer.weight), None)
        # deepcopy refuses tensors that a forward pass left on the module, such as attention
        # weights. Share these tensors and do not detach them: if the outputs depend on them, the
        # self-check must notice.
        left_behind = [t for t in vars(layer).values() if isinstance(t, Tensor) and not t.is_leaf]
        memo |= {id(t): t for t in left_behind}
    try:
        return copy.deepcopy(module, memo=memo)
    except TypeError as error:  # from an attribute or a hook that holds a lock, a file, a socket
        raise TypeError(
            f"{type(module).__name__} holds an object that cannot be copied ({error}), in an "
            "attribute or a hook of the module or of one of its layers. Scoring runs a copy of "
            "the module, so that the net does not change. Remove the hook or attribute first, or "
            "give the class that holds the object a method __deepcopy__ that leaves it out."
        ) from error


@contextmanager
def without_hooks(shell: nn.Module) -> Iterator[None]:
    """Run the shell without its forward hooks, which may record what a call computes."""
    before = [(layer, layer._forward_hooks) for layer in shell.modules()]
    for layer, _ in before:
        layer._forward_hooks = OrderedDict()
    try:
        yield
    finally:
        for layer, hooks in before:
            layer._forward_hooks = hooks


def twin_net(net: Any, shell: nn.Module, *, unreduced: bool = False) -> Any:
    """Return a copy of `net` that runs `shell`.

    If `unreduced` is true and the criterion has an attribute ``reduction``, the copy's criterion
    returns the terms of the loss without reducing them.
    """
    # Trap: copy.copy(net) would pickle the module, through skorch's __getstate__.
    twin = object.__new__(type(net))
    twin.__dict__.update(vars(net))
    criterion = net.criterion_
    if isinstance(criterion, nn.Module):
        criterion = copy_module(criterion)
        if unreduced and hasattr(criterion, "reduction"):
            setattr(criterion, "reduction", "none")  # noqa: B010
        for name, buffer in criterion.named_buffers(recurse=False):  # class weights
            setattr(criterion, name, wide(buffer))
    twin.__dict__.update(module_=shell, criterion_=criterion)
    for key in ("sampler", "batch_sampler"):
        if vars(net).get(f"iterator_valid__{key}") is not None:
            raise ValueError(
                f"iterator_valid__{key} is set on the net, so the batches may have the rows in "
                "another order than X. Scores need the rows in the order of X: remove this "
                "parameter."
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
    """Raise if the net also trains parameters of its criterion or of a second module."""
    inside = {id(p) for p in net.module_.parameters()}
    outside = [name for name, p in net.get_all_learnable_params() if id(p) not in inside]
    if outside:
        raise ValueError(
            f"the net learns parameters outside its module ({', '.join(outside)}). Influence is "
            "computed for the parameters of one module: move these parameters into the module."
        )


def copy_of_rows(X: Rows) -> Rows:
    """Return a batch whose tensors are copies."""
    return map_tensors(lambda t: t.clone() if isinstance(t, Tensor) else t, X)


# Where layers are defined whose forward has the properties listed at `Inference.is_known`.
_KNOWN = ("torch.nn.modules.", "skinfluence.nets._mlp")
_UNKNOWN = (
    "torch.nn.modules.sparse",  # lookups may have padding, or write into their weights
    "torch.nn.modules.transformer",  # its activation may be a function of the user's
)


def _has_known_forward(net: Any, shell: nn.Module) -> bool:
    """See `Inference.is_known`."""
    layers = list(shell.modules())
    kinds = [type(layer).__module__ for layer in layers]
    return (
        type(net).infer.__module__.startswith(("skorch.", "skinfluence."))
        and all(kind.startswith(_KNOWN) and not kind.startswith(_UNKNOWN) for kind in kinds)
        and not any(layer._forward_hooks or layer._forward_pre_hooks for layer in layers)
        and not any("forward" in vars(layer) for layer in layers)
        and not any(getattr(layer, "inplace", False) for layer in layers)
    )


class Inference(nn.Module):
    """The net's `infer` as a module, so that `functional_call` can replace its parameters.

    Attributes
    ----------
    is_known : bool
        Whether forward surely has no branches, does not write into rows or weights, and has the
        same derivatives in all modes of torch. If in doubt, False. All other nets are run with
        precautions, which take about as long as running a small net.
    """

    def __init__(self, twin: Any, shell: nn.Module) -> None:
        super().__init__()
        self.module = shell
        self._infer = twin.infer
        self.is_known = _has_known_forward(twin, shell)

    def forward(self, X: Rows) -> Any:
        if self.is_known:
            return self._infer(as_net_takes(X))
        # A copy of the rows: a forward may write into its input, which may be the user's memory.
        with BackwardRules():
            return self._infer(as_net_takes(copy_of_rows(X)))
