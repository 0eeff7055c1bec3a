"""The interface of a curvature, and code that curvatures share: products, damping, flat vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.nn.utils.parametrizations import _WeightNorm

from skinfluence._core.gradients import Directions, ggnvp, hvp
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import Solve
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows
from skinfluence._data.params import check_choice, check_number, is_auto

Bar = Callable[..., Iterable[Any]]  # (items, desc, total=None) -> items, with a progress bar


def silent(items: Iterable[Any], desc: str, total: int | None = None) -> Iterable[Any]:
    """Show no progress."""
    return items


class Curvature(ABC, BaseEstimator):
    """Base class of the curvatures.

    A subclass implements `prepare`. Its parameters are those of its constructor, as in
    scikit-learn.
    """

    @abstractmethod
    def prepare(
        self, fnet: FunctionalNet, X: Rows, y: Any, rng: np.random.RandomState, bar: Bar = silent
    ) -> Solve:
        """Read the training rows and return a solver.

        Parameters
        ----------
        fnet : FunctionalNet
            A fitted net as pure functions of its parameters.
        X : array, tensor, or dict or tuple of them, of shape (n_samples, ...)
            Training rows.
        y : array of shape (n_samples, ...)
            Labels, in the form that the net's criterion accepts.
        rng : RandomState
            Source of randomness, for a curvature that draws labels or batches.
        bar : callable
            Progress bar: ``bar(items, description, total)`` returns the items. By default, no bar
            is shown.

        Returns
        -------
        solve : callable
            Maps directions v to u = (M + λI)^-1 v. Directions are a dict of tensors, one per
            parameter. The shape of a tensor is the number of directions, followed by the shape of
            the parameter. The solver can be pickled.
        """


def check_curvature(curvature: Any) -> Curvature | None:
    """Check a `curvature=` argument.

    Parameters
    ----------
    curvature : Curvature or None
        None stands for the identity.

    Returns
    -------
    curvature : Curvature or None
        The argument, unchanged.

    Raises
    ------
    TypeError
        If the argument is neither a curvature nor None.
    """
    if curvature is not None and not isinstance(curvature, Curvature):
        raise TypeError(
            f"curvature={curvature!r}: expected an instance from skinfluence.curvature, such as "
            "EKFAC(), or None."
        )
    return curvature


class Product:
    """Products of a vector with M, the Hessian or Gauss-Newton matrix of the mean loss."""

    def __init__(self, matrix: str, fnet: FunctionalNet, X: Rows, y: Any) -> None:
        check_choice("matrix", matrix, ("hessian", "ggn"))
        if matrix == "hessian" and fnet.contains(_WeightNorm):
            raise ValueError(
                "matrix='hessian' does not work with weight_norm, whose second derivative is wrong "
                "in torch 2.13; use matrix='ggn'."
            )
        self.matrix, self.fnet, self.X, self.y = matrix, fnet, X, y

    def __call__(self, u: Params) -> Params:
        """Return M u."""
        times = ggnvp if self.matrix == "ggn" else hvp
        return times(self.fnet, self.fnet.batches(self.X, self.y), u)


def read_damping(curvature: Any, *, positive: bool = False) -> float | None:
    """Return the damping as a number, or None for "auto"."""
    return None if is_auto(curvature.damping) else check_damping(curvature, " or 'auto'", positive)


def check_damping(curvature: Any, otherwise: str = "", positive: bool = False) -> float:
    """Return the damping; raise ValueError unless it is a finite number, 0 or more.

    `otherwise` is text for the message that names other allowed values. If `positive` is true, 0 is
    rejected as well.
    """
    wanted = f"a finite number, {'above 0' if positive else '0 or more'}{otherwise}"
    least = np.nextafter(0, 1) if positive else 0
    return check_number(
        "damping", curvature.damping, wanted, lambda number: number >= least, owner=curvature
    )


def each(V: Directions) -> Iterator[Params]:
    """Iterate over single directions."""
    count = len(next(iter(V.values())))
    return ({name: v[k] for name, v in V.items()} for k in range(count))


def stack(solutions: list[Params]) -> Directions:
    """Stack single directions; the inverse of `each`."""
    return {name: torch.stack([u[name] for u in solutions]) for name in solutions[0]}


def flat(u: Params) -> Tensor:
    """Join the entries of all parameters into one vector."""
    return torch.cat([value.flatten() for value in u.values()])


def unflat(like: Params, vector: Tensor) -> Params:
    """Split a vector into the shapes and dtypes of `like`; the inverse of `flat`."""
    chunks = vector.split([p.numel() for p in like.values()])
    pairs = zip(like.items(), chunks, strict=True)
    return {name: chunk.reshape(p.shape).to(p.dtype) for (name, p), chunk in pairs}
