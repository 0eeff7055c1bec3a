"""Evidence for a label: what a net, at one snapshot, says about rows; higher is more plausible.

An evidence is a function ``(fnet, reference, X, y, labels)``. With `labels` None it returns (n,),
one number for each row under its own y; otherwise (n, n_labels), one for each candidate label.
A method of `NoisyLabelDetector` is a tuple of evidences whose ranks are added, but for "auto" with
classes, which combines beliefs and class-wise influence as distributions over the labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from skinfluence._core.gradients import Directions
from skinfluence._core.influence import (
    directions,
    label_losses,
    label_norms,
    label_scores,
    row_losses,
    row_norms,
    row_scores,
)
from skinfluence._core.net import FunctionalNet
from skinfluence._core.tensors import Rows
from skinfluence.targets import Utility


@dataclass
class Trusted:
    """Reference rows, and whether their y are classes."""

    X: Rows
    y: np.ndarray
    is_classification: bool


Evidence = Callable[
    [FunctionalNet, Trusted, Rows, np.ndarray | None, np.ndarray | None], np.ndarray
]


def classwise_influence(
    fnet: FunctionalNet, reference: Trusted, X: Rows, y: Any, labels: Any
) -> np.ndarray:
    """Worst over the classes of <g_i, v_c>, v_c the mean unit gradient of class c's rows."""
    groups = reference.y.astype(int) if reference.is_classification else None
    u = reference_direction(fnet, reference, groups=groups, normalize=True)
    return row_scores(fnet, u, X, y) if labels is None else label_scores(fnet, u, X, labels)


def inner_product(
    fnet: FunctionalNet, reference: Trusted, X: Rows, y: Any, labels: Any
) -> np.ndarray:
    """<g_i, v>, v the gradient of the mean reference loss: the paper's plain score."""
    u = reference_direction(fnet, reference)
    return row_scores(fnet, u, X, y) if labels is None else label_scores(fnet, u, X, labels)


def loss(fnet: FunctionalNet, reference: Trusted, X: Rows, y: Any, labels: Any) -> np.ndarray:
    """Minus the loss of the row: the floor that every influence score has to beat."""
    return -(row_losses(fnet, X, y) if labels is None else label_losses(fnet, X, labels))


def self_influence(
    fnet: FunctionalNet, reference: Trusted, X: Rows, y: Any, labels: Any
) -> np.ndarray:
    """-‖g_i‖²: how much a row has to pull for itself."""
    norms = row_norms(fnet, X, y) if labels is None else label_norms(fnet, X, labels)
    return -(norms**2)


METHODS: dict[str, tuple[Evidence, ...]] = {
    # For numbers. The unit gradients of rows above and below their prediction cancel in a single
    # direction: AUC .60 for influence against .91 for the loss (diabetes, a tenth of the targets
    # moved). Classes: see LogOdds.
    "auto": (loss, self_influence),
    "influence": (classwise_influence,),
    "inner_product": (inner_product,),
    "loss": (loss,),
    "self_influence": (self_influence,),
}


def reference_direction(fnet: FunctionalNet, reference: Trusted, **options: Any) -> Directions:
    """Direction of the mean reference loss; options as for `directions`."""
    return directions(
        fnet,
        Utility(),
        reference.X,
        reference.y,
        is_classification=reference.is_classification,
        **options,
    )
