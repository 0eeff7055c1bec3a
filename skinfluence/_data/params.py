"""Checks of constructor parameters, and seeds drawn from a random state."""

from __future__ import annotations

from numbers import Integral
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
    given = f"{name}={value!r}" if owner is None else f"{type(owner).__name__}({name}={value!r})"
    wanted = f", {least} or more" if most is None else f" from {least} to {most}"
    raise ValueError(f"{given}: expected an integer{wanted}{hint}.")


def check_count(owner: Any, name: str) -> int:
    """Return a parameter of an object, which must be an integer above 0."""
    return check_int(name, getattr(owner, name), 1, owner=owner)


def draw_seed(random_state: Any) -> int:
    """Draw a seed for torch from a scikit-learn `random_state`."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def pass_seed(random_state: Any, *estimators: Any) -> None:
    """Seed the estimators whose `random_state` is None; if `random_state` is None, do nothing."""
    if random_state is None:
        return
    seed = draw_seed(random_state)
    for estimator in estimators:
        if estimator.get_params(deep=False).get("random_state", 0) is None:
            estimator.set_params(random_state=seed)
