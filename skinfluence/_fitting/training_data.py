"""The first step of every fit: check rows and labels, and put them into the form of the net."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from skinfluence._core.tensors import n_rows
from skinfluence._data.frames import FrameRows
from skinfluence._data.labels import Labels, check_labels, default_task, own_labels, with_labels
from skinfluence._data.params import draw_seed
from skinfluence._data.reference import check_reference, check_reference_size
from skinfluence._data.rows import (
    Forms,
    cast,
    check_reader,
    check_rows,
    first_rows,
    is_text,
    take,
)
from skinfluence._fitting.fit import check_net, peek
from skinfluence.nets import TabularClassifier, TabularRegressor, is_ready_made


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
    encoder : transformer or None
        Turns `FrameRows` into numbers, not yet fitted; None if X holds numbers. In the data that
        `encoded` returns, X holds numbers, and this is the encoder that they come from.
    """

    net: Any
    X: Any
    given: np.ndarray
    y: np.ndarray
    labels: Labels
    dtype: torch.dtype | None
    reference: tuple[Any, np.ndarray] | None
    seed: int
    encoder: Any = None

    @property
    def stratify(self) -> bool:
        """Whether splits keep the proportions of the classes."""
        return self.labels.is_classification

    def encoded(self, rows: np.ndarray | None = None) -> TrainingData:
        """The same data with X as numbers, by an encoder fitted on these rows; None means all."""
        if self.encoder is None:
            return self
        fitted_on = self.X if rows is None else take(self.X, rows)
        with _with_a_way_out():
            encoder = clone(self.encoder).fit(fitted_on.frame)
        reference = self.reference
        if reference is not None:
            reference = encode_rows(encoder, reference[0]), reference[1]
        X = encode_rows(encoder, self.X)
        return replace(self, X=X, reference=reference, encoder=encoder)

    def split(self, held: np.ndarray) -> tuple[Any, np.ndarray, tuple[Any, np.ndarray]]:
        """Return training rows, their labels, and the held-out rows as the reference."""
        rest = np.setdiff1d(np.arange(len(self.y)), held)
        reference = take(self.X, held), self.y[held]
        return take(self.X, rest), self.y[rest], reference


@contextmanager
def _with_a_way_out() -> Iterator[None]:
    """Let the error of a missing package say that an encoder of the user needs no such package."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"X is a DataFrame of mixed columns, and {error} Or put an encoder of your own in "
            "front, as in make_pipeline(ColumnTransformer(...), NoisyLabelDetector())."
        ) from error


def encode_rows(encoder: Any, X: Any) -> Any:
    """Return rows as numbers, by a fitted encoder; rows that hold numbers are not changed."""
    return encoder.transform(X.frame) if isinstance(X, FrameRows) else X


def make_encoder(X: FrameRows) -> Any:
    """Return an encoder of mixed columns for these rows, not yet fitted.

    It leaves out the columns from which nothing can be learned. They are found here, because a row
    number shows only while all rows are there in their order. Everything else is learned in `fit`,
    from the training rows of one net.
    """
    with _with_a_way_out():
        # Here, because it needs pandas.
        from skinfluence.columns import ColumnEncoder
        from skinfluence.columns._encoder import find_left_out

        return ColumnEncoder(ignore=find_left_out(X.frame))


def read_training_data(estimator: Any, X: Any, y: Any, X_val: Any, y_val: Any) -> TrainingData:
    """Check what was given to the `fit` of an estimator of this library, and translate it.

    For the ready-made net, X may be a DataFrame of mixed columns with gaps.
    """
    if estimator.estimator is not None:
        check_net(estimator.estimator)
    forms = Forms(estimator.estimator is None, is_ready_made(estimator.estimator))
    X = check_rows(estimator, X, reset=True, forms=forms)
    is_mixed = isinstance(X, FrameRows)
    estimator._forms = Forms(None if is_mixed else False, forms.sparse)
    encoder = make_encoder(X) if is_mixed else None
    given = check_labels(own_labels(X, y), n_rows(X))
    net = _net_for(given) if estimator.estimator is None else estimator.estimator
    reads_text = getattr(getattr(net, "estimator", net), "reads_text", False)
    check_reader(X, reads_text)
    seed = draw_seed(estimator.random_state)
    dtype: torch.dtype | None = torch.float32
    outputs = None
    if not is_text(X):
        few = np.zeros((2, 1), np.float32) if is_mixed else first_rows(X)
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
    return TrainingData(net, X, given, encoded, labels, dtype, reference, seed, encoder)


def _net_for(y: np.ndarray) -> Any:
    return TabularRegressor() if default_task(y) == "regression" else TabularClassifier()


def _read_reference(
    estimator: Any, reference: tuple[Any, Any], labels: Labels, dtype: torch.dtype | None
) -> tuple[Any, np.ndarray]:
    X = check_rows(estimator, reference[0], reset=False, name="X_val", forms=estimator._forms)
    check_reader(X, labels.reads_text)
    y = check_labels(own_labels(X, reference[1]), n_rows(X), "y_val")
    labels.refuse_ignored(y, "y_val")
    check_reference_size(y, labels.classes_)
    y = labels.encode(y, "y_val")
    return with_labels(X, y, dtype), y


def _check_new_rows(estimator: Any, X: Any) -> Any:
    """Check rows of the form of those in `fit`; an estimator with one encoder gets numbers."""
    X = check_rows(estimator, X, reset=False, forms=getattr(estimator, "_forms", Forms()))
    encoder = getattr(estimator, "encoder_", None)
    return X if encoder is None else encode_rows(encoder, X)


def read_rows(
    estimator: Any, X: Any, y: Any, labels: Labels, dtype: torch.dtype | None
) -> tuple[Any, np.ndarray | None]:
    """Check rows to score. If y is None, it stays None unless a Dataset holds the labels."""
    X = _check_new_rows(estimator, X)
    check_reader(X, labels.reads_text)
    y = own_labels(X, y)
    if y is None:
        return cast(X, dtype), None
    y = labels.encode(check_labels(y, n_rows(X)))
    return with_labels(X, y, dtype), y


def read_unlabeled(estimator: Any, X: Any, labels: Labels, dtype: torch.dtype | None) -> Any:
    """Check rows for a classifier, without labels; labels in a Dataset are not read."""
    X = _check_new_rows(estimator, X)
    check_reader(X, labels.reads_text)
    anything = labels.encode(labels.decode(np.zeros(n_rows(X), int)))
    return with_labels(X, anything, dtype)
