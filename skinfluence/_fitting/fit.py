"""Fit a clone of the user's net under a seed, on every training row, and keep checkpoints."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.helper import predefined_split

from skinfluence._core.gradients import forward
from skinfluence._core.net import FunctionalNet
from skinfluence._core.states import State
from skinfluence._core.tensors import as_net_takes, n_rows
from skinfluence._data.rows import described
from skinfluence._fitting.checkpoints import Snapshots, state_of
from skinfluence._fitting.isolation import interruptible, seeded


def _continue_from(start: NeuralNet, estimator: NeuralNet) -> NeuralNet:
    """Return a copy of the fitted net `start`, with the parameters that `estimator` has by now.

    If the module or the criterion has changed, return a clone of `estimator` instead.
    """
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
    net.set_params(**changed | {"verbose": 0})  # without skorch's "Re-initializing optimizer"
    net.verbose = estimator.verbose
    return net


def fit_net(
    estimator: Any,
    X: Any,
    y: Any,
    reference: tuple[Any, Any],
    seed: int,
    checkpoints: int | Snapshots = 1,
    start: NeuralNet | None = None,
) -> tuple[NeuralNet, list[State]]:
    """Fit a clone of `estimator`; return the clone and its checkpoints, of which the last is final.

    If the net has a ``train_split``, the reference rows replace the validation rows that
    ``train_split`` would split off. The net is then trained on every given row, and early stopping
    still works.

    Parameters
    ----------
    estimator : skorch net, or fitted skorch net in FrozenEstimator, which is returned unchanged
    X, y : rows and labels, checked
    reference : (X, y) of the reference rows
    seed : int
    checkpoints : int or Snapshots, default=1
        Number of checkpoints, or the callback that keeps them.
    start : fitted skorch net, default=None
        Continue from a copy of this net, with the parameters of `estimator`. If `estimator` has a
        different module or criterion, the training starts anew.
    """
    if isinstance(estimator, FrozenEstimator):
        return estimator.estimator, [state_of(estimator.estimator)]
    net = clone(estimator) if start is None else _continue_from(start, estimator)
    _check_sampler(net, n_rows(X))
    split, callbacks = net.train_split, net.callbacks
    watches = split is not None or getattr(
        net, "early_stopping", False
    )  # a parameter of the ready-made nets
    recorder = checkpoints if isinstance(checkpoints, Snapshots) else Snapshots(checkpoints)
    # Not by set_params, which cannot replace callbacks="disable".
    net.callbacks = [*_as_list(callbacks), ("influence_checkpoints", recorder)]
    default = [name for name, _ in net.get_default_callbacks()] if callbacks == "disable" else []
    for name in default:
        setattr(net, f"callbacks__{name}", None)
    if watches:
        net.set_params(
            train_split=predefined_split(net.get_dataset(as_net_takes(reference[0]), reference[1]))
        )
    if net.initialized_:  # the training continues
        net.initialize_callbacks()
    with interruptible(), seeded(seed, net.device):
        try:
            net.fit(as_net_takes(X), y)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            raise _explain(error, X) from error
    # A pickle of the fitted net should hold neither the reference rows nor the checkpoints.
    net.train_split, net.callbacks = split, callbacks
    net.callbacks_ = [(name, cb) for name, cb in net.callbacks_ if cb is not recorder]
    for name in default:
        delattr(net, f"callbacks__{name}")
    # A net that overrides fit, with a closed form for example, may not run callbacks.
    return net, recorder.states_ or [state_of(net)]


def _check_sampler(net: NeuralNet, n: int) -> None:
    """Raise if the net draws its training rows by a sampler that was made for other rows."""
    params = net.get_params_for("iterator_train")
    for name in ("sampler", "batch_sampler"):
        sampler = getattr(params.get(name), "sampler", params.get(name))
        for attribute in ("weights", "data_source", "dataset"):
            rows: Any = getattr(sampler, attribute, None)
            if hasattr(rows, "__len__") and len(rows) != n:
                raise ValueError(
                    f"iterator_train__{name} holds a {type(sampler).__name__} made for "
                    f"{len(rows)} rows, but the net is trained on {n} rows here: folds and "
                    "reference rows are held out of the given rows. Its weights or positions would "
                    "belong to other rows. Remove the sampler and weight the classes in the "
                    "criterion, or train the net first and pass FrozenEstimator(net). If only "
                    "reference rows are held out, it is enough to give X_val and y_val."
                )


def check_net(estimator: Any) -> None:
    """Raise unless `estimator` is a skorch net, or a fitted one in FrozenEstimator."""
    net = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    if not isinstance(net, NeuralNet):
        raise TypeError(
            "estimator= expected a skorch net (NeuralNetClassifier, NeuralNetBinaryClassifier, "
            "NeuralNetRegressor, ...), a fitted skorch net in FrozenEstimator, or None for a "
            f"ready-made net; got {_shown(estimator)}. {how_to_pass(estimator)}"
        )
    if net is not estimator:
        check_is_fitted(net)
    elif isinstance(net.module, torch.nn.Module) and getattr(net, "initialized_", False):
        warnings.warn(
            "the net's module is an instance that has been trained already. A clone of the net "
            "continues from the trained weights, which leaks the rows that the module was trained "
            "on. Pass the module's class (with module__... parameters), or FrozenEstimator(net) to "
            "score the net as it is.",
            UserWarning,
            stacklevel=4,
        )


def how_to_pass(estimator: Any) -> str:
    """Say how an estimator that is not a skorch net can be used."""
    if isinstance(getattr(estimator, "estimator", None), torch.nn.Module):
        return (
            "Wrap the trained module in a net, then freeze the net: FrozenEstimator("
            "skorch.NeuralNetClassifier(module, criterion=torch.nn.CrossEntropyLoss, "
            "classes=[0, 1, ...]).initialize()), with the classes in the order of the outputs."
        )
    if isinstance(estimator, type) and not issubclass(estimator, torch.nn.Module):
        return "Give an instance, not the class."
    if isinstance(estimator, torch.nn.Module | type):
        return (
            "Wrap the module: skorch.NeuralNetClassifier(Module, "
            "criterion=torch.nn.CrossEntropyLoss, train_split=None)."
        )
    if hasattr(estimator, "steps"):
        return (
            "Put its preprocessing steps into a new Pipeline that ends in the scorer "
            "(InfluenceScorer or NoisyLabelDetector), and give the scorer only the net."
        )
    return (
        "For a model of another kind, use FilteredEstimator: it fits the model on the rows that a "
        "selector keeps."
    )


def peek(estimator: Any, X: Any, seed: int) -> tuple[torch.dtype | None, torch.Tensor | None]:
    """Return the dtype in which the net takes the floats of X, and the net's outputs for X.

    A dtype of None means that X is not cast. The net is not trained, and X holds only a few rows.
    If the net cannot run before `fit`, which may set its width, the outputs are None.
    """
    net = estimator.estimator if isinstance(estimator, FrozenEstimator) else clone(estimator)
    with seeded(seed, net.device):
        if net is not getattr(estimator, "estimator", None):
            net.initialize()
        dtype: torch.dtype | None = torch.float32
        try:
            fnet = FunctionalNet(net)
            dtype = fnet.input_dtype(X)
            return dtype, forward(fnet, next(iter(fnet.batches(X)))[0])
        except (RuntimeError, TypeError, ValueError, IndexError):
            return dtype, None


def _explain(error: Exception, X: Any) -> Exception:
    """Return an error that says what to do, or the same error if its cause is not known."""
    if "Expected more than 1 value per channel" in str(error):
        return ValueError(
            f"a batch has a single row ({error}), and BatchNorm needs at least two rows in each "
            f"batch. The net is trained on {n_rows(X)} rows here, without the reference rows; the "
            "last batch has the rows that are left. Choose another batch_size, or leave out a last "
            "batch that is not full: iterator_train__drop_last=True."
        )
    entries = list(X.values()) if isinstance(X, Mapping) else [X]
    dtypes = [str(entry.dtype) for entry in entries if hasattr(entry, "dtype")]
    whole = [dtype for dtype in dtypes if "int" in dtype]
    if whole and "for argument #1 'indices'" in str(error):
        return ValueError(
            f"X is of dtype {whole[0]}, but an embedding of the net's module wants int64 or int32 "
            f"({error}). Convert X to int64."
        )
    floats = [dtype for dtype in dtypes if "float" in dtype]
    if floats and any(text in str(error) for text in ("same dtype", "type should be the same")):
        return ValueError(
            f"X is of dtype {floats[0]}, which the net's module does not take ({error}). Give X in "
            "the dtype of the module, for example torch.as_tensor(X).to(torch.bfloat16)."
        )
    # torch does not collate scalars of uint64: "an integer is required".
    if whole and any(text in str(error) for text in ("dtype", "an integer is required")):
        return ValueError(
            f"X is of dtype {whole[0]} and the net's module wants floats ({error}). Integers are "
            "not converted, since embeddings need them: give X.astype('float32')."
        )
    if as_net_takes(X) is not X and "required positional argument" in str(error):
        return TypeError(
            f"X is a tuple of {len(entries)} inputs, which skorch passes to the module as one "
            f"argument ({error}). Give a dict with the names of the arguments of the module's "
            "forward, such as {'left': X[0], 'right': X[1]}."
        )
    shapes = ("shapes cannot be multiplied", "out of bounds", "target size", "size of tensor a")
    if any(text in str(error) for text in shapes):
        return ValueError(
            f"the net's module does not fit these rows ({error}): X has {described(X)}; the module "
            "must take rows of that shape and have one output per class."
        )
    return error


def _shown(estimator: Any) -> str:
    """Return the repr of an estimator if it is short, else the name of its class."""
    text = repr(estimator)
    return text if len(text) <= 80 else type(estimator).__name__


def _as_list(callbacks: Any) -> list[Any]:
    return list(callbacks) if isinstance(callbacks, list | tuple) else []
