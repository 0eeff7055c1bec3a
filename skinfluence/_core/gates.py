"""Gates: fixed factors, one per unit of a layer, that multiply the unit for every row alike.

A dropout mask that is the same for all rows is a gate. Gates are buffers of the shell's layers (see
`shell`), so a mask is part of a state. Whatever can be computed at a checkpoint can therefore be
computed at a mask: tangents, norms, and several members in one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

_GATE = "influence_gate"

_GATEABLE = (nn.Linear, _ConvNd, nn.RNNBase, _DropoutNd)

# Units are channels, on the second axis.
_BY_CHANNEL = (_ConvNd, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout)


def gate_of(layer: str) -> str:
    """Name of a layer's gate in a state."""
    return f"{layer}.{_GATE}" if layer else _GATE


def install_gates(shell: nn.Module, state: Any) -> dict[str, Tensor]:
    """Add the gates that a state names and the shell lacks; return all that it names.

    A new gate is open: all ones.
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
                layer.register_forward_pre_hook(_gate_input)
        gates[name] = layer.get_buffer(_GATE)
    return gates


def gate_places(shell: nn.Module, call: Callable[[], Any]) -> dict[str, int]:
    """Choose the layers to gate: ``{name: number of units}``.

    They are the net's dropout layers. A net without any, or with one that is called at several
    widths, is gated at the input of each linear, convolutional or recurrent layer except the first,
    which is after each hidden block.

    Parameters
    ----------
    shell : Module
    call : callable
        Runs the shell once, without arguments.
    """
    widths, with_matrix = _recorded_calls(shell, call)
    # A parent with a matrix (position embeddings, say) is called before its layers, but is not
    # the first layer.
    parents = {"", *(n[:i] for n in widths for i, c in enumerate(n) if c == ".")} - set(widths)
    first = next((name for name in with_matrix if name not in parents), None)
    dropouts = {n: w for n, w in widths.items() if isinstance(shell.get_submodule(n), _DropoutNd)}
    inputs = {n: w for n, w in widths.items() if n not in dropouts and n != first}
    chosen = dropouts if dropouts and all(len(w) == 1 for w in dropouts.values()) else inputs
    return {name: next(iter(w)) for name, w in chosen.items() if len(w) == 1}


def _recorded_calls(
    shell: nn.Module, call: Callable[[], Any]
) -> tuple[dict[str, set[int]], list[str]]:
    """Widths that each gateable layer was called at; names of modules with a matrix, as called."""
    widths: dict[str, set[int]] = {}
    with_matrix: list[str] = []

    def record(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            # A parametrized layer keeps its weight in a child. A norm's weight is a vector.
            own = layer.parameters(recurse=isinstance(layer, _GATEABLE))
            if any(p.ndim > 1 for p in own):
                with_matrix.append(name)
            if isinstance(layer, _GATEABLE) and inputs and isinstance(inputs[0], Tensor):
                widths.setdefault(name, set()).add(inputs[0].shape[_axis(layer, inputs[0])])

        return hook

    hooks = [m.register_forward_pre_hook(record(name)) for name, m in shell.named_modules()]
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


def _gate_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (_times_gate(layer, inputs[0]), *inputs[1:])


def _gate_output(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    return _times_gate(layer, output)


def _device(shell: nn.Module) -> torch.device:
    return next(shell.parameters()).device
