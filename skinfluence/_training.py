"""Fitting the user's net: a clone of it, under a seed, on every training row, with snapshots."""

from __future__ import annotations

import copy
import functools
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.helper import predefined_split

from skinfluence._functional import FunctionalNet, SavedState, State, module_of
from skinfluence._gradients import forward
from skinfluence._validation import described
from skinfluence.nets import is_small

_IN_MEMORY = 2**30  # bytes; more snapshots than that go to a temporary directory


class Snapshots(Callback):
    """Keep copies of the module's state at epochs that are spaced geometrically.

    Early epochs tell wrong labels from right ones best, before the net has memorised them. Give it
    to a net of your own (``callbacks=[Snapshots(6)]``) to score the fitted net, frozen, with
    :class:`~skinfluence.ensembles.Checkpoints`. Where a training goes on (``partial_fit``, a warm
    start), its own epochs are counted, and only they are kept.

    Parameters
    ----------
    number : int, default=6
        How many to keep at most; the last epoch is always one of them.
    dirname : str or path, default=None
        Directory for the snapshots, made if need be; a file an epoch, which `torch.load` reads with
        ``weights_only=True``. None: they stay in memory, or where they would take more than 1 GiB
        go to a temporary directory that goes away with the last of them.

    Attributes
    ----------
    states_ : list of dict or SavedState
        Oldest first. The nets of :mod:`skinfluence.text` leave out what is frozen.
    learning_rates_ : list of float
        Of the optimizer's first group of parameters, at each snapshot.
    """

    def __init__(self, number: int = 6, dirname: Any = None) -> None:
        self.number = number
        self.dirname = dirname

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Choose the epochs."""
        # From the last to the first, so that a number of one means the last.
        spaced = np.geomspace(max(net.max_epochs, 1), 1, self.number)
        self.epochs_ = {int(e) for e in np.round(spaced)}
        self._by_epoch: dict[int, tuple[State, float]] = {}
        self._temporary: _Temporary | None = None
        self._directory = None if self.dirname is None else Path(self.dirname).absolute()
        self._rate = _rate(net)
        self._before = len(net.history)
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True)

    @property
    def states_(self) -> list[State]:
        """Copies kept so far, oldest first."""
        return [state for state, _ in getattr(self, "_by_epoch", {}).values()]

    @property
    def learning_rates_(self) -> list[float]:
        """Learning rate at each of them."""
        return [lr for _, lr in self._by_epoch.values()]

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Note the learning rate: at the end of the epoch a scheduler may have changed it."""
        self._rate = _rate(net)

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Copy the state if the epoch is one of them."""
        if len(net.history) - self._before in self.epochs_:
            self._keep(net)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Copy the final state (also where training stopped early)."""
        self._keep(net)

    def _keep(self, net: NeuralNet) -> None:
        epoch, state = len(net.history) - self._before, _state(net)
        if self._directory is None:
            size = sum(t.numel() * t.element_size() for t in state.values())
            if size * self.number > _IN_MEMORY:
                self._temporary = _Temporary()
                self._directory = self._temporary.path
        kept: State = state
        if self._directory is not None:
            path = self._directory / f"epoch-{epoch:05d}.pt"
            torch.save(state, path)
            kept = SavedState(path, self._temporary)
        self._by_epoch[epoch] = kept, self._rate

    def __getstate__(self) -> dict[str, Any]:
        # A pickle outlives the directory: the snapshots travel in it.
        return {k: v for k, v in vars(self).items() if k not in ("_temporary", "_directory")}


class _Temporary:
    """A directory that is removed when this object goes."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="snapshots-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _going_on(start: NeuralNet, estimator: NeuralNet) -> NeuralNet:
    """Return a copy of a fitted net that follows what was set on `estimator` since."""
    before = start.get_params(deep=False)
    plain = (bool, int, float, str, tuple, type(None))
    changed = {
        name: value
        for name, value in estimator.get_params(deep=False).items()
        if isinstance(value, plain) and (name not in before or before[name] != value)
    }
    if any(name.startswith(("module", "criterion")) for name in changed):
        return clone(estimator)
    net = copy.deepcopy(start)
    net.set_params(**changed | {"verbose": 0})  # "Re-initializing optimizer" would be no news
    net.verbose = estimator.verbose
    return net


def fit_net(
    estimator: Any,
    X: Any,
    y: Any,
    reference: tuple[Any, Any],
    seed: int,
    snapshots: int | Snapshots = 1,
    start: NeuralNet | None = None,
) -> tuple[NeuralNet, list[State]]:
    """Return a fitted clone of `estimator` and its states, the last of which is the final one.

    A net with a ``train_split`` watches the reference rows instead (early stopping works), so that
    it trains on every row it is given: scores of rows that it never saw would mean little.
    A frozen net is returned as it is. `snapshots` is how many states to keep, or the callback that
    is to keep them. `start` is a fitted clone to go on from (a copy of it does, with the
    parameters of `estimator`; where the module or the criterion is another, it starts anew).
    """
    if isinstance(estimator, FrozenEstimator):
        return estimator.estimator, [_state(estimator.estimator)]
    net = clone(estimator) if start is None else _going_on(start, estimator)
    split, callbacks = net.train_split, net.callbacks
    watches = split is not None or getattr(net, "early_stopping", False)  # of the ready-made nets
    recorder = snapshots if isinstance(snapshots, Snapshots) else Snapshots(snapshots)
    # Not set_params, which cannot replace "disable".
    net.callbacks = [*_as_list(callbacks), ("influence_snapshots", recorder)]
    default = [name for name, _ in net.get_default_callbacks()] if callbacks == "disable" else []
    for name in default:
        setattr(net, f"callbacks__{name}", None)
    if watches:
        net.set_params(train_split=predefined_split(net.get_dataset(*reference)))
    if net.initialized_:  # it goes on
        net.initialize_callbacks()
    with seeded(seed, net.device):
        try:
            net.fit(X, y)
        except (RuntimeError, IndexError) as error:
            raise _explained(error, X) from error
    # The fitted net should not carry the reference rows or the snapshots into every pickle of it.
    net.train_split, net.callbacks = split, callbacks
    net.callbacks_ = [(name, cb) for name, cb in net.callbacks_ if cb is not recorder]
    for name in default:
        delattr(net, f"callbacks__{name}")
    # A net with a fit of its own, in closed form perhaps, may never have called back.
    return net, recorder.states_ or [_state(net)]


def snapshots_of(net: NeuralNet) -> Snapshots | None:
    """Return the fitted callback that a user gave to a net."""
    kept = [cb for _, cb in net.callbacks_ if isinstance(cb, Snapshots)]
    return kept[0] if kept and kept[0].states_ else None


def check_net(estimator: Any) -> None:
    """Raise unless `estimator` is a skorch net, or a fitted one that is frozen."""
    net = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    if not isinstance(net, NeuralNet):
        hint = " A model of another kind goes into FilteredEstimator, fitted on curated rows."
        if isinstance(estimator, torch.nn.Module | type):
            hint = " Wrap the module: skorch.NeuralNetClassifier(Module, ...)."
        elif hasattr(estimator, "steps"):
            hint = " Put the steps in front of this one, in a Pipeline that ends with it."
        raise TypeError(
            "estimator= expected a skorch net (NeuralNetClassifier, NeuralNetBinaryClassifier, "
            "NeuralNetRegressor, ...), or FrozenEstimator of a fitted one, or None for a "
            f"ready-made net; got {_shown(estimator)}.{hint}"
        )
    if net is not estimator:
        check_is_fitted(net)
    elif isinstance(net.module, torch.nn.Module) and getattr(net, "initialized_", False):
        warnings.warn(
            "the net's module is an instance that has been trained already; a clone of the net "
            "goes on from its weights and leaks what they have seen. Pass the module's class (with "
            "module__... parameters), or FrozenEstimator(net) to score the net as it is.",
            UserWarning,
            stacklevel=4,
        )


@contextmanager
def seeded(seed: int, device: Any = "cpu") -> Iterator[None]:
    """Run under a seed of torch's own; the caller's random state is put back."""
    cuda = [torch.device(device)] if device and torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        yield


@contextmanager
def threads_for(estimator: Any) -> Iterator[None]:
    """Run in one thread of torch's where the net is a small ready-made one.

    With other work on two cores, two threads took a small net's steps 3 to 8 times the CPU time of
    one, and sometimes far more: threads spin while they wait for each other.
    """
    if not (estimator is None or is_small(estimator)):
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_one_thread(method: Callable[..., Any]) -> Callable[..., Any]:
    """Run an estimator's method in the threads that its net wants; see `threads_for`."""

    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with threads_for(self.estimator):
            return method(self, *args, **kwargs)

    return run


def peek(estimator: Any, X: Any, seed: int) -> tuple[torch.dtype, int | None]:
    """Return the dtype of the net's parameters and the number of axes of its outputs, untrained.

    X is a few rows. The width of some nets is known at fit only: they answer None for the axes.
    """
    net = estimator.estimator if isinstance(estimator, FrozenEstimator) else clone(estimator)
    with seeded(seed, net.device):
        if net is not getattr(estimator, "estimator", None):
            net.initialize()
        dtype = torch.float32
        try:
            fnet = FunctionalNet(net)
            dtype = fnet.dtype
            return dtype, forward(fnet, next(iter(fnet.batches(X)))[0]).ndim
        except (RuntimeError, TypeError, ValueError, IndexError):
            return dtype, None


def _explained(error: Exception, X: Any) -> Exception:
    kind = getattr(getattr(X, "dtype", None), "kind", "")
    if kind == "i" and "dtype" in str(error):
        return ValueError(
            f"X is of dtype {X.dtype} and the net's module wants floats ({error}). Integers are "
            "passed on as they are, since embeddings need them: give X.astype('float32')."
        )
    if any(text in str(error) for text in ("shapes cannot be multiplied", "out of bounds")):
        return ValueError(
            f"the net's module does not fit these rows ({error}): X has {described(X)}; the module "
            "must take rows of that shape and have an output for each class."
        )
    return error


def _shown(estimator: Any) -> str:
    """Its repr, where that is short."""
    text = repr(estimator)
    return text if len(text) <= 80 else type(estimator).__name__


def _rate(net: NeuralNet) -> float:
    return float(net.optimizer_.param_groups[0]["lr"])


def _state(net: NeuralNet) -> dict[str, torch.Tensor]:
    module, left_out = module_of(net), set()
    if getattr(net, "frozen_is_pretrained", False):  # and the same in every clone of the net
        left_out = {name for name, p in module.named_parameters() if not p.requires_grad}
    kept = {n: t for n, t in module.state_dict().items() if n not in left_out}
    # In the machine's own memory: a pickle then opens where there is no such device.
    return {name: t.detach().to("cpu", copy=True) for name, t in kept.items()}


def _as_list(callbacks: Any) -> list[Any]:
    return list(callbacks) if isinstance(callbacks, list | tuple) else []
