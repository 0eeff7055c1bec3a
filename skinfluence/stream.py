"""Score more rows than fit into memory: in chunks, in several processes, resumable."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
from sklearn.utils.parallel import delayed
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset, IterableDataset, Subset
from tqdm.auto import tqdm

from skinfluence._data.params import check_int
from skinfluence._fitting.parallel import run_in_order

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

        - an array, memmap, Zarr or HDF5 array, Dask array or DataFrame, or a dict of these. It is
          cut into chunks. Rows of a memmap or Dask array are not sent to the processes: each
          process opens the memmap, or computes its part of the Dask array, itself.
        - a Hugging Face dataset in the format "numpy", with y the name of its label column.
        - a Dataset of (x, y) items.
        - an iterable of ``(X, y)`` chunks, such as a generator, an IterableDataset that yields
          chunks, or a DataLoader that does not shuffle. These chunks are used, whatever their size.
    y : array-like or store of shape (n_samples,), or str, default=None
        Labels. None has the same meaning as in the scorer's ``score_samples``.
    chunk_size : int, default=65536
        Number of rows per chunk.
    out : array of shape (n_samples,), default=None
        Array that the scores are written to, such as a :class:`numpy.memmap`. None means a new
        array.
    checkpoint_dir : str or path, default=None
        Directory in which the scores of finished chunks are kept. To continue an interrupted call,
        make the same call with the same directory. The data are identified by a hash of 200 sampled
        rows and all labels or, for a Dataset, of its first and last item.
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
        If `checkpoint_dir` holds the scores of other rows, or of another scorer.

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
    if out is not None and getattr(out, "shape", None) != (source.n,):
        raise ValueError(
            f"out has shape {getattr(out, 'shape', None)}; expected ({source.n},), one number per "
            "row. For an iterable, whose length is not known, leave it out."
        )
    store = None if checkpoint_dir is None else ScoreStore(Path(checkpoint_dir), scorer, source)
    found = [] if store is None else store.chunks()
    tasks = islice(source.tasks(), len(found), None)
    todo = run_in_order((delayed(_score)(scorer, task) for task in tasks), n_jobs)
    bar = tqdm(total=source.n, desc="scoring", unit="row", disable=not verbose, leave=False)
    collector = _Collector(out)
    with bar:
        for scores in found:
            bar.update(collector.add(scores))
        for scores in todo:
            if store is not None:
                store.add(scores)
            bar.update(collector.add(scores))
    return collector.result()


def _score(scorer: Any, task: Any) -> np.ndarray:
    return np.asarray(scorer.score_samples(*task.read()), dtype=np.float64)


class _Collector:
    """Collects scores in the order of the rows, in the caller's array or in a new one."""

    def __init__(self, out: Any) -> None:
        self.out, self.n = out, 0
        self.parts: list[np.ndarray] = []

    def add(self, scores: np.ndarray) -> int:
        """Add the scores of a chunk, and return how many they are."""
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


# Sources: where chunks of rows come from ------------------------------------------------------


@dataclass
class Slice:
    """Rows `start` to `stop` of data that a process can open itself."""

    X: Any
    y: Any
    start: int
    stop: int

    def read(self) -> tuple[Any, Any]:
        """Read the rows and their labels into memory."""
        rows = slice(self.start, self.stop)
        if isinstance(self.X, Dataset):
            return Subset(self.X, range(self.start, self.stop)), _cut(self.y, rows)
        if isinstance(self.y, str):
            columns = dict(_cut(self.X, rows))
            y = columns.pop(self.y)
            return next(iter(columns.values())) if len(columns) == 1 else columns, y
        return _cut(self.X, rows), _cut(self.y, rows)


@dataclass
class Given:
    """A chunk that an iterable has yielded."""

    X: Any
    y: Any

    def read(self) -> tuple[Any, Any]:
        """Return the rows and their labels."""
        return self.X, self.y


@dataclass
class Mapped:
    """A memmap, given by its file name: each process maps the file itself, so no array is sent."""

    path: str
    dtype: Any
    offset: int
    shape: tuple[int, ...]
    order: Literal["C", "F"]

    def __getitem__(self, rows: slice) -> np.ndarray:
        mapped: np.ndarray = np.memmap(
            self.path, self.dtype, "r", self.offset, self.shape, self.order
        )
        return mapped[rows]

    def __len__(self) -> int:
        return self.shape[0]


@dataclass
class Sliced:
    """Rows whose number is known, cut into slices."""

    X: Any
    y: Any
    n: int
    chunk_size: int

    def tasks(self) -> Iterator[Slice]:
        """Yield the chunks in order."""
        for start in range(0, self.n, self.chunk_size):
            yield Slice(self.X, self.y, start, min(start + self.chunk_size, self.n))


@dataclass
class Iterated:
    """Chunks of an iterable; how many there are is not known."""

    chunks: Iterable[Any]
    n: None = None

    def tasks(self) -> Iterator[Given]:
        """Yield the chunks in order."""
        for number, chunk in enumerate(self.chunks):
            if not isinstance(chunk, tuple | list) or len(chunk) != 2:
                raise ValueError(
                    f"X is an iterable, and its chunk {number} is of type {type(chunk).__name__}; "
                    "expected a pair (X, y) of rows and their labels."
                )
            yield Given(*chunk)


def open_source(X: Any, y: Any, chunk_size: int) -> Sliced | Iterated:
    """Return the source that cuts X and y into chunks."""
    sized = hasattr(X, "__getitem__") and (hasattr(X, "__len__") or hasattr(X, "shape"))
    if isinstance(X, IterableDataset) or not sized:
        if not isinstance(X, Iterable):
            raise TypeError(
                f"X is a {type(X).__name__}; expected rows that can be sliced, a Dataset, or an "
                "iterable of (X, y) chunks."
            )
        if y is not None:
            raise ValueError("X is an iterable of (X, y) chunks, which hold the labels: omit y.")
        return Iterated(X)
    n = _length(next(iter(X.values())) if _is_dict(X) else X)
    if y is not None and not isinstance(y, str) and _length(y) != n:
        raise ValueError(f"X has {n} rows and y has {_length(y)}; give one label per row.")
    return Sliced(_by_file_name(X), _by_file_name(y), n, chunk_size)


def _length(data: Any) -> int:
    return data.shape[0] if hasattr(data, "shape") else len(data)  # a Zarr array has no len


def _is_dict(data: Any) -> bool:
    return isinstance(data, Mapping) and not hasattr(data, "column_names")


def _by_file_name(data: Any) -> Any:
    if _is_dict(data):
        return {key: _by_file_name(value) for key, value in data.items()}
    in_file = isinstance(data, np.memmap) and data.mode != "c"  # "c": changes are in memory only
    if in_file and data.filename is not None and _is_whole(data):
        order: Literal["C", "F"] = "C" if data.flags.c_contiguous else "F"
        return Mapped(os.fspath(data.filename), data.dtype, data.offset, data.shape, order)
    return data


def _is_whole(data: np.memmap) -> bool:
    """Whether this is the mapped array itself, not a view, which keeps the offset of its base."""
    return not isinstance(data.base, np.memmap) and (
        data.flags.c_contiguous or data.flags.f_contiguous
    )


def _cut(data: Any, rows: slice) -> Any:
    if data is None:
        return None
    if isinstance(data, Mapping):
        return {key: _cut(value, rows) for key, value in data.items()}
    piece = data.iloc[rows] if hasattr(data, "iloc") else data[rows]
    if hasattr(piece, "__dask_graph__"):
        # Computed in this process: a worker that uses its own cluster would wait for itself.
        return piece.compute(scheduler="synchronous")
    return piece


# Checkpoints: the chunks that are finished -----------------------------------------------------


class ScoreStore:
    """Scores of the finished chunks, in a directory.

    `scores.f8` holds the scores and `chunks.txt` the length of each chunk. `plan.json` holds hashes
    and settings that identify the rows and the scorer.
    """

    def __init__(self, directory: Path, scorer: Any, source: Sliced | Iterated) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path, plan = directory / "scores.f8", directory / "plan.json"
        mine = {"rows": source.n, "chunk_size": getattr(source, "chunk_size", None)}
        mine |= {"scorer": _hash_scorer(scorer), "some_rows": _hash_rows(source)}
        if plan.exists():
            known = json.loads(plan.read_text(encoding="utf-8"))
            other = [key for key, value in mine.items() if known.get(key) != value]
            if other:
                raise ValueError(
                    f"checkpoint_dir={os.fspath(directory)!r} holds scores of another run: "
                    f"{', '.join(other)} differ. Give another directory, or delete this one."
                )
        else:
            _write_whole(plan, json.dumps(mine))
        self.lengths = directory / "chunks.txt"

    def chunks(self) -> list[np.ndarray]:
        """Return the scores of the finished chunks; an incomplete chunk is cut off the file."""
        lengths = []
        if self.lengths.exists():
            lines = self.lengths.read_text(encoding="utf-8").split("\n")[
                :-1
            ]  # the last is incomplete
            lengths = [int(line) for line in lines]
        scores = np.fromfile(self.path, dtype="<f8") if self.path.exists() else np.empty(0)
        while lengths and sum(lengths) > len(scores):
            lengths.pop()
        with open(self.path, "ab") as file:
            file.truncate(8 * sum(lengths))
        _write_whole(self.lengths, "".join(f"{length}\n" for length in lengths))
        return np.split(scores[: sum(lengths)], np.cumsum(lengths)[:-1]) if lengths else []

    def add(self, scores: np.ndarray) -> None:
        """Write a chunk: first its scores, then its length; without its length, it is ignored."""
        for path, data in (
            (self.path, scores.astype("<f8").tobytes()),
            (self.lengths, f"{len(scores)}\n".encode()),
        ):
            with open(path, "ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())


def _hash_scorer(scorer: Any) -> str:
    """Return a hash of a fitted scorer that is the same in every process."""
    return str(joblib.hash(np.asarray(scorer.scores_)))


def _hash_rows(source: Sliced | Iterated) -> str | None:
    """Return a hash of some rows and all labels; None for an iterable."""
    if isinstance(source, Iterated):
        return None
    if isinstance(source.X, Dataset):
        return str(joblib.hash([source.X[i] for i in (0, source.n - 1)]))
    starts = np.unique(np.linspace(0, max(source.n - 10, 0), 20).astype(int))
    some = [Slice(source.X, source.y, int(i), min(int(i) + 10, source.n)).read() for i in starts]
    elsewhere = source.y is None or isinstance(source.y, str)  # y is a column of X
    labels = None if elsewhere else np.asarray(_cut(source.y, slice(0, source.n)))
    return str(joblib.hash((some, labels)))


def _write_whole(path: Path, text: str) -> None:
    """Write a file completely or, if the process is stopped, not at all."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
