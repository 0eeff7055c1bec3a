"""Ready-made skorch nets for tables; training first sets the widths and scales of their module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.frozen import FrozenEstimator
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.sparsefuncs import mean_variance_axis
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import Dataset

from skinfluence._core.sparse_rows import SparseRows
from skinfluence._data.params import check_bool, check_choice
from skinfluence.nets._batches import table_batches
from skinfluence.nets._mlp import MLP


class _FitsToTable:
    """Mixin that sets the widths and scales of the module at the start of training."""

    early_stopping: bool
    train_split: Any
    _stratified: bool  # whether the split into training and validation rows is stratified

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        check_bool("early_stopping", self.early_stopping)
        default = super()._default_callbacks  # type: ignore[misc]
        # Computing the accuracy of each epoch would cost more than the epoch.
        kept = [(name, callback) for name, callback in default if name != "valid_acc"]
        stop = EarlyStopping(patience=5)
        return [*kept, ("early_stopping", stop)] if self.early_stopping else kept

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Split off validation rows if early stopping needs some and no split is set."""
        if not self.early_stopping or self.train_split is not None:
            return super().get_split_datasets(X, y, **fit_params)  # type: ignore[misc]
        self.train_split = ValidSplit(0.2, stratified=self._stratified, random_state=0)
        try:
            return super().get_split_datasets(X, y, **fit_params)  # type: ignore[misc]
        finally:
            self.train_split = None

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Set the widths and scales of the module from the table, before any callback runs."""
        super().on_train_begin(net, X, y, **kwargs)  # type: ignore[misc]
        if len(net.history) > 0:  # a warm start continues with the module as it is
            return
        X = SparseRows(X.tocsr()) if issparse(X) else X
        if isinstance(X, Dataset | Mapping) or len(np.shape(X)) != 2:
            given = f"shape {np.shape(X)}" if hasattr(X, "shape") else f"type {type(X).__name__}"
            raise ValueError(
                "the ready-made nets take a table, an array of shape (n_samples, n_features), but "
                f"X is of {given}. Flatten it, or use a net of your own."
            )
        X, y = X if isinstance(X, SparseRows) else np.asarray(X), np.asarray(y)
        verbose, net.verbose = net.verbose, 0  # no message "Re-initializing module"
        net.set_params(module__n_inputs=X.shape[1], **net._params_for_targets(y))
        net.verbose = verbose
        _set_scale(net.module_, "x", X)
        net._fit_to_targets(y)


_DEFAULTS: dict[str, Any] = {
    "optimizer": torch.optim.Adam,
    "lr": 1e-3,
    "max_epochs": 30,
    "batch_size": "auto",
    "iterator_train": table_batches,
    "iterator_train__shuffle": True,
    "iterator_valid__batch_size": 1024,  # scores are also computed in batches of this size
    "train_split": None,
    "verbose": 0,
}


class TabularClassifier(_FitsToTable, NeuralNetClassifier):
    """Ready-made classifier for tables: an `MLP` with logits, trained by Adam on every row.

    Parameters
    ----------
    module : class, default=MLP
        Module with the parameters ``n_inputs`` and ``n_outputs``.
    *args : tuple
        Further positional parameters of :class:`skorch.NeuralNetClassifier`.
    criterion : class, default=torch.nn.CrossEntropyLoss
        Loss of the logits.
    class_weight : None or "balanced", default=None
        "balanced" multiplies the loss of a row by ``n / (n_classes * n_c)``, where n_c is the
        number of rows of its class.
    early_stopping : bool, default=False
        Stop when the loss on validation rows has not improved for five epochs. Inside this
        library's estimators, the reference rows serve as validation rows. Otherwise, a fifth of the
        rows is split off as validation rows.
    **kwargs : dict
        Any parameter of :class:`skorch.NeuralNetClassifier`, such as ``lr`` (default 1e-3),
        ``max_epochs`` (30), ``batch_size`` ("auto": a 20th of the rows, from 16 to 256),
        ``module__hidden`` ((128, 64)).

    Notes
    -----
    As for any skorch net, X is an array and labels are 0, 1, ..., n_classes - 1. The estimators of
    this library accept any labels and encode them.

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

    def _labeled(self, y: np.ndarray) -> np.ndarray:
        """Leave out the labels that the criterion ignores."""
        return y[y != getattr(self.criterion_, "ignore_index", None)]

    def _params_for_targets(self, y: np.ndarray) -> dict[str, Any]:
        y = self._labeled(y)
        if y.dtype.kind not in "iu" or y.min() < 0:
            raise ValueError(
                f"y has dtype {y.dtype}; without one of this library's estimators, "
                "TabularClassifier takes labels 0, 1, ..., n_classes - 1. Encode them with "
                "sklearn.preprocessing.LabelEncoder."
            )
        check_choice("class_weight", self.class_weight, (None, "balanced"))
        return {"module__n_outputs": int(y.max()) + 1}

    def _fit_to_targets(self, y: np.ndarray) -> None:
        """Set the class weights; logits need no scale."""
        if self.class_weight is None:
            return
        if not hasattr(self.criterion_, "weight"):
            raise ValueError(
                "class_weight='balanced' needs a criterion that has a weight for each class, such "
                f"as CrossEntropyLoss; {type(self.criterion_).__name__} has no weight."
            )
        y = self._labeled(y)
        present = np.unique(y)
        weight = np.zeros(int(y.max()) + 1, dtype=np.float32)
        weight[present] = compute_class_weight("balanced", classes=present, y=y)
        # Set on the fitted criterion: a parameter of the net would be kept in refits and clones.
        self.criterion_.weight = torch.from_numpy(weight).to(self.device or "cpu")


class TabularRegressor(_FitsToTable, NeuralNetRegressor):
    """Ready-made regressor for tables: an `MLP` with squared loss, trained by Adam on every row.

    The mean and scale of the targets are part of the module, so targets need not be scaled.

    Parameters
    ----------
    module : class, default=MLP
        Module with the parameters ``n_inputs`` and ``n_outputs`` and the buffers ``y_mean`` and
        ``y_scale``.
    *args : tuple
        Further positional parameters of :class:`skorch.NeuralNetRegressor`.
    early_stopping : bool, default=False
        As in `TabularClassifier`.
    **kwargs : dict
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
        """Continue training without initializing the net again.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets. Shape (n_samples,) is treated as one column.
        classes : Ignored
            Present for the API of skorch.
        **fit_params : dict
            Passed to skorch.

        Returns
        -------
        self : TabularRegressor
            The fitted net.
        """
        if y is not None:
            y = np.asarray(y, dtype=np.float32)
            y = y.reshape(len(y), -1)
        return super().partial_fit(X, y, classes, **fit_params)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the targets of rows.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        predicted : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            One dimension if the net has one output.
        """
        predicted = super().predict(X)
        return predicted[:, 0] if predicted.shape[1] == 1 else predicted

    def _params_for_targets(self, y: np.ndarray) -> dict[str, Any]:
        return {"module__n_outputs": y.shape[1]}

    def _fit_to_targets(self, y: np.ndarray) -> None:
        _set_scale(self.module_, "y", y)


def is_ready_made(net: Any) -> bool:
    """Whether a net is a ready-made net; None stands for one."""
    net = net.estimator if isinstance(net, FrozenEstimator) else net
    return net is None or isinstance(net, TabularClassifier | TabularRegressor)


def is_small(net: Any) -> bool:
    """Whether a net is ready-made, with training steps too short to gain from several threads."""
    if not isinstance(net, TabularClassifier | TabularRegressor) or net.module is not MLP:
        return False
    hidden = net.get_params_for("module").get("hidden", (128, 64))
    return net.device == "cpu" and max(hidden, default=0) <= 512


def _set_scale(module: Any, prefix: str, values: np.ndarray | SparseRows) -> None:
    """Write the mean and standard deviation of each column into the buffers of a module."""
    spread, center = _spread_and_mean(values)
    precision = 1e-7 if values.dtype in (np.float32, np.float16) else 1e-15
    # A column that is constant, apart from rounding, becomes a column of zeros.
    is_constant = spread <= precision * np.abs(center)
    scale = np.where(is_constant, np.maximum(1.0, 1e-7 * np.abs(center)), spread)
    mean = getattr(module, f"{prefix}_mean")
    mean.copy_(torch.as_tensor(center))
    getattr(module, f"{prefix}_scale").copy_(torch.as_tensor(scale))
    if hasattr(module, f"{prefix}_mean_rest"):
        rest = torch.as_tensor(center) - mean.double().cpu()
        getattr(module, f"{prefix}_mean_rest").copy_(rest)


def _spread_and_mean(values: np.ndarray | SparseRows) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation and mean of each column."""
    if isinstance(values, SparseRows):
        center, variance = mean_variance_axis(values.matrix.astype(np.float64), axis=0)
        return np.sqrt(variance), center
    first = values[0].astype(np.float64)
    shifted = values - first  # a constant column is then exactly zero
    return shifted.std(axis=0), first + shifted.mean(axis=0)
