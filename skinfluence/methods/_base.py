"""What a method is, and what it may use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skinfluence._core.directions import Objective
from skinfluence._core.members import Member, MemberScores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.tensors import Rows

ProgressBar = Callable[[Any, str], Iterable[Any]]  # (items, description) -> items


def no_bar(items: Any, description: str) -> Iterable[Any]:
    """Show no progress."""
    return items


@dataclass
class Case:
    """What a method may use.

    Attributes
    ----------
    fnet : FunctionalNet
    members : list of Member
        Where to take gradients; states of `fnet`.
    X, y : training rows and their labels, as the net takes them
    labels : ndarray or None
        Every label that a row may have, as the net takes them; None for regression.
    objective : Objective
        The target and its reference rows. Its X and y are None where there are none.
    rng : RandomState
    bar : callable
        Progress bar over the members.
    """

    fnet: FunctionalNet
    members: list[Member]
    X: Rows
    y: Any
    labels: np.ndarray | None
    objective: Objective
    rng: np.random.RandomState
    bar: ProgressBar = no_bar


class Method(ABC, BaseEstimator):
    """Base class of the methods.

    `uses` names the arguments of the scorer that have an effect on the method, out of ``target``,
    ``curvature``, ``normalize`` and ``classwise``. The scorer refuses values for the others. A
    method that uses ``target`` needs reference rows.
    """

    uses: frozenset[str] = frozenset()

    @abstractmethod
    def member_scores(self, case: Case) -> MemberScores:
        """Return what scores rows at each member."""


def check_method(method: Any) -> None:
    """Raise unless `method` is an instance of a method."""
    if not isinstance(method, Method):
        raise TypeError(
            f"method={method!r}: expected None or an instance of a class in skinfluence.methods, "
            "such as SelfInfluence()."
        )
