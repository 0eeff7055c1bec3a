"""A panel: the members of an ensemble with their directions, and how their scores become one.

Members are told apart only by a state to score at and a direction there; a scorer without an
ensemble has a panel of one.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from skinfluence._core.gradients import Directions
from skinfluence._core.influence import directions
from skinfluence._core.members import InnerProducts, Member, Voices
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import Block, Pairs, Progress, pair_blocks, reference_pairs
from skinfluence._core.tensors import Rows, n_rows
from skinfluence.attacks import attack_rows
from skinfluence.methods import Case


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


@dataclass
class Question:
    """A target and the reference rows that it is asked of; X and y None: there are none.

    `groups` are the rows' sensitive features, `columns` the labels that the net's outputs stand
    for.
    """

    target: Any
    X: Rows
    y: Any
    groups: np.ndarray | None
    is_classification: bool
    columns: np.ndarray | None

    def put_to(self, net: Any) -> dict[str, Any]:
        """Return it as `directions` and its kin take it; an attack on the rows is on this net."""
        return {
            "target": self.target,
            "X": self.X if self.X is None else attack_rows(self.target, net, self.X, self.y),
            "y": self.y,
            "is_classification": self.is_classification,
            "classes": self.columns,
            "metadata": {} if self.groups is None else {"sensitive_features": self.groups},
        }


@dataclass
class Reading:
    """How answers are read: the scorer's own arguments."""

    aggregate: str
    method: Any
    normalize: str | None
    classwise: bool

    def convene(
        self,
        fnet: FunctionalNet,
        members: list[Member],
        question: dict[str, Any],
        rows: tuple[Rows, Any, np.ndarray | None],
        rng: np.random.RandomState,
        bar: Callable[[Any, str], Iterable[Any]],
    ) -> Panel:
        """Put the question to each member.

        `rows` are the training rows, their labels, and all labels that there are.
        """
        if self.aggregate == "votes":
            return self._votes(fnet, members, question, bar)
        if self.method is not None:
            voices = self.method.voices(Case(fnet, members, *rows, question, rng))
        else:
            U = [self._direction(fnet, member, question) for member in bar(members, "members")]
            voices = InnerProducts(members, U, normalize=self._per_row)
        return Ranks(voices) if self.aggregate == "ranks" else Mean(voices)

    @property
    def _per_row(self) -> bool:
        return self.normalize in ("rows", "both")

    def _votes(
        self,
        fnet: FunctionalNet,
        members: list[Member],
        question: dict[str, Any],
        bar: Callable[[Any, str], Iterable[Any]],
    ) -> Panel:
        asked = [reference_pairs(fnet.at(m.state), **question) for m in bar(members, "members")]
        rows = [Xb for Xb, _ in asked[0]]  # one copy for all, in memory and in a pickle
        asked = [
            [(Xb, G) for Xb, (_, G) in zip(rows, of_member, strict=True)] for of_member in asked
        ]
        return Votes(members, asked, normalize=self._per_row)

    def _direction(
        self, fnet: FunctionalNet, member: Member, question: dict[str, Any]
    ) -> Directions:
        of_classes = self.classwise and question["is_classification"]
        v = directions(
            fnet.at(member.state),
            groups=question["y"].astype(int) if of_classes else None,
            normalize=self.normalize in ("reference", "both"),
            **question,
        )
        u = v if member.solve is None else member.solve(v)
        return {name: value.cpu() for name, value in u.items()}
