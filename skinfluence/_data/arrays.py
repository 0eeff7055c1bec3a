"""Check arrays that are given as arguments: their type, their shape, their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MappingView, Set
from typing import Any

import numpy as np


def check_numbers(
    name: str,
    values: Any,
    shape: tuple[int | None, ...] | None = (None,),
    hint: str = "",
    *,
    finite: bool = True,
) -> np.ndarray:
    """Return an argument as an array of float64.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    values : array-like
        What was given: an array, a list, a Series, a tensor.
    shape : tuple of int or None, or None, default=(None,)
        The expected shape. An entry None allows any length of its axis, and ``shape=None`` allows
        any shape. If one axis is expected, an array of shape (n, 1) is accepted as well.
    hint : str, default=""
        What the entries stand for, such as ``"one number per row"``. It ends the message about a
        wrong shape.
    finite : bool, default=True
        Whether NaN and infinite values are refused.

    Returns
    -------
    values : ndarray of float64

    Raises
    ------
    TypeError
        If the argument is not an array of numbers.
    ValueError
        If the shape is not the expected one, or if `finite` is true and a value is NaN or infinite.
    """
    array = check_values(name, values, shape, hint)
    texts = array.dtype.kind == "O" and any(isinstance(v, str | bytes) for v in array.ravel())
    if array.dtype.kind not in "biufO" or texts:
        what = "holds text" if texts else f"has dtype {array.dtype}"
        raise TypeError(f"{name} {what}; expected numbers.")
    try:
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} holds values that are not numbers ({error}).") from error
    bad = ~np.isfinite(array)
    if finite and bad.any():
        raise ValueError(
            f"{name} holds {int(bad.sum())} NaN or infinite values; each must be a number."
        )
    return array


def check_values(
    name: str, values: Any, shape: tuple[int | None, ...] | None = (None,), hint: str = ""
) -> np.ndarray:
    """Return an argument as an array of any dtype, of the given shape; see `check_numbers`."""
    array = as_array(name, values)
    if shape is None:
        return array
    if len(shape) == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    fits = array.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("n" if size is None else str(size) for size in shape)
        wanted = f"({wanted},)" if len(shape) == 1 else f"({wanted})"
        raise ValueError(
            f"{name} has shape {array.shape}; expected {wanted}{', ' if hint else ''}{hint}."
        )
    return array


def check_mask(
    name: str, values: Any, shape: tuple[int | None, ...] = (None,), hint: str = ""
) -> np.ndarray:
    """Return an argument as an array of bool; 0 and 1 are accepted as well."""
    array = check_values(name, values, shape, hint)
    if array.dtype.kind in "biuf" and np.isin(array, (0, 1)).all():
        return array.astype(bool)
    entries = array.ravel().tolist()
    if array.dtype.kind == "O" and all(isinstance(v, bool | int) and v in (0, 1) for v in entries):
        return array.astype(bool)
    shown = ", ".join(list(dict.fromkeys(map(repr, entries)))[:5])
    raise ValueError(
        f"{name} must hold True and False only; it holds {shown}. Give masks of the rows, not "
        "their positions."
    )


def check_classes(
    name: str, values: Any, shape: tuple[int | None, ...] = (None,), hint: str = ""
) -> np.ndarray:
    """Return an argument as an array of class labels, which can be sorted and compared."""
    array = check_values(name, values, shape, hint)
    if array.dtype.kind in "cSV":
        raise TypeError(f"{name} has dtype {array.dtype}; expected numbers or strings as labels.")
    missing = is_missing(array) if len(array) else np.zeros(0, dtype=bool)
    if missing.any():
        raise ValueError(f"{name} has {int(missing.sum())} missing entries; give a label per row.")
    if array.dtype.kind == "O":
        packed_labels = as_one_type(array, name)
        return array if isinstance(values, np.ndarray) else packed_labels
    return array


def is_missing(y: np.ndarray) -> np.ndarray:
    """Return a mask of the rows with a missing entry: None, NaN, NaT, NA or infinity."""
    if y.dtype.kind == "f":
        missing = ~np.isfinite(y)
    elif y.dtype.kind in "mM":
        missing = np.isnat(y)
    elif y.dtype.kind == "O":
        # None, NaN and pandas' NA: a value that is not equal to itself, or cannot be compared
        missing = np.vectorize(is_na, otypes=[bool])(y)
    else:
        missing = np.zeros(y.shape, dtype=bool)
    return missing.reshape(len(y), -1).any(1)


def is_na(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or NA."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):
        return True


def as_one_type(y: np.ndarray, name: str) -> np.ndarray:
    """Return an array of objects with the dtype of its entries; raise if they mix types."""
    kinds = {"text" if isinstance(v, str) else "number" for v in y.ravel()}
    if len(kinds) > 1:
        raise ValueError(f"{name} mixes text and numbers; give labels of one type.")
    return packed(y)


def packed(values: Any) -> np.ndarray:
    r"""Return values as an array, like np.array; strings that end with NUL stay Python objects.

    Arrays of strings drop NULs at the end of their entries, so that 'a' and 'a\0' would be equal.
    """
    objects = values if isinstance(values, np.ndarray) else np.array(values, dtype=object)
    if objects.dtype.kind != "O":
        return objects
    if any(isinstance(v, str) and v.endswith("\0") for v in objects.ravel()):
        return objects
    return np.array(objects.tolist())


def as_array(name: str, values: Any) -> np.ndarray:
    """Return an array-like argument as an array; raise TypeError if it has no order or shape."""
    if hasattr(values, "detach"):  # a tensor; this module works without torch
        values = _from_tensor(name, values)
    refuse_masked(name, values)
    refuse_unordered(name, values)
    if isinstance(values, list | tuple) and values and hasattr(values[0], "detach"):
        values = [
            _from_tensor(name, value) if hasattr(value, "detach") else value for value in values
        ]
    try:
        array = np.asarray(values)
        is_column = array.ndim == 1 and not isinstance(values, np.ndarray)
        # Among strings, np.asarray turns NaN into the string "nan", and the number 1 into "1".
        return (
            np.array(list(values), dtype=object) if array.dtype.kind == "U" and is_column else array
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is not an array ({error}); expected rows of equal size."
        ) from error


def refuse_unordered(name: str, values: Any) -> None:
    """Raise if values have no fixed order, or are a single value."""
    if values is None or isinstance(values, Mapping | Set | Iterator | MappingView | str | bytes):
        raise TypeError(
            f"{name} is of type {type(values).__name__}; expected an array or a list, with the "
            "entries in the order of the rows."
        )


def refuse_masked(name: str, values: Any) -> None:
    """Raise if values are a masked array of NumPy with masked entries: the mask would be lost."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(
            f"{name} is a masked array, and {int(np.ma.count_masked(values))} of its entries are "
            f"masked. Fill them with {name}.filled(...), or leave those rows out."
        )


def refuse_meta(name: str, values: Any) -> None:
    """Raise if a tensor is on torch's device "meta"."""
    if values.device.type == "meta":
        raise ValueError(
            f"{name} is a tensor on the device 'meta', which holds no values; give a tensor on the "
            "CPU or on the device of the net."
        )


def _from_tensor(name: str, values: Any) -> np.ndarray:
    refuse_meta(name, values)
    values = values.detach().cpu()
    return (values.float() if str(values.dtype) == "torch.bfloat16" else values).numpy()
