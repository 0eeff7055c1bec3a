"""Curvatures that only compute products with the matrix: conjugate gradients and LiSSA."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from skinfluence._core.gradients import Directions
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import Solve
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows, n_rows
from skinfluence._data.params import check_count, check_number
from skinfluence._data.rows import take
from skinfluence.curvature._base import (
    Bar,
    Curvature,
    Product,
    check_damping,
    each,
    flat,
    silent,
    stack,
    unflat,
)


class CG(Curvature):
    """Solve by conjugate gradients, without forming the matrix [1]_.

    Parameters
    ----------
    matrix : {"hessian", "ggn"}, default="ggn"
        See :class:`Exact`. With "hessian", solving fails if the damped matrix has a direction of
        negative curvature.
    damping : float, default=1e-3
        λ, added to the diagonal.
    max_iter : int, default=100
        Maximum number of products with the matrix, per direction. A product costs about three
        passes over the training rows.
    tol : float, default=1e-5
        Stop if the norm of the residual is below `tol` times the norm of the right-hand side.

    Raises
    ------
    ValueError
        While solving, if the method finds a direction of negative curvature.

    Warns
    -----
    RuntimeWarning
        While solving, if `max_iter` is reached before `tol`.

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
        """Check the parameters; see :meth:`Curvature.prepare`. The work is done while solving."""
        damping = check_damping(self)
        check_count(self, "max_iter")
        wanted = "a number, 0 or more and below 1"
        tol = check_number("tol", self.tol, wanted, lambda share: 0 <= share < 1, owner=self)
        product = Product(self.matrix, fnet, X, y)
        return _ConjugateGradientSolver(product, damping, self.max_iter, tol, bar)


class _ConjugateGradientSolver:
    """Solves by conjugate gradients, one direction at a time."""

    def __init__(
        self, product: Product, damping: float, max_iter: int, tol: float, bar: Bar
    ) -> None:
        self.product, self.damping = product, damping
        self.max_iter, self.tol, self.bar = max_iter, tol, bar

    def __call__(self, V: Directions) -> Directions:
        return stack([unflat(v, self._solve(v)) for v in each(V)])

    def _solve(self, direction: Params) -> Tensor:
        v = flat(direction)
        # Scale v to length 1. Otherwise squared gradients underflow in float32 if the net fits
        # perfectly.
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
                    "CG met a direction of negative curvature: the Hessian plus a damping of "
                    f"{self.damping} is not positive definite. Use matrix='ggn', or a larger "
                    "damping."
                )
            step = square / bend
            u, r = u + step * p, r - step * Ap
            before, square = square, r.dot(r)
            p = r + square / before * p
        if square.sqrt() > goal:
            warnings.warn(
                f"CG stopped after {self.max_iter} steps at a relative residual of "
                f"{float(square.sqrt()):.1e} (tol={self.tol}). Raise max_iter or the damping.",
                RuntimeWarning,
                stacklevel=2,
            )
        return u * length


class LiSSA(Curvature):
    """Solve by a Neumann series on batches of rows [1]_.

    Each step computes

        u ← v + u - (M_batch + λI) u / scale,

    where M_batch is the matrix of a random batch. The damping λ is added to the matrix. Published
    implementations subtract the damping, which amplifies the directions that should be damped.

    Parameters
    ----------
    matrix : {"hessian", "ggn"}, default="ggn"
        See :class:`Exact`.
    damping : float, default=1e-3
        λ, added to the diagonal.
    scale : float, default=10.0
        Must be larger than the largest eigenvalue of the damped matrix; otherwise the series
        diverges.
    n_steps : int, default=1000
        Number of terms of the series.
    batch_size : int, default=256
        Number of rows drawn for each term.
    n_repeats : int, default=1
        Number of series, each with other batches, whose results are averaged.

    Raises
    ------
    ValueError
        While solving, if the series diverges.

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
        """Check the parameters; see :meth:`Curvature.prepare`. The work is done while solving."""
        damping = check_damping(self)
        for name in ("n_steps", "batch_size", "n_repeats"):
            check_count(self, name)
        scale = check_number("scale", self.scale, "a number above 0", lambda s: s > 0, owner=self)
        seed = int(rng.randint(np.iinfo(np.int32).max))
        Product(self.matrix, fnet, X, y)  # if `matrix` cannot be used, raise now
        own = clone(self).set_params(scale=scale)
        return _SeriesSolver(own, damping, (fnet, X, y), seed, bar)


class _SeriesSolver:
    """Solves by the series, one direction at a time."""

    def __init__(
        self, own: LiSSA, damping: float, rows: tuple[FunctionalNet, Rows, Any], seed: int, bar: Bar
    ) -> None:
        self.own, self.damping, self.rows, self.seed, self.bar = own, damping, rows, seed, bar

    def __call__(self, V: Directions) -> Directions:
        draw = np.random.RandomState(self.seed)  # every call draws the same rows
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
        # A convergent series stays below ‖v‖ scale / λ.
        bound = scale / max(self.damping, 1e-12) * start
        for step in self.bar(range(self.own.n_steps), "LiSSA: steps"):
            rows = draw.choice(n_rows(X), size, replace=False)
            times = Product(self.own.matrix, fnet, take(X, rows), y[rows])
            u = v + u - (flat(times(unflat(direction, u))) + self.damping * u) / scale
            if not torch.isfinite(u).all() or u.norm() > 10 * bound:
                raise ValueError(
                    f"LiSSA diverged after {step + 1} steps at scale={scale}: the scale must be "
                    "larger than the largest eigenvalue of the matrix. Try "
                    f"scale={10 * scale}, or matrix='ggn' if the matrix is the Hessian."
                )
        return u / scale
