"""Shared by the query strategies: missing labels, candidates and batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from skorch import NeuralNet
from torch.utils.data import Dataset

from skinfluence._base import Estimator
from skinfluence._core.net import FunctionalNet
from skinfluence._core.tensors import n_rows
from skinfluence._data.arrays import as_array, is_na
from skinfluence._data.labels import check_labels
from skinfluence._data.params import check_bool, check_int, draw_seed, read_random_state
from skinfluence._data.rows import cast, check_rows, take
from skinfluence.active._ldm import entering, last_parameters
from skinfluence.active._utility import probabilities


class PoolQuery(Estimator):
    """Base class of the query strategies: fit on labeled rows, rank the pool, choose a batch."""

    spread: int
    missing_label: Any
    random_state: Any

    @abstractmethod
    def _utilities(
        self, rows: Any, labeled: np.ndarray, y: np.ndarray, pool: Any, seed: int, reference: Any
    ) -> tuple[NeuralNet, np.ndarray]:
        """Return a net fitted on the labeled rows, and the utility of each row of the pool."""

    def _query(
        self,
        X: Any,
        y: Any,
        candidates: Any,
        batch_size: int,
        return_utilities: bool,
        reference: Any = (None, None),
    ) -> Any:
        check_int("batch_size", batch_size, 1)
        check_int("spread", self.spread, 1)
        check_bool("return_utilities", return_utilities)
        rows = check_rows(self, X, reset=True)
        y, unlabeled = _split_labels(y, n_rows(rows), self.missing_label)
        pool, at, n_answer = self._pool(rows, unlabeled, candidates)
        if batch_size > len(at):
            raise ValueError(
                f"batch_size={batch_size!r} is larger than the number of candidates, {len(at)}."
            )
        rng = read_random_state(self.random_state)
        seed = draw_seed(rng)
        net, utility = self._utilities(rows, np.flatnonzero(~unlabeled), y, pool, seed, reference)
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
        """Choose a batch among the best rows: positions in the pool, best first."""
        best_first = np.lexsort((rng.random_sample(len(utility)), -utility))  # ties at random
        if self.spread == 1 or batch_size == 1:
            return best_first[:batch_size]
        among = best_first[: self.spread * batch_size]
        E = _features(net, take(pool, among))
        return among[_seeding(E, batch_size, rng)]

    def _pool(
        self, rows: Any, unlabeled: np.ndarray, candidates: Any
    ) -> tuple[Any, np.ndarray, int]:
        """Return the candidates, their columns in the utilities, and the number of columns."""
        if candidates is not None and _is_index(candidates):
            at = _check_index(np.asarray(candidates), unlabeled)
        elif candidates is not None:
            pool = check_rows(self, candidates, reset=False, name="candidates")
            return pool, np.arange(n_rows(pool)), n_rows(pool)
        else:
            at = np.flatnonzero(unlabeled)
        if not len(at):
            raise ValueError(
                "there is no unlabeled row to choose from: no entry of y equals "
                f"missing_label={self.missing_label!r} (in an array of strings, NaN becomes the "
                "string 'nan'; use dtype=object)."
                if candidates is None
                else "candidates is empty; give at least one, or None for all unlabeled rows."
            )
        return take(rows, at), at, len(unlabeled)


def _split_labels(y: Any, n: int, missing_label: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the known labels, and a mask of the rows without one."""
    if hasattr(missing_label, "__len__") and not isinstance(missing_label, str):
        raise TypeError(f"missing_label={missing_label!r}: expected a single value, such as NaN.")
    # numpy would turn a NaN in a list of strings into the string "nan".
    y = as_array("y", y)
    if y.shape != (n,):
        raise ValueError(
            f"y has shape {y.shape}; expected one label, or missing_label, for each of {n} rows."
        )
    if is_na(missing_label):
        missing = np.array([is_na(label) for label in y])
    else:
        missing = np.array([bool(label == missing_label) for label in y])
    if missing.all():
        raise ValueError(
            f"no row has a label: all {n} entries of y are missing_label={missing_label!r}. Label "
            "some rows of at least two classes first, for example random ones."
        )
    labels = check_labels(y[~missing], int((~missing).sum()))
    # NaN forces integer labels to floats, which would be taken for a regression target.
    whole = labels.dtype.kind == "f" and (labels == labels.round()).all()
    return labels.astype(np.int64) if whole else labels, missing


def _is_index(candidates: Any) -> bool:
    is_array = not isinstance(candidates, Mapping | Dataset)
    return is_array and np.ndim(candidates) == 1


def _check_index(candidates: np.ndarray, unlabeled: np.ndarray) -> np.ndarray:
    n = len(unlabeled)
    if candidates.dtype.kind == "b" and len(candidates) == n:
        candidates = np.flatnonzero(candidates)
    candidates = candidates.astype(np.int64) if not len(candidates) else candidates
    whole = candidates.dtype.kind in "iu"
    if not whole or (candidates < 0).any() or (candidates >= n).any():
        raise ValueError(
            f"candidates={candidates!r}: expected indices from 0 to {n - 1}, a mask of shape "
            f"({n},), or rows with the columns of X."
        )
    if len(np.unique(candidates)) < len(candidates):
        raise ValueError("candidates contains an index more than once; give np.unique(candidates).")
    if not unlabeled[candidates].all():
        known = candidates[~unlabeled[candidates]]
        raise ValueError(
            f"candidates contains {len(known)} rows that already have a label, the first at index "
            f"{known[0]}; remove them."
        )
    return candidates


def _seeding(E: np.ndarray, number: int, rng: np.random.RandomState) -> np.ndarray:
    """Return `number` indices by k-means++ on the cosine distance, starting with the first row."""
    E = E / np.maximum(np.linalg.norm(E, axis=1, keepdims=True), np.finfo(E.dtype).tiny)
    chosen = [0]
    nearest = np.full(len(E), np.inf)
    while len(chosen) < number:
        nearest = np.minimum(nearest, 1 - E @ E[chosen[-1]])
        nearest[nearest < 1e-6] = 0  # rounding errors of duplicates
        nearest[chosen] = 0
        weights = nearest.astype(float) ** 2
        if not weights.any():  # only duplicates are left: take the best one
            rest = np.setdiff1d(np.arange(len(E)), chosen)
            return np.array(chosen + rest[: number - len(chosen)].tolist())
        chosen.append(int(rng.choice(len(E), p=weights / weights.sum())))
    return np.array(chosen)


def _features(net: NeuralNet, pool: Any) -> np.ndarray:
    """Return the inputs of the last layer, (n, n_units), or probabilities if it is not linear."""
    X = cast(pool, FunctionalNet(net).input_dtype(pool))
    layer = last_parameters(net, X)[0].rpartition(".")[0]
    E = entering(net, layer, X)
    return probabilities(FunctionalNet(net), X) if E is None else E.numpy()
