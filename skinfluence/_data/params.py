"""Checks of constructor parameters, and seeds drawn from a random state."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state


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
