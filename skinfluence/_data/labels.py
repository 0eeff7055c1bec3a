"""Check the user's labels; translate them to the form that the net accepts, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import is_classifier, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d
from skorch import NeuralNet, NeuralNetBinaryClassifier
from torch.nn import Module
from torch.utils.data import Dataset

from skinfluence._data.arrays import as_array, as_one_type, is_missing, packed
from skinfluence._data.rows import (
    cast,
    check_not_empty,
    warn_of_rounded,
    warn_of_rounded_items,
    without_label,
)
from skinfluence._data.times import holds_times


def check_labels(y: Any, n: int, name: str = "y") -> np.ndarray:
    """Return y as an array with one entry (or one row of outputs) for each of n rows."""
    if y is None:
        raise ValueError(
            f"requires {name} to be passed, but the target {name} is None. "
            "Influence is defined for labeled rows."
        )
    y = _label_array(y, name)
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if len(y) != n:
        hint = " A list of arrays is a list of rows: give several inputs as a tuple or a dict."
        hint = hint if 1 < n < 10 < len(y) else ""
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {n} rows, but {name} "
            f"has {len(y)}.{hint}"
        )
    missing = is_missing(y)
    if missing.any():
        raise ValueError(
            f"{name} contains NaN or infinity in {int(missing.sum())} of {n} rows; drop or fill "
            f"those rows first.{_HOW_TO_MASK if y.ndim > 1 else ''}"
        )
    if y.dtype.kind != "O":
        return y
    if holds_times(y):
        raise TypeError(
            f"{name} holds dates or durations as Python objects. If they are classes, give strings "
            f"or numpy.asarray({name}, 'datetime64[D]'). If they are regression targets, give days "
            f"since a start: {_AS_DAYS.format(name)}."
        )
    return as_one_type(y, name)


_AS_DAYS = "({} - start) / numpy.timedelta64(1, 'D')"
_HOW_TO_MASK = (
    " If the criterion should skip missing targets, replace them by a number such as -999, and let "
    "the criterion skip the targets that are equal to this number."
)


def _label_array(y: Any, name: str) -> np.ndarray:
    """Return labels as an array, before their values are checked."""
    if issparse(y):
        raise TypeError(f"{name} is a sparse matrix; give {name}.toarray().")
    array = as_array(name, y)
    if array.ndim == 0:
        raise ValueError(
            f"{name}={y!r} cannot be considered a valid collection; expected one label per row."
        )
    if array.dtype.kind in "cSV":
        advice = f"; give {name}.astype(str)" if array.dtype.kind == "S" else ""
        raise ValueError(
            f"{name} has dtype {array.dtype}. Complex data not supported, and labels are numbers "
            f"or strings{advice}."
        )
    check_not_empty(len(array), name)
    return array


def own_labels(X: Any, y: Any) -> Any:
    """Return y or, if it is None, the labels in the items of a Dataset."""
    return dataset_labels(X) if y is None and isinstance(X, Dataset) else y


def dataset_labels(dataset: Any) -> np.ndarray:
    """Return the labels of a Dataset of (x, y) items, in order."""
    first = dataset[0]
    if not isinstance(first, tuple | list) or len(first) != 2:
        raise ValueError(
            f"y is None, and the Dataset's items are not (x, y) pairs but of type "
            f"{type(first).__name__}; give y, or a Dataset whose items are pairs."
        )
    labels = [dataset[i][1] for i in range(len(dataset))]
    if all(isinstance(label, str) for label in labels):
        return np.array(labels, dtype=object)
    labels = [as_array(f"the label of item {i}", y) for i, y in enumerate(labels)]
    if len({label.shape for label in labels}) > 1:
        raise ValueError(
            "the labels of the Dataset's items differ in shape; expected labels of one shape."
        )
    return np.stack(labels)


class RelabeledDataset(Dataset[tuple[Any, Any]]):
    """A Dataset with other labels: encoded labels, or new labels from a rule that relabels rows."""

    def __init__(self, items: Any, y: Any, dtype: torch.dtype | None = None) -> None:
        self.items, self.y, self.dtype = items, y, dtype

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        x = without_label(self.items[index])
        return x if self.dtype is None else cast(x, self.dtype, warn=False), self.y[index]


def with_labels(X: Any, y: np.ndarray, dtype: torch.dtype | None, *, warn: bool = True) -> Any:
    """Return X, cast. A Dataset gets y as its labels, since skorch ignores y for a Dataset."""
    if not isinstance(X, Dataset):
        return cast(X, dtype, warn=warn)
    if warn:
        warn_of_rounded_items(X, dtype)
    return RelabeledDataset(X, y, dtype)


class Labels:
    """Translate the user's labels to the form that the net's criterion accepts, and back.

    Labels that are indices of outputs of the net are not changed, even if some outputs have no
    label in y, because class weights, ``ignore_index`` and a pretrained head refer to these
    indices. All other labels are numbered 0, 1, ... in sorted order.

    Attributes
    ----------
    classes_ : ndarray or None
        The user's labels, sorted; None for a regressor.
    codes_ : ndarray or None
        For each class, the index of its output of the net; None for a regressor.
    ignored_ : int or None
        The ``ignore_index`` of the criterion. It is not a class: rows with it have no loss, so
        they score 0.
    """

    classes_: np.ndarray | None
    codes_: np.ndarray | None
    ignored_: int | None

    def __init__(
        self, net: Any, y: np.ndarray, *, dtype: Any, output_shape: tuple[int, ...] | None
    ) -> None:
        self._frozen = frozen = isinstance(net, FrozenEstimator)
        net = net.estimator if frozen else net
        self.is_classification = is_classifier(net)
        self.is_regression = is_regressor(net)
        self.reads_text = getattr(net, "reads_text", False)
        self.classes_ = self.codes_ = self.ignored_ = None
        self._float = np.float64 if dtype is torch.float64 else np.float32
        self._binary = isinstance(net, NeuralNetBinaryClassifier)
        self._column = output_shape is None or len(output_shape) != 1
        self._n_outputs = output_shape[1] if output_shape and len(output_shape) > 1 else 0
        if self.is_classification:
            self._learn_classes(net, y, frozen)

    def _learn_classes(self, net: Any, y: np.ndarray, frozen: bool) -> None:
        y = self._one_column(y, "y")
        check_classification_targets(y)
        self.ignored_ = None if self._binary or y.dtype.kind not in "iuf" else _ignored_by(net)
        given = np.unique(y[~self.is_ignored(y)])
        known, codes = _known_classes(net) if frozen else self._indices(given)
        is_class = ~self.is_ignored(known)
        known, codes = known[is_class], codes[is_class]
        if len(known) < 2:
            raise ValueError(
                f"y has one class only ({_list_some(known)}); at least two classes are needed to "
                "tell a right label from a wrong one."
            )
        if self._binary and len(known) != 2:
            raise ValueError(
                "a NeuralNetBinaryClassifier needs two classes, y has "
                f"{len(known)}: {_list_some(known)}."
            )
        order = np.argsort(known)
        self.classes_, self.codes_ = known[order], codes[order]

    @staticmethod
    def _one_column(y: np.ndarray, name: str) -> np.ndarray:
        """Return class labels; raise if a row has several of them."""
        if y.ndim == 1:
            return y
        raise ValueError(
            f"{name} should be a 1d array, got an array of shape {y.shape} instead: a classifier "
            "has one label per row. For several labels per row, use skorch.NeuralNet with a "
            "criterion for them, such as NeuralNet(module, criterion=torch.nn.BCEWithLogitsLoss) "
            "and targets of float32, or CrossEntropyLoss for a mask of classes."
        )

    def _indices(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return labels, and the indices of their outputs."""
        if not self._binary and labels.dtype.kind in "iuf" and len(labels):
            whole = (labels == np.floor(labels)).all()
            if whole and labels.min() >= 0 and labels.max() < self._n_outputs:
                return labels, labels.astype(np.int64)
        return _number(labels)

    def is_ignored(self, y: np.ndarray) -> np.ndarray:
        """Return a mask of the rows whose label is the criterion's ``ignore_index``."""
        if self.ignored_ is None or y.dtype.kind not in "iuf":
            return np.zeros(len(y), dtype=bool)
        return y == self.ignored_

    def refuse_ignored(self, y: np.ndarray, name: str) -> None:
        """Raise if a label is the criterion's ``ignore_index``."""
        number = int(self.is_ignored(y).sum())
        if number:
            raise ValueError(
                f"{name} is {self.ignored_}, the ignore_index of the criterion, in {number} of "
                f"{len(y)} rows. These rows have no label that could be right or wrong: leave "
                f"them out, as in X[{name} != {self.ignored_}]."
            )

    def refuse_several(self, y: np.ndarray) -> None:
        """Raise if the net's outputs cannot be suggested as labels, since y has another shape."""
        width = 1 if y.ndim == 1 else y.shape[1]
        same = self._n_outputs in (0, width)
        if not self.is_classification and not self.reads_text and (y.ndim > 2 or not same):
            raise ValueError(
                f"y has shape {y.shape}, and the net has {self._n_outputs} outputs per row: its "
                "outputs cannot be compared with y. Give a NeuralNetClassifier for one label per "
                "row; for masks, score rows with InfluenceScorer(net, method=SelfInfluence())."
            )

    @property
    def columns_(self) -> np.ndarray | None:
        """Class of each column of the net's predicted probabilities; None for a regressor."""
        if self.classes_ is None:
            return None
        classes, codes = self._class_codes()
        in_order = np.argsort(codes)
        is_full = np.array_equal(codes[in_order], np.arange(len(in_order)))
        if is_full and (self._n_outputs <= len(codes) or not _are_equal(classes, codes)):
            return classes[in_order]
        # With labels such as 0 and 2, there is also a column for 1.
        return np.arange(max(codes.max() + 1, self._n_outputs))

    def encode(self, y: np.ndarray, name: str = "y") -> np.ndarray:
        """Return y in the form that the net's criterion accepts."""
        if self.classes_ is not None:
            codes = self._encode_classes(self._one_column(y, name), name)
            return codes.astype(self._float) if self._binary else codes
        if self.reads_text:
            if y.ndim > 1 or y.dtype.kind not in "UO":
                raise ValueError(
                    f"{name} has shape {y.shape} and dtype {y.dtype}; expected the answers that "
                    "the language model learns, one string per row."
                )
            return y
        if y.dtype.kind not in "fiub":
            days = f", such as days: {_AS_DAYS.format(name)}" if y.dtype.kind in "mM" else ""
            raise ValueError(
                f"Unknown label type: {name} has dtype {y.dtype}; a regressor needs numbers{days}."
            )
        if self.is_regression or y.dtype.kind == "f":
            given, y = y, y.astype(self._float)
            warn_of_rounded(given, y, name)
        if self.is_regression and y.ndim == 1 and self._column:
            y = y.reshape(-1, 1)  # against outputs (n, 1), y (n,) would broadcast to n x n
        return y

    def _encode_classes(self, y: np.ndarray, name: str) -> np.ndarray:
        classes, codes = self._class_codes()
        ignored = self.is_ignored(y)
        if _are_comparable(classes, y):
            position = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
            if ((classes[position] == y) | ignored).all():
                found = codes[position]
                return found if self.ignored_ is None else np.where(ignored, self.ignored_, found)
        unseen = sorted({str(v) for v in y[~ignored]} - {str(c) for c in classes})
        hint = ""
        if self._frozen and len(np.unique(y)) == len(classes):
            hint = (
                " If the net's outputs are these classes under other names, set the names, in the "
                "order of the outputs, before you freeze the net: net.classes = "
                f"[{_list_some(np.unique(y))}]."
            )
        raise ValueError(
            f"{name} contains labels that the net was not fitted on: "
            f"{', '.join(unseen[:5]) or f'dtype {y.dtype}'}; it knows {_list_some(classes)}.{hint}"
        )

    def decode(self, index: np.ndarray) -> np.ndarray:
        """Return the user's labels for positions in `classes_`."""
        return self._class_codes()[0][index]

    def _class_codes(self) -> tuple[np.ndarray, np.ndarray]:
        """`classes_` and `codes_` of a classifier."""
        if self.classes_ is None or self.codes_ is None:
            raise ValueError("labels are numbers, not classes.")
        return self.classes_, self.codes_


def ignored_rows(net: Any, y: np.ndarray) -> np.ndarray:
    """Return a mask of the rows whose label is the ``ignore_index`` of a net that may be unfitted.

    Only the labels of a skorch classifier can be ignored.
    """
    net = net.estimator if isinstance(net, FrozenEstimator) else net
    has_classes = isinstance(net, NeuralNet) and is_classifier(net)
    if not has_classes or isinstance(net, NeuralNetBinaryClassifier) or y.dtype.kind not in "iuf":
        return np.zeros(len(y), dtype=bool)
    ignored = _ignored_by(net)
    return np.zeros(len(y), dtype=bool) if ignored is None else y == ignored


def _ignored_by(net: Any) -> int | None:
    """Return the ``ignore_index`` of a net's criterion, or of a part of it; None without one."""
    criterion = getattr(net, "criterion_", None)
    if criterion is None:
        criterion = net.initialized_instance(net.criterion, net.get_params_for("criterion"))
    parts = criterion.modules() if isinstance(criterion, Module) else [criterion]
    found: list[Any] = [part.ignore_index for part in parts if hasattr(part, "ignore_index")]
    return int(found[0]) if found else None


def _are_equal(classes: np.ndarray, codes: np.ndarray) -> bool:
    return classes.dtype.kind in "iuf" and np.array_equal(classes, codes)


def _number(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and 0, 1, ... as the indices of their outputs."""
    return labels, np.arange(len(labels))


def _known_classes(net: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of a frozen net, and the indices of their outputs."""
    named, seen = getattr(net, "classes", None), getattr(net, "classes_inferred_", None)
    try:
        known = packed(net.classes_ if named is None else named)
    except AttributeError as error:
        raise ValueError(
            "the frozen net does not know its classes, since it was not trained by fit(X, y). Set "
            "the classes before freezing the net, in the order of outputs: net.classes = [0, 1]."
        ) from error
    # If the net was trained on numbers, they are the indices of its outputs. Names are in the order
    # of the outputs.
    own = known if seen is None and named is None else seen
    if known.dtype.kind in "iufb" and own is not None and np.isin(own, known).all():
        return known, known.astype(np.int64)
    return _number(known)


def default_task(y: np.ndarray) -> str:
    """Return "classification" or "regression", depending on y.

    Whole numbers are class labels, with one exception: they are regression targets if there are
    more than 20 distinct values and at least one of the following holds. Either y has a float
    dtype, or there are more distinct values than a tenth of the number of rows.
    """
    kind = type_of_target(y, input_name="y")
    if kind == "multiclass" and y.dtype.kind in "iuf":
        distinct = len(np.unique(y))
        if distinct > 20 and (y.dtype.kind == "f" or distinct > len(y) / 10):
            return "regression"
    if kind in ("binary", "multiclass"):
        return "classification"
    if kind in ("continuous", "continuous-multioutput", "multiclass-multioutput"):
        return "regression"
    raise ValueError(
        f"Unknown label type: y is {kind!r}; the ready-made nets take class labels or numbers. "
        "For anything else, give your own net."
    )


def _are_comparable(classes: np.ndarray, y: np.ndarray) -> bool:
    numeric = "iufb"
    return (classes.dtype.kind in numeric) == (y.dtype.kind in numeric)


def _list_some(values: np.ndarray, most: int = 10) -> str:
    shown = ", ".join(repr(v.item() if hasattr(v, "item") else v) for v in values[:most])
    return shown + (f", ... ({len(values)} in all)" if len(values) > most else "")
