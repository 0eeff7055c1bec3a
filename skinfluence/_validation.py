"""What users hand in, checked once and put into the form that nets take; rows keep their order.

Everything that is refused is refused here, with what was given, what was expected and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import is_classifier, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, column_or_1d, validate_data
from skorch import NeuralNetBinaryClassifier
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset

from skinfluence._functional import n_rows, slice_rows


def check_rows(estimator: Any, X: Any, *, reset: bool, name: str = "X") -> Any:
    """Return X as arrays, tensors or a Dataset: finite, numeric, of the width seen in fit."""
    if isinstance(X, Dataset):
        if isinstance(X, IterableDataset) or not hasattr(X, "__len__"):
            raise TypeError(
                f"{name} is a {type(X).__name__}, which has no length and no order to index; "
                "give a Dataset with __len__ and __getitem__."
            )
        _check_some(len(X), name)
        return X
    if isinstance(X, Mapping) and not issparse(X):  # scipy's dok format is a dict
        if not X:
            raise ValueError(f"{name} is a dict without entries; at least one array is needed.")
        checked = {key: _check_entry(value, f"{name}[{key!r}]") for key, value in X.items()}
        lengths = {key: len(value) for key, value in checked.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"{name} is a dict whose entries differ in their rows: {lengths}.")
        _check_some(next(iter(lengths.values())), name)
        return checked
    texts = as_texts(X, name)
    if texts is not None:
        return texts
    if isinstance(X, Tensor):
        X = X.detach()
        if X.ndim >= 2 and X.device.type == "cpu" and X.dtype != torch.bfloat16:
            X = X.numpy()
        else:
            _check_width(estimator, X, reset=reset, name=name)
            return _check_entry(X, name)
    given = X
    try:
        X = validate_data(estimator, X, reset=reset, dtype="numeric", allow_nd=True)
        X = X.astype(np.float64) if X.dtype.kind == "O" else X  # of a pandas categorical
    except (TypeError, ValueError) as error:
        text = _advice(error, given)
        if name == "X" and text == str(error):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(text if name == "X" else f"{name}: {text}") from error
    return forwards(X.astype(np.float32) if X.dtype.kind == "b" else X)


def forwards(array: np.ndarray) -> np.ndarray:
    """Return an array that torch can share: not one that is reversed."""
    return np.ascontiguousarray(array) if any(step < 0 for step in array.strides) else array


def _advice(error: Exception, X: Any) -> str:
    """What scikit-learn found wrong with X, and what to do about it before *our* estimators."""
    first = str(error).split("\n")[0]
    if "contains NaN" in first:
        missing = getattr(X, "isna", None) or getattr(X, "is_null", None)
        where = ""
        if hasattr(X, "iloc") and missing is not None:
            by_column = missing().sum()
            where = " (" + ", ".join(f"{n} in {c}" for c, n in by_column.items() if n) + ")"
        return (
            f"{first.rstrip('.')}{where}: impute first, as in make_pipeline(SimpleImputer(), ...), "
            "or drop those rows."
        )
    if hasattr(X, "select_dtypes"):
        others = X.select_dtypes(exclude=["number", "bool"]).columns
        if len(others):
            return (
                f"X has columns that hold no numbers: {', '.join(map(str, others))}; encode them "
                f"first, with a ColumnTransformer in front ({first.split('. ')[0][:80]})."
            )
    return str(error)


def as_texts(X: Any, name: str = "X") -> np.ndarray | None:
    """Return X as strings, (n,) of dtype object, or None where it is no column of texts.

    A column is a list, an array, a Series, a column of a Hugging Face dataset, or a frame or such
    a dataset that has no other.
    """
    if isinstance(X, Tensor | str | bytes) or issparse(X):
        return None
    names = getattr(X, "column_names", getattr(X, "columns", None))
    if names is not None and len(names) == 1:
        X = X[next(iter(names))]
    elif names is not None or len(getattr(X, "shape", "1")) != 1 or not hasattr(X, "__getitem__"):
        return None
    column = [] if getattr(getattr(X, "dtype", None), "kind", "O") in "iufbcmM" else list(X)
    is_text = [isinstance(value, str) for value in column]
    if not any(is_text):
        return None
    if not all(is_text):
        at = is_text.index(False)
        raise ValueError(
            f"{name} is a column of texts, but entry {at} is {column[at]!r} (and "
            f"{is_text.count(False)} of {len(column)} are no strings); drop or fill those rows."
        )
    texts = np.empty(len(column), dtype=object)
    texts[:] = column
    return texts


def is_text(X: Any) -> bool:
    """Whether rows that `check_rows` returned are texts."""
    return isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind == "O"


def described(X: Any) -> str:
    """Shape of X, or its type."""
    return f"shape {np.shape(X)}" if hasattr(X, "shape") else f"type {type(X).__name__}"


def check_reader(X: Any, reads_text: bool) -> None:
    """Raise where rows are texts and the net takes numbers, or the other way round."""
    if is_text(X) and not reads_text:
        raise ValueError(
            "X is a column of texts, and the net takes numbers: use a net of skinfluence.text, or "
            "turn the texts into numbers first (TextEmbedder, TfidfVectorizer)."
        )
    if reads_text and not is_text(X) and not isinstance(X, Dataset):
        raise ValueError(
            f"the net reads texts, but X is of {described(X)}; expected strings: a list, a "
            "Series, or a frame with one column."
        )


def check_labels(y: Any, n: int, name: str = "y") -> np.ndarray:
    """Return y as an array with one entry (or one row of outputs) for each of n rows."""
    if y is None:
        raise ValueError(
            f"requires {name} to be passed, but the target {name} is None. "
            "Influence is defined for labelled rows."
        )
    if isinstance(y, Tensor):
        y = y.detach().cpu()
        y = (y.float() if y.dtype == torch.bfloat16 else y).numpy()
    elif hasattr(y, "to_numpy") and len(np.shape(y)) == 1:
        y = np.asarray(y)  # check_array would turn pandas' nullable integers into floats
    y = check_array(
        y, ensure_2d=False, dtype=None, ensure_all_finite=False, input_name=name, allow_nd=False
    )
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if len(y) != n:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {n} rows, but {name} "
            f"has {len(y)}."
        )
    missing = _is_missing(y)
    if missing.any():
        raise ValueError(
            f"{name} contains NaN or infinity in {int(missing.sum())} of {n} rows; drop or fill "
            "those rows first."
        )
    return _of_one_type(y, name) if y.dtype.kind == "O" else y


def own_labels(X: Any, y: Any) -> Any:
    """Return y, or where it is None the labels that a Dataset carries itself."""
    return labels_of(X) if y is None and isinstance(X, Dataset) else y


def labels_of(dataset: Dataset) -> np.ndarray:
    """Targets of a Dataset of (x, y) items, in order."""
    first = dataset[0]
    if not isinstance(first, tuple | list) or len(first) != 2:
        raise ValueError(
            f"y is None and the Dataset's items are no (x, y) pairs but {type(first).__name__}; "
            "give y, or a Dataset whose items are pairs."
        )
    return np.stack([np.asarray(dataset[i][1]) for i in range(len(dataset))])


class Relabelled(Dataset):
    """The items of a Dataset with other labels: as the net's criterion takes them, or a rule's."""

    def __init__(self, items: Any, y: Any, dtype: torch.dtype | None = None) -> None:
        self.items, self.y, self.dtype = items, y, dtype

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        x = _without_label(self.items[index])
        return x if self.dtype is None else cast(x, self.dtype), self.y[index]


def with_labels(X: Any, y: np.ndarray, dtype: torch.dtype) -> Any:
    """Return X, cast; a Dataset's items get the labels y, since skorch looks at no others."""
    return Relabelled(X, y, dtype) if isinstance(X, Dataset) else cast(X, dtype)


def check_reference(X_val: Any, y_val: Any) -> tuple[Any, Any] | None:
    """Return (X_val, y_val) or None; 1-tuples, which a grid search does not slice, are opened."""
    X_val, y_val = (v[0] if isinstance(v, tuple) and len(v) == 1 else v for v in (X_val, y_val))
    if X_val is None and y_val is None:
        return None
    if X_val is None:
        raise ValueError("y_val was provided, but X_val was not: give both, or neither.")
    if y_val is None and not isinstance(X_val, Dataset):
        raise ValueError("X_val was provided, but y_val was not: give both, or neither.")
    return X_val, y_val


# What `fit` of our estimators takes beside X and y; metadata routing hands it on unasked.
REFERENCE_ARGUMENTS = ("X_val", "y_val", "sensitive_features", "sensitive_features_val")


def check_groups(
    of_rows: Any, of_val: Any, n: int, reference: tuple[Any, Any] | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the group of each row, and of each row of X_val; None where not given."""
    if isinstance(of_val, tuple) and len(of_val) == 1:
        of_val = of_val[0]
    if reference is None and of_val is not None:
        raise ValueError(
            "sensitive_features_val was provided, but X_val was not: give sensitive_features, "
            "aligned with X, from which the reference rows are split off."
        )
    if reference is not None and of_rows is not None and of_val is None:
        raise ValueError(
            "sensitive_features is aligned with X; the reference rows are X_val: give their groups "
            "as sensitive_features_val."
        )
    if of_rows is not None:
        of_rows = _as_groups(of_rows, n, "sensitive_features")
    if of_val is not None and reference is not None:
        of_val = _as_groups(of_val, n_rows(reference[0]), "sensitive_features_val")
    return of_rows, of_val


def check_groups_present(of_reference: np.ndarray, of_rows: np.ndarray) -> None:
    """Raise where a group of the rows has no reference row."""
    absent = np.setdiff1d(of_rows, of_reference)
    if len(absent):
        rows = int((of_rows == absent[0]).sum())
        raise ValueError(
            f"group {absent[0].item()!r} of sensitive_features has {rows} rows, but none among the "
            "reference rows; give more rows of it, a larger validation_fraction, X_val with "
            "sensitive_features_val, or merge the group."
        )


def _as_groups(values: Any, n: int, name: str) -> np.ndarray:
    """One label a row; several columns are crossed, as in fairlearn."""
    # Of a list with a NaN among its strings, numpy would make the string "nan".
    columns = np.asarray(values, dtype=object if isinstance(values, list | tuple) else None)
    if isinstance(values, Tensor):
        columns = values.detach().cpu().numpy()
    if columns.ndim not in (1, 2) or len(columns) != n:
        raise ValueError(
            f"{name} has shape {columns.shape}; expected one entry (or one row of columns) for "
            f"each of {n} rows."
        )
    columns = columns.reshape(n, -1)
    missing = _is_missing(columns)
    if missing.any():
        raise ValueError(
            f"{name} has {int(missing.sum())} missing entries; give those rows a group of their "
            "own, or drop them."
        )
    if columns.shape[1] == 1:
        column = columns[:, 0]
        column = _of_one_type(column, name) if column.dtype.kind == "O" else column
        return column.astype(str) if column.dtype.kind == "O" else column  # such as pandas.cut's
    # Doubled, so that ("a & b", "c") and ("a", "b & c") stay two groups.
    return np.array([" & ".join(str(v).replace("&", "&&") for v in row) for row in columns])


class Labels:
    """How the user's labels are written for the net, and back.

    Attributes
    ----------
    classes_ : ndarray or None
        The user's labels, sorted; None for a regressor.
    codes_ : ndarray or None
        What the net calls them: the number of an output.
    """

    def __init__(self, net: Any, y: np.ndarray, *, dtype: Any, output_ndim: int | None) -> None:
        self._frozen = frozen = isinstance(net, FrozenEstimator)
        net = net.estimator if frozen else net
        self.is_classification = is_classifier(net)
        self.is_regression = is_regressor(net)
        self.reads_text = getattr(net, "reads_text", False)
        self.classes_ = self.codes_ = None
        self._float = np.float64 if dtype is torch.float64 else np.float32
        self._binary = isinstance(net, NeuralNetBinaryClassifier)
        self._column = output_ndim != 1
        if self.is_classification:
            self._learn_classes(net, y, frozen)

    def _learn_classes(self, net: Any, y: np.ndarray, frozen: bool) -> None:
        y = column_or_1d(y)
        check_classification_targets(y)
        known, codes = _known_classes(net) if frozen else _as_codes(np.unique(y))
        if len(known) < 2:
            raise ValueError(
                f"y has one class only ({_some(known)}); at least two classes are needed to tell a "
                "right label from a wrong one."
            )
        if self._binary and len(known) != 2:
            raise ValueError(
                "a NeuralNetBinaryClassifier needs two classes, y has "
                f"{len(known)}: {_some(known)}."
            )
        order = np.argsort(known)
        self.classes_, self.codes_ = known[order], codes[order]

    @property
    def columns_(self) -> np.ndarray | None:
        """Class of each column of the net's probabilities; None for a regressor."""
        if self.codes_ is None:
            return None
        in_order = np.argsort(self.codes_)
        if np.array_equal(self.codes_[in_order], np.arange(len(in_order))):
            return self.classes_[in_order]
        # A frozen net was fitted on numbers with gaps: it has a column for those between, too.
        return np.arange(self.codes_.max() + 1)

    def encode(self, y: np.ndarray, name: str = "y") -> np.ndarray:
        """Return y as the net's criterion takes it."""
        if self.is_classification:
            y = column_or_1d(y)
            position = np.searchsorted(self.classes_, y) if _comparable(self.classes_, y) else None
            if position is not None:
                position = np.minimum(position, len(self.classes_) - 1)
            if position is None or (self.classes_[position] != y).any():
                unseen = sorted({str(v) for v in y} - {str(c) for c in self.classes_})
                hint = ""
                if self._frozen and len(np.unique(y)) == len(self.classes_):
                    hint = (
                        " If its outputs are these classes by other names, tell it before it is "
                        "frozen, in the order of the outputs: net.classes = "
                        f"[{_some(np.unique(y))}]."
                    )
                raise ValueError(
                    f"{name} contains labels that the net was not fitted on: "
                    f"{', '.join(unseen[:5]) or f'dtype {y.dtype}'}; it knows "
                    f"{_some(self.classes_)}.{hint}"
                )
            codes = self.codes_[position]
            return codes.astype(self._float) if self._binary else codes
        if self.reads_text:
            if y.ndim > 1 or y.dtype.kind != "U":
                raise ValueError(
                    f"{name} is of shape {y.shape} and dtype {y.dtype}; the answers that a language"
                    " model learns are texts, one string a row."
                )
            return y
        if y.dtype.kind not in "fiub":
            raise ValueError(
                f"Unknown label type: {name} has dtype {y.dtype}; a regressor needs numbers."
            )
        if self.is_regression or y.dtype.kind == "f":
            y = y.astype(self._float)
        if self.is_regression and y.ndim == 1 and self._column:
            y = y.reshape(-1, 1)  # against outputs (n, 1), y (n,) would broadcast to n x n
        return y

    def decode(self, index: np.ndarray) -> np.ndarray:
        """Return the user's labels for positions in `classes_`."""
        return self.classes_[index]


def _as_codes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return labels, np.arange(len(labels))


def _known_classes(net: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels of a frozen net, and the numbers of their outputs."""
    named, seen = getattr(net, "classes", None), getattr(net, "classes_inferred_", None)
    try:
        known = np.asarray(net.classes_ if named is None else named)
    except AttributeError as error:
        raise ValueError(
            "the frozen net does not know its classes, for it was not trained by fit(X, y): tell "
            "it before it is frozen, in the order of its outputs: net.classes = [0, 1]."
        ) from error
    # Numbers that it was itself trained on are numbers of outputs; names are in the outputs' order.
    own = known if seen is None and named is None else seen
    if known.dtype.kind in "iufb" and own is not None and np.isin(own, known).all():
        return known, known.astype(np.int64)
    return _as_codes(known)


def default_task(y: np.ndarray) -> str:
    """Return "classification" or "regression", as y asks.

    Whole numbers are labels, unless there are more than 20 different ones and either y is of a
    float dtype or they are more than a tenth of the rows.
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
        "Give a net of your own for anything else."
    )


def cast(X: Any, dtype: torch.dtype) -> Any:
    """Floats to the net's dtype, integers as they are (embeddings need them)."""
    if isinstance(X, Mapping):
        return {key: cast(value, dtype) for key, value in X.items()}
    if isinstance(X, Tensor):
        return X.to(dtype) if X.is_floating_point() else X
    if isinstance(X, np.ndarray) and X.dtype.kind == "f":
        wanted = np.float64 if dtype is torch.float64 else np.float32
        with np.errstate(over="ignore"):
            result = X.astype(wanted, copy=False)
        if not np.isfinite(result).all():
            raise ValueError(
                f"X has values beyond the range of {result.dtype} (largest "
                f"{np.abs(X).max():.3g}); scale the columns first, e.g. with StandardScaler."
            )
        return result
    return X


def has_floats(X: Any) -> bool:
    """Whether any entry would be cast."""
    if isinstance(X, Dataset):
        return has_floats(_without_label(X[0]))
    values = X.values() if isinstance(X, Mapping) else [X]
    return any(
        (isinstance(v, Tensor) and v.is_floating_point())
        or (isinstance(v, np.ndarray) and v.dtype.kind == "f")
        for v in values
    )


def take(X: Any, index: np.ndarray) -> Any:
    """Rows by index array, of anything that `check_rows` returns."""
    if isinstance(X, Dataset):
        return Subset(X, index.tolist())
    if isinstance(X, Tensor):
        return X[torch.as_tensor(index, device=X.device)]
    return slice_rows(X, index)


def hold_out(
    y: np.ndarray,
    fraction: Any,
    rng: np.random.RandomState,
    *,
    stratify: bool,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Sorted indices of about `fraction` of the rows; of each class alike, but never all of one.

    With `stratify`, of each class; with `groups`, of each group.
    """
    if not (isinstance(fraction, Real) and 0 < fraction < 1):
        raise ValueError(f"validation_fraction={fraction!r}: expected a number between 0 and 1.")
    chosen = []
    for rows in _strata(y, stratify, groups):
        size = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        chosen.append(rng.permutation(rows)[:size])
    held = np.sort(np.concatenate(chosen))
    if not len(held):
        raise ValueError(
            f"no reference rows can be split off {len(y)} rows (n_samples={len(y)}) without taking "
            "the last row of a class; give more rows, or X_val and y_val."
        )
    return held


def folds(
    y: np.ndarray,
    number: int,
    rng: np.random.RandomState,
    *,
    stratify: bool,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Fold of each row, (n,); -1 for the only row of its class, which every fit must see."""
    fold = np.full(len(y), -1)
    start = 0
    for rows in _strata(y, stratify, groups):
        if len(rows) > 1:
            fold[rng.permutation(rows)] = (start + np.arange(len(rows))) % number
            start += len(rows)
    if len(np.unique(fold[fold >= 0])) < number:
        raise ValueError(
            f"cv={number} needs at least {number} rows to fold, in classes of two or more; "
            f"got n_samples={len(y)}. Give more rows, a smaller cv, or X_val and y_val."
        )
    return fold


def check_reference_size(y_val: np.ndarray, classes: np.ndarray | None) -> None:
    """Raise where there are fewer reference rows than classes."""
    if classes is not None and len(y_val) < len(classes):
        raise ValueError(
            f"{len(y_val)} reference rows for {len(classes)} classes; at least one a class is "
            "needed: give more X_val, a larger validation_fraction, or a smaller cv. What helps or "
            "harms single rows is asked with skinfluence.pairwise.top_rows."
        )


def check_count(owner: Any, name: str) -> None:
    """Raise unless a parameter of an object is an integer above 0."""
    value = getattr(owner, name)
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"{type(owner).__name__}({name}={value!r}): expected an integer, 1 or more."
        )


def draw_seed(random_state: Any) -> int:
    """One seed for torch out of a scikit-learn `random_state`."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def pass_seed(random_state: Any, *estimators: Any) -> None:
    """Seed estimators that have a `random_state` of None; without a seed to pass, do nothing."""
    if random_state is None:
        return
    seed = draw_seed(random_state)
    for estimator in estimators:
        if estimator.get_params(deep=False).get("random_state", 0) is None:
            estimator.set_params(random_state=seed)


def first_rows(X: Any, number: int = 2) -> Any:
    """Return the first few rows."""
    return take(X, np.arange(min(number, n_rows(X))))


def _without_label(item: Any) -> Any:
    return item[0] if isinstance(item, tuple | list) and len(item) == 2 else item


def _strata(y: np.ndarray, stratify: bool, groups: np.ndarray | None) -> list[np.ndarray]:
    """Rows of each class, of each group, or of each class in each group."""
    keys = [y] if stratify else []
    keys += [] if groups is None else [groups]
    if not keys:
        return [np.arange(len(y))]
    codes = np.stack([np.unique(key, return_inverse=True)[1] for key in keys], 1)
    cell = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
    return [np.flatnonzero(cell == k) for k in range(cell.max() + 1)]


def _check_entry(value: Any, name: str) -> Any:
    if isinstance(value, Tensor):
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f"{name} contains NaN or infinity; impute or drop those rows first.")
        return value.detach()
    checked = check_array(value, ensure_2d=False, allow_nd=True, dtype="numeric", input_name=name)
    return forwards(checked)


def _check_width(estimator: Any, X: Tensor, *, reset: bool, name: str) -> None:
    if X.ndim < 2:
        raise ValueError(
            f"Expected 2D array, got {name} of shape {tuple(X.shape)} instead. Reshape your data."
        )
    if reset:
        estimator.n_features_in_ = X.shape[1]
    elif X.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"{name} has {X.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )


def _check_some(n: int, name: str) -> None:
    if n == 0:
        raise ValueError(f"{name} has 0 sample(s); at least one row is needed.")


def _is_missing(y: np.ndarray) -> np.ndarray:
    if y.dtype.kind == "f":
        missing = ~np.isfinite(y)
    elif y.dtype.kind == "O":
        # None, NaN and pandas' NA: what does not equal itself, or cannot say that it does
        missing = np.vectorize(_is_na, otypes=[bool])(y)
    else:
        missing = np.zeros(y.shape, dtype=bool)
    return missing.reshape(len(y), -1).any(1)


def _is_na(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True


def _of_one_type(y: np.ndarray, name: str) -> np.ndarray:
    kinds = {"text" if isinstance(v, str) else "number" for v in y.ravel()}
    if len(kinds) > 1:
        raise ValueError(f"{name} mixes text and numbers; make its labels all of one type.")
    return np.array(y.tolist())


def _comparable(classes: np.ndarray, y: np.ndarray) -> bool:
    numeric = "iufb"
    return (classes.dtype.kind in numeric) == (y.dtype.kind in numeric)


def _some(values: np.ndarray, most: int = 10) -> str:
    shown = ", ".join(repr(v.item() if hasattr(v, "item") else v) for v in values[:most])
    return shown + (f", ... ({len(values)} in all)" if len(values) > most else "")
