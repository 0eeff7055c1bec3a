"""Scores of more rows than fit into memory: a chunk at a time, by several processes, resumable."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.utils.parallel import delayed
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset, IterableDataset, Subset
from tqdm.auto import tqdm

from skinfluence._data.params import check_int
from skinfluence._parallel import as_they_come

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
    """Scores of rows by a fitted scorer, as its ``score_samples`` gives, a chunk at a time.

    Only a chunk of the rows is in memory, or one a process with `n_jobs`. The work goes through
    joblib, so that a :func:`joblib.parallel_config` spreads it over a cluster.

    Parameters
    ----------
    scorer : InfluenceScorer or NoisyLabelDetector
        Fitted; anything with ``score_samples(X, y)``.
    X : array-like, store, Dataset or iterable
        Rows: an array, memmap, Zarr or HDF5 array, Dask array or DataFrame, which are sliced (a
        memmap is opened anew by each process and a Dask array computed there; their rows are never
        sent to one); a dict of those; a Hugging Face
        dataset in the format "numpy", with y the name of its column of labels; a Dataset of
        (x, y) items; or an iterable of ``(X, y)`` chunks (an IterableDataset that yields them, a
        generator), whose chunks are taken as they come.
    y : array-like or store of shape (n_samples,), or str, default=None
        Labels; None: as in ``score_samples``.
    chunk_size : int, default=65536
        Rows in a chunk.
    out : array of shape (n_samples,), default=None
        Where the scores are written as they come, such as a :class:`numpy.memmap`. None: a new
        array.
    checkpoint_dir : str or path, default=None
        Directory that keeps the scores of the chunks done. The same call with the same directory
        goes on where the last one was stopped. Rows are told from others by two hundred of them
        and by all labels (those of a Dataset by its first and last item).
    n_jobs : int, default=None
        Processes, as in joblib; None is 1 unless a :func:`joblib.parallel_config` says otherwise.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    scores : ndarray of shape (n_samples,), float64, or `out`

    Raises
    ------
    ValueError
        When `checkpoint_dir` holds the scores of other rows, or by another scorer.

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
            f"out has shape {getattr(out, 'shape', None)}; expected ({source.n},), a number for "
            "each row (of an iterable, whose length is not known, leave it out)."
        )
    kept = None if checkpoint_dir is None else Kept(Path(checkpoint_dir), scorer, source)
    found = [] if kept is None else kept.chunks()
    tasks = islice(source.tasks(), len(found), None)
    todo = as_they_come((delayed(_score)(scorer, task) for task in tasks), n_jobs)
    bar = tqdm(total=source.n, desc="scoring", unit="row", disable=not verbose, leave=False)
    collected = _Collected(out)
    with bar:
        for scores in found:
            bar.update(collected.take(scores))
        for scores in todo:
            if kept is not None:
                kept.add(scores)
            bar.update(collected.take(scores))
    return collected.whole()


def _score(scorer: Any, task: Any) -> np.ndarray:
    return np.asarray(scorer.score_samples(*task.read()), dtype=np.float64)


class _Collected:
    """Scores in the order of the rows: in an array of the caller's, or in one of our own."""

    def __init__(self, out: Any) -> None:
        self.out, self.parts, self.n = out, [], 0

    def take(self, scores: np.ndarray) -> int:
        if self.out is None:
            self.parts.append(scores)
        else:
            self.out[self.n : self.n + len(scores)] = scores
        self.n += len(scores)
        return len(scores)

    def whole(self) -> Any:
        if self.out is not None:
            return self.out
        return np.concatenate(self.parts) if self.parts else np.empty(0)


# Sources: where chunks of rows come from ------------------------------------------------------


@dataclass
class Slice:
    """Rows start to stop of something that a process can open by itself."""

    X: Any
    y: Any
    start: int
    stop: int

    def read(self) -> tuple[Any, Any]:
        """Return the rows, in memory, and their labels."""
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
    """A chunk as an iterable has given it."""

    X: Any
    y: Any

    def read(self) -> tuple[Any, Any]:
        """Return the rows and their labels."""
        return self.X, self.y


@dataclass
class Mapped:
    """A memmap by name: each process maps the file, and no array is sent to it."""

    path: str
    dtype: Any
    offset: int
    shape: tuple[int, ...]
    order: str

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape, self.order)[rows]

    def __len__(self) -> int:
        return self.shape[0]


@dataclass
class Sliced:
    """Rows of known number."""

    X: Any
    y: Any
    n: int
    chunk_size: int

    def tasks(self) -> Iterator[Slice]:
        """Chunks in order."""
        for start in range(0, self.n, self.chunk_size):
            yield Slice(self.X, self.y, start, min(start + self.chunk_size, self.n))


@dataclass
class Iterated:
    """Chunks as they come; how many is not known."""

    chunks: Iterable[Any]
    n: None = None

    def tasks(self) -> Iterator[Given]:
        """Chunks in order."""
        for number, chunk in enumerate(self.chunks):
            if not isinstance(chunk, tuple | list) or len(chunk) != 2:
                raise ValueError(
                    f"X is an iterable, and its chunk {number} is no pair (X, y) of rows and their "
                    f"labels, but {type(chunk).__name__}."
                )
            yield Given(*chunk)


def open_source(X: Any, y: Any, chunk_size: int) -> Sliced | Iterated:
    """Find out how chunks of the rows are to be had."""
    sized = hasattr(X, "__getitem__") and (hasattr(X, "__len__") or hasattr(X, "shape"))
    if isinstance(X, IterableDataset) or not sized:
        if not isinstance(X, Iterable):
            raise TypeError(
                f"X is a {type(X).__name__}; expected rows that can be sliced, a Dataset, or an "
                "iterable of (X, y) chunks."
            )
        if y is not None:
            raise ValueError("X is an iterable of (X, y) chunks, which carry their labels: no y.")
        return Iterated(X)
    n = _length(next(iter(X.values())) if _is_dict(X) else X)
    if y is not None and not isinstance(y, str) and _length(y) != n:
        raise ValueError(f"X has {n} rows and y has {_length(y)}; give one label a row.")
    return Sliced(_by_name(X), _by_name(y), n, chunk_size)


def _length(data: Any) -> int:
    return data.shape[0] if hasattr(data, "shape") else len(data)  # a Zarr array has no len


def _is_dict(data: Any) -> bool:
    return isinstance(data, Mapping) and not hasattr(data, "column_names")


def _by_name(data: Any) -> Any:
    if _is_dict(data):
        return {key: _by_name(value) for key, value in data.items()}
    in_file = isinstance(data, np.memmap) and data.mode != "c"  # changes of mode "c" are not
    if in_file and data.filename is not None and _is_whole(data):
        order = "C" if data.flags.c_contiguous else "F"
        return Mapped(os.fspath(data.filename), data.dtype, data.offset, data.shape, order)
    return data


def _is_whole(data: np.memmap) -> bool:
    """Whether it is the mapped array itself; a view of one keeps the offset of its base."""
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
        # In the process that scores it: a worker that asked its cluster would wait for itself.
        return piece.compute(scheduler="synchronous")
    return piece


# Checkpoints: what is done already ------------------------------------------------------------


class Kept:
    """Scores of the chunks done, in a directory: whole chunks in one file, what of in another."""

    def __init__(self, directory: Path, scorer: Any, source: Sliced | Iterated) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path, plan = directory / "scores.f8", directory / "plan.json"
        mine = {"rows": source.n, "chunk_size": getattr(source, "chunk_size", None)}
        mine |= {"scorer": _mark(scorer), "some_rows": _mark_of_rows(source)}
        if plan.exists():
            theirs = json.loads(plan.read_text(encoding="utf-8"))
            other = [key for key, value in mine.items() if theirs.get(key) != value]
            if other:
                raise ValueError(
                    f"checkpoint_dir={os.fspath(directory)!r} holds scores of another run: "
                    f"{', '.join(other)} differ. Give another directory, or delete it."
                )
        else:
            _write_whole(plan, json.dumps(mine))
        self.lengths = directory / "chunks.txt"

    def chunks(self) -> list[np.ndarray]:
        """Scores of the chunks that were finished; what was half written is cut off."""
        lengths = []
        if self.lengths.exists():
            lines = self.lengths.read_text(encoding="utf-8").split("\n")[:-1]  # the last is torn
            lengths = [int(line) for line in lines]
        scores = np.fromfile(self.path, dtype="<f8") if self.path.exists() else np.empty(0)
        while lengths and sum(lengths) > len(scores):
            lengths.pop()
        with open(self.path, "ab") as file:
            file.truncate(8 * sum(lengths))
        _write_whole(self.lengths, "".join(f"{length}\n" for length in lengths))
        return np.split(scores[: sum(lengths)], np.cumsum(lengths)[:-1]) if lengths else []

    def add(self, scores: np.ndarray) -> None:
        """Write a chunk; it counts only when its length has been written, after its scores."""
        for path, data in (
            (self.path, scores.astype("<f8").tobytes()),
            (self.lengths, f"{len(scores)}\n".encode()),
        ):
            with open(path, "ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())


def _mark(scorer: Any) -> str:
    """A number that tells fitted scorers apart, also in another process."""
    return str(joblib.hash(np.asarray(scorer.scores_)))


def _mark_of_rows(source: Sliced | Iterated) -> str | None:
    if isinstance(source, Iterated):
        return None
    if isinstance(source.X, Dataset):
        return str(joblib.hash([source.X[i] for i in (0, source.n - 1)]))
    starts = np.unique(np.linspace(0, max(source.n - 10, 0), 20).astype(int))
    some = [Slice(source.X, source.y, int(i), min(int(i) + 10, source.n)).read() for i in starts]
    elsewhere = source.y is None or isinstance(source.y, str)  # none, or a column of X
    labels = None if elsewhere else np.asarray(_cut(source.y, slice(0, source.n)))
    return str(joblib.hash((some, labels)))


def _write_whole(path: Path, text: str) -> None:
    """Write a file that is there either as a whole or not at all."""
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
