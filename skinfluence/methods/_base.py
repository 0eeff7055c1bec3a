"""The base class of the methods, and the data that a method may use."""

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
    """The data that a method may use.

    Attributes
    ----------
    fnet : FunctionalNet
    members : list of Member
        States of `fnet` at which gradients are taken.
    X, y : training rows and their labels, in the form that the net accepts
    labels : ndarray or None
        Every label that a row may have, in the form that the net accepts; None for regression.
    objective : Objective
        The target and its reference rows. Without reference rows, its X and y are None.
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

    `uses` lists which of the four scorer arguments ``target``, ``curvature``, ``normalize`` and
    ``classwise`` affect this method. Setting any of the four that is not listed raises an error. A
    method that uses ``target`` needs reference rows.
    """

    uses: frozenset[str] = frozenset()

    @abstractmethod
    def member_scores(self, case: Case) -> MemberScores:
        """Return an object that scores rows at each member."""


def check_method(method: Any) -> None:
    """Raise unless `method` is an instance of a method."""
    if not isinstance(method, Method):
        raise TypeError(
            f"method={method!r}: expected None or an instance of a class in skinfluence.methods, "
            "such as SelfInfluence()."
        )
