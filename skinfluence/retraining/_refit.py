"""Seeded, parallel fits of an estimator to parts of the rows; results do not depend on `n_jobs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.parallel import delayed
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from skinfluence._core.tensors import n_rows
from skinfluence._data.arrays import as_array, refuse_masked
from skinfluence._data.labels import dataset_labels
from skinfluence._data.params import check_int, check_verbose, read_random_state
from skinfluence._data.rows import refuse_loader, rows_of
from skinfluence._fitting.isolation import interruptible, seeded
from skinfluence._fitting.parallel import run_in_order

_LARGEST_SEED = np.iinfo(np.int32).max


def fit_and_evaluate(
    estimator: Any, X: Any, y: Any, index: np.ndarray, seed: int, evaluate: Callable[[Any], Any]
) -> Any:
    """Fit a clone of `estimator` to the rows `index` under `seed`; return ``evaluate(clone)``."""
    with _isolated(estimator, seed):
        fitted = _with_seeds(clone(estimator), seed)
        with interruptible():
            fitted.fit(rows_of(X, index), rows_of(y, index))
        return evaluate(fitted)


def run_all(
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    total: int,
    *,
    n_jobs: int | None,
    verbose: int,
) -> list[Any]:
    """Return ``function(*a)`` for each of the arguments, in order; show a progress bar."""
    # With "c", arrays that joblib maps into memory are writable; torch warns of read-only arrays.
    calls = (delayed(function)(*a) for a in arguments)
    results = run_in_order(calls, n_jobs, mmap_mode="c")
    return list(tqdm(results, "trainings", total=total, disable=not check_verbose(verbose)))


def draw_seeds(random_state: Any, n_seeds: int) -> list[int]:
    """Draw one seed per repetition. All subsets share these seeds (common random numbers)."""
    size = check_int("n_seeds", n_seeds, 1)
    return read_random_state(random_state).randint(_LARGEST_SEED, size=size).tolist()


def check_training(estimator: Any, X: Any, y: Any) -> int:
    """Return the number of training rows; raise if the estimator cannot be fitted to them."""
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(f"estimator={estimator!r}: expected an estimator, an object with fit.")
    if isinstance(estimator, FrozenEstimator):
        raise TypeError(
            f"estimator={estimator!r} is frozen: every retraining would give the same model. Give "
            "the unfitted estimator."
        )
    refuse_loader(X, "X")
    _check_has_rows(X, "X")
    if isinstance(X, Mapping) and len({len(value) for value in X.values()}) != 1:
        raise ValueError(
            f"X is a dict of {len(X)} entries with {[len(v) for v in X.values()]} rows; give one "
            "entry or more, all with the same number of rows."
        )
    n = n_rows(X)
    if y is not None:
        _check_has_rows(y, "y")
    if y is None or n_rows(y) != n:
        given = "None" if y is None else f"of {n_rows(y)} rows"
        raise ValueError(f"X has {n} rows and y is {given}; give one label per row of X.")
    if isinstance(X, Dataset) and not np.array_equal(dataset_labels(X), labels_of(y)):
        raise ValueError(
            "X is a Dataset whose items have other labels than y. Nets train on the labels of the "
            "items: give these as y, or give X as an array."
        )
    return n


def check_reference(X_val: Any, y_val: Any) -> int:
    """Return the number of reference rows; raise if there are none, or labels are missing."""
    refuse_loader(X_val, "X_val")
    _check_has_rows(X_val, "X_val")
    if y_val is not None:
        _check_has_rows(y_val, "y_val")
    m = n_rows(X_val)
    if m == 0 or y_val is None or n_rows(y_val) != m:
        given = "None" if y_val is None else f"of {n_rows(y_val)} rows"
        raise ValueError(
            f"X_val has {m} rows and y_val is {given}; give one reference row or more, and one "
            "label per row."
        )
    return m


def _check_has_rows(values: Any, name: str) -> None:
    """Raise unless rows can be counted and selected by position."""
    refuse_masked(name, values)
    has_rows = hasattr(values, "__len__") and not isinstance(values, str | bytes)
    if isinstance(values, Mapping) and not values:
        raise ValueError(f"{name} is a dict of 0 entries; give one entry or more.")
    if isinstance(values, Mapping) and not all(map(_has_length, values.values())):
        has_rows = False
    if not has_rows or getattr(values, "shape", None) == ():
        raise TypeError(f"{name} is of type {type(values).__name__}; expected an array of rows.")


def _has_length(values: Any) -> bool:
    return hasattr(values, "__len__")


def labels_of(y: Any, name: str = "y") -> np.ndarray:
    """Return labels as an array; a single column becomes (n,)."""
    y = as_array(name, y)
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _with_seeds(estimator: Any, seed: int) -> Any:
    """Set each ``random_state`` of the estimator, and of estimators inside it, to an integer."""
    rng = np.random.RandomState(seed)
    names = [n for n in estimator.get_params(deep=True) if n.split("__")[-1] == "random_state"]
    return estimator.set_params(**{n: int(rng.randint(_LARGEST_SEED)) for n in sorted(names)})


@contextmanager
def _isolated(estimator: Any, seed: int) -> Iterator[None]:
    """Seed NumPy and torch, and use one thread of torch; restore the caller's state afterwards.

    With more threads, sums differ in their last digits, and results would depend on `n_jobs`.
    """
    with seeded(seed, _device(estimator)):  # first: only one thread at a time may enter
        state, threads = np.random.get_state(), torch.get_num_threads()  # noqa: NPY002  global
        np.random.seed(seed)  # noqa: NPY002  what estimators without a random_state draw from
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            np.random.set_state(state)  # noqa: NPY002


def _device(estimator: Any) -> Any:
    """Return the first CUDA device that a parameter of the estimator names, else "cpu"."""
    params = estimator.get_params(deep=True)
    named = (str(v) for k, v in sorted(params.items()) if k.split("__")[-1] == "device")
    return next((device for device in named if device.startswith("cuda")), "cpu")
