"""Reference rows for a target: attacked if the target has an attack, otherwise unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skinfluence.attacks._base import check_rows, like
from skinfluence.attacks._gradient import Crossing
from skinfluence.targets import Robustness


def attack_rows(target: Any, net: Any, X: Any, y: Any) -> Any:
    """Return the reference rows, changed by the target's attack if the target has one."""
    attack = getattr(target, "attack", None)
    if attack is None:
        if not isinstance(target, Robustness):
            return X
        attack = Crossing()
    if not callable(attack) or isinstance(attack, type):
        raise TypeError(
            f"attack={attack!r}: expected an instance from skinfluence.attacks, such as FGSM(0.1), "
            "or a callable (net, X, y) -> X."
        )
    check_rows(X, attack)
    # Pass a copy, because the attack might change its input in place.
    changed = attack(net, X.clone() if isinstance(X, Tensor) else X.copy(), y)
    if np.shape(changed) != np.shape(X):
        raise ValueError(
            f"attack {attack!r} returned rows of shape {np.shape(changed)}; X has {np.shape(X)}. "
            "Return all rows, in the same shape."
        )
    if not bool(torch.isfinite(torch.as_tensor(changed)).all()):
        raise ValueError(
            f"attack {attack!r} returned NaN or infinite values; return finite numbers."
        )
    return like(X, torch.as_tensor(changed))
