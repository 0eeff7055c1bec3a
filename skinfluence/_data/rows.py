"""Check the user's rows once, and select rows by position; their order never changes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, MappingView, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, check_array, validate_data
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from skinfluence._core.sparse_rows import SparseRows
from skinfluence._core.tensors import is_tuple_of_inputs, n_rows, slice_rows
from skinfluence._data.arrays import refuse_masked, refuse_meta, refuse_unordered
from skinfluence._data.frames import FrameRows, is_frame, is_mixed
from skinfluence._data.items import refuse_random_items
from skinfluence._data.times import refuse_times


@dataclass(frozen=True)
class Forms:
    """Forms of a table that `check_rows` accepts, in addition to those that every net takes.

    Attributes
    ----------
    frames : bool or None
        Whether a DataFrame may have columns that hold no numbers, and missing values; it becomes
        `FrameRows`. None means that every X has to be such a DataFrame, as it was in `fit`.
    sparse : bool
        Whether X may be a sparse matrix, which becomes `SparseRows`.
    """

    frames: bool | None = False
    sparse: bool = False


def check_rows(
    estimator: Any, X: Any, *, reset: bool, name: str = "X", forms: Forms = Forms()
) -> Any:
    """Return X as arrays, tensors, texts or a Dataset: finite, and as wide as in `fit`.

    A tuple of several inputs becomes a dict with the keys 0, 1, ..., see `as_net_takes`.
    """
    refuse_loader(X, name)
    if isinstance(X, Dataset):
        return _check_dataset(X, name)
    if isinstance(X, Mapping) and not issparse(X):  # scipy's dok format is a dict
        return _check_inputs(X, name, "dict")
    if is_tuple_of_inputs(X):
        return _check_inputs(dict(enumerate(X)), name, "tuple")
    X = _stacked(X, name)
    if forms.frames is None and not is_frame(X):
        raise TypeError(
            f"{name} is of {described(X)}, but `fit` was given a DataFrame of mixed columns; "
            "expected a DataFrame with the same columns."
        )
    if forms.frames is None or (forms.frames and is_mixed(X)):
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return FrameRows(X)
    texts = as_texts(X, name)
    if texts is not None:
        return texts
    if isinstance(X, Tensor):
        refuse_meta(name, X)
        X = X.detach()
        if X.ndim >= 2 and X.device.type == "cpu" and X.dtype != torch.bfloat16:
            X = X.numpy()
        else:
            _check_width(estimator, X, reset=reset, name=name)
            return _check_entry(X, name)
    given = X
    refuse_times(X, name)
    try:
        accepted = "csr" if forms.sparse else False
        X = validate_data(
            estimator, X, reset=reset, dtype="numeric", allow_nd=True, accept_sparse=accepted
        )
        if issparse(X):
            return SparseRows(X)
        X = X.astype(np.float64) if X.dtype.kind == "O" else X  # from a pandas categorical
    except (TypeError, ValueError) as error:
        selects = hasattr(estimator, "scorer") or hasattr(estimator, "selector")
        text = _with_advice(error, given, _ENCODER_OF_SCORER if selects else "")
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(text if text.startswith(f"{name} ") else f"{name}: {text}") from error
    return without_negative_strides(X.astype(np.float32) if X.dtype.kind == "b" else X)


def check_size(estimator: Any, X: Any, *, reset: bool) -> int:
    """Return the number of rows; check the number and the names of the columns of a table.

    The entries of a table are not checked, so they may be missing, or strings. Other forms of rows
    are checked as in `check_rows`.
    """
    refuse_loader(X, "X")
    is_table = isinstance(X, list) or len(getattr(X, "shape", ())) == 2
    other_form = isinstance(X, Tensor | Mapping | Dataset) or is_tuple_of_inputs(X)
    if not is_table or other_form or as_texts(X) is not None:
        return n_rows(check_rows(estimator, X, reset=reset))
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    return _num_samples(X)


def _stacked(X: Any, name: str) -> Any:
    """Return X; join a list of tensors. Raise if X has no order, or has masked entries."""
    refuse_masked(name, X)
    if isinstance(X, list | tuple) and len(X) and all(isinstance(row, Tensor) for row in X):
        shapes = {tuple(row.shape) for row in X}
        if len(shapes) > 1:
            raise ValueError(
                f"{name} is a list of tensors of different shapes; expected one tensor per row, "
                "all of one shape. For several inputs, give a dict of arrays, named as in forward."
            )
        for row in X:
            refuse_meta(name, row)
        return torch.stack([row.detach() for row in X])
    if isinstance(X, Set | Iterator | MappingView):
        refuse_unordered(name, X)
    if type(X).__name__ == "LazyFrame":
        raise TypeError(f"{name} is a LazyFrame, which holds no rows yet; give {name}.collect().")
    return X


def _check_dataset(X: Any, name: str) -> Any:
    if isinstance(X, IterableDataset) or not hasattr(X, "__len__"):
        raise TypeError(
            f"{name} is a {type(X).__name__}, which has no length and no order to index; "
            "give a Dataset with __len__ and __getitem__."
        )
    check_not_empty(len(X), name)
    refuse_random_items(X, name)
    return X


def _check_inputs(X: Mapping[Any, Any], name: str, kind: str) -> dict[Any, Any]:
    if not X:
        raise ValueError(f"{name} is a {kind} without entries; at least one array is needed.")
    checked = {key: _check_entry(value, f"{name}[{key!r}]") for key, value in X.items()}
    lengths = {key: len(value) for key, value in checked.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"{name} is a {kind} whose entries differ in their rows: {lengths}.")
    check_not_empty(next(iter(lengths.values())), name)
    return checked


def refuse_loader(X: Any, name: str) -> None:
    """Raise if X is a DataLoader: it may shuffle, and scores could not be matched to rows."""
    if isinstance(X, DataLoader):
        raise TypeError(
            f"{name} is a DataLoader; expected rows in a fixed order, which the net puts into "
            "batches itself. Pass its dataset, loader.dataset."
        )


def without_negative_strides(array: np.ndarray) -> np.ndarray:
    """Return an array that torch can share; torch cannot share a reversed array, so copy it."""
    return np.ascontiguousarray(array) if any(step < 0 for step in array.strides) else array


_ENCODER_OF_SCORER = (
    " If only the scorer needs encoded columns, put the encoder into the selector: its scorer may "
    "be make_pipeline(encoder, InfluenceScorer())."
)


def _with_advice(error: Exception, X: Any, more: str = "") -> str:
    """Return scikit-learn's message about X, with advice that fits the estimators here."""
    first = str(error).split("\n")[0]
    if issparse(X) and "dense data is required" in first:
        return (
            f"{first} The ready-made nets take sparse matrices. For another net, give X.toarray(), "
            f"or put TruncatedSVD in front, which reduces the columns.{more}"
        )
    if "contains NaN" in first:
        missing = getattr(X, "isna", None) or getattr(X, "is_null", None)
        where = ""
        if hasattr(X, "iloc") and missing is not None:
            by_column = missing().sum()
            where = " (" + ", ".join(f"{n} in {c}" for c, n in by_column.items() if n) + ")"
        return (
            f"{first.rstrip('.')}{where}: impute first, as in make_pipeline(SimpleImputer(), ...), "
            f"or drop those rows.{more}"
        )
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        others = _columns_without_numbers(X)
        if len(others):
            return (
                f"X has columns that hold no numbers: {', '.join(map(str, others))}; encode them "
                f"first, with a ColumnTransformer in front ({first.split('. ')[0][:80]}).{more}"
            )
    return f"{error}.{more}" if more and "could not convert" in first else str(error)


def _columns_without_numbers(X: Any) -> list[Any]:
    """Names of the columns of a DataFrame of pandas or polars that hold no numbers."""
    if hasattr(X, "select_dtypes"):
        return list(X.select_dtypes(exclude=["number", "bool"]).columns)
    dtypes = zip(X.columns, X.dtypes, strict=True)
    return [c for c, dtype in dtypes if not dtype.is_numeric() and str(dtype) != "Boolean"]


def as_texts(X: Any, name: str = "X") -> np.ndarray | None:
    """Return X as strings, (n,) of dtype object, or None if it is not a column of texts.

    A column is a list, an array, a Series, or a column of a Hugging Face dataset. A DataFrame or a
    Hugging Face dataset with a single column is treated as that column.
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
            f"{is_text.count(False)} of {len(column)} are not strings); drop or fill those rows."
        )
    texts = np.empty(len(column), dtype=object)
    texts[:] = column
    return texts


def is_text(X: Any) -> bool:
    """Whether rows that were returned by `check_rows` are texts."""
    return isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind == "O"


def described(X: Any) -> str:
    """Shape of X, or its type."""
    return f"shape {np.shape(X)}" if hasattr(X, "shape") else f"type {type(X).__name__}"


def check_reader(X: Any, reads_text: bool) -> None:
    """Raise if the rows are texts and the net takes numbers, or the other way round."""
    if is_text(X) and not reads_text:
        raise ValueError(
            "X is a column of texts, but the net takes numbers: use a net of skinfluence.text, or "
            "turn the texts into numbers first (TextEmbedder, TfidfVectorizer)."
        )
    if reads_text and not is_text(X) and not isinstance(X, Dataset):
        raise ValueError(
            f"the net reads texts, but X is of {described(X)}; expected strings: a list, a "
            "Series, or a frame with one column."
        )


def cast(X: Any, dtype: torch.dtype | None, *, warn: bool = True) -> Any:
    """Cast floats to the net's dtype; integers stay integers, since embeddings need them.

    A dtype of None means that X is not cast. NumPy has no bfloat16, so for this dtype, arrays
    become float32. If the cast makes different rows alike, a warning is given, unless `warn` is
    False.
    """
    if isinstance(X, Mapping):
        return {key: cast(value, dtype, warn=warn) for key, value in X.items()}
    is_tensor = isinstance(X, Tensor) and X.is_floating_point()
    is_array = isinstance(X, np.ndarray) and X.dtype.kind == "f"
    if warn and dtype is None and isinstance(X, np.ndarray) and X.dtype.kind in "iu":
        _warn_of_long_integers(X)
    if not (is_tensor or is_array):
        return X
    if is_array:
        _check_range(X, _ARRAY_DTYPES.get(dtype, np.float32))
    if dtype is None:
        return X
    if is_tensor:
        result = X.to(dtype)
    else:
        result = X.astype(_ARRAY_DTYPES.get(dtype, np.float32), copy=False)
    if warn:
        warn_of_rounded(X, result, "X")
    return result


_ARRAY_DTYPES: dict[Any, type[np.floating]] = {
    torch.float64: np.float64,
    torch.float16: np.float16,
}


def _warn_of_long_integers(X: np.ndarray) -> None:
    """Warn if a net that casts its inputs to float64 loses integers beyond 2^53, such as ids."""
    lost = (X.astype(np.float64).astype(object) != X.astype(object)) if _is_long(X) else np.array(0)
    if lost.any():
        warnings.warn(
            f"X has integers beyond 2**53, and rounding to float64 changes {int(lost.sum())} of "
            f"{X.size} of them. Drop columns of ids; subtract the minimum of other columns.",
            UserWarning,
            stacklevel=3,
        )


def _is_long(X: np.ndarray) -> bool:
    return X.dtype.itemsize == 8 and X.size > 0 and max(int(X.max()), -int(X.min())) > 2**53


def _check_range(X: np.ndarray, dtype: type[np.floating]) -> None:
    """Raise if a value of X is beyond the range of a dtype."""
    largest = max(X.max(), -X.min(), key=abs) if X.size else 0.0
    if abs(largest) > np.finfo(dtype).max:
        raise ValueError(
            f"X has values beyond the range of {np.dtype(dtype)} (largest {abs(largest):.3g}); "
            "scale the columns first, e.g. with StandardScaler."
        )


def warn_of_rounded(given: Any, rounded: Any, name: str) -> None:
    """Warn if rounding to the dtype of `rounded` loses the differences between rows.

    A column of timestamps in seconds since 1970, with values such as 1.7e9 ± 20, becomes almost
    constant when it is rounded to float32. At most 1,000 rows are compared with their rounded
    values. Outliers are left out, because they would hide the spread of the other rows.
    """
    if given.dtype == rounded.dtype or len(given) < 2:
        return
    some = np.linspace(0, len(given) - 1, min(len(given), 1000)).astype(int)
    before, after = (
        _as_float64(values[some]).reshape(len(some), -1) for values in (given, rounded)
    )
    low, high = np.quantile(before, [0.25, 0.75], axis=0)
    spread = np.where(high > low, high - low, before.std(0))
    error = np.quantile(np.abs(after - before), 0.75, axis=0)
    # If the values of a column differ only in their last bits, the column is treated as constant.
    lost = (error > 0.01 * spread) & (spread > 1e-13 * np.abs(before).max(0))
    if not lost.any():
        return
    columns = ", ".join(map(str, np.flatnonzero(lost)[:5])) + (", ..." if lost.sum() > 5 else "")
    warnings.warn(
        f"{name} has values that are large compared with their differences, and rounding to the "
        f"net's {rounded.dtype} loses these differences in {int(lost.sum())} of {len(lost)} "
        f"columns ({columns}). Center the columns first, e.g. with StandardScaler.",
        UserWarning,
        stacklevel=3,
    )


def warn_of_rounded_items(dataset: Any, dtype: torch.dtype | None) -> None:
    """Warn as `warn_of_rounded` does, from a few items of a Dataset."""
    first = _entries(without_label(dataset[0]))
    wide = [key for key, value in first.items() if getattr(value, "dtype", None) in _FLOAT64]
    if not wide or dtype in (None, torch.float64):
        return
    few = np.linspace(0, len(dataset) - 1, min(len(dataset), 20)).astype(int)
    items = [_entries(without_label(dataset[int(i)])) for i in few]
    for key in wide:
        if len({np.shape(item[key]) for item in items}) == 1:
            values = np.stack([_as_float64(item[key]) for item in items])
            warn_of_rounded(values, values.astype(np.float32), "X")


_FLOAT64 = (np.dtype(np.float64), torch.float64)


def _entries(x: Any) -> Mapping[Any, Any]:
    """The entries of one row by name; a row that is not a mapping has one entry."""
    return x if isinstance(x, Mapping) else {"": x}


def _as_float64(values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        return values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def take(X: Any, index: np.ndarray) -> Any:
    """Select rows by position from anything that `check_rows` returns."""
    if isinstance(X, Dataset):
        return Subset(X, index.tolist())
    if isinstance(X, Tensor):
        return X[torch.as_tensor(index, device=X.device)]
    return slice_rows(X, index)


def rows_of(data: Any, index: np.ndarray) -> Any:
    """Select rows by position from any user input; the type of the container stays the same."""
    if issparse(data):  # not every format can be indexed, and scipy's dok format is a dict
        return data.tocsr()[index].asformat(data.format)
    if isinstance(data, Mapping):
        return {key: rows_of(value, index) for key, value in data.items()}
    if is_tuple_of_inputs(data):
        return tuple(rows_of(value, index) for value in data)
    if isinstance(data, Tensor):
        return take(data.detach(), index)
    if isinstance(data, Dataset):
        return take(data, index)
    if _is_pandas_array(data) or _is_arrow(data):
        return data.take(index)
    if not hasattr(data, "__getitem__"):
        data = np.asarray(data)
    return _safe_indexing(data, index)


def labels_like(y: Any, new: np.ndarray) -> Any:
    """Return new labels in the container of y: a Series with its index and name, a list, ..."""
    if isinstance(y, torch.Tensor):
        return torch.as_tensor(new)
    if hasattr(y, "columns"):
        table, names = new.reshape(len(new), -1), list(y.columns)
        if hasattr(y, "iloc"):
            return type(y)(table, index=y.index, columns=names).astype(y.dtypes)
        return type(y)(table, schema=y.schema)  # polars
    if hasattr(y, "iloc"):
        return type(y)(new, index=y.index, name=y.name, dtype=y.dtype)
    if _is_pandas_array(y):
        named = {"name": y.name} if hasattr(y, "name") else {}
        make = type(y) if named else type(y)._from_sequence
        return make(new, dtype=y.dtype, **named)
    if _is_arrow(y):
        import pyarrow

        array = pyarrow.array(new.tolist(), type=y.type)
        return array if isinstance(y, pyarrow.Array) else pyarrow.chunked_array([array])
    if hasattr(y, "to_numpy"):  # polars
        return type(y)(y.name, new.tolist(), dtype=y.dtype)
    return new.tolist() if isinstance(y, list) else new


def _is_pandas_array(values: Any) -> bool:
    """Whether values are a pandas Index, Categorical or other array, but not a Series."""
    return hasattr(values, "isna") and hasattr(values, "take") and not hasattr(values, "iloc")


def _is_arrow(values: Any) -> bool:
    """Whether values are an Array or ChunkedArray of pyarrow."""
    module = type(values).__module__.partition(".")[0]
    return module == "pyarrow" and hasattr(values, "take") and hasattr(values, "type")


def first_rows(X: Any, number: int = 2) -> Any:
    """Return the first few rows."""
    return take(X, np.arange(min(number, n_rows(X))))


def without_label(item: Any) -> Any:
    """Return x of an item (x, y) of a Dataset, or the item itself if it is not a pair."""
    return item[0] if isinstance(item, tuple | list) and len(item) == 2 else item


def _check_entry(value: Any, name: str) -> Any:
    value = _stacked(value, name)
    refuse_times(value, name)
    if isinstance(value, Tensor):
        refuse_meta(name, value)
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f"{name} contains NaN or infinity; impute or drop those rows first.")
        return value.detach()
    checked = check_array(value, ensure_2d=False, allow_nd=True, dtype="numeric", input_name=name)
    return without_negative_strides(checked)


def _check_width(estimator: Any, X: Tensor, *, reset: bool, name: str) -> None:
    if X.ndim < 2:
        raise ValueError(
            f"Expected 2D array, got {name} of shape {tuple(X.shape)} instead. Reshape it: "
            f"{name}[:, None] is one column, {name}[None] is one row."
        )
    if reset:
        estimator.n_features_in_ = X.shape[1]
    elif X.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"{name} has {X.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )


def check_not_empty(n: int, name: str) -> None:
    if n == 0:
        raise ValueError(f"{name} has 0 sample(s); at least one row is needed.")
