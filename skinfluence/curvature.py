"""Curvature: v -> u = (M + λI)^-1 v, M the Hessian of the mean training loss or a stand-in for it.

A curvature looks at the training rows once (`prepare`) and then solves for as many directions as
it is given. None of them is the default: plain inner products are M + λI = I.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor
from torch.nn.utils.parametrizations import _WeightNorm

from skinfluence._functional import FunctionalNet, Params, Rows, n_rows
from skinfluence._ghost import Ghost, Outer
from skinfluence._gradients import Directions, forward, ggnvp, hvp
from skinfluence._kfac import Block, Diagonal, Eigenbasis, blocks
from skinfluence._validation import check_count, take

__all__ = ["CG", "EKFAC", "Curvature", "DataInf", "Exact", "LiSSA"]

Solve = Callable[[Directions], Directions]
_DENSE = 20_000  # parameters up to which a dense matrix is made: 3.2 GB of float64


class Curvature(ABC, BaseEstimator):
    """Base of the curvatures."""

    @abstractmethod
    def prepare(self, fnet: FunctionalNet, X: Rows, y: Any, rng: np.random.RandomState) -> Solve:
        """Look at the training rows; return what solves for directions."""


class Exact(Curvature):
    """Dense matrix, solved in float64: for small nets, and to judge the others by.

    Parameters
    ----------
    matrix : {"hessian", "ggn"}, default="hessian"
        The Hessian of the mean loss, or its generalised Gauss-Newton part, which has no negative
        eigenvalues also where the net is not convex in its parameters.
    damping : float, default=1e-3
        Added to the diagonal.

    References
    ----------
    .. [1] Koh, Liang, "Understanding Black-box Predictions via Influence Functions", ICML 2017.

    Examples
    --------
    >>> from skinfluence.curvature import Exact
    >>> Exact(matrix="ggn", damping=0.01)
    Exact(damping=0.01, matrix='ggn')
    """

    def __init__(self, matrix: str = "hessian", damping: float = 1e-3) -> None:
        self.matrix = matrix
        self.damping = damping

    def prepare(self, fnet: FunctionalNet, X: Rows, y: Any, rng: np.random.RandomState) -> Solve:
        """Form and factorise the matrix."""
        damping = _check_damping(self)
        size = sum(p.numel() for p in fnet.params.values())
        if size > _DENSE:
            raise ValueError(
                f"Exact forms a dense matrix of {size} x {size} numbers; up to {_DENSE} parameters "
                "it is willing to: use CG(), or fewer parameters=."
            )
        times = _product(self.matrix, fnet, X, y)
        eye = torch.eye(size, dtype=fnet.dtype, device=fnet.device)
        columns = [_flat(times(_unflat(fnet, e))) for e in eye]
        dense = torch.stack(columns).double()
        dense = (dense + dense.T) / 2 + damping * eye.double()
        factors = torch.linalg.lu_factor(dense)

        def solve(V: Directions) -> Directions:
            rhs = torch.stack([_flat(v).double() for v in _each(V)], 1)
            found = torch.linalg.lu_solve(*factors, rhs).to(fnet.dtype)
            return _stack([_unflat(fnet, u) for u in found.T])

        return solve


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

    def prepare(self, fnet: FunctionalNet, X: Rows, y: Any, rng: np.random.RandomState) -> Solve:
        """Nothing to do before a direction is known."""
        damping = _check_damping(self)
        check_count(self, "max_iter")
        times = _product(self.matrix, fnet, X, y)

        def apply(u: Tensor) -> Tensor:
            return _flat(times(_unflat(fnet, u))) + damping * u

        return lambda V: _stack([_unflat(fnet, self._solve(apply, _flat(v))) for v in _each(V)])

    def _solve(self, apply: Callable[[Tensor], Tensor], v: Tensor) -> Tensor:
        u, r = torch.zeros_like(v), v.clone()
        p, square = r.clone(), r.dot(r)
        goal = self.tol * v.norm()
        for _ in range(self.max_iter):
            if square.sqrt() <= goal:
                return u
            Ap = apply(p)
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
                f"{float(square.sqrt() / v.norm()):.1e} (tol={self.tol}); raise max_iter or "
                "damping.",
                RuntimeWarning,
                stacklevel=2,
            )
        return u


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

    def prepare(self, fnet: FunctionalNet, X: Rows, y: Any, rng: np.random.RandomState) -> Solve:
        """Nothing to do before a direction is known."""
        damping = _check_damping(self)
        for name in ("n_steps", "batch_size", "n_repeats"):
            check_count(self, name)
        if not (isinstance(self.scale, Real) and self.scale > 0):
            raise ValueError(f"LiSSA(scale={self.scale!r}): expected a number above 0.")
        seed = int(rng.randint(np.iinfo(np.int32).max))
        size = min(self.batch_size, n_rows(X))

        def series(v: Tensor, draw: np.random.RandomState) -> Tensor:
            u, start = v.clone(), v.norm()
            for step in range(self.n_steps):
                rows = draw.choice(n_rows(X), size, replace=False)
                times = _product(self.matrix, fnet, take(X, rows), y[rows])
                Mu = _flat(times(_unflat(fnet, u))) + damping * u
                u = v + u - Mu / self.scale
                # A convergent series stays below its sum, ‖v‖ scale / λ.
                bound = self.scale / max(damping, 1e-12) * start
                if not torch.isfinite(u).all() or u.norm() > 10 * bound:
                    raise ValueError(
                        f"LiSSA diverged after {step + 1} steps at scale={self.scale}: the scale "
                        "must be above the largest eigenvalue of the matrix. Try "
                        f"scale={10 * self.scale}, or matrix='ggn' if it is the Hessian's."
                    )
            return u / self.scale

        def solve(V: Directions) -> Directions:
            draw = np.random.RandomState(seed)  # the same rows for every direction and call
            found = [
                torch.stack([series(_flat(v), draw) for _ in range(self.n_repeats)]).mean(0)
                for v in _each(V)
            ]
            return _stack([_unflat(fnet, u) for u in found])

        return solve


class DataInf(Curvature):
    """Mean of the inverses of single rows' matrices, layer by layer, in closed form [1]_.

    For each parameter tensor, u = 1/(n λ) Σ_i (v - <v, g_i> / (λ + ‖g_i‖²) g_i), g_i the rows'
    gradients: no inverse, two passes over the rows.

    Parameters
    ----------
    damping : float or "auto", default="auto"
        λ; "auto" is the published one, a tenth of the mean square entry of each tensor's gradients.

    References
    ----------
    .. [1] Kwon, Wu, Wu, Zou, "DataInf: Efficiently Estimating Data Influence in LoRA-tuned LLMs and
       Diffusion Models", ICLR 2024.

    Examples
    --------
    >>> from skinfluence.curvature import DataInf
    >>> DataInf()
    DataInf()
    """

    def __init__(self, damping: float | str = "auto") -> None:
        self.damping = damping

    def prepare(self, fnet: FunctionalNet, X: Rows, y: Any, rng: np.random.RandomState) -> Solve:
        """Find each tensor's damping; the rows are looked at again for every solution."""
        damping = None if self.damping == "auto" else _check_damping(self, positive=True)
        total: dict[str, float] = dict.fromkeys(fnet.params, 0.0)
        for found in _row_factors(fnet, X, y):
            for name, factor in found.items():
                total[name] += float(factor.square_norms().double().sum())
        n = n_rows(X)
        lam = {
            name: total[name] / (10 * n * p.numel()) if damping is None else damping
            for name, p in fnet.params.items()
        }

        def solve(V: Directions) -> Directions:
            taken = {name: torch.zeros_like(v) for name, v in V.items()}
            for found in _row_factors(fnet, X, y):
                for name, factor in found.items():
                    if lam[name] == 0:
                        continue
                    share = factor.inner(V[name]) / (lam[name] + factor.square_norms()).unsqueeze(1)
                    taken[name] += factor.combine(share).reshape(taken[name].shape)
            # A tensor without any gradient has no influence, whatever its v.
            return {
                name: (v - taken[name] / n) / lam[name] if lam[name] else torch.zeros_like(v)
                for name, v in V.items()
            }

        return solve


class EKFAC(Curvature):
    """Kronecker-factored Fisher matrix with corrected eigenvalues, layer by layer [1]_ [2]_.

    For the weights of linear and convolutional layers; any other parameter gets the diagonal of its
    Fisher matrix. Labels are sampled from the model, which makes it the Fisher matrix and not the
    empirical one. For regressors, whose labels cannot be sampled from the net's outputs alone, the
    error is drawn from the normal distribution that the squared loss stands for.

    Parameters
    ----------
    damping : float or "auto", default="auto"
        Added to the eigenvalues; "auto" is the published one, a tenth of their mean in each layer.
    corrected : bool, default=True
        Fit the eigenvalues to the rows; False leaves KFAC, the products of the factors' own.
    n_samples : int, default=1
        Labels sampled for each row.

    References
    ----------
    .. [1] George et al., "Fast Approximate Natural Gradient Descent in a Kronecker-factored
       Eigenbasis", NeurIPS 2018.
    .. [2] Grosse et al., "Studying Large Language Model Generalization with Influence Functions",
       arXiv 2308.03296.

    Examples
    --------
    >>> from skinfluence.curvature import EKFAC
    >>> EKFAC(damping=0.01)
    EKFAC(damping=0.01)
    """

    def __init__(
        self, damping: float | str = "auto", *, corrected: bool = True, n_samples: int = 1
    ) -> None:
        self.damping = damping
        self.corrected = corrected
        self.n_samples = n_samples

    def prepare(self, fnet: FunctionalNet, X: Rows, y: Any, rng: np.random.RandomState) -> Solve:
        """Two looks at the rows: the factors, and the eigenvalues in their basis."""
        damping = None if self.damping == "auto" else _check_damping(self)
        check_count(self, "n_samples")
        seed = int(rng.randint(np.iinfo(np.int32).max))

        def looks() -> Iterator[dict[str, Block]]:
            generator = torch.Generator().manual_seed(seed)  # the same labels at each look
            for _ in range(self.n_samples):
                for found in _row_factors(fnet, X, None, generator):
                    yield blocks(found)

        known: dict[str, Eigenbasis | Diagonal] = {}
        for found in looks():
            for name, block in found.items():
                if name not in known:
                    kind = Eigenbasis if isinstance(block.factor, Outer) else Diagonal
                    known[name] = kind(block)
                known[name].see(block)
        for basis in known.values():
            basis.turn(self.corrected)
        if self.corrected:
            for found in looks():
                for name, block in found.items():
                    known[name].correct(block)

        def solve(V: Directions) -> Directions:
            found = {}
            for basis in known.values():
                found |= basis.solve(V, damping)
            return {name: found.get(name, torch.zeros_like(v)) for name, v in V.items()}

        return solve


def _row_factors(
    fnet: FunctionalNet, X: Rows, y: Any, generator: torch.Generator | None = None
) -> Iterator[dict[str, Any]]:
    """Row gradients, a batch at a time; with a generator, at labels sampled from the model."""
    ghost = None
    for Xb, yb in fnet.batches(X, y):
        ghost = ghost or Ghost(fnet, Xb)
        f = forward(fnet, Xb)
        labels = yb if generator is None else fnet.sampled_labels(f, generator)
        yield ghost.factors(Xb, fnet.cotangents(f, Xb, labels))


def _product(matrix: str, fnet: FunctionalNet, X: Rows, y: Any) -> Callable[[Params], Params]:
    """Products of the matrix of the mean loss over the rows with a vector."""
    if matrix not in ("hessian", "ggn"):
        raise ValueError(f"matrix={matrix!r}: expected 'hessian' or 'ggn'.")
    if matrix == "ggn":
        return lambda u: ggnvp(fnet, fnet.batches(X, y), u)
    if fnet.contains(_WeightNorm):
        raise ValueError(
            "matrix='hessian' on a net with weight_norm: torch's double backward of it is wrong "
            "(2.13); use matrix='ggn'."
        )
    return lambda u: hvp(fnet, fnet.batches(X, y), u)


def check_curvature(curvature: Any) -> Curvature | None:
    """Return the curvature to use for a `curvature=` argument; None is the identity."""
    if curvature is not None and not isinstance(curvature, Curvature):
        raise TypeError(
            f"curvature={curvature!r}: expected an instance from skinfluence.curvature, such as "
            "EKFAC(), or None."
        )
    return curvature


def _check_damping(curvature: Any, *, positive: bool = False) -> float:
    value = curvature.damping
    if not (isinstance(value, Real) and np.isfinite(value) and value >= 0) or (
        positive and value == 0
    ):
        raise ValueError(
            f"{type(curvature).__name__}(damping={value!r}): expected a finite number, "
            f"{'above 0' if positive else '0 or more'}."
        )
    return float(value)


def _each(V: Directions) -> Iterator[Params]:
    count = len(next(iter(V.values())))
    return ({name: v[k] for name, v in V.items()} for k in range(count))


def _stack(found: list[Params]) -> Directions:
    return {name: torch.stack([u[name] for u in found]) for name in found[0]}


def _flat(u: Params) -> Tensor:
    return torch.cat([value.flatten() for value in u.values()])


def _unflat(fnet: FunctionalNet, vector: Tensor) -> Params:
    chunks = vector.split([p.numel() for p in fnet.params.values()])
    pairs = zip(fnet.params.items(), chunks, strict=True)
    return {name: chunk.reshape(p.shape) for (name, p), chunk in pairs}
