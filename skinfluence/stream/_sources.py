"""Sources cut the rows of a container of any kind into chunks that a process can read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch.utils.data import Dataset, IterableDataset, Subset


@dataclass
class Slice:
    """Rows `start` to `stop` of data that a process can open itself."""

    X: Any
    y: Any
    start: int
    stop: int

    def read(self) -> tuple[Any, Any]:
        """Read the rows and their labels into memory; items of a Dataset are read later."""
        rows = slice(self.start, self.stop)
        if isinstance(self.X, Dataset):
            return Subset(self.X, range(self.start, self.stop)), cut(self.y, rows)
        if isinstance(self.y, str):
            columns = dict(cut(self.X, rows))
            y = columns.pop(self.y)
            return next(iter(columns.values())) if len(columns) == 1 else columns, y
        return cut(self.X, rows), cut(self.y, rows)


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
    """A memmap, named by its file: each process maps the file itself, so no array is sent."""

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
    """Chunks of an iterable; their number is not known."""

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
    _check_rows(next(iter(X.values()), None) if _is_dict(X) else X, "X")
    n = _length(next(iter(X.values())) if _is_dict(X) else X)
    if isinstance(y, str) and not _has_column(X, y):
        raise ValueError(f"y={y!r} is not the name of a column of X; give the labels themselves.")
    if y is not None and not isinstance(y, str):
        _check_rows(y, "y")
    if y is not None and not isinstance(y, str) and _length(y) != n:
        raise ValueError(f"X has {n} rows and y has {_length(y)}; give one label per row.")
    return Sliced(_by_file_name(X), _by_file_name(y), n, chunk_size)


def _check_rows(data: Any, name: str) -> None:
    """Raise unless rows of the data can be counted."""
    shape = getattr(data, "shape", None)
    if shape == () or (shape is None and not hasattr(data, "__len__")):
        raise TypeError(f"{name} is of type {type(data).__name__}; expected an array of rows.")


def _has_column(X: Any, name: str) -> bool:
    return isinstance(X, Mapping) or name in getattr(X, "column_names", ())


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
    """Whether this is the whole mapped array. A view has the offset of its base, not its own."""
    return not isinstance(data.base, np.memmap) and (
        data.flags.c_contiguous or data.flags.f_contiguous
    )


def cut(data: Any, rows: slice) -> Any:
    if data is None:
        return None
    if isinstance(data, Mapping):
        return {key: cut(value, rows) for key, value in data.items()}
    piece = data.iloc[rows] if hasattr(data, "iloc") else data[rows]
    if hasattr(piece, "__dask_graph__"):
        # Computed in this process: a worker that uses its own cluster would wait for itself.
        return piece.compute(scheduler="synchronous")
    return piece
