"""A fold model: a net fitted without one fold, with its checkpoints and the held-out rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skinfluence._core.aggregation import Mean
from skinfluence._core.directions import Objective
from skinfluence._core.influence import predicted_outputs
from skinfluence._core.members import Member
from skinfluence._core.net import FunctionalNet
from skinfluence._core.states import State
from skinfluence._core.tensors import Rows
from skinfluence._fitting.training_data import encode_rows
from skinfluence._label_noise.noise_model import softmax
from skinfluence.methods import InnerProduct, Method
from skinfluence.methods._base import Case

_CLASSWISE = InnerProduct(normalize="reference", classwise=True)


@dataclass
class FoldNet:
    """Predictions and class-wise influence of one net, averaged over its checkpoints.

    Attributes
    ----------
    net : fitted skorch net
    states : checkpoints, oldest first
    reference : Objective
        The mean loss over rows that the net was not fitted on.
    parameters : str or list of str
        Globs over the names of the parameters whose gradients are used.
    codes : ndarray of shape (n_classes,) or None
        The classes in the form that the net's criterion accepts; None for regression.
    seed : int
    encoder : fitted transformer or None
        Turns new rows of a DataFrame into the numbers that the net takes, see `encoded`.
    skill : ndarray of shape (n_checkpoints,)
        Weight of each checkpoint in an average: its squared skill on the reference labels.
    """

    net: Any
    states: Sequence[State]
    reference: Objective
    parameters: str | list[str]
    codes: np.ndarray | None = None
    seed: int = 0
    encoder: Any = None
    skill: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.skill = self._squared_skill()
        self._scales = [1.0] * len(self.states)

    def encoded(self, X: Rows) -> Rows:
        """New rows in the form that the net takes."""
        return X if self.encoder is None else encode_rows(self.encoder, X)

    def predict(self, X: Rows) -> np.ndarray:
        """Class probabilities in the order of `codes`, or predictions, (n, n_outputs)."""
        return self._average(self._predictions(X))

    def calibrate(self, X: Rows) -> np.ndarray:
        """Set the scale of `label_influence` from the training rows; return their influence."""
        found = self._label_influences(X)
        self._scales = [1 / max(float(v.std()), 1e-300) for v in found]
        return self._distribution(found)

    def label_influence(self, X: Rows) -> np.ndarray:
        """Class-wise influence of the rows under each label, as a distribution over the labels."""
        return self._distribution(self._label_influences(X))

    def means(self, methods: Sequence[Method], X: Rows, y: Any) -> list[Mean]:
        """Fit each method to the training rows; its scores are averaged over the checkpoints."""
        case = self._case(self.functional(), self.states, X, y)
        return [Mean(method.member_scores(case)) for method in methods]

    def functional(self) -> FunctionalNet:
        """Return the net as a function of its parameters."""
        fnet = FunctionalNet(self.net, self.parameters)
        fnet.expect_recheck(2)  # fewer than usual, because each signal calls this method
        return fnet

    def _case(self, fnet: FunctionalNet, states: Sequence[State], X: Rows, y: Any) -> Case:
        members = [Member(state) for state in states]
        rng = np.random.RandomState(self.seed)
        return Case(fnet, members, X, y, self.codes, self.reference, rng)

    def _predictions(self, X: Rows) -> list[np.ndarray]:
        found = [predicted_outputs(at, X, self.codes is not None) for at in self._checkpoints()]
        return found if self.codes is None else [p[:, self.codes.astype(int)] for p in found]

    def _checkpoints(self) -> Iterator[FunctionalNet]:
        """The net at each checkpoint, one in memory at a time: large ones are kept on disk."""
        fnet = self.functional()
        return (fnet.at(state) for state in self.states)

    def _label_influences(self, X: Rows) -> list[np.ndarray]:
        """Class-wise influence under each label, per checkpoint, minus its mean over the labels."""
        found, codes, fnet = [], self.codes, self.functional()
        assert codes is not None
        for state in self.states:  # one checkpoint and its directions in memory at a time
            scores = _CLASSWISE.member_scores(self._case(fnet, [state], X, None))
            found.append(scores.label_scores(fnet, X, codes)[0])
        return [v - v.mean(1, keepdims=True) for v in found]

    def _distribution(self, influences: list[np.ndarray]) -> np.ndarray:
        scaled = [scale * v for scale, v in zip(self._scales, influences, strict=True)]
        return softmax(self._average(scaled))

    def _average(self, values: list[np.ndarray]) -> np.ndarray:
        return np.average(values, axis=0, weights=self.skill)

    def _squared_skill(self) -> np.ndarray:
        """Squared skill on the reference labels, per checkpoint.

        The skill is

            1 - (squared error of the predictions) / (squared error of the mean of the labels).

        For classes, this is the Brier skill score. If a net learns slowly, the skill is low in the
        first epochs. If a net has memorized wrong labels, the skill is low in the last epochs.
        """
        y = self.reference.y.reshape(len(self.reference.y), -1)
        if self.codes is not None:
            y = (y == self.codes).astype(float)
        chance = max(((y - y.mean(0)) ** 2).sum(), 1e-300)
        predictions = self._predictions(self.reference.X)
        errors = [((p.reshape(y.shape) - y) ** 2).sum() for p in predictions]
        return np.maximum(1 - np.array(errors) / chance, 1e-3) ** 2
