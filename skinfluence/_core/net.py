"""A fitted skorch net as pure functions of its parameters.

This is the only file of the core that uses skorch's internals. Nothing here trains or changes the
user's net, because only a copy of the module is run, which shares the weights (see `shell`).
"""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from skorch import NeuralNetClassifier
from skorch.dataset import Dataset as SkorchDataset
from skorch.dataset import unpack_data
from skorch.utils import to_tensor
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from skinfluence._core.gates import install_gates
from skinfluence._core.memory import OutputWatch, WouldWrite, WriteGuard, is_out_of_memory
from skinfluence._core.random_state import forked_random_state
from skinfluence._core.row_loss import RowLoss
from skinfluence._core.shell import (
    Inference,
    PaddedEmbeddings,
    copy_module,
    matching_parameters,
    module_of,
    refuse_parameters_elsewhere,
    twin_net,
    without_hooks,
)
from skinfluence._core.states import Params, State, read_state
from skinfluence._core.tensors import (
    Rows,
    as_net_takes,
    is_sliceable,
    map_tensors,
    n_rows,
    slice_rows,
    wide,
)

# Limits of a batch: number of rows, and bytes of the outputs of all layers. For MLPs with 0.1M to
# 1M parameters on a CPU, batches of 512 rows took .6 to .7 times as long as batches of 128 rows;
# larger batches were not faster. The limits for a GPU are a guess.
_BATCH_LIMITS = {"cpu": (512, 2**27), "cuda": (8192, 2**31)}

# Parameters of the validation iterator that do not change the content of a batch, or that this
# class overrides.
_HARMLESS_ITERATOR_PARAMS = {"batch_size", "num_workers", "pin_memory", "shuffle", "drop_last"}

# Batches that are compared with plain autograd after the self-check.
_RECHECKS = 4


class FunctionalNet:
    """Outputs and per-row losses of a fitted skorch net, as functions of a dict of parameters.

    Parameters
    ----------
    net : skorch.NeuralNet
        An initialized net, normally a fitted one. It is never changed.
    parameters : str or sequence of str, default="*"
        Globs over parameter names. A parameter is used if it matches a glob *and* requires a
        gradient.

    Attributes
    ----------
    params : dict of str to Tensor
        The parameters that are used, detached.
    module : Module
        The user's module, which is never called.
    shell : Module
        A copy of the module, in eval mode, that shares its weights (see `shell`).
    device, dtype : device and dtype of the parameters
    input_dtype : torch.dtype or None
        Data type that float inputs are cast to; None if the module casts its inputs itself.
    eps : float
        Machine epsilon of the least precise weight or buffer.
    row_loss : RowLoss
        What the loss of a row is.
    rows_at_once : int or None
        Maximum number of rows in one call of the module, if the module sets one.
    """

    def __init__(self, net: Any, parameters: str | Sequence[str] = "*") -> None:
        module = module_of(net)
        self.module, self._net = module, net
        names = matching_parameters(module, parameters)
        refuse_parameters_elsewhere(net)
        self.shell = copy_module(module)
        for layer in self.shell.modules():
            # Not eval(): layers with adapters merge them into their weights in it.
            layer.training = False
            if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
                # With scale_grad_by_freq, a row's gradient would depend on the rest of its batch.
                layer.scale_grad_by_freq = False
                layer.sparse = False
        self.rows_at_once: int | None = getattr(module, "rows_at_once", None)
        self._kinds: dict[type, bool] = {}
        self._sizes: dict[Any, int] = {}
        # Shared by all states of this net:
        self._rechecks = {"batches": 0}
        self._writes: dict[str, bool] = {}  # whether forward writes into the weights, if known
        self._logits_seen: list[bool] = []  # one answer for all batches
        self._tied = _tied_names(self.shell)
        self._twin = twin_net(net, self.shell)
        self.row_loss = RowLoss(net, self.shell)
        self._inference = Inference(self._twin, self.shell)
        # Trap: net.device may be None, which means "leave the module where it is".
        self.device = next(module.parameters()).device
        self._state: Params = {name: p.detach() for name, p in self.shell.named_parameters()}
        self._state |= dict(self.shell.named_buffers())
        self.params: Params = {name: self._state[name] for name in names}
        self.dtype = next(iter(self.params.values())).dtype
        casts = getattr(module, "casts_inputs", False) and self.device.type != "mps"
        self.input_dtype: torch.dtype | None = None if casts else self.dtype
        floats = [t.dtype for t in self._state.values() if t.is_floating_point()]
        self.eps = max(torch.finfo(dtype).eps for dtype in floats)

    def at(self, state: State) -> FunctionalNet:
        """Return this net with the weights, buffers or gates of `state` replacing its values."""
        state = read_state(state)
        # If a state does not name a gate, the gate is all ones.
        self._state = install_gates(self.shell, state) | self._state
        other = copy.copy(self)  # both share the shell: each call passes its own values
        changed = {n: t.to(self.device) for n, t in state.items() if n in self._state}
        other._state = self._state | changed
        other.params = {name: other._state[name] for name in self.params}
        return other

    def __copy__(self) -> FunctionalNet:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        # The net is built again when it is unpickled, because skorch pickles the module separately
        # from the twin that calls it.
        state = {name: t.cpu() for name, t in self._state.items()}
        return _rebuild, (self._net, list(self.params), state)

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
        state = {f"module.{name}": t for name, t in (self._state | params).items()}
        if self._writes_into_weights(X):
            state = {name: t.clone() for name, t in state.items()}
        state |= {f"module.{other}": state[f"module.{name}"] for other, name in self._tied.items()}
        # Trap: torch's own tie_weights leaves these values in a module that has two names.
        with PaddedEmbeddings() if self.contains(nn.Embedding) else nullcontext():
            call = torch.func.functional_call(self._inference, state, (X,), tie_weights=False)
        return _one_tensor(call)

    def plain_outputs(self, X: Rows) -> tuple[Tensor, list[Tensor]]:
        """Outputs f(X) of a plain call of the shell, and the parameters to differentiate by.

        The self-check compares the results of the engine with derivatives of these outputs. The
        shell has the user's weights: at other weights, they are replaced in the call.
        """
        own = dict(self.shell.named_parameters())
        values = own | dict(self.shell.named_buffers())
        # A gate that another state installed is all ones here, as in the shell.
        pairs = ((v, self._state.get(name, v)) for name, v in values.items())
        is_own = all(v is of_state or _equal(v, of_state) for v, of_state in pairs)
        if is_own and not self._writes_into_weights(X):
            return _one_tensor(self._twin.infer(as_net_takes(X))), [
                own[name] for name in self.params
            ]
        leaves = {name: p.detach().requires_grad_() for name, p in self.params.items()}
        return self.outputs(leaves, X), list(leaves.values())

    def allows_forward_mode(self, X: Rows) -> bool:
        """Whether forward-mode derivatives are right, as far as writes into weights go."""
        return not (self._writes_into_weights(X) and self._writes.get("no_forward_mode"))

    def _writes_into_weights(self, X: Rows) -> bool:
        """Whether forward writes into the weights. If it does, each call gets copies of them.

        The first call finds out on two rows, without writing.
        """
        if not self._writes:
            self._writes["weights"] = False
            own = {name for name, _ in self.shell.named_parameters()}
            # Another alias of each weight: `weight.data = ...` would change the alias only.
            aliases = {n: t.detach() if n in own else t.clone() for n, t in self._state.items()}
            weights = [t for name, t in aliases.items() if name in own]
            pointers = [t.data_ptr() for t in weights]
            try:
                with torch.no_grad(), without_hooks(self.shell), WriteGuard(weights):
                    self.outputs(aliases, slice_rows(X, slice(0, 2)))
                self._writes["weights"] = [t.data_ptr() for t in weights] != pointers
            except WouldWrite as write:
                self._writes["weights"] = True
                # Trap: no_grad does not stop forward mode, so that it would also differentiate
                # what is written. The tangent of a lookup's weight is not touched.
                self._writes["no_forward_mode"] = "embedding_renorm" not in str(write)
            except Exception:  # the call that needs the outputs raises it again
                self._writes.clear()
        return self._writes.get("weights", False)

    def expect_recheck(self, number: int = _RECHECKS) -> None:
        """Let `take_recheck` be true for `number` of the next batches that are scored."""
        self._rechecks.update(batches=0, left=number)

    def take_recheck(self) -> bool:
        """Whether to compare the batch that was just scored: the first, third, seventh, ..."""
        if not self._rechecks.get("left"):
            return False
        self._rechecks["batches"] += 1
        is_due = (self._rechecks["batches"] & (self._rechecks["batches"] + 1)) == 0
        self._rechecks["left"] -= is_due
        return is_due

    def losses(self, outputs: Tensor, X: Rows, y: Tensor) -> Tensor:
        """Loss of each row, (n,): what `get_loss` returns for the row alone, see `row_loss`."""
        return self.row_loss.of_rows(outputs, X, y)

    @property
    def takes_logarithms(self) -> bool:
        """Whether the loss takes the logarithm of the outputs; they must then be probabilities."""
        net = self._net
        return isinstance(net, NeuralNetClassifier) and isinstance(net.criterion_, nn.NLLLoss)

    def cotangents(self, outputs: Tensor, X: Rows, y: Tensor) -> Tensor:
        """G = ∂ℓ/∂f of each row's loss, in the shape of `outputs`."""
        with torch.enable_grad():
            f = outputs.detach().requires_grad_()
            total = self.losses(f, X, y).sum()
            grad = torch.autograd.grad(total, f, allow_unused=True)[0] if total.grad_fn else None
        if grad is None:
            raise self.not_differentiable()
        return grad

    def sampled_labels(self, outputs: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Labels drawn from the model: (n,), or in the shape of a regressor's outputs.

        For a regressor, the loss is assumed to be the squared error. Up to a constant, the squared
        error is the negative log-likelihood of a normal distribution with variance 1/2. If the loss
        is the mean over k outputs, the variance of each output is k/2. For any other distribution,
        the criterion needs a method ``sample(outputs, y, generator)``.
        """
        if hasattr(self._net.criterion_, "sample"):
            return self._net.criterion_.sample(outputs, y, generator)
        if not is_classifier(self._net):
            noise = torch.randn(outputs.shape, generator=generator).to(outputs)
            terms = 1 if self.row_loss.sums_outputs else outputs[0].numel()
            return outputs + noise * (0.5 * terms) ** 0.5
        p = self.probabilities(outputs).double().cpu()
        drawn = torch.multinomial(p, 1, generator=generator)[:, 0].to(outputs.device)
        # With one output for two classes, the criterion expects floats in the shape of the outputs.
        return drawn if outputs[0].numel() > 1 else drawn.to(outputs).reshape(outputs.shape)

    def not_differentiable(self) -> ValueError:
        """Return the error to raise for a loss that has no gradient with respect to the outputs."""
        return ValueError(
            f"criterion {type(self._net.criterion_).__name__} returns a loss that does not "
            "depend differentiably on the net's outputs. Influence needs the gradient of the loss: "
            "use a differentiable criterion, without detach() or argmax()."
        )

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

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Class probabilities, (n, n_classes), computed as in the net's own `predict_proba`.

        For a criterion that skorch does not know, `predict_proba` returns the outputs as they are.
        If they are not a distribution over the classes, they are taken as logits, with a warning.
        """
        p = self._twin._get_predict_nonlinearity()(outputs)
        if p is not outputs or outputs.ndim > 2:
            return p
        if not self._logits_seen and _are_distributions(outputs):
            return p
        if outputs[0].numel() == 1:
            raise ValueError(
                f"the net returns one number per row, and its criterion, {self._criterion_name}, "
                "does not say whether this number is a probability or a logit. Give the net "
                "predict_nonlinearity=, a function from the outputs to class probabilities of "
                "shape (n, 2)."
            )
        warnings.warn(
            "predict_proba of the net does not return probabilities: the outputs of a row are "
            f"negative or do not sum to 1, and with criterion {self._criterion_name}, skorch does "
            "not change them. They are taken as logits: a softmax makes them probabilities. If "
            "this is right, give the net predict_nonlinearity=torch.nn.Softmax(dim=1); otherwise "
            "give it the function from outputs to probabilities.",
            UserWarning,
            stacklevel=2,
        )
        self._logits_seen.append(True)
        return torch.softmax(outputs, 1)

    @property
    def _criterion_name(self) -> str:
        return type(self._net.criterion_).__name__

    def batches(self, X: Rows, y: Any = None) -> Iterator[tuple[Rows, Tensor]]:
        """Batches (X, y) of the rows in their given order, on the net's device."""
        if self._can_be_sliced(X):
            size, n = self.batch_size(X), n_rows(X)
            size = n if size == -1 else size
            for start in range(0, n, size):
                rows = slice(start, start + size)
                Xb = self._to_device(slice_rows(X, rows), self.input_dtype)
                self._writes_into_weights(Xb)  # here, before a caller registers hooks
                yield Xb, self._to_device(None if y is None else y[rows], self.dtype)
        else:
            yield from self._loaded(self._twin.get_dataset(X, y))

    def batches_of(self, rows: np.ndarray, X: Rows, y: Any) -> Iterator[tuple[Rows, Tensor]]:
        """Batches of the rows at these positions."""
        if self._can_be_sliced(X):
            return self.batches(slice_rows(X, rows), None if y is None else y[rows])
        return self._loaded(Subset(self._twin.get_dataset(X, y), rows.tolist()))

    def _loaded(self, dataset: Any) -> Iterator[tuple[Rows, Tensor]]:
        """Batches of a dataset, from the net's DataLoader."""
        loader = self._twin.get_iterator(dataset, training=False)
        # A DataLoader draws a random seed when it starts, even if it does not shuffle.
        with forked_random_state():
            loaded = iter(loader)
        for batch in loaded:
            Xb, yb = unpack_data(batch)
            Xb = self._to_device(Xb, self.input_dtype)
            self._writes_into_weights(Xb)
            yield Xb, self._to_device(yb, self.dtype)

    def n_batches(self, X: Rows) -> int:
        """Number of batches that `batches(X)` yields."""
        size = self.batch_size(X)
        return 1 if size < 1 else -(-n_rows(X) // size)

    def batch_size(self, X: Rows) -> int:
        """Rows per batch: the batch size of the net's validation iterator, or as memory allows.

        The batch size of training is not used, because it is often small to take more steps. If the
        data cannot be sliced, the batches are those of the net's DataLoader.
        """
        valid = self._net.get_params_for("iterator_valid")
        if "batch_size" in valid or not self._can_be_sliced(X):
            return valid.get("batch_size", self._net.batch_size)
        if n_rows(X) < 2:
            return 1
        # Two rows, because BatchNorm may refuse a single row.
        pair = map_tensors(lambda t: self._to_device(t[:2], self.input_dtype), X)
        shapes = tuple(t.shape for t in (pair.values() if isinstance(pair, Mapping) else [pair]))
        if shapes not in self._sizes:
            leaf = {name: p.detach().requires_grad_() for name, p in self.params.items()}
            max_rows, max_bytes = _BATCH_LIMITS.get(self.device.type, _BATCH_LIMITS["cpu"])
            try:
                # Enable gradients: otherwise torch would use fused kernels, which hide the outputs
                # of the operations inside.
                with torch.enable_grad(), OutputWatch() as watch:
                    self.outputs(leaf, pair)
                size = max(2 * max_bytes // max(watch.bytes, 1), 1)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                size = 1
            self._sizes[shapes] = min(size, max_rows)
        return self._sizes[shapes]

    def _can_be_sliced(self, X: Rows) -> bool:
        """Whether slicing X gives the batches that the net's own DataLoader would give."""
        # Slicing is preferred: the DataLoader collates a batch row by row, which takes longer than
        # scoring it.
        dataset: Any = getattr(self._net, "dataset", None)
        readers = ("transform", "__getitem__")
        is_plain = bool(
            inspect.isclass(dataset)
            and issubclass(dataset, SkorchDataset)
            and all(getattr(dataset, name) is getattr(SkorchDataset, name) for name in readers)
            and not self._net.get_params_for("dataset")
            and type(self._net).get_dataset.__module__.startswith("skorch.")
            and type(self._net).get_iterator.__module__.startswith("skorch.")
        )
        custom = set(self._net.get_params_for("iterator_valid")) - _HARMLESS_ITERATOR_PARAMS
        return (
            is_plain and not custom and self._net.iterator_valid is DataLoader and is_sliceable(X)
        )

    def _to_device(self, data: Any, dtype: torch.dtype | None) -> Any:
        """Move a batch to the device, and its floats to a dtype, if one is given."""
        if data is None:
            return torch.zeros(0, device=self.device)
        if isinstance(data, Mapping):
            return {key: self._to_device(value, dtype) for key, value in data.items()}
        if isinstance(data, np.ndarray) and not data.flags.writeable:
            data = data.copy()  # torch warns about read-only memory (memmaps, joblib)
        tensor = to_tensor(data, device=self.device)
        if dtype is not None and isinstance(tensor, Tensor) and tensor.is_floating_point():
            tensor = tensor.to(dtype)
        return tensor


def _are_distributions(p: Tensor) -> bool:
    """Whether each row is not negative and sums to 1, up to rounding; also if it is not finite."""
    if not torch.isfinite(p).all():
        return True  # another check says that the outputs are not finite
    sums = wide(p).reshape(len(p), -1).sum(1)
    tolerance = max(1e-3, torch.finfo(p.dtype).eps ** 0.5)
    return bool((p >= 0).all() and ((sums - 1).abs() <= tolerance).all())


def _rebuild(net: Any, names: list[str], state: Params) -> FunctionalNet:
    return FunctionalNet(net, names).at(state)


def _tied_names(module: nn.Module) -> dict[str, str]:
    """Other names of tied tensors, each with the first name; a module counts under one name."""
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
    return outputs
