"""Score more rows than fit into memory: in chunks, in several processes, with checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.parallel import delayed
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Subset
from tqdm.auto import tqdm

from skinfluence._data.params import check_int, check_verbose
from skinfluence._fitting.parallel import run_in_order
from skinfluence.stream._checkpoints import Chunk, ScoreStore
from skinfluence.stream._fingerprint import RecordedItems, fingerprint
from skinfluence.stream._output import check_output, reserve
from skinfluence.stream._sources import open_source

__all__ = ["score_stream"]


def score_stream(
    scorer: Any,
    X: Any,
    y: Any = None,
    *,
    chunk_size: int = 2**16,
    out: Any = None,
    checkpoint_dir: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Any:
    """Score rows in chunks, with the ``score_samples`` of a fitted scorer.

    Only one chunk of the rows is in memory at a time or, with `n_jobs`, one chunk per process. The
    chunks are processed by joblib, so :func:`joblib.parallel_config` can distribute them over a
    cluster.

    Parameters
    ----------
    scorer : InfluenceScorer or NoisyLabelDetector
        Fitted scorer; any estimator with ``score_samples(X, y)`` is accepted.
    X : array-like, store, Dataset or iterable
        Rows, in one of these forms:

        - an array, memmap, Zarr or HDF5 array, Dask array or DataFrame, or a dict of these, which
          is cut into chunks. Rows of a memmap or Dask array are not sent to the processes. Each
          process opens the memmap, or computes its part of the Dask array, itself.
        - a Hugging Face dataset in the format "numpy", with y the name of its label column.
        - a Dataset of (x, y) items.
        - an iterable of ``(X, y)`` chunks, such as a generator, an IterableDataset that yields
          chunks, or a DataLoader that does not shuffle. Its chunks are used as they are, so
          `chunk_size` has no effect.
    y : array-like or store of shape (n_samples,), or str, default=None
        Labels. None has the same meaning as in the scorer's ``score_samples``.
    chunk_size : int, default=65536
        Number of rows per chunk.
    out : array of shape (n_samples,), default=None
        Array that the scores are written to, such as a :class:`numpy.memmap`. None means a new
        array.
    checkpoint_dir : str or path, default=None
        Directory in which the scores of finished chunks are kept. To continue an interrupted call,
        make the same call with the same directory. The rows and labels of the finished chunks are
        read again, but not scored again: each chunk is identified by a fingerprint of all its
        numbers. If a stored chunk is damaged, this chunk and all later chunks are scored again.
        Only one run at a time can use the directory. If a run was killed on another machine, delete
        its lock file.
    n_jobs : int, default=None
        Number of processes, as in joblib; None means 1 unless :func:`joblib.parallel_config` says
        otherwise.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    scores : ndarray of shape (n_samples,), float64, or `out`

    Raises
    ------
    ValueError
        If `checkpoint_dir` holds the scores of other rows or of another scorer, or if another run
        uses it.
    OSError
        If `out` is a memmap, and the disk has too little space for it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.stream import score_stream
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = InfluenceScorer(random_state=0).fit(X, y)
    >>> scores = score_stream(scorer, X, y, chunk_size=40)
    >>> bool(np.allclose(scores, scorer.score_samples(X, y), rtol=1e-4, atol=1e-6))
    True
    """
    check_is_fitted(scorer)
    source = open_source(X, y, check_int("chunk_size", chunk_size, 1))
    if out is not None:
        hint = ", one number per row. For an iterable X, whose length is not known, omit out"
        check_output(out, (source.n,), hint)
    reserve(out)
    collector = _Collector(out)
    bar = tqdm(
        total=source.n, desc="scoring", unit="row", disable=not check_verbose(verbose), leave=False
    )
    store = None if checkpoint_dir is None else ScoreStore(Path(checkpoint_dir), scorer, source)
    tasks = source.tasks()
    with store or nullcontext(), bar:
        for chunk in [] if store is None else _finished(store, tasks, n_jobs):
            bar.update(collector.add(chunk.scores))
        score = _score if store is None else _score_and_identify
        for chunk in run_in_order((delayed(score)(scorer, task) for task in tasks), n_jobs):
            if store is not None:
                store.add(chunk)
            bar.update(collector.add(chunk.scores))
    return collector.result()


def _finished(store: ScoreStore, tasks: Iterator[Any], n_jobs: int | None) -> list[Chunk]:
    """Skip the finished tasks, check that their rows are unchanged, and return their chunks."""
    chunks = store.chunks()
    calls = (delayed(_identify)(task) for task in islice(tasks, len(chunks)))
    store.check_rows(chunks, run_in_order(calls, n_jobs))
    return chunks


def _identify(task: Any) -> str:
    return fingerprint(*task.read())


def _score(scorer: Any, task: Any) -> Chunk:
    return Chunk(_scores(scorer, *task.read()), "")


def _score_and_identify(scorer: Any, task: Any) -> Chunk:
    X, y = task.read()
    if type(X) is Subset:  # part of a Dataset: fingerprint its items as they are read
        X = RecordedItems(X.dataset, X.indices)
        scores = _scores(scorer, X, y)
        return Chunk(scores, fingerprint(X, y))
    rows = fingerprint(X, y)  # before scoring: a net may change its input
    return Chunk(_scores(scorer, X, y), rows)


def _scores(scorer: Any, X: Any, y: Any) -> np.ndarray:
    return np.asarray(scorer.score_samples(X, y), dtype=np.float64)


class _Collector:
    """Collects scores in the order of the rows, in the caller's array or in a new one."""

    def __init__(self, out: Any) -> None:
        self.out, self.n = out, 0
        self.parts: list[np.ndarray] = []

    def add(self, scores: np.ndarray) -> int:
        """Add the scores of a chunk, and return their number."""
        if self.out is None:
            self.parts.append(scores)
        else:
            self.out[self.n : self.n + len(scores)] = scores
        self.n += len(scores)
        return len(scores)

    def result(self) -> Any:
        """Return the scores of all rows."""
        if self.out is not None:
            return self.out
        return np.concatenate(self.parts) if self.parts else np.empty(0)
