"""Ensembles: several parameter vectors, called members, made from one or a few fitted nets.

An ensemble states how many trainings it needs (`n_fits`) and how many checkpoints of each training
(`n_snapshots`). It turns the trained states into members. For each member, the gradients of the
rows and of the target are computed with the member's weights, and give each row a score. The scores
of all members are then aggregated. If the fitted net is the only member, the result is the plain
score.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from skinfluence._core.gates import gate_of, gate_places
from skinfluence._core.gradients import forward
from skinfluence._core.members import Member
from skinfluence._core.net import FunctionalNet
from skinfluence._core.states import State, read_state
from skinfluence._core.tensors import Rows, as_real
from skinfluence._data.params import check_choice, check_count, check_number
from skinfluence._fitting.checkpoints import Snapshots

__all__ = [
    "Checkpoints",
    "Dropout",
    "Ensemble",
    "Member",
    "Seeds",
    "Snapshots",
    "Training",
    "WeightNoise",
]

AGGREGATES = ("mean", "ranks", "votes")


@dataclass
class Training:
    """Checkpoints of one training, oldest first, and the learning rate at each checkpoint."""

    states: list[State]
    learning_rates: list[float]


class Ensemble(ABC, BaseEstimator):
    """Base class of the ensembles.

    Every ensemble has a parameter `aggregate` with three possible values:

    - "mean": weighted mean of the members' scores. Yang et al. (arXiv 2405.17490) use the sum,
      which differs only by a constant factor.
    - "ranks": mean of the row's ranks at the members. A rank is the share of training rows with a
      lower score. Members with large scores therefore do not dominate.
    - "votes": each pair of a member and a reference row ranks the training rows by their influence
      on that reference row. The lowest influence has rank 0. From each pair, a row gets ``max(k -
      rank, 0)`` votes against it, where k is a twentieth of the number of training rows. The score
      is minus the row's total votes, divided by the largest total that is possible. It lies between
      -1 and 0.
    """

    aggregate: str

    @property
    def n_fits(self) -> int:
        """Number of trainings, each with its own seed."""
        return 1

    @property
    def n_snapshots(self) -> int:
        """Number of checkpoints to keep of each training."""
        return 1

    def snapshot_directory(self, fit: int) -> Any:
        """Directory for the checkpoints of a training; None lets `Snapshots` choose."""
        return None

    @abstractmethod
    def members(
        self, trainings: list[Training], fnet: FunctionalNet, X: Rows, rng: np.random.RandomState
    ) -> list[Member]:
        """Return the members; X is a batch of rows, from which layer widths can be read."""


class Dropout(Ensemble):
    """Copies of one trained net under fixed dropout masks: the IP Ensemble of the paper [1]_.

    The net is trained once, and the first member is the net itself. Each other member is the net
    with one dropout mask, shared by all rows. The dropout rate of a mask is drawn from U(0,
    `max_rate`). If the net has dropout layers, the masks are applied there. Otherwise, they are
    applied to the inputs of every layer but the first, that is, after every hidden block.

    Parameters
    ----------
    n_members : int, default=5
        Number of members, including the net itself. The paper uses 5, and 20 on its large datasets.
    max_rate : float, default=0.01
        Largest dropout rate, in [0, 1).
    aggregate : {"mean", "ranks", "votes"}, default="mean"
        See :class:`Ensemble`.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, "Revisit, Extend, and Enhance Hessian-Free Influence Functions",
       arXiv 2405.17490.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.ensembles import Dropout
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = InfluenceScorer(ensemble=Dropout(max_rate=0.1), random_state=0).fit(X, y)
    >>> scorer.scores_.shape
    (150,)
    """

    def __init__(
        self, n_members: int = 5, max_rate: float = 0.01, *, aggregate: str = "mean"
    ) -> None:
        self.n_members = n_members
        self.max_rate = max_rate
        self.aggregate = aggregate

    def members(
        self, trainings: list[Training], fnet: FunctionalNet, X: Rows, rng: np.random.RandomState
    ) -> list[Member]:
        """Return each trained net and masked copies of it."""
        check_count(self, "n_members")
        wanted = "a rate in [0, 1)"
        check_number("max_rate", self.max_rate, wanted, lambda rate: 0 <= rate < 1, owner=self)
        places = gate_places(fnet.shell, lambda: forward(fnet, X))
        if not places:
            raise ValueError(
                "Dropout masks hidden layers, but this net has no hidden layer that is followed by "
                "a linear, convolutional or recurrent layer. Use WeightNoise() for a linear model."
            )
        return _varied(trainings, self.n_members, lambda _: self._masks(places, rng))

    def _masks(self, places: dict[str, int], rng: np.random.RandomState) -> dict[str, Any]:
        rate = rng.uniform(0, self.max_rate)
        kept = {name: rng.uniform(size=width) >= rate for name, width in places.items()}
        return {
            gate_of(name): torch.as_tensor(k / (1 - rate), dtype=torch.get_default_dtype())
            for name, k in kept.items()
        }


class WeightNoise(Ensemble):
    """Copies of one trained net with noisy weights: the paper's form for linear models [1]_.

    The first member is the net itself. In each other member, independent normal noise with standard
    deviation `sigma` is added to every parameter with respect to which gradients are taken.

    Parameters
    ----------
    n_members : int, default=6
        Number of members, including the net itself. The paper adds 5 noisy copies to the fitted
        model.
    sigma : float, default=0.01
        Standard deviation of the noise, in the units of the weights.
    aggregate : {"mean", "ranks", "votes"}, default="mean"
        See :class:`Ensemble`.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, arXiv 2405.17490.

    Examples
    --------
    >>> from skinfluence.ensembles import WeightNoise
    >>> WeightNoise(sigma=0.1)
    WeightNoise(sigma=0.1)
    """

    def __init__(self, n_members: int = 6, sigma: float = 0.01, *, aggregate: str = "mean") -> None:
        self.n_members = n_members
        self.sigma = sigma
        self.aggregate = aggregate

    def members(
        self, trainings: list[Training], fnet: FunctionalNet, X: Rows, rng: np.random.RandomState
    ) -> list[Member]:
        """Return each trained net and noisy copies of it."""
        check_count(self, "n_members")
        wanted = "a finite number, 0 or more"
        check_number("sigma", self.sigma, wanted, lambda sigma: sigma >= 0, owner=self)

        def noisy(state: dict[str, Any]) -> dict[str, Any]:
            noise = {name: rng.normal(0, self.sigma, size=p.shape) for name, p in of_interest}
            weights = {name: as_real(state[name]) for name in noise}
            return {n: w + torch.as_tensor(noise[n]).to(w) for n, w in weights.items()}

        of_interest = list(fnet.params.items())
        return _varied(trainings, self.n_members, noisy)


class Checkpoints(Ensemble):
    """Checkpoints of one training, each weighted by its learning rate: TracInCP [1]_.

    The epochs are spaced geometrically. They therefore include early epochs, in which the net has
    not yet memorized wrong labels. A frozen net must have been fitted with the callback
    :class:`Snapshots`.

    Parameters
    ----------
    n_members : int, default=6
        Maximum number of checkpoints.
    dirname : str or path, default=None
        Directory for the checkpoints. None keeps them in memory, or in a temporary directory if
        they are large.
    aggregate : {"mean", "ranks", "votes"}, default="mean"
        See :class:`Ensemble`.

    References
    ----------
    .. [1] Pruthi, Liu, Kale, Sundararajan, "Estimating Training Data Influence by Tracing
       Gradient Descent", NeurIPS 2020.

    Examples
    --------
    >>> from skinfluence.ensembles import Checkpoints
    >>> Checkpoints(aggregate="ranks")
    Checkpoints(aggregate='ranks')
    """

    def __init__(self, n_members: int = 6, dirname: Any = None, *, aggregate: str = "mean") -> None:
        self.n_members = n_members
        self.dirname = dirname
        self.aggregate = aggregate

    @property
    def n_snapshots(self) -> int:
        """Number of checkpoints to keep of each training."""
        check_count(self, "n_members")
        return self.n_members

    def snapshot_directory(self, fit: int) -> Any:
        """Directory for the checkpoints of a training."""
        return None if self.dirname is None else Path(self.dirname) / f"fit-{fit}"

    def members(
        self, trainings: list[Training], fnet: FunctionalNet, X: Rows, rng: np.random.RandomState
    ) -> list[Member]:
        """Return every checkpoint."""
        if not any(rate for training in trainings for rate in training.learning_rates):
            raise ValueError(
                "Checkpoints weights each checkpoint by its learning rate, but all learning rates "
                "are 0. Train the net with lr above 0."
            )
        return [
            Member(state, rate)
            for training in trainings
            for state, rate in zip(training.states, training.learning_rates, strict=True)
        ]


class Seeds(Ensemble):
    """Nets trained independently, with different initial weights and orders of the rows.

    The ensemble costs `n_members` trainings. In the literature, scores averaged over independently
    trained nets agree best with retraining [1]_.

    Parameters
    ----------
    n_members : int, default=5
        Number of trainings.
    each : Ensemble, default=None
        Ensemble to make from each training, such as ``Checkpoints()``. None uses the final net of
        each training. The parameter `aggregate` of `each` is not used.
    aggregate : {"mean", "ranks", "votes"}, default="mean"
        See :class:`Ensemble`.

    References
    ----------
    .. [1] Park, Georgiev, Ilyas, Leclerc, Madry, "TRAK: Attributing Model Behavior at Scale",
       ICML 2023.

    Examples
    --------
    >>> from skinfluence.ensembles import Checkpoints, Seeds
    >>> Seeds(3, each=Checkpoints())
    Seeds(each=Checkpoints(), n_members=3)
    """

    def __init__(self, n_members: int = 5, each: Any = None, *, aggregate: str = "mean") -> None:
        self.n_members = n_members
        self.each = each
        self.aggregate = aggregate

    @property
    def n_fits(self) -> int:
        """Number of trainings."""
        check_count(self, "n_members")
        inner = self._inner()
        return self.n_members * (1 if inner is None else inner.n_fits)

    @property
    def n_snapshots(self) -> int:
        """Number of checkpoints to keep of each training."""
        inner = self._inner()
        return 1 if inner is None else inner.n_snapshots

    def snapshot_directory(self, fit: int) -> Any:
        """Directory for the checkpoints of a training."""
        inner = self._inner()
        return None if inner is None else inner.snapshot_directory(fit)

    def members(
        self, trainings: list[Training], fnet: FunctionalNet, X: Rows, rng: np.random.RandomState
    ) -> list[Member]:
        """Return the final nets, or the members that `each` makes from the trainings."""
        inner = self._inner()
        if inner is not None:
            return inner.members(trainings, fnet, X, rng)
        return [Member(training.states[-1]) for training in trainings]

    def _inner(self) -> Ensemble | None:
        if self.each is not None and not isinstance(self.each, Ensemble):
            raise TypeError(
                f"Seeds(each={self.each!r}): expected an ensemble, such as Checkpoints(), or None."
            )
        return self.each


class Single(Ensemble):
    """The fitted net as the only member; ``ensemble=None`` means this ensemble."""

    aggregate = "mean"

    def members(
        self, trainings: list[Training], fnet: FunctionalNet, X: Rows, rng: np.random.RandomState
    ) -> list[Member]:
        """Return the net as it is."""
        return [Member({})]


def check_ensemble(ensemble: Any) -> Ensemble:
    """Return the ensemble for an `ensemble=` argument; None means the net itself."""
    if ensemble is None:
        return Single()
    if not isinstance(ensemble, Ensemble):
        raise TypeError(
            f"ensemble={ensemble!r}: expected an instance from skinfluence.ensembles, such as "
            "Dropout(), or None."
        )
    check_choice("aggregate", ensemble.aggregate, AGGREGATES, owner=ensemble)
    return ensemble


def _varied(
    trainings: list[Training], number: int, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[Member]:
    """Return the final state of each training, and `number` - 1 changed copies of it."""
    found = []
    for k, training in enumerate(trainings):
        last = read_state(training.states[-1])
        own = {} if k == 0 else last  # {}: the net itself has the first training's states
        found += [own, *(own | change(last) for _ in range(number - 1))]
    return [Member(state) for state in found]
