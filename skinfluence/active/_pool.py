"""What the query strategies share: labels that are missing, candidates, batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from skorch import NeuralNet
from torch.utils.data import Dataset

from skinfluence._base import Estimator
from skinfluence._core.net import FunctionalNet
from skinfluence._core.tensors import n_rows
from skinfluence._data.labels import _is_na, check_labels
from skinfluence._data.params import draw_seed
from skinfluence._data.rows import cast, check_rows, take
from skinfluence.active._ldm import check_number, entering, last_parameters
from skinfluence.active._utility import probabilities


class PoolQuery(Estimator):
    """Base of the query strategies: fit on the labelled rows, rank the others, take a batch."""

    spread: int
    missing_label: Any
    random_state: Any

    @abstractmethod
    def _ask(
        self, rows: Any, labelled: np.ndarray, y: np.ndarray, pool: Any, seed: int, reference: Any
    ) -> tuple[NeuralNet, np.ndarray]:
        """Return a net fitted on the labelled rows, and the utility of each row of the pool."""

    def _answer(
        self,
        X: Any,
        y: Any,
        candidates: Any,
        batch_size: int,
        return_utilities: bool,
        reference: Any = (None, None),
    ) -> Any:
        check_number("batch_size", batch_size)
        check_number("spread", self.spread)
        rows = check_rows(self, X, reset=True)
        y, unlabelled = _split_labels(y, n_rows(rows), self.missing_label)
        pool, at, n_answer = self._pool(rows, unlabelled, candidates)
        if batch_size > len(at):
            raise ValueError(
                f"batch_size={batch_size!r} is larger than the number of candidates, {len(at)}; "
                "give a smaller one."
            )
        rng = check_random_state(self.random_state)
        seed = draw_seed(rng)
        net, utility = self._ask(rows, np.flatnonzero(~unlabelled), y, pool, seed, reference)
        taken = self._batch(net, utility, pool, batch_size, rng)
        if not return_utilities:
            return at[taken]
        utilities = np.full((batch_size, n_answer), np.nan)
        utilities[:, at] = utility
        for k in range(1, batch_size):
            utilities[k, at[taken[:k]]] = np.nan
        return at[taken], utilities

    def _batch(
        self,
        net: NeuralNet,
        utility: np.ndarray,
        pool: Any,
        batch_size: int,
        rng: np.random.RandomState,
    ) -> np.ndarray:
        """Choose among the best: positions in the pool, the best first."""
        best_first = np.lexsort((rng.random_sample(len(utility)), -utility))  # ties at random
        if self.spread == 1 or batch_size == 1:
            return best_first[:batch_size]
        among = best_first[: self.spread * batch_size]
        E = _features(net, take(pool, among))
        return among[_seeding(E, batch_size, rng)]

    def _pool(
        self, rows: Any, unlabelled: np.ndarray, candidates: Any
    ) -> tuple[Any, np.ndarray, int]:
        """Return the candidates, their indices in the answer, and the length of that."""
        if candidates is not None and _is_index(candidates):
            at = _check_index(np.asarray(candidates), unlabelled)
        elif candidates is not None:
            pool = check_rows(self, candidates, reset=False, name="candidates")
            return pool, np.arange(n_rows(pool)), n_rows(pool)
        else:
            at = np.flatnonzero(unlabelled)
        if not len(at):
            raise ValueError(
                "there is no unlabelled row to ask about: no entry of y equals "
                f"missing_label={self.missing_label!r} (in an array of text a NaN is the text "
                "'nan'; give dtype=object)."
                if candidates is None
                else "candidates is empty; give at least one, or None for all unlabelled rows."
            )
        return take(rows, at), at, len(unlabelled)


def _split_labels(y: Any, n: int, missing_label: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels there are, and which of n rows have none."""
    # Of a list with a NaN among its strings, numpy would make the string "nan".
    y = np.asarray(y, dtype=object if isinstance(y, list | tuple) else None)
    if y.shape != (n,):
        raise ValueError(
            f"y has shape {y.shape}; expected one label, or missing_label, for each of {n} rows."
        )
    if _is_na(missing_label):
        missing = np.array([_is_na(label) for label in y])
    else:
        missing = np.array([bool(label == missing_label) for label in y])
    if missing.all():
        raise ValueError(
            f"no row has a label: all {n} entries of y are missing_label={missing_label!r}. Label "
            "some rows of at least two classes first, chosen at random, say."
        )
    labels = check_labels(y[~missing], int((~missing).sum()))
    # Beside a NaN, whole numbers had to be floats; those are taken for numbers, not for classes.
    whole = labels.dtype.kind == "f" and (labels == labels.round()).all()
    return labels.astype(np.int64) if whole else labels, missing


def _is_index(candidates: Any) -> bool:
    is_array = not isinstance(candidates, Mapping | Dataset)
    return is_array and np.ndim(candidates) == 1


def _check_index(candidates: np.ndarray, unlabelled: np.ndarray) -> np.ndarray:
    n = len(unlabelled)
    if candidates.dtype.kind == "b" and len(candidates) == n:
        candidates = np.flatnonzero(candidates)
    candidates = candidates.astype(np.int64) if not len(candidates) else candidates
    whole = candidates.dtype.kind in "iu"
    if not whole or (candidates < 0).any() or (candidates >= n).any():
        raise ValueError(
            f"candidates={candidates!r}: expected indices from 0 to {n - 1}, a mask of shape "
            f"({n},), or rows like those of X."
        )
    if len(np.unique(candidates)) < len(candidates):
        raise ValueError("candidates has an index more than once; give np.unique(candidates).")
    if not unlabelled[candidates].all():
        known = candidates[~unlabelled[candidates]]
        raise ValueError(
            f"candidates has {len(known)} rows that have a label already, the first at "
            f"{known[0]}; leave them out."
        )
    return candidates


def _seeding(E: np.ndarray, number: int, rng: np.random.RandomState) -> np.ndarray:
    """k-means++ on the cosine distance, from the first row on: indices (number,)."""
    E = E / np.maximum(np.linalg.norm(E, axis=1, keepdims=True), np.finfo(E.dtype).tiny)
    chosen = [0]
    nearest = np.full(len(E), np.inf)
    while len(chosen) < number:
        nearest = np.minimum(nearest, 1 - E @ E[chosen[-1]])
        nearest[nearest < 1e-6] = 0  # the rounding of a copy's distance
        nearest[chosen] = 0
        weights = nearest.astype(float) ** 2
        if not weights.any():  # copies only: the best of the rest
            rest = np.setdiff1d(np.arange(len(E)), chosen)
            return np.array(chosen + rest[: number - len(chosen)].tolist())
        chosen.append(int(rng.choice(len(E), p=weights / weights.sum())))
    return np.array(chosen)


def _features(net: NeuralNet, pool: Any) -> np.ndarray:
    """What enters a last linear layer, (n, n_units); probabilities where no such layer is last."""
    X = cast(pool, FunctionalNet(net).dtype)
    layer = last_parameters(net, X)[0].rpartition(".")[0]
    E = entering(net, layer, X)
    return probabilities(FunctionalNet(net), X) if E is None else E.numpy()
