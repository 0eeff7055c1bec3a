"""Row gradients in few numbers, by a sparse random projection."""

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
    """Row gradients in few numbers: as they are, or times a sparse random matrix.

    Inner products are kept on average over the matrices (Achlioptas 2003; Li et al. 2006).
    """

    def __init__(self, fnet: FunctionalNet, n_components: int, rng: np.random.RandomState) -> None:
        width = sum(p.numel() for p in fnet.params.values())
        self.matrix: Any = None
        if width > n_components:
            projection = SparseRandomProjection(n_components, random_state=rng)
            self.matrix = projection.fit(sparse.csr_matrix((1, width))).components_

    def rows(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter) -> np.ndarray:
        """Return (n, n_components or number of parameters), float32 as a rule."""
        return finite(np.concatenate(list(self.blocks(fnet, X, y, progress))))

    def blocks(
        self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress = iter
    ) -> Iterator[np.ndarray]:
        """The same, some rows at a time."""
        for rows in gradient_rows(fnet, X, y, progress):
            wide = flat_rows(rows).cpu().numpy()
            yield wide if self.matrix is None else (self.matrix @ wide.T).T.astype(wide.dtype)


def flat_rows(rows: Params) -> Tensor:
    """Row gradients as one matrix, (n, n_parameters)."""
    return torch.cat([g.flatten(1) for g in rows.values()], 1)
