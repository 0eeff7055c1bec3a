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
from skinfluence._core.tensors import Rows


class Projection:
    """Row gradients times a sparse random matrix, or as they are if they are short enough.

    The projection preserves inner products on average over the matrices (Achlioptas 2003; Li et al.
    2006).

    Parameters
    ----------
    fnet : FunctionalNet
    n_components : int
        Numbers per row after the projection. A net with no more parameters is not projected.
    rng : RandomState
    """

    def __init__(self, fnet: FunctionalNet, n_components: int, rng: np.random.RandomState) -> None:
        width = sum(p.numel() for p in fnet.params.values())
        self.matrix: Any = None
        if width > n_components:
            projection = SparseRandomProjection(n_components, random_state=rng)
            self.matrix = projection.fit(sparse.csr_matrix((1, width))).components_

    def rows(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Projected gradients of all rows, (n, n_components), float32 for most nets."""
        return finite(np.concatenate(list(self.blocks(fnet, X, y, progress))))

    def blocks(
        self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter
    ) -> Iterator[np.ndarray]:
        """Projected gradients, some rows at a time."""
        for rows in gradient_rows(fnet, X, y, progress):
            g = flat_rows(rows).cpu().numpy()
            yield g if self.matrix is None else (self.matrix @ g.T).T.astype(g.dtype)


def flat_rows(rows: Params) -> Tensor:
    """Row gradients as one matrix, (n, n_parameters)."""
    return torch.cat([g.flatten(1) for g in rows.values()], 1)
