"""A question to members: what reference rows are asked, and the panel that answers for any row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skinfluence._functional import FunctionalNet, Rows
from skinfluence._gradients import Directions
from skinfluence._influence import directions
from skinfluence._pairs import reference_pairs
from skinfluence._panel import InnerProducts, Mean, Panel, Ranks, Votes
from skinfluence.attacks import attack_rows
from skinfluence.ensembles import Member
from skinfluence.methods import Case


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
