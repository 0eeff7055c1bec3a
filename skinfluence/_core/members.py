"""Members of an ensemble, and the scores of rows at each member.

`aggregation` combines the scores of the members.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skinfluence._core.gradients import Directions
from skinfluence._core.influence import Progress, label_scores, member_scores, row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.row_scores import RowScore
from skinfluence._core.states import State
from skinfluence._core.tensors import Rows

# All members are scored in one pass if their directions have at most this many numbers in total. On
# one CPU core, with 10 members of 1,400 parameters each, one pass took .7 times as long as 10
# passes. With 14,000 or more parameters each, one pass took 1.4 times as long, because arithmetic
# then dominates the overhead of the calls. The limit for a GPU is a guess.
_ONE_PASS_NUMBERS = {"cpu": 2**15, "cuda": 2**24}


class MemberScores(ABC):
    """Base class: scores of rows at each member of an ensemble.

    Attributes
    ----------
    states : list of State
    weights : ndarray of shape (k,)
        Weights of the members in a mean; they sum to 1.
    """

    def __init__(self, members: list[Member]) -> None:
        self.states: list[State] = [member.state for member in members]
        self.weights = np.array([member.weight for member in members])
        self.weights /= self.weights.sum()

    @abstractmethod
    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        """Scores at each member, (k, n)."""

    @abstractmethod
    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores at each member under each label, (k, n, n_labels)."""


class AtEachMember(MemberScores):
    """One `RowScore` per member; members are scored one after another."""

    def __init__(self, members: list[Member], row_scores: Sequence[RowScore]) -> None:
        super().__init__(members)
        self.row_scores = row_scores

    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        pairs = zip(self.states, self.row_scores, strict=True)
        return np.stack([score.of_rows(fnet.at(s), X, y, progress) for s, score in pairs])

    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        pairs = zip(self.states, self.row_scores, strict=True)
        return np.stack([score.of_labels(fnet.at(s), X, labels) for s, score in pairs])


class InnerProducts(MemberScores):
    """Inner products of row gradients with the directions of each member."""

    def __init__(
        self, members: list[Member], U: list[Directions], *, normalize: bool = False
    ) -> None:
        super().__init__(members)
        # Keep directions on the CPU, so that a pickle can be loaded on a machine without a GPU.
        self.directions = [{name: v.cpu() for name, v in u.items()} for u in U]
        self.normalize = normalize

    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        """Scores at each member, (k, n), in one pass for all members if that is faster."""
        U = self._directions_on(fnet)
        size = sum(v.numel() for u in U for v in u.values())
        if len(U) > 1 and not self.normalize and size <= _ONE_PASS_NUMBERS.get(fnet.device.type, 0):
            scores = member_scores(fnet, self.states, U, X, y, progress)
            if scores is not None:
                return scores
        options: Any = {"normalize": self.normalize, "progress": progress}
        pairs = zip(self.states, U, strict=True)
        return np.stack([row_scores(fnet.at(s), u, X, y, **options) for s, u in pairs])

    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        pairs = zip(self.states, self._directions_on(fnet), strict=True)
        return np.stack(
            [label_scores(fnet.at(s), u, X, labels, normalize=self.normalize) for s, u in pairs]
        )

    def _directions_on(self, fnet: FunctionalNet) -> list[Directions]:
        return [{n: v.to(fnet.device) for n, v in u.items()} for u in self.directions]


@dataclass
class Member:
    """One member of an ensemble.

    Attributes
    ----------
    state : State
    weight : float
        Weight of the member's score in a mean.
    solve : callable or None
        Multiplies directions with the inverse curvature at this state. None is the identity.
    """

    state: State
    weight: float = 1.0
    solve: Callable[[Directions], Directions] | None = None
