"""Aggregations: how the scores of several ensemble members become one score per row.

Without an ensemble there is one member, and the mean is the score of this member.

The score of a row may differ by a rounding error from one batch to another. Ranks and votes compare
the score of a row with the scores of the training rows. They treat scores that differ only by
rounding as equal, so the rank of a row does not depend on the other rows of its batch.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skinfluence._core.gradients import precision
from skinfluence._core.influence import Progress
from skinfluence._core.members import Member, MemberScores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import Block, Pairs, pair_blocks
from skinfluence._core.tensors import Rows, map_tensors, n_rows

# Two scores are treated as equal if they differ by at most _ROUNDINGS machine epsilons of the
# largest score. In half precision, this would be too much: the limit is _MOST × the largest score.
_ROUNDINGS, _MOST = 32, 0.01


class Aggregation(ABC):
    """Members, and the way in which their scores are combined."""

    @abstractmethod
    def learn(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Score the training rows, and keep what is needed to score new rows."""

    @abstractmethod
    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Scores of rows, (n,) float64; higher is more helpful."""

    @abstractmethod
    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores of rows under each label, (n, n_labels)."""


class Mean(Aggregation):
    """Weighted mean of the members' scores."""

    def __init__(self, members: MemberScores) -> None:
        self.members = members

    def learn(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Score the training rows."""
        return self.scores(fnet, X, y, progress)

    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Scores of rows."""
        return self.members.weights @ self.members.scores(fnet, X, y, progress)

    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores of rows under each label."""
        return np.tensordot(self.members.weights, self.members.label_scores(fnet, X, labels), 1)


class Ranks(Aggregation):
    """Weighted mean of ranks: at each member, the share of training rows with a lower score."""

    def __init__(self, members: MemberScores) -> None:
        self.members = members
        self._known: np.ndarray = np.empty((len(members.states), 0))
        self._rounding = np.zeros(len(members.states))

    def learn(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Score the training rows, and keep the scores of each member."""
        found = self.members.scores(fnet, X, y, progress)
        self._known = np.sort(found, axis=1)
        self._rounding = _relative_rounding(fnet, X) * np.abs(found).max(1)
        return self._mean(found)

    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Scores of rows."""
        return self._mean(self.members.scores(fnet, X, y, progress))

    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores of rows under each label."""
        return self._mean(self.members.label_scores(fnet, X, labels))

    def _mean(self, found: np.ndarray) -> np.ndarray:
        each = zip(self._known, found, self._rounding, strict=True)
        return np.tensordot(self.members.weights, [share_below(*member) for member in each], 1)


class Votes(Aggregation):
    """Votes against the rows that score lowest.

    Each pair of a member and a reference row is a voter. A voter ranks the rows by the scores that
    this member and this reference row give them. The lowest score has rank 0. Let k be a twentieth
    of the number of training rows. A row gets max(k - rank, 0) votes from each voter. The score of
    the row is minus its number of votes, divided by the largest possible number of votes. It is
    therefore a number in [-1, 0].
    """

    def __init__(
        self, members: list[Member], reference: list[Pairs], *, normalize: bool = False
    ) -> None:
        self.states = [member.state for member in members]
        self.solves = [member.solve for member in members]
        self.reference = reference  # per member
        self.normalize = normalize
        # Per member (k, m): each voter's k lowest scores, ascending, plus the rounding error.
        self._lowest: list[np.ndarray] = []

    def learn(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Score the training rows, and keep each voter's lowest scores."""
        k = max(1, n_rows(X) // 20)
        members = range(len(self.states))
        rounding = _relative_rounding(fnet, X)
        self._lowest = [_lowest(self._pairs(fnet, member, X, y), k, rounding) for member in members]
        return self.scores(fnet, X, y, progress)

    def scores(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Scores of rows."""
        members = range(len(self.states))
        return np.mean([self._votes(fnet, member, X, y) for member in members], axis=0)

    def label_scores(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores of rows under each label, one pass per label."""
        n = n_rows(X)
        return np.stack([self.scores(fnet, X, np.full(n, label)) for label in labels], 1)

    def __getstate__(self) -> dict[str, Any]:
        """Convert tensors of unsigned integers to arrays, because torch cannot pickle them."""
        memo: dict[int, Rows] = {}  # all members share one copy of the rows
        reference = [
            [(memo.setdefault(id(X), map_tensors(_as_pickled, X)), G) for X, G in pairs]
            for pairs in self.reference
        ]
        return vars(self) | {"reference": reference}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        memo: dict[int, Rows] = {}
        self.reference = [
            [(memo.setdefault(id(X), map_tensors(torch.as_tensor, X)), G) for X, G in pairs]
            for pairs in self.reference
        ]

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
        return pair_blocks(at, self.reference[member], X, y, normalize=self.normalize, solve=solve)


def share_below(known: np.ndarray, values: np.ndarray, rounding: float = 0.0) -> np.ndarray:
    """Share of the sorted known values below each value, plus half of the share of equal ones.

    Values that differ by at most `rounding` are equal.
    """
    left = np.searchsorted(known, values - rounding, side="left")
    right = np.searchsorted(known, values + rounding, side="right")
    return (left + right) / (2 * len(known))


def _as_pickled(t: Tensor) -> Any:
    return t.numpy() if t.dtype in (torch.uint16, torch.uint32, torch.uint64) else t


def _relative_rounding(fnet: FunctionalNet, X: Rows) -> float:
    """Largest rounding error of a score, as a share of the largest score of the training rows."""
    return min(_ROUNDINGS * precision(fnet, next(fnet.batches(X))[0]), _MOST)


def _lowest(blocks: Iterator[Block], k: int, rounding: float) -> np.ndarray:
    """Return the k lowest values of each column plus their rounding error, (k, m) ascending.

    Only one block and the k lowest values found so far are in memory.
    """
    found = []
    for _, same_columns in itertools.groupby(blocks, lambda block: block[1].start):
        kept, largest = np.empty((0, 0)), np.zeros(1)
        for _, _, block in same_columns:
            largest = np.maximum(largest, np.abs(block).max(0))
            every = np.concatenate([kept, block]) if kept.size else block
            kept = np.partition(every, k - 1, axis=0)[:k] if len(every) > k else every
        found.append(np.sort(kept, axis=0) + rounding * largest)
    return np.concatenate(found, axis=1)
