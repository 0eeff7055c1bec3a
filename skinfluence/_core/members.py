"""Members of an ensemble, and the scores that each of them gives to rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skinfluence._core.gradients import Directions
from skinfluence._core.influence import label_scores, member_scores, row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import Progress
from skinfluence._core.states import State
from skinfluence._core.tensors import Rows

# Numbers in all members' directions up to which they are scored together. On one CPU core one pass
# for all took .7 of the time of one by one with 10 members of 1,400 parameters, but 1.4 of it with
# members of 14,000 or more, where the work itself counts and not the calls. The bound for a GPU,
# which has more to gain, is a guess.
_TOGETHER = {"cpu": 2**15, "cuda": 2**24}


class Voices(ABC):
    """Members, each of which gives a row a score."""

    def __init__(self, members: list[Member]) -> None:
        self.states: list[State] = [member.state for member in members]
        self.weights = np.array([member.weight for member in members])
        self.weights /= self.weights.sum()

    @abstractmethod
    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        """Scores by each member, (k, n)."""

    @abstractmethod
    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores by each member under each label, (k, n, n_labels)."""


class InnerProducts(Voices):
    """Members with their directions."""

    def __init__(
        self, members: list[Member], U: list[Directions], *, normalize: bool = False
    ) -> None:
        super().__init__(members)
        # In the machine's own memory: a pickle then opens where there is no such device.
        self.directions = [{name: v.cpu() for name, v in u.items()} for u in U]
        self.normalize = normalize

    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        """Scores by each member, (k, n): in one pass over the rows where memory allows."""
        U = self._directions_on(fnet)
        size = sum(v.numel() for u in U for v in u.values())
        if len(U) > 1 and not self.normalize and size <= _TOGETHER.get(fnet.device.type, 0):
            found = member_scores(fnet, self.states, U, X, y, progress)
            if found is not None:
                return found
        options: Any = {"normalize": self.normalize, "progress": progress}
        pairs = zip(self.states, U, strict=True)
        return np.stack([row_scores(fnet.at(s), u, X, y, **options) for s, u in pairs])

    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores by each member under each label, (k, n, n_labels)."""
        pairs = zip(self.states, self._directions_on(fnet), strict=True)
        return np.stack(
            [label_scores(fnet.at(s), u, X, labels, normalize=self.normalize) for s, u in pairs]
        )

    def _directions_on(self, fnet: FunctionalNet) -> list[Directions]:
        return [{n: v.to(fnet.device) for n, v in u.items()} for u in self.directions]


@dataclass
class Member:
    """A state to score at, its weight in a mean, and what multiplies directions there, if any."""

    state: State
    weight: float = 1.0
    solve: Callable[[Directions], Directions] | None = None
