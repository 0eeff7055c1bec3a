"""Batches of rows, in the form in which the net's own DataLoader would give them to the module."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from skorch.dataset import Dataset as SkorchDataset
from skorch.dataset import unpack_data
from skorch.utils import to_tensor
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from skinfluence._core.functional_module import FunctionalModule
from skinfluence._core.memory import OutputWatch, is_out_of_memory
from skinfluence._core.random_state import forked_random_state
from skinfluence._core.sparse_rows import SparseRows
from skinfluence._core.tensors import Rows, cast_floats, floats_of, is_sliceable, n_rows, slice_rows

# Limits of a batch: number of rows, and bytes of the outputs of all layers. For MLPs with 0.1M to
# 1M parameters on a CPU, the same rows took .6 to .7 times as long in batches of 512 as in batches
# of 128. Larger batches were not faster. The limits for a GPU are a guess.
_BATCH_LIMITS = {"cpu": (512, 2**27), "cuda": (8192, 2**31)}

# Parameters of the validation iterator that do not change the content of a batch, or that this
# class overrides.
_HARMLESS_ITERATOR_PARAMS = {"batch_size", "num_workers", "pin_memory", "shuffle", "drop_last"}


class BatchedModule(FunctionalModule):
    """A `FunctionalModule` that also cuts rows and labels into batches."""

    def __init__(self, net: Any, parameters: str | Sequence[str] = "*") -> None:
        super().__init__(net, parameters)
        self._sizes: dict[Any, int] = {}  # shared by all states of this net

    def batches(self, X: Rows, y: Any = None) -> Iterator[tuple[Rows, Tensor]]:
        """Batches (X, y) of the rows in their given order, on the net's device."""
        if self._can_be_sliced(X):
            size, n = self.batch_size(X), n_rows(X)
            size = n if size == -1 else size
            for start in range(0, n, size):
                rows = slice(start, start + size)
                # `accepted` may run the module, so call it before a caller registers hooks.
                Xb = self.accepted(self._to_device(slice_rows(X, rows)))
                yield Xb, self._to_device(None if y is None else y[rows])
        else:
            yield from self._loaded(self._twin.get_dataset(X, y))

    def batches_of(self, rows: np.ndarray, X: Rows, y: Any) -> Iterator[tuple[Rows, Tensor]]:
        """Batches of the rows at these positions."""
        if self._can_be_sliced(X):
            return self.batches(slice_rows(X, rows), None if y is None else y[rows])
        return self._loaded(Subset(self._twin.get_dataset(X, y), rows.tolist()))

    def _loaded(self, dataset: Any) -> Iterator[tuple[Rows, Tensor]]:
        """Batches of a dataset, from the net's DataLoader."""
        loader = self._twin.get_iterator(dataset, training=False)
        # A DataLoader draws a random seed when it starts, even if it does not shuffle.
        with forked_random_state():
            loaded = iter(loader)
        for batch in loaded:
            Xb, yb = unpack_data(batch)
            yield self.accepted(self._to_device(Xb)), self._to_device(yb)

    def input_dtype(self, X: Rows) -> torch.dtype | None:
        """Data type of the floats of X as the module gets them.

        None if X has no floats or floats of several dtypes, or if the module casts them itself.
        """
        if getattr(self.module, "casts_inputs", False) and self.device.type != "mps":
            return None
        if self._can_be_sliced(X):
            few = self.accepted(self._to_device(slice_rows(X, slice(0, 2))))
        else:
            few = next(iter(self.batches(X)))[0]
        dtypes = {t.dtype for t in floats_of(few)}
        return dtypes.pop() if len(dtypes) == 1 else None

    def n_batches(self, X: Rows) -> int:
        """Number of batches that `batches(X)` yields."""
        size = self.batch_size(X)
        return 1 if size < 1 else -(-n_rows(X) // size)

    def batch_size(self, X: Rows) -> int:
        """Rows per batch: the net's ``iterator_valid__batch_size``, or as memory allows if not set.

        The batch size of training is not used: it is often small, to give training more steps. If
        the data cannot be sliced, the batches are those of the net's DataLoader.
        """
        valid = self._net.get_params_for("iterator_valid")
        if "batch_size" in valid or not self._can_be_sliced(X):
            return valid.get("batch_size", self._net.batch_size)
        if n_rows(X) < 2:
            return 1
        # Two rows, because BatchNorm may refuse a single row.
        pair = self.accepted(self._to_device(slice_rows(X, slice(0, 2))))
        shapes = tuple(t.shape for t in (pair.values() if isinstance(pair, Mapping) else [pair]))
        if shapes not in self._sizes:
            leaf = {name: p.detach().requires_grad_() for name, p in self.params.items()}
            max_rows, max_bytes = _BATCH_LIMITS.get(self.device.type, _BATCH_LIMITS["cpu"])
            try:
                # Enable gradients: otherwise torch would use fused kernels, which hide the outputs
                # of the operations inside.
                with torch.enable_grad(), OutputWatch() as watch:
                    self.outputs(leaf, pair)
                size = max(2 * max_bytes // max(watch.bytes, 1), 1)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                size = 1
            self._sizes[shapes] = min(size, max_rows)
        return self._sizes[shapes]

    def _can_be_sliced(self, X: Rows) -> bool:
        """Whether slicing X gives the batches that the net's own DataLoader would give."""
        # Slicing is preferred: the DataLoader collates a batch row by row, which takes longer than
        # scoring it.
        dataset: Any = getattr(self._net, "dataset", None)
        readers = ("transform", "__getitem__")
        is_plain = bool(
            inspect.isclass(dataset)
            and issubclass(dataset, SkorchDataset)
            and all(getattr(dataset, name) is getattr(SkorchDataset, name) for name in readers)
            and not self._net.get_params_for("dataset")
            and type(self._net).get_dataset.__module__.startswith("skorch.")
            and type(self._net).get_iterator.__module__.startswith("skorch.")
        )
        custom = set(self._net.get_params_for("iterator_valid")) - _HARMLESS_ITERATOR_PARAMS
        return (
            is_plain and not custom and self._net.iterator_valid is DataLoader and is_sliceable(X)
        )

    def _to_device(self, data: Any) -> Any:
        """Move a batch to the device."""
        if data is None:
            return torch.zeros(0, device=self.device)
        if isinstance(data, Mapping):
            return {key: self._to_device(value) for key, value in data.items()}
        if isinstance(data, SparseRows):
            data = data.toarray()
        if isinstance(data, np.ndarray) and not data.flags.writeable:
            data = data.copy()  # torch warns about read-only memory (memmaps, joblib)
        if self.device.type == "mps":  # has no float64
            data = cast_floats(to_tensor(data, device="cpu"), torch.float32)
        return to_tensor(data, device=self.device)
