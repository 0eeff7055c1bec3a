"""A verdict: what several judges, each of whom was trained on some of the rows, say together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from skinfluence._core.tensors import Rows, n_rows
from skinfluence._data.rows import take
from skinfluence._label_noise.evidence import METHODS, Evidence
from skinfluence._label_noise.fold_net import Judge
from skinfluence._label_noise.noise_model import NoiseModel, combined


class Verdict(ABC):
    """Collects what judges say; `scores` of the rows of `fit` are there once all were heard.

    Parameters
    ----------
    y : ndarray, the labels as the net's criterion takes them
    codes : ndarray or None
        How the net calls the classes; None for numbers.
    """

    def __init__(self, y: np.ndarray, codes: np.ndarray | None) -> None:
        self.judges: list[Judge] = []
        self.scores = np.empty(0)
        self.codes = codes
        self._y = y
        self._seen, self._unseen = _Mean(len(y)), _Mean(len(y))

    def hear(self, judge: Judge, X: Rows, train: np.ndarray) -> None:
        """Ask a judge about all rows, of which it was trained on `train`."""
        self.judges.append(judge)
        belief = judge.belief(X)
        self._seen.add(train, belief[train])
        held = np.setdiff1d(np.arange(len(belief)), train)
        self._unseen.add(held, belief[held])
        self._hear(judge, take(X, train), train)

    @property
    def seen(self) -> np.ndarray:
        """Belief of the judges that were trained with the row and its label."""
        return self._seen.value(instead=self._unseen)

    @property
    def unseen(self) -> np.ndarray:
        """Belief of the judges that were not; of rows that all of them saw, `seen`."""
        return self._unseen.value(instead=self._seen)

    def belief(self, X: Rows) -> np.ndarray:
        """Belief of all judges about rows, (n, n_outputs)."""
        return np.mean([judge.belief(X) for judge in self.judges], axis=0)

    def disputed(self) -> float:
        """Share of the rows whose given label is not the one most believed in."""
        return float(np.mean(self._all_evidence().argmax(1) != self.position(self._y)))

    def position(self, y: np.ndarray) -> np.ndarray:
        """Position of each row's label among the classes."""
        assert self.codes is not None
        return np.searchsorted(self.codes, y)

    def _all_evidence(self) -> np.ndarray:
        return combined(self.seen, self.unseen)

    @abstractmethod
    def _hear(self, judge: Judge, X: Rows, train: np.ndarray) -> None:
        """Ask a judge about the rows that it was trained on."""

    @abstractmethod
    def close(self) -> None:
        """Set `scores`, all judges having been heard."""

    @abstractmethod
    def score(self, X: Rows, y: np.ndarray) -> np.ndarray:
        """Score rows, old or new, by all the judges, (n,)."""

    @abstractmethod
    def score_labels(self, X: Rows) -> np.ndarray:
        """Score rows under each label, (n, n_classes)."""


class LogOdds(Verdict):
    """Log-odds that a label is right, from three distributions over the labels.

    They are the beliefs of nets that were trained with the row, the beliefs of nets that were not,
    and class-wise influence. Of a new row there is no net that was trained with it: there, those
    that were not count twice.
    """

    def __init__(self, y: np.ndarray, codes: np.ndarray) -> None:
        super().__init__(y, codes)
        self._pull = _Mean(len(y))

    def _hear(self, judge: Judge, X: Rows, train: np.ndarray) -> None:
        self._pull.add(train, judge.calibrate(X))

    def _all_evidence(self) -> np.ndarray:
        return combined(self.seen, self.unseen, self._pull.value())

    def close(self) -> None:
        """Learn which labels are mistaken for which."""
        belief, given = self._all_evidence(), self.position(self._y)
        self.noise = NoiseModel(belief, given)
        self.scores = self.noise.log_odds(belief)[np.arange(len(given)), given]

    def score(self, X: Rows, y: np.ndarray) -> np.ndarray:
        """Log-odds of each row's label."""
        return self.score_labels(X)[np.arange(n_rows(X)), self.position(y)]

    def score_labels(self, X: Rows) -> np.ndarray:
        """Log-odds of every label, were it given."""
        unseen = self.belief(X)
        pull = np.mean([judge.pull(X) for judge in self.judges], axis=0)
        return self.noise.log_odds(combined(unseen, unseen, pull))


class MeanRank(Verdict):
    """Mean over judges and evidences of a row's rank among the rows of the training, in [0, 1]."""

    def __init__(self, y: np.ndarray, codes: np.ndarray | None, kinds: Sequence[Evidence]) -> None:
        super().__init__(y, codes)
        self.kinds = kinds
        self._ranks: list[list[_Ranks]] = []
        self._total = _Mean(len(y))

    def _hear(self, judge: Judge, X: Rows, train: np.ndarray) -> None:
        found = judge.evidence(self.kinds, X, self._y[train])
        ranks = [_Ranks(values) for values in found]
        self._ranks.append(ranks)
        self._total.add(train, _ranked(ranks, found))

    def close(self) -> None:
        """Take the mean."""
        self.scores = self._total.value()

    def score(self, X: Rows, y: np.ndarray) -> np.ndarray:
        """Mean rank of each row."""
        return self._mean_rank(X, y, None)

    def score_labels(self, X: Rows) -> np.ndarray:
        """Mean rank of each row under each label."""
        return self._mean_rank(X, None, self.codes)

    def _mean_rank(self, X: Rows, y: Any, labels: np.ndarray | None) -> np.ndarray:
        pairs = zip(self.judges, self._ranks, strict=True)
        return np.mean(
            [_ranked(ranks, judge.evidence(self.kinds, X, y, labels)) for judge, ranks in pairs], 0
        )


def open_verdict(method: str, y: np.ndarray, codes: np.ndarray | None) -> Verdict:
    """Return the verdict that `method` asks for; `codes` is None for numbers."""
    if method == "auto" and codes is not None:
        return LogOdds(y, codes)
    return MeanRank(y, codes, METHODS[method])


class _Ranks:
    """Share of known values below a value, ties counting half, linear in between.

    Linear, so that the rounding of a batch does not make a rank jump.
    """

    def __init__(self, known: np.ndarray) -> None:
        self._values, counts = np.unique(known, return_counts=True)
        self._ranks = (np.cumsum(counts) - counts / 2) / len(known)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.interp(values, self._values, self._ranks)


def _ranked(ranks: list[_Ranks], found: list[np.ndarray]) -> np.ndarray:
    return np.mean([rank(values) for rank, values in zip(ranks, found, strict=True)], axis=0)


class _Mean:
    """Mean of what several judges say about the rows, each about some of them."""

    def __init__(self, n: int) -> None:
        self._counts = np.zeros(n)
        self._sum: Any = None

    def add(self, rows: np.ndarray, values: np.ndarray) -> None:
        if self._sum is None:
            self._sum = np.zeros((len(self._counts), *values.shape[1:]))
        self._sum[rows] += values
        self._counts[rows] += 1

    def value(self, instead: _Mean | None = None) -> np.ndarray:
        """The mean; rows that nobody spoke about have it from `instead`."""
        per_row = (-1, *[1] * (self._sum.ndim - 1))
        mean = self._sum / np.maximum(self._counts, 1).reshape(per_row)
        silent = self._counts == 0
        if instead is not None and silent.any():
            mean[silent] = instead.value()[silent]
        return mean
