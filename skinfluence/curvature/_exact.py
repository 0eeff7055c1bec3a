"""Solving with the dense matrix: for small nets, and as a reference for the approximations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skinfluence._core.gradients import Directions
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import Solve
from skinfluence._core.tensors import Rows, as_matrix
from skinfluence.curvature._base import (
    Bar,
    Curvature,
    Product,
    check_damping,
    flat,
    silent,
    unflat,
)

MAX_PARAMETERS = 20_000  # a dense float64 matrix of this size takes 3.2 GB


class Exact(Curvature):
    """Form the dense matrix, and solve in float64 [1]_.

    Use it for small nets, with at most 20,000 parameters, and as a reference for the other
    curvatures. Forming the matrix takes one pass over the training rows per parameter.

    Parameters
    ----------
    matrix : {"hessian", "ggn"}, default="hessian"
        "hessian" is the Hessian of the mean loss. "ggn" is the generalized Gauss-Newton part of the
        Hessian. If the loss is convex in the outputs, "ggn" has no negative eigenvalues, even where
        the Hessian has.
    damping : float, default=1e-3
        λ, added to the diagonal.

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

    def prepare(
        self, fnet: FunctionalNet, X: Rows, y: Any, rng: np.random.RandomState, bar: Bar = silent
    ) -> Solve:
        """Compute and factorize the matrix; see :meth:`Curvature.prepare`."""
        damping = check_damping(self)
        size = sum(p.numel() for p in fnet.params.values())
        if size > MAX_PARAMETERS:
            raise ValueError(
                f"Exact would form a dense matrix of {size} x {size} numbers, but its limit is "
                f"{MAX_PARAMETERS} parameters; use CG(), or select fewer parameters with "
                "parameters=."
            )
        times = Product(self.matrix, fnet, X, y)
        eye = torch.eye(size, dtype=fnet.dtype, device=fnet.device)
        columns = [flat(times(unflat(fnet.params, e))) for e in bar(eye, "Exact: columns", size)]
        dense = torch.stack(columns).double()
        dense = (dense + dense.T) / 2 + damping * eye.double()
        return _DenseSolver(torch.linalg.lu_factor(dense))


class _DenseSolver:
    """Solves with the LU factors of a dense matrix."""

    def __init__(self, factors: tuple[Tensor, Tensor]) -> None:
        self.factors = factors

    def __call__(self, V: Directions) -> Directions:
        rhs = torch.cat([as_matrix(v) for v in V.values()], 1).T.double()
        solved = torch.linalg.lu_solve(*self.factors, rhs).T
        chunks = solved.split([v[0].numel() for v in V.values()], 1)
        return {n: u.reshape(v.shape).to(v) for (n, v), u in zip(V.items(), chunks, strict=True)}
