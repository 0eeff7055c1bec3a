"""The first step of every fit: check rows and labels, and put them into the form of the net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from skinfluence._core.tensors import n_rows
from skinfluence._data.labels import Labels, check_labels, default_task, own_labels, with_labels
from skinfluence._data.params import draw_seed
from skinfluence._data.reference import check_reference, check_reference_size
from skinfluence._data.rows import (
    cast,
    check_reader,
    check_rows,
    first_rows,
    is_text,
    take,
)
from skinfluence._fitting.fit import check_net, peek
from skinfluence.nets import TabularClassifier, TabularRegressor


@dataclass
class TrainingData:
    """Rows and labels, in the form that `net` accepts.

    Attributes
    ----------
    net : skorch net or FrozenEstimator
        The user's net, or the ready-made one for y.
    X : rows
        Floats have a dtype that the net takes.
    given : ndarray of shape (n,)
        The labels as the user gave them.
    y : ndarray
        The labels in the form that the net's criterion accepts.
    labels : Labels
        Translates between `given` and `y`.
    dtype : torch.dtype or None
        Data type in which the net takes the floats of X; None if they are not cast.
    reference : (X, y) in the same form, or None
        None if the user gave no reference rows.
    seed : int
    """

    net: Any
    X: Any
    given: np.ndarray
    y: np.ndarray
    labels: Labels
    dtype: torch.dtype | None
    reference: tuple[Any, np.ndarray] | None
    seed: int

    @property
    def stratify(self) -> bool:
        """Whether splits keep the proportions of the classes."""
        return self.labels.is_classification

    def split(self, held: np.ndarray) -> tuple[Any, np.ndarray, tuple[Any, np.ndarray]]:
        """Return training rows, their labels, and the held-out rows as the reference."""
        rest = np.setdiff1d(np.arange(len(self.y)), held)
        reference = take(self.X, held), self.y[held]
        return take(self.X, rest), self.y[rest], reference


def read_training_data(estimator: Any, X: Any, y: Any, X_val: Any, y_val: Any) -> TrainingData:
    """Check what was given to the `fit` of an estimator of this library, and translate it."""
    if estimator.estimator is not None:
        check_net(estimator.estimator)
    X = check_rows(estimator, X, reset=True)
    given = check_labels(own_labels(X, y), n_rows(X))
    net = _net_for(given) if estimator.estimator is None else estimator.estimator
    reads_text = getattr(getattr(net, "estimator", net), "reads_text", False)
    check_reader(X, reads_text)
    seed = draw_seed(estimator.random_state)
    dtype: torch.dtype | None = torch.float32
    outputs = None
    if not is_text(X):
        few = first_rows(X)
        few = with_labels(few, np.zeros(n_rows(few)), None)
        dtype, outputs = peek(net, few, seed)
    if outputs is None:
        labels = Labels(net, given, dtype=dtype, output_shape=None)
    else:
        labels = Labels(net, given, dtype=outputs.dtype, output_shape=tuple(outputs.shape))
    reference = check_reference(X_val, y_val)
    if reference is not None:
        reference = _read_reference(estimator, reference, labels, dtype)
    encoded = labels.encode(given)
    X = with_labels(X, encoded, dtype)
    return TrainingData(net, X, given, encoded, labels, dtype, reference, seed)


def _net_for(y: np.ndarray) -> Any:
    return TabularRegressor() if default_task(y) == "regression" else TabularClassifier()


def _read_reference(
    estimator: Any, reference: tuple[Any, Any], labels: Labels, dtype: torch.dtype | None
) -> tuple[Any, np.ndarray]:
    X = check_rows(estimator, reference[0], reset=False, name="X_val")
    check_reader(X, labels.reads_text)
    y = check_labels(own_labels(X, reference[1]), n_rows(X), "y_val")
    labels.refuse_ignored(y, "y_val")
    check_reference_size(y, labels.classes_)
    y = labels.encode(y, "y_val")
    return with_labels(X, y, dtype), y


def read_rows(
    estimator: Any, X: Any, y: Any, labels: Labels, dtype: torch.dtype | None
) -> tuple[Any, np.ndarray | None]:
    """Check rows to score. If y is None, it stays None unless a Dataset holds the labels."""
    X = check_rows(estimator, X, reset=False)
    check_reader(X, labels.reads_text)
    y = own_labels(X, y)
    if y is None:
        return cast(X, dtype), None
    y = labels.encode(check_labels(y, n_rows(X)))
    return with_labels(X, y, dtype), y


def read_unlabeled(estimator: Any, X: Any, labels: Labels, dtype: torch.dtype | None) -> Any:
    """Check rows for a classifier, without labels; labels in a Dataset are not read."""
    X = check_rows(estimator, X, reset=False)
    check_reader(X, labels.reads_text)
    anything = labels.encode(labels.decode(np.zeros(n_rows(X), int)))
    return with_labels(X, anything, dtype)
