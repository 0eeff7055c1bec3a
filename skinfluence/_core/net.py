"""A fitted skorch net as pure functions of its parameters: the only door to skorch's internals.

Nothing here trains, and nothing here changes the user's net: the module is copied as a *shell* that
shares the weights (no second copy of them) but has its own buffers, train/eval flags and hooks.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from skorch import NeuralNetClassifier
from skorch.dataset import Dataset as SkorchDataset
from skorch.dataset import unpack_data
from skorch.utils import to_tensor
from torch import Tensor, nn
from torch.utils.data import DataLoader

from skinfluence._core.gates import install_gates
from skinfluence._core.memory import OutputWatch, is_out_of_memory
from skinfluence._core.shell import (
    Inference,
    copy_module,
    matching_parameters,
    module_of,
    refuse_parameters_elsewhere,
    stop_padding_gradient,
    twin_net,
)
from skinfluence._core.states import Params, State, read_state
from skinfluence._core.tensors import Rows, is_sliceable, map_tensors, n_rows, slice_rows, wide

# Rows of a batch at most, and bytes that their layers' outputs may take. For MLPs of 0.1M to 1M
# parameters on a CPU, 512 rows took .6 to .7 of the time of 128, and more brought nothing. Those
# for a GPU are a guess.
_BATCH = {"cpu": (512, 2**27), "cuda": (8192, 2**31)}


class FunctionalNet:
    """Outputs and per-row losses of a fitted skorch net, as functions of a dict of parameters.

    Parameters
    ----------
    net : skorch.NeuralNet
        Initialized (normally fitted) net. It is read, never written.
    parameters : str or sequence of str, default="*"
        Globs over parameter names; those that match *and* require a gradient become `params`.
    """

    def __init__(self, net: Any, parameters: str | Sequence[str] = "*") -> None:
        module = module_of(net)
        self._net = net
        names = matching_parameters(module, parameters)
        refuse_parameters_elsewhere(net)
        self.shell = copy_module(module)
        self.shell.eval()
        for layer in self.shell.modules():
            if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
                layer.scale_grad_by_freq = False  # a row's gradient does not depend on its batch
                layer.sparse = False
            if isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
                layer.register_forward_hook(stop_padding_gradient)
        # Some modules take the rows of a batch apart, by length: into no more than so many.
        self.rows_at_once: int | None = getattr(module, "rows_at_once", None)
        self._kinds: dict[type, bool] = {}
        self._sizes: dict[Any, int] = {}
        self._tied = any(
            len(list(named(remove_duplicate=False))) > len(list(named()))
            for named in (self.shell.named_parameters, self.shell.named_buffers)
        )
        self._twin = twin_net(net, self.shell)
        self._inference = Inference(self._twin, self.shell)
        # Not net.device, which may be None: "leave it where it is".
        self.device = next(module.parameters()).device
        self._state: Params = {name: p.detach() for name, p in self.shell.named_parameters()}
        self._state |= dict(self.shell.named_buffers())
        self.params: Params = {name: self._state[name] for name in names}
        self.dtype = next(iter(self.params.values())).dtype
        floats = [t.dtype for t in self._state.values() if t.is_floating_point()]
        self.eps = max(torch.finfo(dtype).eps for dtype in floats)  # of its coarsest weights

    def at(self, state: State) -> FunctionalNet:
        """Return the same net at other values of some weights, buffers or gates."""
        state = read_state(state)
        # Open, as long as no state says otherwise.
        self._state = install_gates(self.shell, state) | self._state
        other = copy.copy(self)  # the shell is structure only: every call brings its own values
        changed = {n: t.to(self.device) for n, t in state.items() if n in self._state}
        other._state = self._state | changed
        other.params = {name: other._state[name] for name in self.params}
        return other

    def __copy__(self) -> FunctionalNet:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        # skorch pickles a module apart from what calls it, and the two would not find together.
        state = {name: t.cpu() for name, t in self._state.items()}
        return _rebuilt, (self._net, list(self.params), state)

    def stacked(self, states: Sequence[State]) -> Params:
        """What differs between several states, entries (n_states, *shape)."""
        read = [read_state(state) for state in states]
        for state in read:
            self._state = install_gates(self.shell, state) | self._state
        members = [self.at(state)._state for state in read]
        names = {name for state in read for name in state} & set(self._state)
        return {name: torch.stack([m[name] for m in members]) for name in sorted(names)}

    def outputs(self, params: Params, X: Rows) -> Tensor:
        """f(X; params): (n, ...); entries absent from `params` keep the net's own value."""
        state = {f"module.{name}": t for name, t in (self._state | params).items()}
        # Looking for tied weights at every batch would cost a twentieth of a small net's pass.
        call = torch.func.functional_call(self._inference, state, (X,), tie_weights=self._tied)
        return _one_tensor(call)

    def plain_outputs(self, X: Rows) -> tuple[Tensor, list[Tensor]]:
        """f(X) by the shell's own call, with the parameters to differentiate: an oracle."""
        own = dict(self.shell.named_parameters())
        return _one_tensor(self._twin.infer(X)), [own[name] for name in self.params]

    def losses(self, outputs: Tensor, X: Rows, y: Tensor) -> Tensor:
        """Loss of each row, (n,): what the net's own `get_loss` would add up or average."""
        raw = self.raw_loss(outputs, X, y)
        n = outputs.shape[0]
        if raw.ndim == 0:  # `get_loss` reduces by itself: each row is a batch of one
            rows = [
                self.raw_loss(outputs[i : i + 1], slice_rows(X, slice(i, i + 1)), y[i : i + 1])
                for i in range(n)
            ]
            return torch.stack([r.reshape(()) for r in rows])
        if raw.shape[0] != n or raw.numel() > outputs.numel():
            raise ValueError(
                f"criterion {type(self._net.criterion_).__name__} turned outputs of shape "
                f"{tuple(outputs.shape)} and y of shape {tuple(y.shape)} into losses of shape "
                f"{tuple(raw.shape)}, but one loss a row was expected: give y the shape of the "
                "outputs (a regressor that returns (n, 1) needs y of shape (n, 1))."
            )
        if raw.ndim == 1:
            return raw
        flat = raw.reshape(n, -1)
        return flat.sum(1) if self._sums_outputs else flat.mean(1)

    @property
    def _sums_outputs(self) -> bool:
        """Whether a row's loss is the sum over its outputs, not the mean."""
        return getattr(self._net.criterion_, "reduction", "mean") in ("sum", "batchmean")

    @property
    def takes_logarithms(self) -> bool:
        """Whether the loss takes the logarithm of the outputs, which are to be probabilities."""
        net = self._net
        return isinstance(net, NeuralNetClassifier) and isinstance(net.criterion_, nn.NLLLoss)

    def raw_loss(self, outputs: Tensor, X: Rows, y: Tensor) -> Tensor:
        """`net.get_loss` with the criterion's reduction taken off where it has one."""
        # Never criterion_(outputs, y): for NLLLoss the classifier takes the log in get_loss.
        # In single precision: of a row that the net is sure of, half of it has no digit left.
        return self._twin.get_loss(wide(outputs), y, X=X, training=False)

    def cotangents(self, outputs: Tensor, X: Rows, y: Tensor) -> Tensor:
        """Gradient of each row's loss by that row's outputs, the shape of `outputs`."""
        with torch.enable_grad():
            f = outputs.detach().requires_grad_()
            total = self.losses(f, X, y).sum()
            grad = torch.autograd.grad(total, f, allow_unused=True)[0] if total.grad_fn else None
        if grad is None:
            raise self.not_differentiable()
        return grad

    def sampled_labels(self, outputs: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Labels drawn from the model, (n,) or of the shape of a regressor's outputs.

        A regressor's loss is taken for the squared one, that of a normal error of variance 1/2; the
        mean of k of them is that of k errors of variance k/2. A criterion that stands for another
        distribution draws for itself, by ``sample(outputs, y, generator)``.
        """
        if hasattr(self._net.criterion_, "sample"):
            return self._net.criterion_.sample(outputs, y, generator)
        if not is_classifier(self._net):
            noise = torch.randn(outputs.shape, generator=generator).to(outputs)
            terms = 1 if self._sums_outputs else outputs[0].numel()
            return outputs + noise * (0.5 * terms) ** 0.5
        p = self.probabilities(outputs).double().cpu()
        drawn = torch.multinomial(p, 1, generator=generator)[:, 0].to(outputs.device)
        # One output for two classes: its criterion takes floats of the outputs' shape.
        return drawn if outputs[0].numel() > 1 else drawn.to(outputs).reshape(outputs.shape)

    def not_differentiable(self) -> ValueError:
        """Return the error for a loss that has no gradient by the outputs."""
        return ValueError(
            f"criterion {type(self._net.criterion_).__name__} returns a loss that does not "
            "depend differentiably on the net's outputs; influence needs a differentiable loss."
        )

    def contains(self, kind: type[nn.Module]) -> bool:
        """Whether a module of this kind is anywhere in the net."""
        if kind not in self._kinds:
            self._kinds[kind] = any(isinstance(m, kind) for m in self.shell.modules())
        return self._kinds[kind]

    @functools.cached_property
    def has_frozen_linear(self) -> bool:
        """Whether a linear layer's weight is none of the parameters that count."""
        layers = ((n, m) for n, m in self.shell.named_modules() if isinstance(m, nn.Linear))
        return any(f"{name}.weight".removeprefix(".") not in self.params for name, _ in layers)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Class probabilities as the net's own `predict_proba` makes them, (n, n_classes)."""
        return self._twin._get_predict_nonlinearity()(outputs)

    def batches(self, X: Rows, y: Any = None) -> Iterator[tuple[Rows, Tensor]]:
        """Batches of rows in their given order, on the net's device."""
        if self._can_be_sliced(X):
            size, n = self.batch_size(X), n_rows(X)
            size = n if size == -1 else size
            for start in range(0, n, size):
                rows = slice(start, start + size)
                yield self._enter(slice_rows(X, rows)), self._enter(None if y is None else y[rows])
        else:
            loader = self._twin.get_iterator(self._twin.get_dataset(X, y), training=False)
            # A DataLoader draws a seed as it starts, also where nothing is shuffled.
            with torch.random.fork_rng(devices=[]):
                loaded = iter(loader)
            for batch in loaded:
                Xb, yb = unpack_data(batch)
                yield self._enter(Xb), self._enter(yb)

    def n_batches(self, X: Rows) -> int:
        """How many batches `batches(X)` has."""
        size = self.batch_size(X)
        return 1 if size < 1 else -(-n_rows(X) // size)

    def batch_size(self, X: Rows) -> int:
        """Rows a batch: as the net's validation iterator says, else by the memory of a row.

        Not that of training, which is often small for the sake of the steps. A loader of the
        user's own, or of a Dataset, has its own.
        """
        valid = self._net.get_params_for("iterator_valid")
        if "batch_size" in valid or not self._can_be_sliced(X):
            return valid.get("batch_size", self._net.batch_size)
        if n_rows(X) < 2:
            return 1
        pair = map_tensors(lambda t: self._enter(t[:2]), X)  # BatchNorm may refuse a single row
        shapes = tuple(t.shape for t in (pair.values() if isinstance(pair, Mapping) else [pair]))
        if shapes not in self._sizes:
            leaf = {name: p.detach().requires_grad_() for name, p in self.params.items()}
            most, memory = _BATCH.get(self.device.type, _BATCH["cpu"])
            try:
                # With a graph: torch would take fused kernels without, in which nothing is seen.
                with torch.enable_grad(), OutputWatch() as seen:
                    self.outputs(leaf, pair)
                size = max(2 * memory // max(seen.bytes, 1), 1)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                size = 1
            self._sizes[shapes] = min(size, most)
        return self._sizes[shapes]

    def _can_be_sliced(self, X: Rows) -> bool:
        # skorch's DataLoader collates row by row, which takes longer than scoring the batch does.
        own: Any = getattr(self._net, "dataset", None)
        reading = ("transform", "__getitem__")
        plain = bool(
            inspect.isclass(own)
            and issubclass(own, SkorchDataset)
            and all(getattr(own, name) is getattr(SkorchDataset, name) for name in reading)
            and not self._net.get_params_for("dataset")
            and type(self._net).get_dataset.__module__.startswith("skorch.")
            and type(self._net).get_iterator.__module__.startswith("skorch.")
        )
        custom = set(self._net.get_params_for("iterator_valid")) - _HARMLESS_ITERATOR_PARAMS
        return plain and not custom and self._net.iterator_valid is DataLoader and is_sliceable(X)

    def _enter(self, data: Any) -> Any:
        """Move a batch to the device; floats get the dtype of the parameters, integers stay."""
        if data is None:
            return torch.zeros(0, device=self.device)
        if isinstance(data, Mapping):
            return {key: self._enter(value) for key, value in data.items()}
        if isinstance(data, np.ndarray) and not data.flags.writeable:
            data = data.copy()  # torch warns of tensors over read-only memory (memmaps, joblib)
        tensor = to_tensor(data, device=self.device)
        if isinstance(tensor, Tensor) and tensor.is_floating_point():
            tensor = tensor.to(self.dtype)
        return tensor


def _rebuilt(net: Any, names: list[str], state: Params) -> FunctionalNet:
    return FunctionalNet(net, names).at(state)


_HARMLESS_ITERATOR_PARAMS = {"batch_size", "num_workers", "pin_memory", "shuffle", "drop_last"}


def _one_tensor(outputs: Any) -> Tensor:
    if not isinstance(outputs, Tensor):
        raise TypeError(
            f"the net's module returns a {type(outputs).__name__}, a single tensor was expected: "
            "wrap the module so that it returns the tensor that the loss is computed from."
        )
    return outputs
