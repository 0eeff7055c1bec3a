"""Gates: one factor a unit, the same for every row, inside a shell; a fixed dropout mask is one.

A gate is a buffer of its layer, so a member of an ensemble that differs by its masks is a state
like any other, and what can be done at a snapshot (tangents, norms, vmap) can be done at a mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

_NAME = "influence_gate"

_BY_CHANNEL = (_ConvNd, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout)


def gate_of(layer: str) -> str:
    """Name of a layer's gate in a state."""
    return f"{layer}.{_NAME}" if layer else _NAME


def install_gates(shell: nn.Module, state: Any) -> dict[str, Tensor]:
    """Make the gates that a state names and the shell lacks; return them, open (all ones)."""
    made = {}
    for name, value in state.items():
        path, _, last = name.rpartition(".")
        if last != _NAME:
            continue
        layer = shell.get_submodule(path)
        if not hasattr(layer, _NAME):
            layer.register_buffer(_NAME, torch.ones_like(value, device=_device(shell)))
            if isinstance(layer, _DropoutNd):
                layer.register_forward_hook(_after)
            else:
                layer.register_forward_pre_hook(_before)
        made[name] = layer.get_buffer(_NAME)
    return made


def gate_places(shell: nn.Module, call: Callable[[], Any]) -> dict[str, int]:
    """Layers to gate and their widths: a net's dropout layers, or where they would have been.

    Without dropout layers (or with one that is called at several widths) that is what enters each
    linear, convolutional or recurrent layer but the first of the net: after every hidden block.
    """
    widths: dict[str, set[int]] = {}
    mixing: list[str] = []  # what has a matrix of weights, in the order of the calls

    def note(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            # A parametrised layer keeps its weight in a child; a norm's weight mixes no units.
            own = layer.parameters(recurse=isinstance(layer, _GATED))
            if any(p.ndim > 1 for p in own):
                mixing.append(name)
            if isinstance(layer, _GATED) and inputs and isinstance(inputs[0], Tensor):
                widths.setdefault(name, set()).add(inputs[0].shape[_axis(layer, inputs[0])])

        return hook

    hooks = [m.register_forward_pre_hook(note(name)) for name, m in shell.named_modules()]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    # A net with a matrix of its own (positions, say) is called before its layers: it is not one.
    around = {"", *(n[:i] for n in widths for i, c in enumerate(n) if c == ".")} - set(widths)
    first = next((name for name in mixing if name not in around), None)
    dropouts = {n: w for n, w in widths.items() if isinstance(shell.get_submodule(n), _DropoutNd)}
    others = {n: w for n, w in widths.items() if n not in dropouts and n != first}
    chosen = dropouts if dropouts and all(len(w) == 1 for w in dropouts.values()) else others
    return {name: next(iter(w)) for name, w in chosen.items() if len(w) == 1}


_GATED = (nn.Linear, _ConvNd, nn.RNNBase, _DropoutNd)


def _axis(layer: nn.Module, value: Tensor) -> int:
    if isinstance(layer, nn.Linear | nn.RNNBase):  # units last, whatever the number of axes
        return -1
    return 1 if isinstance(layer, _BY_CHANNEL) or value.ndim >= 4 else -1


def _gated(layer: nn.Module, value: Tensor) -> Tensor:
    gate, axis = layer.get_buffer(_NAME).to(value.dtype), _axis(layer, value)
    return value * (gate if axis == -1 else gate.reshape(-1, *[1] * (value.ndim - 2)))


def _before(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (_gated(layer, inputs[0]), *inputs[1:])


def _after(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    return _gated(layer, output)


def _device(shell: nn.Module) -> torch.device:
    return next(shell.parameters()).device
