"""Fits of one estimator to parts of the rows: seeded, in parallel, the same however many jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.parallel import delayed
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from skinfluence._core.tensors import n_rows
from skinfluence._data.labels import dataset_labels
from skinfluence._data.params import check_int
from skinfluence._data.rows import refuse_loader, rows_of
from skinfluence._fitting.isolation import seeded
from skinfluence._parallel import as_they_come

_LARGEST_SEED = np.iinfo(np.int32).max


def fit_and_ask(
    estimator: Any, X: Any, y: Any, index: np.ndarray, seed: int, ask: Callable[[Any], Any]
) -> Any:
    """What `ask` says of a clone of `estimator`, fitted to the rows `index` under `seed`."""
    with _own_randomness(estimator, seed):
        fitted = _with_seeds(clone(estimator), seed)
        fitted.fit(rows_of(X, index), rows_of(y, index))
        return ask(fitted)


def run_all(
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    total: int,
    *,
    n_jobs: int | None,
    verbose: int,
) -> list[Any]:
    """``function(*a)`` for each of the arguments, in their order, with a progress bar."""
    # "c": arrays that joblib maps into memory can be written to; torch warns of those that cannot
    calls = (delayed(function)(*a) for a in arguments)
    results = as_they_come(calls, n_jobs, mmap_mode="c")
    return list(tqdm(results, "trainings", total=total, disable=not verbose))


def draw_seeds(random_state: Any, n_seeds: int) -> list[int]:
    """One seed a repetition, the same for all parts: common random numbers."""
    size = check_int("n_seeds", n_seeds, 1)
    return check_random_state(random_state).randint(_LARGEST_SEED, size=size).tolist()


def check_training(estimator: Any, X: Any, y: Any) -> int:
    """Count the training rows; raise where they cannot be fitted again."""
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(f"estimator={estimator!r}: expected an estimator, an object with fit.")
    if isinstance(estimator, FrozenEstimator):
        raise TypeError(
            f"estimator={estimator!r} is frozen, so that every retraining would give the same "
            "model; give the estimator that is to be fitted."
        )
    refuse_loader(X, "X")
    if isinstance(X, Mapping) and len({len(value) for value in X.values()}) != 1:
        raise ValueError(
            f"X is a dict of {len(X)} entries, of lengths {[len(v) for v in X.values()]}; give one "
            "or more, all with the same rows."
        )
    n = n_rows(X)
    if y is None or n_rows(y) != n:
        given = "None" if y is None else f"of {n_rows(y)} rows"
        raise ValueError(f"X has {n} rows and y is {given}; give each row of X its label.")
    if isinstance(X, Dataset) and not np.array_equal(dataset_labels(X), labels_of(y)):
        raise ValueError(
            "X is a Dataset whose items carry other labels than y, and nets train on those of the "
            "items; give y as they are, or arrays."
        )
    return n


def check_reference(X_val: Any, y_val: Any) -> int:
    """Count the reference rows."""
    refuse_loader(X_val, "X_val")
    m = n_rows(X_val)
    if m == 0 or y_val is None or n_rows(y_val) != m:
        given = "None" if y_val is None else f"of {n_rows(y_val)} rows"
        raise ValueError(
            f"X_val has {m} rows and y_val is {given}; give one reference row or more, each with "
            "its label."
        )
    return m


def labels_of(y: Any) -> np.ndarray:
    """Labels as an array; one column is taken as (n,)."""
    y = y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else np.asarray(y)
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def _with_seeds(estimator: Any, seed: int) -> Any:
    """Give an integer to each ``random_state`` of the estimator and of those inside it."""
    rng = np.random.RandomState(seed)
    names = [n for n in estimator.get_params(deep=True) if n.split("__")[-1] == "random_state"]
    return estimator.set_params(**{n: int(rng.randint(_LARGEST_SEED)) for n in sorted(names)})


@contextmanager
def _own_randomness(estimator: Any, seed: int) -> Iterator[None]:
    """Seed NumPy and torch, and use one thread of torch's; what the caller had is put back.

    One thread, since sums differ in the last digits with the number of threads, and with them the
    numbers would depend on `n_jobs`.
    """
    state, threads = np.random.get_state(), torch.get_num_threads()  # noqa: NPY002  the global one
    np.random.seed(seed)  # noqa: NPY002  what estimators without a random_state draw from
    torch.set_num_threads(1)
    try:
        with seeded(seed, _device(estimator)):
            yield
    finally:
        torch.set_num_threads(threads)
        np.random.set_state(state)  # noqa: NPY002


def _device(estimator: Any) -> Any:
    """The first CUDA device that the estimator or one inside it names."""
    params = estimator.get_params(deep=True)
    named = (str(v) for k, v in sorted(params.items()) if k.split("__")[-1] == "device")
    return next((device for device in named if device.startswith("cuda")), "cpu")
