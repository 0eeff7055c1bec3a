"""Fingerprints of rows and scorers: equal numbers have equal fingerprints in every process.

Fingerprints are computed from the bytes of the numbers. `joblib.hash` is not used, because it
hashes pickles, and the pickles of equal tensors differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from numbers import Number
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from skorch import NeuralNet
from torch.utils.data import Dataset, Subset

_NUMPY_FLOATS = {torch.float16, torch.float32, torch.float64}
_WITHOUT_EFFECT = {"verbose", "n_jobs"}  # parameters that do not change a score


def fingerprint(*values: Any) -> str:
    """Return the fingerprint of arrays, tensors, tables, texts, and containers of these.

    Raises
    ------
    TypeError
        If a value holds an object whose content cannot be read.
    """
    hashed = _Hash()
    hashed.add(values)
    return hashed.hexdigest()


def fingerprint_scorer(scorer: Any) -> str:
    """Return the fingerprint of a fitted scorer: its parameters, fitted attributes and nets.

    A scorer that is fitted again with the same rows and seed must have the same fingerprint.
    Training times and parameters such as `verbose` are therefore left out.
    """
    hashed = _Hash(of_scorer=True)
    hashed.add(scorer)
    return hashed.hexdigest()


class RecordedItems(Subset):
    """Items of a Dataset, with the fingerprint of each item that has been read.

    An item is thus read only once, unless a worker process of a DataLoader reads it.
    """

    def __init__(self, dataset: Any, indices: Any) -> None:
        super().__init__(dataset, indices)
        self.known: dict[int, str] = {}

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.__getitems__(index)
        item = super().__getitem__(index)
        self._record(index, item)
        return item

    def __getitems__(self, indices: list[int]) -> list[Any]:
        items = super().__getitems__(indices)
        for index, item in zip(indices, items, strict=True):
            self._record(index, item)
        return items

    def _record(self, index: int, item: Any) -> None:
        index = int(index) % len(self)
        if index not in self.known:
            self.known[index] = fingerprint(item)

    def fingerprints(self) -> list[str]:
        """Return the fingerprint of each item; items that were not read yet are read."""
        for index in range(len(self)):
            if index not in self.known:
                self[index]
        return [self.known[index] for index in range(len(self))]


class _Hash:
    """A hash to which values are added, each with its type and its length."""

    def __init__(self, *, of_scorer: bool = False) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.of_scorer = of_scorer
        self._inside: set[int] = set()  # ids of the containers that are being added

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def add(self, value: Any) -> None:
        if id(value) in self._inside:
            return self._tag("inside itself")
        self._inside.add(id(value))
        try:
            self._add(value)
        finally:
            self._inside.discard(id(value))

    def _tag(self, kind: str, data: Any = b"") -> None:
        data = memoryview(data).cast("B") if len(data) else b""
        self._hash.update(f"{kind}:{len(data)};".encode())
        self._hash.update(data)

    def _add(self, value: Any) -> None:
        if value is None or isinstance(value, bool | Number | str | Enum | np.dtype | torch.dtype):
            self._tag(type(value).__name__, repr(value).encode("utf-8", "surrogatepass"))
        elif isinstance(value, bytes | bytearray):
            self._tag("bytes", value)
        elif isinstance(value, torch.Tensor):
            self._array(_as_array(value))
        elif isinstance(value, np.ndarray | np.generic):
            self._array(np.asarray(value))
        elif issparse(value):
            rows = value.tocsr()
            self._list("sparse", [rows.shape, rows.data, rows.indices, rows.indptr])
        elif isinstance(value, Mapping):
            self._list("dict", [part for pair in value.items() for part in pair])
        elif isinstance(value, RecordedItems):
            self._list("items", value.fingerprints())
        elif isinstance(value, Dataset) and not self.of_scorer:
            items: Any = value  # a Dataset with a length
            self.add(RecordedItems(value, range(len(items))))
        elif isinstance(value, list | tuple | range):
            self._list("list", value)
        elif isinstance(value, Set):
            self._list("set", sorted(fingerprint(part) for part in value))
        elif self.of_scorer:
            self._object(value)
        else:
            self._container(value)

    def _list(self, kind: str, values: Any) -> None:
        self._tag(f"{kind} of {len(values)}")
        for value in values:
            self.add(value)

    def _array(self, array: np.ndarray) -> None:
        if array.dtype.hasobject:
            self._tag(f"objects {array.shape}")
            return self._list("list", array.ravel().tolist())
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8) if array.nbytes else b""
        return self._tag(f"array {array.dtype.descr} {array.shape}", data)

    def _container(self, value: Any) -> None:
        """Add a table, a column, or another object that holds rows or an item."""
        columns = getattr(value, "columns", None)
        if columns is not None and hasattr(value, "dtypes"):
            of = value.items() if hasattr(value, "items") else zip(columns, value, strict=True)
            self._list("table", [(name, np.asarray(column)) for name, column in of])
        elif hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
            self._array(np.asarray(value))
        elif isinstance(value, type):
            self._tag(f"{value.__module__}.{value.__qualname__}")
        else:
            self._reduced(value)

    def _reduced(self, value: Any) -> None:
        """Add an object of any class, as the parts from which pickle would rebuild it."""
        try:
            parts = value.__reduce_ex__(2)
        except TypeError as error:
            raise TypeError(
                f"The rows hold an object of type {type(value).__name__}, whose content cannot be "
                "compared. With checkpoint_dir, rows have to consist of numbers, texts, arrays, "
                "tensors or containers of these. Convert the object, or omit checkpoint_dir."
            ) from error
        if isinstance(parts, str):
            return self._tag(f"{type(value).__qualname__} {parts}")
        made_by, *rest = parts
        self._tag(f"{type(value).__qualname__} {made_by.__qualname__}")
        return self._list(
            "parts", [list(part) if isinstance(part, Iterator) else part for part in rest]
        )

    def _object(self, value: Any) -> None:
        """Add a part of a scorer: the numbers of nets, estimators and dataclasses."""
        parts: dict[str, Any] = {}
        if isinstance(value, NeuralNet):  # its other attributes include training times
            parts = {name: getattr(value, name, None) for name in ("module_", "criterion_")}
        elif isinstance(value, torch.nn.Module):
            parts = dict(value.named_parameters()) | dict(value.named_buffers())
            parts["layers"] = repr(value)
        elif is_dataclass(value) and not isinstance(value, type):
            parts = {field.name: getattr(value, field.name, None) for field in fields(value)}
        elif isinstance(value, BaseEstimator) or hasattr(value, "score_samples"):
            parts = _attributes(value)
        kind = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
        self._list(f"{kind.__module__}.{kind.__qualname__}", sorted(parts.items()))


def _attributes(scorer: Any) -> dict[str, Any]:
    """Return the parameters and fitted attributes of a scorer, without functions."""
    found = {
        name: value
        for name, value in vars(scorer).items()
        if name not in _WITHOUT_EFFECT and not isinstance(value, FunctionType | MethodType)
    }
    if not isinstance(scorer, BaseEstimator):
        return found
    names = scorer.get_params(deep=False)
    return {k: v for k, v in found.items() if k in names or "_" in (k[0], k[-1])}


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    tensor = tensor if tensor.layout == torch.strided else tensor.to_dense()
    tensor = tensor.resolve_conj().resolve_neg()
    if tensor.is_floating_point() and tensor.dtype not in _NUMPY_FLOATS:
        tensor = tensor.contiguous().view(torch.int16 if tensor.itemsize == 2 else torch.uint8)
    return tensor.numpy()
