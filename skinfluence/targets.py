"""Targets: what the reference rows are asked. A target is a scalar T, larger is worse.

A *target* is a differentiable function of the net's outputs on the reference rows. The score of a
training row is how much T would rise, to first order, if that row were left out; so a row that
keeps T low scores high, whatever T is: the mean loss, the loss on the rows that the net gets
right, or any function of your own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from sklearn.base import BaseEstimator
from torch import Tensor


@dataclass
class Reference:
    """What a target may look at: all entries are aligned with the reference rows.

    Attributes
    ----------
    outputs : Tensor of shape (m, ...)
        Outputs of the net, to be differentiated.
    y : Tensor of shape (m,) or (m, n_outputs)
        Targets as the net was trained on them (class labels as indices).
    losses : Tensor of shape (m,)
        Loss of each row by the net's own criterion, a function of `outputs`.
    to_probabilities : callable
        Turns outputs into class probabilities, as the net's ``predict_proba`` does.
    is_classification : bool
    metadata : dict
        What else was given for these rows, such as ``sensitive_features``.
    """

    outputs: Tensor
    y: Tensor
    losses: Tensor
    to_probabilities: Callable[[Tensor], Tensor]
    is_classification: bool
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def probabilities(self) -> Tensor:
        """Class probabilities, (m, n_classes)."""
        if not self.is_classification:
            raise ValueError(
                "this target needs class probabilities, which a regressor does not have; "
                "choose a target that works on losses, such as Utility()."
            )
        return self.to_probabilities(self.outputs)

    @property
    def correct(self) -> Tensor:
        """Whether the net predicts each row's label, (m,)."""
        return self.probabilities.argmax(1) == self.y.long()


class Target(ABC, BaseEstimator):
    """Base of the targets; a subclass is one formula."""

    @abstractmethod
    def __call__(self, reference: Reference) -> Tensor:
        """Return the scalar T."""


class Utility(Target):
    """Mean loss over the reference rows: the target of the paper [1]_.

    Parameters
    ----------
    rows : {"all", "correct"}, default="all"
        Which reference rows count. With few wrong rows dominating the gradient, or wrong labels
        among the reference rows, the mean over the correctly predicted ones is the steadier guide.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, "Revisit, Extend, and Enhance Hessian-Free Influence Functions",
       arXiv 2405.17490.

    Examples
    --------
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.targets import Utility
    >>> InfluenceScorer(target=Utility(rows="correct"))
    InfluenceScorer(target=Utility(rows='correct'))
    """

    def __init__(self, rows: str = "all") -> None:
        self.rows = rows

    def __call__(self, reference: Reference) -> Tensor:
        """Return the mean loss of the rows that count."""
        if self.rows == "all":
            return reference.losses.mean()
        if self.rows != "correct":
            raise ValueError(f"Utility(rows={self.rows!r}): expected 'all' or 'correct'.")
        correct = reference.correct
        if not correct.any():
            raise ValueError(
                "Utility(rows='correct'): the net predicts none of the reference rows correctly; "
                "train it longer, or use rows='all'."
            )
        return reference.losses[correct].mean()


def evaluate(target: Target | Callable[..., Tensor], reference: Reference) -> Tensor:
    """T as a scalar tensor; a plain callable gets ``(outputs, y, **metadata)``."""
    if isinstance(target, Target):
        value = target(reference)
    else:
        value = target(reference.outputs, reference.y, **reference.metadata)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise TypeError(
            f"target {target!r} returned {_brief(value)}; expected a scalar tensor (larger is "
            "worse)."
        )
    if not value.requires_grad:
        raise ValueError(
            f"target {target!r} returned a value that does not depend differentiably on the net's "
            "outputs; compute it from the outputs with differentiable operations."
        )
    if not torch.isfinite(value):
        raise ValueError(
            f"target {target!r} is {value.item()} on the reference rows; the net's outputs may not "
            "be finite (training diverged?), or the target divides by zero."
        )
    return value.reshape(())


def check_target(target: Any) -> Target | Callable[..., Tensor]:
    """Return the target to use for a `target=` argument; None is `Utility()`."""
    if target is None:
        return Utility()
    if not callable(target) or isinstance(target, type):
        raise TypeError(
            f"target={target!r}: expected an instance from skinfluence.targets, such as Utility(), "
            "a callable (outputs, y, **metadata) -> scalar tensor, or None."
        )
    return target


def _brief(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"{value!r} of type {type(value).__name__}"
