"""What a curvature is: it looks at the training rows once, then solves for any direction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.nn.utils.parametrizations import _WeightNorm

from skinfluence._core.gradients import Directions, ggnvp, hvp
from skinfluence._core.net import FunctionalNet
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows

Solve = Callable[[Directions], Directions]
Bar = Callable[..., Iterable[Any]]  # (items, desc, total=None) -> items, with a progress bar


def silent(items: Iterable[Any], desc: str, total: int | None = None) -> Iterable[Any]:
    """Show no progress."""
    return items


class Curvature(ABC, BaseEstimator):
    """Base of the curvatures."""

    @abstractmethod
    def prepare(
        self, fnet: FunctionalNet, X: Rows, y: Any, rng: np.random.RandomState, bar: Bar = silent
    ) -> Solve:
        """Look at the training rows; return what solves for directions, an object that pickles."""


def check_curvature(curvature: Any) -> Curvature | None:
    """Return the curvature to use for a `curvature=` argument; None is the identity."""
    if curvature is not None and not isinstance(curvature, Curvature):
        raise TypeError(
            f"curvature={curvature!r}: expected an instance from skinfluence.curvature, such as "
            "EKFAC(), or None."
        )
    return curvature


class Product:
    """Products of the matrix of the mean loss over rows with a vector."""

    def __init__(self, matrix: str, fnet: FunctionalNet, X: Rows, y: Any) -> None:
        if matrix not in ("hessian", "ggn"):
            raise ValueError(f"matrix={matrix!r}: expected 'hessian' or 'ggn'.")
        if matrix == "hessian" and fnet.contains(_WeightNorm):
            raise ValueError(
                "matrix='hessian' on a net with weight_norm: torch's double backward of it is "
                "wrong (2.13); use matrix='ggn'."
            )
        self.matrix, self.fnet, self.X, self.y = matrix, fnet, X, y

    def __call__(self, u: Params) -> Params:
        """Return M u."""
        times = ggnvp if self.matrix == "ggn" else hvp
        return times(self.fnet, self.fnet.batches(self.X, self.y), u)


def read_damping(curvature: Any, *, positive: bool = False) -> float | None:
    """Return the number, or None for "auto", which is the published one."""
    return None if curvature.damping == "auto" else check_damping(curvature, " or 'auto'", positive)


def check_damping(curvature: Any, otherwise: str = "", positive: bool = False) -> float:
    """Return the number; raise where it is none, naming what may stand `otherwise`."""
    value = curvature.damping
    if not (isinstance(value, Real) and np.isfinite(value) and value >= 0) or (
        positive and value == 0
    ):
        raise ValueError(
            f"{type(curvature).__name__}(damping={value!r}): expected a finite number, "
            f"{'above 0' if positive else '0 or more'}{otherwise}."
        )
    return float(value)


def each(V: Directions) -> Iterator[Params]:
    count = len(next(iter(V.values())))
    return ({name: v[k] for name, v in V.items()} for k in range(count))


def stack(found: list[Params]) -> Directions:
    return {name: torch.stack([u[name] for u in found]) for name in found[0]}


def flat(u: Params) -> Tensor:
    return torch.cat([value.flatten() for value in u.values()])


def unflat(like: Params, vector: Tensor) -> Params:
    chunks = vector.split([p.numel() for p in like.values()])
    pairs = zip(like.items(), chunks, strict=True)
    return {name: chunk.reshape(p.shape) for (name, p), chunk in pairs}
