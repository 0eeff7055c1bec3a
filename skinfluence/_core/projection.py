"""Row gradients compressed to a few numbers per row, by a sparse random projection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.random_projection import SparseRandomProjection
from torch import Tensor

from skinfluence._core.influence import finite
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import Progress, gradient_rows
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows, as_matrix


class Projection:
    """Row gradients, multiplied by a sparse random matrix if they are long.

    Averaged over random matrices, the inner product of two projected gradients equals the inner
    product of the gradients themselves (Achlioptas 2003; Li et al. 2006).

    Parameters
    ----------
    fnet : FunctionalNet
    n_components : int
        Numbers per row after the projection. If the net has at most `n_components` parameters, its
        gradients are not projected.
    rng : RandomState
    """

    def __init__(self, fnet: FunctionalNet, n_components: int, rng: np.random.RandomState) -> None:
        width = sum(p.numel() for p in fnet.params.values())
        self.matrix: Any = None
        if width > n_components:
            projection = SparseRandomProjection(n_components, random_state=rng)
            self.matrix = projection.fit(sparse.csr_matrix((1, width))).components_

    def rows(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Projected gradients of all rows, (n, n_components), in the dtype of the gradients."""
        return finite(np.concatenate(list(self.blocks(fnet, X, y, progress))))

    def blocks(
        self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter
    ) -> Iterator[np.ndarray]:
        """Projected gradients, a few rows at a time."""
        for rows in gradient_rows(fnet, X, y, progress):
            g = flat_rows(rows).cpu().numpy()
            yield g if self.matrix is None else (self.matrix @ g.T).T.astype(g.dtype)


def flat_rows(rows: Params) -> Tensor:
    """Row gradients as one matrix, (n, n_parameters)."""
    return torch.cat([as_matrix(g) for g in rows.values()], 1)
