"""Checks of constructor parameters, and seeds drawn from a random state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state


def check_int(
    name: str,
    value: Any,
    least: int,
    most: int | None = None,
    *,
    owner: Any = None,
    hint: str = "",
) -> int:
    """Return a parameter as an int.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : object
        What was given. Integers of NumPy are accepted; True, False and 3.0 are not.
    least, most : int
        Range of the values that are allowed, both ends included; None means no upper end.
    owner : object, default=None
        The object whose constructor takes the parameter; the message then names its class.
    hint : str, default=""
        End of the message; explains the range.

    Returns
    -------
    value : int

    Raises
    ------
    ValueError
        If `value` is not an integer, or out of range.
    """
    is_int = isinstance(value, Integral) and not isinstance(value, bool)
    if is_int and least <= value and (most is None or value <= most):
        return int(value)
    wanted = f", {least} or more" if most is None else f" from {least} to {most}"
    raise ValueError(f"{_given(name, value, owner)}: expected an integer{wanted}{hint}.")


def check_count(owner: Any, name: str) -> int:
    """Return a parameter of an object, which must be an integer above 0."""
    return check_int(name, getattr(owner, name), 1, owner=owner)


def check_number(
    name: str, value: Any, wanted: str, fits: Callable[[float], bool], *, owner: Any = None
) -> float:
    """Return a parameter as a float; raise unless it is a finite number for which `fits` is true.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : object
        What was given. Numbers of Python and NumPy are accepted; True and arrays are not.
    wanted : str
        The numbers that are allowed, for the message: "expected `wanted`".
    fits : callable
        Whether a finite number is allowed.
    owner : object, default=None
        The object whose constructor takes the parameter; the message then names its class.

    Returns
    -------
    value : float

    Raises
    ------
    ValueError
        If `value` is not a number, is NaN or infinite, or does not fit.
    """
    number = _as_float(value)
    if np.isfinite(number) and fits(number):
        return number
    raise ValueError(f"{_given(name, value, owner)}: expected {wanted}.")


def check_bool(name: str, value: Any, *, owner: Any = None) -> bool:
    """Return a parameter that must be True or False."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ValueError(f"{_given(name, value, owner)}: expected True or False.")


def check_choice(name: str, value: Any, choices: Sequence[Any], *, owner: Any = None) -> Any:
    """Return a parameter that must be one of a few strings, or None if that is a choice."""
    is_plain = value is None or isinstance(value, str)  # an array cannot be compared
    if is_plain and value in choices:
        return value
    *most, last = map(repr, choices)
    wanted = f"{', '.join(most)} or {last}" if most else last
    raise ValueError(f"{_given(name, value, owner)}: expected {wanted}.")


def check_verbose(value: Any) -> bool:
    """Return whether a parameter `verbose` asks for a progress bar."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return check_int("verbose", value, 0) > 0


def check_patterns(value: Any, name: str = "parameters") -> None:
    """Raise unless a parameter is a glob pattern or a list of them."""
    patterns = [value] if isinstance(value, str) else value
    is_list = isinstance(patterns, list | tuple)
    if not is_list or not patterns or not all(isinstance(p, str) for p in patterns):
        raise TypeError(
            f"{name}={value!r}: expected a pattern for names of parameters, such as 'head.*', or a "
            "list of patterns."
        )


def is_auto(value: Any) -> bool:
    """Whether a parameter is the string "auto"; an array cannot be compared with it."""
    return isinstance(value, str) and value == "auto"


def read_random_state(random_state: Any) -> np.random.RandomState:
    """Return the RandomState for a parameter `random_state`."""
    try:
        return check_random_state(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"random_state={random_state!r}: expected an integer from 0 to {2**32 - 1}, a "
            "numpy.random.RandomState, or None."
        ) from error


def draw_seed(random_state: Any) -> int:
    """Draw a seed for torch from a scikit-learn `random_state`."""
    return int(read_random_state(random_state).randint(np.iinfo(np.int32).max))


def pass_seed(random_state: Any, *estimators: Any) -> None:
    """Seed the estimators whose own `random_state` is None; do nothing if the argument is None."""
    if random_state is None:
        return
    seed = draw_seed(random_state)
    for estimator in estimators:
        if estimator.get_params(deep=False).get("random_state", 0) is None:
            estimator.set_params(random_state=seed)


def _given(name: str, value: Any, owner: Any) -> str:
    """What was given, for a message; long arrays are cut short by their repr."""
    text = f"{name}={value!r}"
    return text if owner is None else f"{type(owner).__name__}({text})"


def _as_float(value: Any) -> float:
    """A number of Python or NumPy as a float; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return np.nan
    try:
        return float(value)
    except OverflowError:  # an integer beyond the range of float64
        return np.inf
