"""Parallel work through joblib: results one by one, in order, from every backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel


def run_in_order(calls: Iterable[Any], n_jobs: int | None, **params: Any) -> Iterator[Any]:
    """Yield results of :func:`sklearn.utils.parallel.delayed` calls, in the order of the calls."""
    try:
        parallel = Parallel(n_jobs=n_jobs, return_as="generator", **params)
    except ValueError:  # backends such as Ray's return whole lists only: a few calls at a time
        parallel, calls = Parallel(n_jobs=n_jobs, **params), iter(calls)
        while some := list(islice(calls, 4 * effective_n_jobs(n_jobs))):
            yield from parallel(some)
    else:
        yield from parallel(calls)
