"""Gates: one fixed factor per unit of a layer, which multiplies the unit for all rows.

An example of a gate is a dropout mask shared by all rows. Gates are stored as buffers on the layers
of the copied module (see `shell`), so a state of the net includes the mask. Anything that can be
computed for a checkpoint can therefore also be computed for the net under a given mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from skinfluence._core.tensors import layer_argument

_GATE = "influence_gate"

_GATEABLE = (nn.Linear, _ConvNd, nn.RNNBase, _DropoutNd)

# Layers whose units are channels, on the second axis.
_BY_CHANNEL = (_ConvNd, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout)


def gate_of(layer: str) -> str:
    """Name that the gate of a layer has in a state."""
    return f"{layer}.{_GATE}" if layer else _GATE


def install_gates(shell: nn.Module, state: Any) -> dict[str, Tensor]:
    """Return all gates that a state names; add those that the shell does not have yet.

    A new gate is all ones, so it changes nothing.
    """
    gates = {}
    for name, value in state.items():
        path, _, last = name.rpartition(".")
        if last != _GATE:
            continue
        layer = shell.get_submodule(path)
        if not hasattr(layer, _GATE):
            layer.register_buffer(_GATE, torch.ones_like(value, device=_device(shell)))
            if isinstance(layer, _DropoutNd):
                layer.register_forward_hook(_gate_output)
            else:
                layer.register_forward_pre_hook(_gate_input, with_kwargs=True)
        gates[name] = layer.get_buffer(_GATE)
    return gates


def gate_places(shell: nn.Module, call: Callable[[], Any]) -> dict[str, int]:
    """Choose the layers that get a gate: ``{name: number of units}``.

    These are the net's dropout layers. If the net has no dropout layer, or if it calls the same
    dropout layer on inputs of different widths, then every linear, convolutional or recurrent layer
    except the first gets a gate at its input. These inputs are the outputs of the hidden blocks.

    Parameters
    ----------
    shell : Module
    call : callable
        Runs the shell once, without arguments.
    """
    widths, with_matrix = _recorded_calls(shell, call)
    # A parent module may have a matrix of its own, such as position embeddings. It is called
    # before its layers, but it is not the first layer.
    parents = {"", *(n[:i] for n in widths for i, c in enumerate(n) if c == ".")} - set(widths)
    first = next((name for name in with_matrix if name not in parents), None)
    dropouts = {n: w for n, w in widths.items() if isinstance(shell.get_submodule(n), _DropoutNd)}
    inputs = {n: w for n, w in widths.items() if n not in dropouts and n != first}
    chosen = dropouts if dropouts and all(len(w) == 1 for w in dropouts.values()) else inputs
    return {name: next(iter(w)) for name, w in chosen.items() if len(w) == 1}


def _recorded_calls(
    shell: nn.Module, call: Callable[[], Any]
) -> tuple[dict[str, set[int]], list[str]]:
    """Numbers of units that each layer was called with; modules with a matrix, in call order."""
    widths: dict[str, set[int]] = {}
    with_matrix: list[str] = []

    def record(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            # A parametrized layer keeps its weight in a child module, hence `recurse`. The weight
            # of a normalization layer is a vector, so this layer is not recorded.
            own = layer.parameters(recurse=isinstance(layer, _GATEABLE))
            if any(p.ndim > 1 for p in own):
                with_matrix.append(name)
            x = layer_argument(inputs, named)
            if isinstance(layer, _GATEABLE) and isinstance(x, Tensor):
                widths.setdefault(name, set()).add(x.shape[_axis(layer, x)])

        return hook

    hooks = [
        m.register_forward_pre_hook(record(name), with_kwargs=True)
        for name, m in shell.named_modules()
    ]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return widths, with_matrix


def _axis(layer: nn.Module, value: Tensor) -> int:
    """Axis of the units."""
    if isinstance(layer, nn.Linear | nn.RNNBase):
        return -1
    return 1 if isinstance(layer, _BY_CHANNEL) or value.ndim >= 4 else -1


def _times_gate(layer: nn.Module, value: Tensor) -> Tensor:
    gate, axis = layer.get_buffer(_GATE).to(value.dtype), _axis(layer, value)
    return value * (gate if axis == -1 else gate.reshape(-1, *[1] * (value.ndim - 2)))


def _gate_input(
    layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not inputs:
        return inputs, named | {"input": _times_gate(layer, named["input"])}
    return (_times_gate(layer, inputs[0]), *inputs[1:]), named


def _gate_output(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    return _times_gate(layer, output)


def _device(shell: nn.Module) -> torch.device:
    return next(shell.parameters()).device
