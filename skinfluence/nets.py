"""Ready-made skorch nets for tables: they learn the widths, the scales and the classes at fit.

They are skorch nets like any other: clone them, grid-search ``lr`` or ``module__hidden``, put
them into a Pipeline, or subclass them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from skinfluence._core.net import FunctionalNet


class MLP(nn.Module):
    """Multi-layer perceptron over standardised columns.

    The columns' means and scales are buffers that the ready-made nets fill from the training rows,
    so that a table need not be scaled first (and a scaled one is not hurt).

    Parameters
    ----------
    n_inputs, n_outputs : int, default=1
        Widths; the ready-made nets set them at fit.
    hidden : sequence of int, default=(128, 64)
        Widths of the hidden layers; empty gives a linear model.
    dropout : float, default=0.0
        Dropout rate after each hidden layer.

    Attributes
    ----------
    body : torch.nn.Sequential
        Hidden layers.
    head : torch.nn.Linear
        Last layer; ``parameters="head.*"`` restricts influence to it.
    """

    def __init__(
        self,
        n_inputs: int = 1,
        n_outputs: int = 1,
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, width, value in (
            ("x_mean", n_inputs, 0.0),
            ("x_scale", n_inputs, 1.0),
            ("y_mean", n_outputs, 0.0),
            ("y_scale", n_outputs, 1.0),
        ):
            self.register_buffer(name, torch.full((width,), value))
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(n_inputs, width), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
            n_inputs = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(n_inputs, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        """Return logits or predictions, (n, n_outputs)."""
        X = (X.to(self.x_mean.dtype) - self.x_mean) / self.x_scale
        return self.head(self.body(X)) * self.y_scale + self.y_mean


class _Batches:
    """Batches of an array's rows, cut whole: a DataLoader would collate a table row by row."""

    def __init__(self, X: Tensor, y: Tensor, batch_size: int, shuffle: bool) -> None:
        self.X, self.y, self.batch_size, self.shuffle = X, y, batch_size, shuffle

    def __len__(self) -> int:
        return -(-len(self.X) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        n = len(self.X)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        for index in order.split(self.batch_size):
            yield self.X[index], self.y[index]


def table_batches(dataset: Any, batch_size: Any, shuffle: bool = False, **kwargs: Any) -> Any:
    """Batches for ``iterator_train``: cut whole from arrays, by a DataLoader from the rest.

    A `batch_size` of "auto" is a twentieth of the rows, but at least 16 and at most 256: thirty
    epochs then are enough steps for a small table, and not too many for a large one.
    """
    if batch_size == "auto":
        batch_size = min(max(len(dataset) // 20, 16), 256)
    base, rows = dataset, slice(None)
    if isinstance(dataset, Subset):
        base, rows = dataset.dataset, np.asarray(dataset.indices)
    whole = isinstance(getattr(base, "X", None), np.ndarray | Tensor) and base.y is not None
    if not whole or kwargs:
        return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle, **kwargs)
    X, y = (_tensor(values[rows]) for values in (base.X, base.y))
    return _Batches(X, y, batch_size, shuffle)


def _tensor(values: Any) -> Tensor:
    """Values as a tensor; arrays are copied, for torch warns of those that cannot be written."""
    return values.detach() if isinstance(values, Tensor) else torch.tensor(values)


class _FitsToTable:
    """At the start of training: the module's widths and scales, and the criterion's weights."""

    _stratified: bool  # whether validation rows are split off by class

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        default = super()._default_callbacks  # type: ignore[misc]
        # Accuracy each epoch would cost more than the epoch.
        kept = [(name, callback) for name, callback in default if name != "valid_acc"]
        stop = EarlyStopping(patience=5)
        return [*kept, ("early_stopping", stop)] if self.early_stopping else kept

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Split off validation rows where early stopping has none to watch."""
        if not self.early_stopping or self.train_split is not None:
            return super().get_split_datasets(X, y, **fit_params)  # type: ignore[misc]
        self.train_split = ValidSplit(0.2, stratified=self._stratified, random_state=0)
        try:
            return super().get_split_datasets(X, y, **fit_params)  # type: ignore[misc]
        finally:
            self.train_split = None

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Fit the module to the table, before any callback sees it."""
        super().on_train_begin(net, X, y, **kwargs)  # type: ignore[misc]
        if len(net.history) > 0:  # a warm start goes on with the module as it is
            return
        if isinstance(X, Dataset | Mapping) or np.ndim(X) != 2:
            given = f"shape {np.shape(X)}" if hasattr(X, "shape") else f"type {type(X).__name__}"
            raise ValueError(
                "the ready-made nets take a table, an array of shape (n_samples, n_features); got "
                f"X of {given}. Flatten it, or give a net of your own."
            )
        X, y = np.asarray(X), np.asarray(y)
        verbose, net.verbose = net.verbose, 0  # "Re-initializing module" would be no news
        net.set_params(module__n_inputs=X.shape[1], **net._params_for_targets(y))
        net.verbose = verbose
        _fill(net.module_.x_mean, net.module_.x_scale, X)
        net._fit_to_targets(y)


_DEFAULTS: dict[str, Any] = {
    "optimizer": torch.optim.Adam,
    "lr": 1e-3,
    "max_epochs": 30,
    "batch_size": "auto",
    "iterator_train": table_batches,
    "iterator_train__shuffle": True,
    "iterator_valid__batch_size": 1024,  # also what scores are computed in
    "train_split": None,
    "verbose": 0,
}


class TabularClassifier(_FitsToTable, NeuralNetClassifier):
    """Ready-made classifier for tables: an `MLP` on logits, Adam, every row trained on.

    Parameters
    ----------
    module : class, default=MLP
        Takes ``n_inputs`` and ``n_outputs``.
    class_weight : None or "balanced", default=None
        "balanced" weighs the loss of a row by ``n / (n_classes * rows of its class)``.
    early_stopping : bool, default=False
        Stop when the loss on validation rows has not improved for five epochs. Inside this
        library's estimators the reference rows are those rows; used alone, a fifth is split off.
    **kwargs
        Any parameter of :class:`skorch.NeuralNetClassifier`, such as ``lr`` (default 1e-3),
        ``max_epochs`` (30), ``batch_size`` ("auto": a 20th of the rows, from 16 to 256),
        ``module__hidden`` ((128, 64)).

    Notes
    -----
    As for any skorch net, X is an array and labels are 0, 1, ..., n_classes - 1. The estimators of
    this library take any labels and encode them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence.nets import TabularClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = TabularClassifier(max_epochs=20, module__hidden=(32,)).fit(X, y)
    >>> net.predict_proba(X).shape
    (150, 3)
    """

    _stratified = True

    def __init__(
        self,
        module: Any = MLP,
        *args: Any,
        criterion: Any = nn.CrossEntropyLoss,
        class_weight: str | None = None,
        early_stopping: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, *args, criterion=criterion, **(_DEFAULTS | kwargs))
        self.class_weight = class_weight
        self.early_stopping = early_stopping

    def _params_for_targets(self, y: np.ndarray) -> dict[str, Any]:
        if y.dtype.kind not in "iu" or y.min() < 0:
            raise ValueError(
                f"y has dtype {y.dtype}; TabularClassifier alone takes labels 0, 1, ..., "
                "n_classes - 1: encode them with sklearn.preprocessing.LabelEncoder."
            )
        if self.class_weight not in (None, "balanced"):
            raise ValueError(f"class_weight={self.class_weight!r}: expected None or 'balanced'.")
        return {"module__n_outputs": int(y.max()) + 1}

    def _fit_to_targets(self, y: np.ndarray) -> None:
        """Weigh the classes; logits are on a scale of their own."""
        if self.class_weight is None:
            return
        if not hasattr(self.criterion_, "weight"):
            raise ValueError(
                f"class_weight='balanced' needs a criterion that has a weight for each class, as "
                f"CrossEntropyLoss; {type(self.criterion_).__name__} has none."
            )
        present = np.unique(y)
        weight = np.zeros(int(y.max()) + 1, dtype=np.float32)
        weight[present] = compute_class_weight("balanced", classes=present, y=y)
        # On the criterion of this fit: as a parameter it would outlive it, in refits and clones.
        self.criterion_.weight = torch.from_numpy(weight).to(self.device or "cpu")


class TabularRegressor(_FitsToTable, NeuralNetRegressor):
    """Ready-made regressor for tables: an `MLP` with squared loss, Adam, every row trained on.

    The targets' mean and scale are part of the module, so targets need not be scaled.

    Parameters
    ----------
    module : class, default=MLP
        Takes ``n_inputs`` and ``n_outputs`` and has buffers ``y_mean`` and ``y_scale``.
    early_stopping : bool, default=False
        As in `TabularClassifier`.
    **kwargs
        Any parameter of :class:`skorch.NeuralNetRegressor`, such as ``lr`` (default 1e-3),
        ``max_epochs`` (30), ``batch_size`` ("auto": a 20th of the rows, from 16 to 256),
        ``module__hidden`` ((128, 64)).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence.nets import TabularRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> TabularRegressor(max_epochs=5).fit(X, y).predict(X).shape
    (442,)
    """

    _stratified = False

    def __init__(
        self, module: Any = MLP, *args: Any, early_stopping: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(module, *args, **(_DEFAULTS | kwargs))
        self.early_stopping = early_stopping

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any) -> Any:
        """Fit without re-initializing; y of shape (n,) is taken as one column."""
        if y is not None:
            y = np.asarray(y, dtype=np.float32)
            y = y.reshape(len(y), -1)
        return super().partial_fit(X, y, classes, **fit_params)

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions, (n,) or (n, n_outputs)."""
        predicted = super().predict(X)
        return predicted[:, 0] if predicted.shape[1] == 1 else predicted

    def _params_for_targets(self, y: np.ndarray) -> dict[str, Any]:
        return {"module__n_outputs": y.shape[1]}

    def _fit_to_targets(self, y: np.ndarray) -> None:
        _fill(self.module_.y_mean, self.module_.y_scale, y)


def split_head(net: Any, layer: str = "head") -> tuple[Callable[[Any], np.ndarray], Any]:
    """Split a fitted net into its embedding and a net that is its last layer.

    What is made for linear models, such as :class:`skinfluence.attacks.Crossing`, then holds for
    the last layer of any net: give ``embed(X)`` as rows, and ``FrozenEstimator(head)`` as net.

    Parameters
    ----------
    net : skorch net
        Fitted; it is read, never written.
    layer : str, default="head"
        Name of its last layer, as in ``net.module_.named_modules()``.

    Returns
    -------
    embed : callable
        Turns rows into what enters the layer, ndarray of shape (n_samples, n_units).
    head : skorch net
        Fitted, of the class of `net`; ``head.predict(embed(X))`` is ``net.predict(X)``.

    Raises
    ------
    ValueError
        When there is no such layer, or more comes after it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence.nets import TabularClassifier, split_head
    >>> X, y = load_iris(return_X_y=True)
    >>> net = TabularClassifier(max_epochs=20, module__hidden=(32,)).fit(X, y)
    >>> embed, head = split_head(net)
    >>> embed(X).shape
    (150, 32)
    >>> bool((head.predict(embed(X)) == net.predict(X)).all())
    True
    """
    check_is_fitted(net)
    fnet = FunctionalNet(net)
    layers = dict(fnet.shell.named_modules())
    if layer not in layers:
        names = ", ".join(name for name in layers if name)
        raise ValueError(f"layer={layer!r}: the net's module has no such layer; it has {names}.")
    last = copy.deepcopy(layers[layer]).eval()

    def embed(X: Any) -> np.ndarray:
        batches = list(fnet.batches(X))  # before the hook is there: they try the net on two rows
        entered: list[Tensor] = []
        hook = layers[layer].register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
        try:
            with torch.no_grad():
                outputs = [fnet.outputs(fnet.params, Xb) for Xb, _ in batches]
        finally:
            hook.remove()
        if len(entered) != len(outputs):
            raise ValueError(f"layer={layer!r} is not called once a batch; name the last layer.")
        with torch.no_grad():
            same = all(
                f.shape == (g := last(e)).shape and torch.allclose(f, g, rtol=1e-4, atol=1e-5)
                for e, f in zip(entered, outputs, strict=True)
            )
        if not same:
            raise ValueError(
                f"the net's outputs are not those of layer={layer!r}: more comes after it. Name "
                "the last layer."
            )
        return torch.cat(entered).cpu().numpy()

    valid = net.get_params_for("iterator_valid")
    parent = NeuralNetRegressor if isinstance(net, NeuralNetRegressor) else NeuralNetClassifier
    parent = NeuralNetBinaryClassifier if isinstance(net, NeuralNetBinaryClassifier) else parent
    head = parent(
        last,
        criterion=copy.deepcopy(net.criterion_),
        predict_nonlinearity=net.predict_nonlinearity,
        device=net.device,
        train_split=None,
        verbose=0,
        **{f"iterator_valid__{k}": v for k, v in valid.items() if k == "batch_size"},
    ).initialize()
    if hasattr(net, "classes_inferred_"):
        head.classes_inferred_ = net.classes_inferred_
    return embed, head


def is_small(net: Any) -> bool:
    """Whether a net is a ready-made one whose steps are too short to be shared by threads."""
    if not isinstance(net, TabularClassifier | TabularRegressor) or net.module is not MLP:
        return False
    hidden = net.get_params_for("module").get("hidden", (128, 64))
    return net.device == "cpu" and max(hidden, default=0) <= 512


def _fill(mean: Tensor, scale: Tensor, values: np.ndarray) -> None:
    spread = values.std(axis=0, dtype=np.float64)
    centre = values.mean(axis=0, dtype=np.float64)
    # A constant column stays a column of zeros, whatever rounding its mean has had.
    spread[spread <= 1e-7 * np.abs(centre)] = 1.0
    mean.copy_(torch.as_tensor(centre))
    scale.copy_(torch.as_tensor(np.where(spread > 0, spread, 1.0)))
