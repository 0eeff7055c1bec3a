"""The dense matrix: for small nets, and to judge the others by."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skinfluence._core.gradients import Directions
from skinfluence._core.net import FunctionalNet
from skinfluence._core.tensors import Rows
from skinfluence.curvature._base import (
    Bar,
    Curvature,
    Product,
    Solve,
    check_damping,
    flat,
    silent,
    unflat,
)

_DENSE = 20_000  # parameters up to which a dense matrix is made: 3.2 GB of float64


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

    def prepare(
        self, fnet: FunctionalNet, X: Rows, y: Any, rng: np.random.RandomState, bar: Bar = silent
    ) -> Solve:
        """Form and factorise the matrix."""
        damping = check_damping(self)
        size = sum(p.numel() for p in fnet.params.values())
        if size > _DENSE:
            raise ValueError(
                f"Exact forms a dense matrix of {size} x {size} numbers; up to {_DENSE} parameters "
                "it is willing to: use CG(), or fewer parameters=."
            )
        times = Product(self.matrix, fnet, X, y)
        eye = torch.eye(size, dtype=fnet.dtype, device=fnet.device)
        columns = [flat(times(unflat(fnet.params, e))) for e in bar(eye, "Exact: columns", size)]
        dense = torch.stack(columns).double()
        dense = (dense + dense.T) / 2 + damping * eye.double()
        return _Dense(torch.linalg.lu_factor(dense))


class _Dense:
    """Solve with the factors of a dense matrix."""

    def __init__(self, factors: tuple[Tensor, Tensor]) -> None:
        self.factors = factors

    def __call__(self, V: Directions) -> Directions:
        rhs = torch.cat([v.flatten(1) for v in V.values()], 1).T.double()
        found = torch.linalg.lu_solve(*self.factors, rhs).T
        chunks = found.split([v[0].numel() for v in V.values()], 1)
        return {n: u.reshape(v.shape).to(v) for (n, v), u in zip(V.items(), chunks, strict=True)}
