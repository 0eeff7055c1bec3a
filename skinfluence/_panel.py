"""A panel: the members of an ensemble with their directions, and how their scores become one.

Members are told apart only by a state to score at and a direction there; a scorer without an
ensemble has a panel of one.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from skinfluence._functional import FunctionalNet, Rows, State, n_rows
from skinfluence._gradients import Directions
from skinfluence._influence import label_scores, member_scores, row_scores
from skinfluence._pairs import Block, Pairs, pair_blocks
from skinfluence.ensembles import Member

Progress = Callable[[Iterator[Any]], Iterator[Any]]

# Numbers in all members' directions up to which they are scored together. On one CPU core one pass
# for all took .7 of the time of one by one with 10 members of 1,400 parameters, but 1.4 of it with
# members of 14,000 or more, where the work itself counts and not the calls. The bound for a GPU,
# which has more to gain, is a guess.
_TOGETHER = {"cpu": 2**15, "cuda": 2**24}


class Panel(ABC):
    """Members, and the way in which they agree on a number a row."""

    @abstractmethod
    def learn(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Score the training rows, and remember what other rows are to be compared with."""

    @abstractmethod
    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Scores of rows, (n,) float64; higher is more helpful."""

    @abstractmethod
    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores of rows under each label, (n, n_labels)."""


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


class Mean(Panel):
    """Mean of the members' scores."""

    def __init__(self, voices: Voices) -> None:
        self.voices = voices

    def learn(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Score the training rows."""
        return self.scores(fnet, X, y, progress)

    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Scores of rows."""
        return self.voices.weights @ self.voices.scores(fnet, X, y, progress)

    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores of rows under each label."""
        return np.tensordot(self.voices.weights, self.voices.label_scores(fnet, X, labels), 1)


class Ranks(Panel):
    """Mean of the members' ranks: the share of the training rows that a member puts below a row."""

    def __init__(self, voices: Voices) -> None:
        self.voices = voices
        self._known: np.ndarray = np.empty((len(voices.states), 0))

    def learn(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Score the training rows, and keep each member's scores of them."""
        found = self.voices.scores(fnet, X, y, progress)
        self._known = np.sort(found, axis=1)
        return self._mean(found)

    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Scores of rows."""
        return self._mean(self.voices.scores(fnet, X, y, progress))

    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores of rows under each label."""
        return self._mean(self.voices.label_scores(fnet, X, labels))

    def _mean(self, found: np.ndarray) -> np.ndarray:
        pairs = zip(self._known, found, strict=True)
        return np.tensordot(self.voices.weights, [share_below(k, v) for k, v in pairs], 1)


class Votes(Panel):
    """Votes of each member and each single reference row against the rows that it ranks lowest.

    A voter gives max(k - rank, 0) votes, rank 0 being its lowest row, k a twentieth of the training
    rows. A score is minus the share of all the votes that a row could get, in [-1, 0].
    """

    def __init__(self, members: list[Member], asked: list[Pairs], *, normalize: bool) -> None:
        self.states = [member.state for member in members]
        self.solves = [member.solve for member in members]
        self.asked, self.normalize = asked, normalize
        self._lowest: list[np.ndarray] = []  # a member's (k, m): each voter's k lowest, ascending

    def learn(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Score the training rows, and keep each voter's lowest scores."""
        k = max(1, n_rows(X) // 20)
        self._lowest = [
            _lowest(self._pairs(fnet, member, X, y), k) for member in range(len(self.states))
        ]
        return self.scores(fnet, X, y, progress)

    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Scores of rows."""
        members = range(len(self.states))
        return np.mean([self._votes(fnet, member, X, y) for member in members], axis=0)

    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores of rows under each label."""
        n = n_rows(X)
        return np.stack([self.scores(fnet, X, np.full(n, label)) for label in labels], 1)

    def _votes(self, fnet: FunctionalNet, member: int, X: Rows, y: Any) -> np.ndarray:
        lowest = self._lowest[member]
        k, voters = lowest.shape
        given = np.zeros(n_rows(X))
        for rows, columns, block in self._pairs(fnet, member, X, y):
            for voter, values in zip(lowest[:, columns].T, block.T, strict=True):
                given[rows] += k - np.searchsorted(voter, values)
        return -given / (k * voters)

    def _pairs(self, fnet: FunctionalNet, member: int, X: Rows, y: Any) -> Iterator[Block]:
        at, solve = fnet.at(self.states[member]), self.solves[member]
        return pair_blocks(at, self.asked[member], X, y, normalize=self.normalize, solve=solve)


def share_below(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of sorted known values below each value, those that are equal counting half."""
    left, right = (np.searchsorted(known, values, side=side) for side in ("left", "right"))
    return (left + right) / (2 * len(known))


def _lowest(blocks: Iterator[Block], k: int) -> np.ndarray:
    """Return the k lowest values of each column, (k, m) ascending, a block of rows at a time."""
    found = []
    for _, same_columns in itertools.groupby(blocks, lambda block: block[1].start):
        kept = np.empty((0, 0))
        for _, _, block in same_columns:
            every = np.concatenate([kept, block]) if kept.size else block
            kept = np.partition(every, k - 1, axis=0)[:k] if len(every) > k else every
        found.append(np.sort(kept, axis=0))
    return np.concatenate(found, axis=1)
