"""Reference rows and groups: checked if given, split off the training rows if not."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from skinfluence._core.tensors import n_rows
from skinfluence._data.arrays import as_array, as_one_type, is_missing, packed
from skinfluence._data.params import check_number
from skinfluence._data.rows import refuse_loader


def check_reference(X_val: Any, y_val: Any) -> tuple[Any, Any] | None:
    """Return (X_val, y_val), or None if neither is given.

    Each may be a 1-tuple, since a grid search does not slice a 1-tuple; its element is returned.
    """
    X_val, y_val = (v[0] if isinstance(v, tuple) and len(v) == 1 else v for v in (X_val, y_val))
    if X_val is None and y_val is None:
        return None
    if X_val is None:
        raise ValueError("y_val was provided, but X_val was not: give both, or neither.")
    refuse_loader(X_val, "X_val")
    if y_val is None and not isinstance(X_val, Dataset):
        raise ValueError("X_val was provided, but y_val was not: give both, or neither.")
    return X_val, y_val


# Arguments of `fit` after X and y; metadata routing passes them on without a request.
REFERENCE_ARGUMENTS = ("X_val", "y_val", "sensitive_features", "sensitive_features_val")


def check_groups(
    of_rows: Any, of_val: Any, n: int, reference: tuple[Any, Any] | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the groups of the rows of X and of X_val; None for an argument that is not given."""
    if isinstance(of_val, tuple) and len(of_val) == 1:
        of_val = of_val[0]
    if reference is None and of_val is not None:
        raise ValueError(
            "sensitive_features_val was provided, but X_val was not: give sensitive_features, with "
            "one entry per row of X; the reference rows are split off X."
        )
    if reference is not None and of_rows is not None and of_val is None:
        raise ValueError(
            "sensitive_features holds the groups of X, but the reference rows are X_val: give "
            "the groups of X_val as sensitive_features_val."
        )
    if of_rows is not None:
        of_rows = _as_groups(of_rows, n, "sensitive_features")
    if of_val is not None and reference is not None:
        of_val = _as_groups(of_val, n_rows(reference[0]), "sensitive_features_val")
    return of_rows, of_val


def check_groups_present(of_reference: np.ndarray, of_rows: np.ndarray) -> None:
    """Raise if a group of the rows has no reference row."""
    absent = np.setdiff1d(of_rows, of_reference)
    if len(absent):
        rows = int((of_rows == absent[0]).sum())
        raise ValueError(
            f"group {absent[0].item()!r} of sensitive_features has {rows} rows, but none of them "
            "is a reference row; give more rows of this group, a larger validation_fraction, or "
            "X_val with sensitive_features_val, or merge this group with another group."
        )


def _as_groups(values: Any, n: int, name: str) -> np.ndarray:
    """Return one label per row; several columns are crossed, as in fairlearn."""
    columns = as_array(name, values)
    if columns.dtype.kind == "U" and isinstance(values, list | tuple):
        # For a list with a NaN among its strings, numpy would make the string "nan".
        columns = np.array(values, dtype=object)
    if columns.ndim not in (1, 2) or len(columns) != n:
        raise ValueError(
            f"{name} has shape {columns.shape}; expected one entry (or one row of columns) for "
            f"each of {n} rows."
        )
    columns = columns.reshape(n, -1)
    missing = is_missing(columns)
    if missing.any():
        raise ValueError(
            f"{name} has {int(missing.sum())} missing entries; put those rows into a separate "
            "group, or drop them."
        )
    if columns.shape[1] == 1:
        column = columns[:, 0]
        column = as_one_type(column, name) if column.dtype.kind == "O" else column
        # still objects: the intervals of pandas.cut, for example
        return column.astype(str) if column.dtype.kind == "O" else column
    # An "&" in a label is doubled, so that ("a & b", "c") and ("a", "b & c") stay two groups.
    return packed([" & ".join(str(v).replace("&", "&&") for v in row) for row in columns])


def hold_out(
    y: np.ndarray,
    fraction: Any,
    rng: np.random.RandomState,
    *,
    stratify: bool,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Draw about `fraction` of the rows as reference rows; return their sorted positions.

    With `stratify`, the same share is drawn from each class; with `groups`, from each group. At
    least one row of each class or group is not drawn.
    """
    wanted = "a number between 0 and 1"
    fraction = check_number("validation_fraction", fraction, wanted, lambda share: 0 < share < 1)
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
    """Draw the fold of each row, (n,).

    If a class (or group) has only one row, this row is in no fold, and its fold number is -1. It is
    then a training row of every fit.
    """
    fold = np.full(len(y), -1)
    start = 0
    for rows in _strata(y, stratify, groups) if number <= len(y) else []:
        if len(rows) > 1:
            fold[rng.permutation(rows)] = (start + np.arange(len(rows))) % number
            start += len(rows)
    if len(np.unique(fold[fold >= 0])) < number:
        raise ValueError(
            f"cv={number} needs at least {number} rows, in classes of two rows or more; got "
            f"n_samples={len(y)}. Give more rows, a smaller cv, or X_val and y_val."
        )
    return fold


def check_reference_size(y_val: np.ndarray, classes: np.ndarray | None) -> None:
    """Raise if there are fewer reference rows than classes."""
    if classes is not None and len(y_val) < len(classes):
        raise ValueError(
            f"{len(y_val)} reference rows for {len(classes)} classes; at least one row per class "
            "is needed: give more rows in X_val, a larger validation_fraction, or a smaller cv. To "
            "find the rows that help or harm a single row, use skinfluence.pairwise.top_rows."
        )


def _strata(y: np.ndarray, stratify: bool, groups: np.ndarray | None) -> list[np.ndarray]:
    """Return the rows of each class, of each group, or of each class in each group."""
    keys = [y] if stratify else []
    keys += [] if groups is None else [groups]
    if not keys:
        return [np.arange(len(y))]
    codes = np.stack([np.unique(key, return_inverse=True)[1] for key in keys], 1)
    cell = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
    return [np.flatnonzero(cell == k) for k in range(cell.max() + 1)]
