"""A judge: one fitted net with its snapshots, and reference rows that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skinfluence._core.influence import predicted_outputs
from skinfluence._core.net import FunctionalNet
from skinfluence._core.states import State
from skinfluence._core.tensors import Rows
from skinfluence._label_noise.evidence import Evidence, Trusted, classwise_influence
from skinfluence._label_noise.noise_model import softmax


@dataclass
class Judge:
    """What one net says about rows, over the snapshots of its training.

    `codes` is how the net calls the classes, as its criterion takes them; None for numbers.
    """

    net: Any
    states: Sequence[State]
    reference: Trusted
    parameters: str | list[str]
    codes: np.ndarray | None = None
    skill: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.skill = self._weigh()
        self._scales = [1.0] * len(self.states)

    def belief(self, X: Rows) -> np.ndarray:
        """Class probabilities (in the order of the codes) or predictions, (n, n_outputs)."""
        return self._average(self._beliefs(X))

    def calibrate(self, X: Rows) -> np.ndarray:
        """Learn, from the rows of the training, the scale of influence; return their `pull`."""
        found = self._pulls(X)
        self._scales = [1 / max(float(v.std()), 1e-300) for v in found]
        return self._distribution(found)

    def pull(self, X: Rows) -> np.ndarray:
        """Class-wise influence of the rows under each label, as a distribution over the labels."""
        return self._distribution(self._pulls(X))

    def evidence(
        self, kinds: Sequence[Evidence], X: Rows, y: Any, labels: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Each evidence, plain mean over the snapshots."""
        asked = (self.reference, X, y, labels)
        found = [[kind(at, *asked) for kind in kinds] for at in self._nets()]
        return [np.mean(values, axis=0) for values in zip(*found, strict=True)]

    def _nets(self) -> Iterator[FunctionalNet]:
        """One snapshot in memory at a time: large ones are kept on disk."""
        fnet = FunctionalNet(self.net, self.parameters)
        return (fnet.at(state) for state in self.states)

    def _beliefs(self, X: Rows) -> list[np.ndarray]:
        found = [predicted_outputs(at, X, self.codes is not None) for at in self._nets()]
        return found if self.codes is None else [p[:, self.codes.astype(int)] for p in found]

    def _pulls(self, X: Rows) -> list[np.ndarray]:
        """Class-wise influence under each label, a snapshot each; only differences count."""
        asked = (self.reference, X, None, self.codes)
        found = [classwise_influence(at, *asked) for at in self._nets()]
        return [v - v.mean(1, keepdims=True) for v in found]

    def _distribution(self, pulls: list[np.ndarray]) -> np.ndarray:
        scaled = [scale * v for scale, v in zip(self._scales, pulls, strict=True)]
        return softmax(self._average(scaled))

    def _average(self, values: list[np.ndarray]) -> np.ndarray:
        return np.average(values, axis=0, weights=self.skill)

    def _weigh(self) -> np.ndarray:
        """How well each snapshot foretells the reference labels, squared: weights of a mean.

        The skill is 1 - squared error / squared error of the labels' own mean (Brier's for
        classes). It is low at the first epochs of a net that learns slowly, and again at the last
        ones of a net that has memorised wrong labels.
        """
        y = self.reference.y.reshape(len(self.reference.y), -1)
        if self.codes is not None:
            y = (y == self.codes).astype(float)
        chance = max(((y - y.mean(0)) ** 2).sum(), 1e-300)
        errors = [((p.reshape(y.shape) - y) ** 2).sum() for p in self._beliefs(self.reference.X)]
        return np.maximum(1 - np.array(errors) / chance, 1e-3) ** 2
