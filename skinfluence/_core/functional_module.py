"""The module of a skorch net as a function of its parameters.

Nothing here trains or changes the user's net, because only a copy of its module is run (see
`shell`). A complex tensor appears as its real and imaginary parts, so that gradients and their
inner products are real everywhere else. Batches are in `batches`, losses and probabilities in
`net`.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from skinfluence._core.gates import install_gates
from skinfluence._core.memory import WouldWrite, WriteGuard
from skinfluence._core.shell import (
    Inference,
    copy_module,
    matching_parameters,
    module_of,
    twin_net,
    without_hooks,
)
from skinfluence._core.states import Params, State, read_state
from skinfluence._core.tensors import Rows, as_real, cast_floats, floats_of, slice_rows


class FunctionalModule:
    """Outputs of the module of a skorch net, as a function of a dict of parameters.

    The parameters and attributes are those of `FunctionalNet`.
    """

    def __init__(self, net: Any, parameters: str | Sequence[str] = "*") -> None:
        module = module_of(net)
        self.module, self._net = module, net
        names = matching_parameters(module, parameters)
        self.shell = copy_module(module)
        for layer in self.shell.modules():
            # Do not call eval(): it makes layers with adapters merge the adapters into the weights.
            layer.training = False
            if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
                # With scale_grad_by_freq, a row's gradient would depend on the rest of its batch.
                layer.scale_grad_by_freq = False
                layer.sparse = False
        self.rows_at_once: int | None = getattr(module, "rows_at_once", None)
        self._kinds: dict[type, bool] = {}
        # Shared by all states of this net:
        self._writes: dict[str, bool] = {}  # whether forward writes into the weights, if known
        self._casts: dict[tuple[torch.dtype, ...], torch.dtype | None] = {}  # see `accepted`
        self._tied = _tied_names(self.shell)
        self._twin = twin_net(net, self.shell)
        self._inference = Inference(self._twin, self.shell)
        self.has_known_forward = self._inference.is_known
        # Trap: net.device may be None, which means "leave the module where it is".
        self.device = next(module.parameters()).device
        tensors = {name: p.detach() for name, p in self.shell.named_parameters()}
        tensors |= dict(self.shell.named_buffers())
        self._complex = {name for name, t in tensors.items() if t.is_complex()}
        self._state: Params = {name: as_real(t) for name, t in tensors.items()}
        self.params: Params = {name: self._state[name] for name in names}
        self.dtype = functools.reduce(torch.promote_types, (p.dtype for p in self.params.values()))
        # Each dtype once, in the order of the module's tensors:
        self._dtypes = list(dict.fromkeys(t.dtype for t in floats_of(self._state)))
        self.eps = max(torch.finfo(dtype).eps for dtype in self._dtypes)

    def at(self, state: State) -> Self:
        """Return this net with the weights, buffers or gates of `state` replacing its values."""
        state = read_state(state)
        # If a state does not name a gate, the gate is all ones.
        self._state = install_gates(self.shell, state) | self._state
        other = copy.copy(self)  # both share the shell: each call passes its own values
        changed = {n: as_real(t.to(self.device)) for n, t in state.items() if n in self._state}
        other._state = self._state | changed
        other.params = {name: other._state[name] for name in self.params}
        return other

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        # The net is built again when it is unpickled, because skorch pickles the module separately
        # from the twin that calls it.
        state = {name: t.cpu() for name, t in self._state.items()}
        return _rebuild, (type(self), self._net, list(self.params), state)

    def stacked(self, states: Sequence[State]) -> Params:
        """Stack the tensors that at least one of the states names: entries (n_states, *shape)."""
        read = [read_state(state) for state in states]
        for state in read:
            self._state = install_gates(self.shell, state) | self._state
        members = [self.at(state)._state for state in read]
        names = {name for state in read for name in state} & set(self._state)
        return {name: torch.stack([m[name] for m in members]) for name in sorted(names)}

    def outputs(self, params: Params, X: Rows) -> Tensor:
        """Outputs f(X; params), (n, ...). Entries missing from `params` have the net's values."""
        values = self._state | params
        if self._writes_into_weights(X):
            values = {name: t.clone() for name, t in values.items()}
        return self._call(self._as_in_module(values), X)

    def accepted(self, X: Rows) -> Rows:
        """X with its floats in a dtype that the module accepts, as tested on the first two rows.

        If the module accepts the floats of X as they are, they are not cast, because skorch does
        not cast them in training either. Otherwise they are cast to a dtype of the module's
        tensors: the first one that works.
        """
        given = tuple(t.dtype for t in floats_of(X))
        if given not in self._casts:
            few = slice_rows(X, slice(0, 2))
            for dtype in [None, *self._dtypes] if given else [None]:
                if self._runs(cast_floats(few, dtype)):
                    self._casts[given] = dtype
                    break
            else:  # the call that needs the outputs raises the module's error
                return X if set(given) <= set(self._dtypes) else cast_floats(X, self._dtypes[0])
        return cast_floats(X, self._casts[given])

    def _as_in_module(self, values: Params) -> Params:
        """The values as the module holds them: complex where the module is complex."""
        return {n: torch.view_as_complex(t) if n in self._complex else t for n, t in values.items()}

    def _call(self, values: Params, X: Rows) -> Tensor:
        state = {f"module.{name}": t for name, t in values.items()}
        state |= {f"module.{other}": state[f"module.{name}"] for other, name in self._tied.items()}
        # Trap: with tie_weights=True, torch does not restore a module that has two names.
        call = torch.func.functional_call(self._inference, state, (X,), tie_weights=False)
        return _one_tensor(call)

    def plain_outputs(self, X: Rows) -> tuple[Tensor, list[Tensor]]:
        """Outputs f(X) of a plain call of the shell, and the parameters whose gradients are used.

        The self-check compares the results of the engine with derivatives of these outputs. The
        shell holds the user's weights. A FunctionalModule may represent the net at other weights,
        such as the weights of a checkpoint. Then the call uses these other weights.
        """
        own = dict(self.shell.named_parameters())
        values = own | dict(self.shell.named_buffers())
        # A gate that another state installed is all ones here, as in the shell.
        pairs = ((as_real(v), self._state.get(n)) for n, v in values.items())
        is_own = all(s is None or _equal(v, s) for v, s in pairs)
        if is_own and not self._writes_into_weights(X):
            return _one_tensor(self._inference(X)), [own[name] for name in self.params]
        leaves = {name: p.detach().requires_grad_() for name, p in self.params.items()}
        return self.outputs(leaves, X), list(leaves.values())

    def allows_forward_mode(self, X: Rows) -> bool:
        """Whether forward mode can be trusted: some writes into the weights make it wrong."""
        return not (self._writes_into_weights(X) and self._writes.get("no_forward_mode"))

    def _writes_into_weights(self, X: Rows) -> bool:
        """Whether forward writes into the weights. If it does, each call gets copies of them.

        The first call finds out on two rows, without writing.
        """
        if not self._writes and not self.has_known_forward:
            self._runs(slice_rows(X, slice(0, 2)))
        return self._writes.get("weights", False)

    def _runs(self, X: Rows) -> bool:
        """Whether the module runs on these rows. Also finds out whether it writes into weights."""
        own = {name for name, _ in self.shell.named_parameters()}
        # Use an alias of each weight, so that `weight.data = ...` changes only the alias.
        aliases = self._as_in_module(
            {n: t.detach() if n in own else t.clone() for n, t in self._state.items()}
        )
        weights = [t for name, t in aliases.items() if name in own]
        pointers = [t.data_ptr() for t in weights]
        try:
            with torch.enable_grad(), without_hooks(self.shell):
                try:
                    with WriteGuard(weights):
                        self._call(aliases, X)
                    self._writes["weights"] = [t.data_ptr() for t in weights] != pointers
                except WouldWrite as write:
                    self._writes["weights"] = True
                    # Trap: no_grad does not stop forward mode, which would also differentiate what
                    # is written. embedding_renorm is safe: it leaves the weight's tangent as it is.
                    self._writes["no_forward_mode"] = "embedding_renorm" not in str(write)
                    self._call({name: t.clone() for name, t in aliases.items()}, X)
        except Exception:  # the call that needs the outputs raises it again
            return False
        return True

    def contains(self, kind: type[nn.Module]) -> bool:
        """Whether the net contains a module of this type."""
        if kind not in self._kinds:
            self._kinds[kind] = any(isinstance(m, kind) for m in self.shell.modules())
        return self._kinds[kind]

    @functools.cached_property
    def has_frozen_linear(self) -> bool:
        """Whether `params` lacks the weight of at least one linear layer."""
        layers = ((n, m) for n, m in self.shell.named_modules() if isinstance(m, nn.Linear))
        return any(f"{name}.weight".removeprefix(".") not in self.params for name, _ in layers)


def _rebuild(
    kind: type[FunctionalModule], net: Any, names: list[str], state: Params
) -> FunctionalModule:
    return kind(net, names).at(state)


def _tied_names(module: nn.Module) -> dict[str, str]:
    """Map further names of tied tensors to their first name. Each module is visited only once."""
    first: dict[int, str] = {}
    others = {}
    for path, layer in module.named_modules():
        for own, tensor in [*layer._parameters.items(), *layer._buffers.items()]:
            if tensor is not None:
                name = f"{path}.{own}" if path else own
                if first.setdefault(id(tensor), name) != name:
                    others[name] = first[id(tensor)]
    return others


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() or torch.equal(a, b)


def _one_tensor(outputs: Any) -> Tensor:
    if not isinstance(outputs, Tensor):
        raise TypeError(
            f"the net's module returns a {type(outputs).__name__}, but a single tensor was "
            "expected. Wrap the module so that it returns only the tensor that goes into the loss."
        )
    if outputs.is_complex():
        raise TypeError(
            f"the net's module returns complex numbers ({outputs.dtype}), but a tensor of real "
            "numbers was expected. Let the module return torch.view_as_real(outputs) or "
            "outputs.abs(), and use a criterion for real numbers."
        )
    return outputs
