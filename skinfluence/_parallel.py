"""Work through joblib: results in order, as they come, whatever its backend can do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel


def as_they_come(calls: Iterable[Any], n_jobs: int | None, **params: Any) -> Iterator[Any]:
    """Results of :func:`sklearn.utils.parallel.delayed` calls, in their order."""
    try:
        parallel = Parallel(n_jobs=n_jobs, return_as="generator", **params)
    except ValueError:  # from backends that hand over whole lists, as Ray's: a few calls at a time
        parallel, calls = Parallel(n_jobs=n_jobs, **params), iter(calls)
        while some := list(islice(calls, 4 * effective_n_jobs(n_jobs))):
            yield from parallel(some)
    else:
        yield from parallel(calls)
