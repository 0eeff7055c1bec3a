"""Check that a Dataset gives the same item each time that it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

_N_READ = 8  # an augmentation that changes half of the items is missed once in 256 times


def refuse_random_items(dataset: Any, name: str) -> None:
    """Raise if a Dataset's items change from one reading to the next.

    A few items, spread over the Dataset, are read twice.
    """
    spread = np.unique(np.linspace(0, len(dataset) - 1, _N_READ).astype(int)).tolist()
    first = [dataset[i] for i in spread]
    changed = [i for i, item in zip(spread, first, strict=True) if not _same(item, dataset[i])]
    if changed:
        raise ValueError(
            f"{name} is a Dataset of type {type(dataset).__name__} whose items change each time "
            f"they are read (rows {', '.join(map(str, changed))} of {len(dataset)}), most likely "
            "by random augmentation. Only rows that stay the same can be scored. First train the "
            "net on the augmented rows: net.fit(dataset, y). Then score the rows without "
            "augmentation: InfluenceScorer(FrozenEstimator(net)).fit(plain_dataset, y). Or let "
            "__getitem__(i) seed its random numbers with i."
        )


def _same(a: Any, b: Any) -> bool:
    """Whether two readings of an item agree up to rounding; unknown types count as equal."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        a, b = (t.detach().cpu() for t in (a, b))
        a, b = (t.double().numpy() if t.is_floating_point() else t.numpy() for t in (a, b))
    if not isinstance(a, np.ndarray | np.generic | int | float | complex | str | bytes):
        return True
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "fc" and b.dtype.kind in "fc":
        return bool(np.allclose(a, b, equal_nan=True))
    return bool((a == b).all())
