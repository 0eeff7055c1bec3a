"""Scores of rows that need no direction: losses, margins, norms of gradients, outlier scores.

Each class scores rows under their given labels (`of_rows`) or under candidate labels (`of_labels`).
A higher score means that the row is more helpful, or less suspicious.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch

from skinfluence._core.influence import Progress, finite, label_losses, row_losses
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import Solve, gradient_rows, label_square_norms, self_influences
from skinfluence._core.projection import Projection, flat_rows
from skinfluence._core.tensors import Rows, n_rows


class RowScore(ABC):
    """Base class of the scores in this file."""

    @abstractmethod
    def of_rows(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        """Scores of rows under their given labels, (n,) float64."""

    def of_labels(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores of rows under each label, (n, n_labels), by one pass per label."""
        n = n_rows(X)
        return np.stack([self.of_rows(fnet, X, np.full(n, c), iter) for c in labels], 1)


class NegativeLoss(RowScore):
    """Minus the loss of the row."""

    def of_rows(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        return -row_losses(fnet, X, y, progress)

    def of_labels(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores under each label, from one forward pass."""
        return -label_losses(fnet, X, labels)


class LabelMargin(RowScore):
    """Lowest loss under any other label, minus the loss under the row's label."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels

    def of_rows(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        own = np.reshape(y, (-1, 1)) == self.labels
        return self._margins(label_losses(fnet, X, self.labels, progress), own)

    def of_labels(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        """Scores under each label, from one forward pass."""
        losses = label_losses(fnet, X, self.labels)
        columns = [self._margins(losses, (self.labels == c)[None]) for c in labels]
        return np.stack(columns, 1)

    @staticmethod
    def _margins(losses: np.ndarray, own: np.ndarray) -> np.ndarray:
        own = np.broadcast_to(own, losses.shape)
        return finite(np.where(own, np.inf, losses).min(1) - losses[own])


class NegativeSelfInfluence(RowScore):
    """-<g_i, P g_i>, where P is an inverse curvature, or the identity if `solve` is None."""

    def __init__(self, solve: Solve | None = None) -> None:
        self.solve = solve

    def of_rows(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        return -self_influences(fnet, X, y, self.solve, progress)

    def of_labels(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        if self.solve is not None:
            return super().of_labels(fnet, X, labels)
        return -label_square_norms(fnet, X, labels)


class NegativeNorm(RowScore):
    """Minus the L1 or L2 norm of the row's gradient (`order` is 1 or 2)."""

    def __init__(self, order: int) -> None:
        self.order = order

    def of_rows(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        if self.order == 2:
            return -np.sqrt(self_influences(fnet, X, y, None, progress))
        norms = [flat_rows(rows).abs().sum(1) for rows in gradient_rows(fnet, X, y, progress)]
        return finite(-torch.cat(norms).double().cpu().numpy())

    def of_labels(self, fnet: FunctionalNet, X: Rows, labels: np.ndarray) -> np.ndarray:
        if self.order != 2:
            return super().of_labels(fnet, X, labels)
        return -np.sqrt(label_square_norms(fnet, X, labels))


class OutlierScore(RowScore):
    """Score that a fitted outlier detector gives to the row's projected gradient."""

    def __init__(self, detector: Any, projection: Projection) -> None:
        self.detector, self.projection = detector, projection

    def of_rows(self, fnet: FunctionalNet, X: Rows, y: Any, progress: Progress) -> np.ndarray:
        score = getattr(self.detector, "score_samples", None) or self.detector.decision_function
        blocks = self.projection.blocks(fnet, X, y, progress)
        return np.concatenate([score(finite(block)) for block in blocks]).astype(float)
