"""Curvatures that only ask for products with the matrix: conjugate gradients and LiSSA."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from skinfluence._core.gradients import Directions
from skinfluence._core.net import FunctionalNet
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows, n_rows
from skinfluence._data.params import check_count
from skinfluence._data.rows import take
from skinfluence.curvature._base import (
    Bar,
    Curvature,
    Product,
    Solve,
    check_damping,
    each,
    flat,
    silent,
    stack,
    unflat,
)


class CG(Curvature):
    """Conjugate gradients on products with the matrix, which is never formed [1]_.

    Parameters
    ----------
    matrix : {"hessian", "ggn"}, default="ggn"
        See :class:`Exact`. With "hessian", directions of negative curvature are an error.
    damping : float, default=1e-3
        Added to the diagonal.
    max_iter : int, default=100
        Products with the matrix at most, each about three passes over the training rows.
    tol : float, default=1e-5
        Residual, relative to the right-hand side, at which to stop.

    Warns
    -----
    RuntimeWarning
        When `max_iter` is reached before `tol`.

    References
    ----------
    .. [1] Martens, "Deep learning via Hessian-free optimization", ICML 2010.

    Examples
    --------
    >>> from skinfluence.curvature import CG
    >>> CG(damping=0.01)
    CG(damping=0.01)
    """

    def __init__(
        self,
        matrix: str = "ggn",
        damping: float = 1e-3,
        *,
        max_iter: int = 100,
        tol: float = 1e-5,
    ) -> None:
        self.matrix = matrix
        self.damping = damping
        self.max_iter = max_iter
        self.tol = tol

    def prepare(
        self, fnet: FunctionalNet, X: Rows, y: Any, rng: np.random.RandomState, bar: Bar = silent
    ) -> Solve:
        """Nothing to do before a direction is known."""
        damping = check_damping(self)
        check_count(self, "max_iter")
        product = Product(self.matrix, fnet, X, y)
        return _Conjugate(product, damping, self.max_iter, self.tol, bar)


class _Conjugate:
    """Solve by conjugate gradients, a direction after another."""

    def __init__(
        self, product: Product, damping: float, max_iter: int, tol: float, bar: Bar
    ) -> None:
        self.product, self.damping = product, damping
        self.max_iter, self.tol, self.bar = max_iter, tol, bar

    def __call__(self, V: Directions) -> Directions:
        return stack([unflat(v, self._solve(v)) for v in each(V)])

    def _solve(self, direction: Params) -> Tensor:
        v = flat(direction)
        # At length 1: of a net that fits perfectly, squares of gradients are none in float32.
        length = torch.linalg.vector_norm(v, dtype=torch.float64).to(v)
        if length == 0:
            return v
        r = v / length
        u, p, square, goal = torch.zeros_like(v), r.clone(), r.dot(r), self.tol
        for _ in self.bar(range(self.max_iter), "CG: steps"):
            if square.sqrt() <= goal:
                return u * length
            Ap = flat(self.product(unflat(direction, p))) + self.damping * p
            bend = p.dot(Ap)
            if bend <= 0:
                raise ValueError(
                    "CG met a direction of negative curvature: the Hessian plus damping "
                    f"{self.damping} is not positive definite there. Use matrix='ggn', or a larger "
                    "damping."
                )
            step = square / bend
            u, r = u + step * p, r - step * Ap
            before, square = square, r.dot(r)
            p = r + square / before * p
        if square.sqrt() > goal:
            warnings.warn(
                f"CG stopped after {self.max_iter} steps at a relative residual of "
                f"{float(square.sqrt()):.1e} (tol={self.tol}); raise max_iter or "
                "damping.",
                RuntimeWarning,
                stacklevel=2,
            )
        return u * length


class LiSSA(Curvature):
    """Neumann series on batches of rows: u ← v + u - (M_batch + λI) u / scale [1]_.

    The sign of the damping is plus; published engines have it minus, which amplifies what it ought
    to damp.

    Parameters
    ----------
    matrix : {"hessian", "ggn"}, default="ggn"
        See :class:`Exact`.
    damping : float, default=1e-3
        Added to the diagonal.
    scale : float, default=10.0
        Above the largest eigenvalue of the damped matrix, or the series diverges.
    n_steps : int, default=1000
        Terms of the series.
    batch_size : int, default=256
        Rows drawn for a term.
    n_repeats : int, default=1
        Independent series that are averaged.

    References
    ----------
    .. [1] Agarwal, Bullins, Hazan, "Second-Order Stochastic Optimization for Machine Learning in
       Linear Time", JMLR 2017.

    Examples
    --------
    >>> from skinfluence.curvature import LiSSA
    >>> LiSSA(scale=50.0)
    LiSSA(scale=50.0)
    """

    def __init__(
        self,
        matrix: str = "ggn",
        damping: float = 1e-3,
        *,
        scale: float = 10.0,
        n_steps: int = 1000,
        batch_size: int = 256,
        n_repeats: int = 1,
    ) -> None:
        self.matrix = matrix
        self.damping = damping
        self.scale = scale
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.n_repeats = n_repeats

    def prepare(
        self, fnet: FunctionalNet, X: Rows, y: Any, rng: np.random.RandomState, bar: Bar = silent
    ) -> Solve:
        """Nothing to do before a direction is known."""
        damping = check_damping(self)
        for name in ("n_steps", "batch_size", "n_repeats"):
            check_count(self, name)
        if not (isinstance(self.scale, Real) and self.scale > 0):
            raise ValueError(f"LiSSA(scale={self.scale!r}): expected a number above 0.")
        seed = int(rng.randint(np.iinfo(np.int32).max))
        Product(self.matrix, fnet, X, y)  # what it refuses is said at once
        return _Series(clone(self), damping, (fnet, X, y), seed, bar)


class _Series:
    """Solve by the series, a direction after another."""

    def __init__(
        self, own: LiSSA, damping: float, rows: tuple[FunctionalNet, Rows, Any], seed: int, bar: Bar
    ) -> None:
        self.own, self.damping, self.rows, self.seed, self.bar = own, damping, rows, seed, bar

    def __call__(self, V: Directions) -> Directions:
        draw = np.random.RandomState(self.seed)  # the same rows at every call
        repeats = range(self.own.n_repeats)
        return stack(
            [
                unflat(v, torch.stack([self._series(v, draw) for _ in repeats]).mean(0))
                for v in each(V)
            ]
        )

    def _series(self, direction: Params, draw: np.random.RandomState) -> Tensor:
        fnet, X, y = self.rows
        scale, size = self.own.scale, min(self.own.batch_size, n_rows(X))
        v = flat(direction)
        u, start = v.clone(), v.norm()
        # A convergent series stays below its sum, ‖v‖ scale / λ.
        bound = scale / max(self.damping, 1e-12) * start
        for step in self.bar(range(self.own.n_steps), "LiSSA: steps"):
            rows = draw.choice(n_rows(X), size, replace=False)
            times = Product(self.own.matrix, fnet, take(X, rows), y[rows])
            u = v + u - (flat(times(unflat(direction, u))) + self.damping * u) / scale
            if not torch.isfinite(u).all() or u.norm() > 10 * bound:
                raise ValueError(
                    f"LiSSA diverged after {step + 1} steps at scale={scale}: the scale "
                    "must be above the largest eigenvalue of the matrix. Try "
                    f"scale={10 * scale}, or matrix='ggn' if it is the Hessian's."
                )
        return u / scale
