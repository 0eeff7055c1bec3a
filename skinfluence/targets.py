"""Targets: scalar functions of a net on the reference rows; larger is worse.

A *target* T is a differentiable function of the net's outputs on the reference rows. To first
order, the score of a training row is proportional to the rise of T if that row were left out. A row
that keeps T low therefore has a high score, whatever T is: the mean loss, the loss on rows that an
attacker has changed, a gap between groups, or a function of your own.

A *gap* is the difference of a rate between groups of rows. The target is the absolute value of the
gap. If the target were the signed gap and the gap were negative, dropping the rows with the lowest
scores would widen the gap.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor


@dataclass
class Reference:
    """The data that a target may use; m is the number of reference rows.

    Attributes
    ----------
    outputs : Tensor of shape (m, ...)
        Outputs of the net; the target is differentiated with respect to them.
    y : Tensor of shape (m,) or (m, n_outputs)
        Labels in the form that the net was trained on (class labels as indices).
    losses : Tensor of shape (m,)
        Loss of each row under the net's own criterion, as a function of `outputs`.
    to_probabilities : callable
        Turns outputs into class probabilities, like the net's ``predict_proba``.
    is_classification : bool
    metadata : dict
        Other data about the reference rows, such as ``sensitive_features``, an ndarray of m labels.
    classes : ndarray of shape (n_classes,) or None
        The user's labels, in the order of the probabilities' columns.
    """

    outputs: Tensor
    y: Tensor
    losses: Tensor
    to_probabilities: Callable[[Tensor], Tensor]
    is_classification: bool
    metadata: dict[str, Any] = field(default_factory=dict)
    classes: np.ndarray | None = None

    @property
    def probabilities(self) -> Tensor:
        """Class probabilities, (m, n_classes)."""
        if not self.is_classification:
            raise ValueError(
                "this target needs class probabilities, which a regressor does not have; "
                "use a target that works on losses, such as Utility()."
            )
        return self.to_probabilities(self.outputs)

    @property
    def correct(self) -> Tensor:
        """Whether the net predicts each row's label, (m,)."""
        return self.probabilities.argmax(1) == self.y.long()


class Target(ABC, BaseEstimator):
    """Base class of the targets; each subclass implements one formula.

    A target may have an `attack`, which changes the reference rows before the net is evaluated on
    them; see :mod:`skinfluence.attacks`.
    """

    attack: Any = None
    is_mean_loss: bool = False  # True: T is the mean of `reference.losses`, row by row

    @abstractmethod
    def __call__(self, reference: Reference) -> Tensor:
        """Return the scalar T."""


class Utility(Target):
    """Mean loss over the reference rows: the target of the paper [1]_.

    Parameters
    ----------
    rows : {"all", "correct"}, default="all"
        Reference rows over which the mean is taken. "correct" uses only the correctly predicted
        rows. The scores are then more stable if a few wrong predictions dominate the gradient, or
        if reference labels are noisy.

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

    @property
    def is_mean_loss(self) -> bool:  # type: ignore[override]
        """Whether T is the mean over all rows; False for a subclass with its own formula."""
        return _is_one_of(self.rows, ("all",)) and type(self).__call__ is Utility.__call__

    def __call__(self, reference: Reference) -> Tensor:
        """Return the mean loss over the chosen rows."""
        if not _is_one_of(self.rows, ("all", "correct")):
            raise ValueError(f"Utility(rows={self.rows!r}): expected 'all' or 'correct'.")
        if self.rows == "all":
            return reference.losses.mean()
        correct = reference.correct
        if not correct.any():
            raise ValueError(
                "Utility(rows='correct'): the net predicts none of the reference rows correctly; "
                "train it longer, or use rows='all'."
            )
        return reference.losses[correct].mean()


class Robustness(Target):
    """Mean loss over adversarial versions of the reference rows.

    The reference rows are attacked once, with the fitted net. The changed rows are then used like
    ordinary reference rows.

    Parameters
    ----------
    attack : callable, default=None
        ``attack(net, X, y)`` returns the changed rows, in the shape of X; see
        :mod:`skinfluence.attacks`. None means ``Crossing()``, the closed form of the paper [1]_.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, arXiv 2405.17490.

    Examples
    --------
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.attacks import FGSM
    >>> from skinfluence.targets import Robustness
    >>> InfluenceScorer(target=Robustness(FGSM(0.1)))
    InfluenceScorer(target=Robustness(attack=FGSM(eps=0.1)))
    """

    def __init__(self, attack: Any = None) -> None:
        self.attack = attack

    def __call__(self, reference: Reference) -> Tensor:
        """Return the mean loss."""
        return reference.losses.mean()


class WeightedSum(Target):
    """Weighted sum of targets, such as a gap and the loss, to trade fairness against accuracy.

    Parameters
    ----------
    targets : list of Target or callable
        Targets to add. None of these targets may have an attack.
    weights : list of float, default=None
        One weight per target. None gives all targets the same weight. Targets have different units
        (a gap lies between 0 and 1, a loss is unbounded), so choose the weights by a search on
        held-out rows.

    Examples
    --------
    >>> from skinfluence.targets import DemographicParity, Utility, WeightedSum
    >>> WeightedSum([DemographicParity(), Utility()], weights=[1, 10])
    WeightedSum(targets=[DemographicParity(), Utility()], weights=[1, 10])
    """

    def __init__(self, targets: Any, weights: Any = None) -> None:
        self.targets = targets
        self.weights = weights

    def __call__(self, reference: Reference) -> Tensor:
        """Return the weighted sum."""
        targets = _as_list(self.targets, "targets", "targets")
        weights = [1.0] * len(targets)
        if self.weights is not None:
            weights = _as_list(self.weights, "weights", "numbers")
        if not all(isinstance(w, Real) and math.isfinite(w) for w in weights):
            raise ValueError(f"WeightedSum(weights={self.weights!r}): expected finite numbers.")
        if not targets or len(weights) != len(targets):
            raise ValueError(
                f"WeightedSum has {len(targets)} targets and {len(weights)} weights; give at least "
                "one target, and one weight per target."
            )
        attacked = [t for t in targets if isinstance(t, Robustness) or getattr(t, "attack", None)]
        if attacked:
            raise ValueError(
                f"WeightedSum: {attacked[0]!r} changes its reference rows, so it cannot share them "
                "with other targets. Use one scorer per target, and add the scores."
            )
        values = [evaluate(check_target(t), reference) for t in targets]
        return torch.stack([float(w) * v for w, v in zip(weights, values, strict=True)]).sum()


class _Gap(Target):
    """Largest, or mean, difference of a rate between groups."""

    positive_label: Any
    between: str

    @abstractmethod
    def rates(self, reference: Reference, p: Tensor, rows: Tensor, group: str) -> Tensor:
        """Return a group's rates, (n_rates,), from the positive-class probabilities p, (m,)."""

    def __call__(self, reference: Reference) -> Tensor:
        """Return the absolute gap; if there are several rates, the largest of their gaps."""
        if not _is_one_of(self.between, ("max", "mean")):
            raise ValueError(f"{self!r}: expected between='max' or 'mean'.")
        groups = _groups(self, reference)
        p = reference.probabilities[:, _positive(self, reference)]
        rates = torch.stack(
            [self.rates(reference, p, rows, name) for name, rows in groups.items()]
        )  # (n_groups, n_rates)
        if self.between == "max":
            return (rates.amax(0) - rates.amin(0)).amax()
        first, second = torch.triu_indices(len(rates), len(rates), 1)
        return (rates[first] - rates[second]).abs().mean(0).amax()


class DemographicParity(_Gap):
    """Gap between groups in the mean predicted probability of the positive class [1]_.

    The gap is zero if the mean probability is the same in every group, whatever the labels are. The
    target needs ``sensitive_features`` for the reference rows.

    Parameters
    ----------
    positive_label : label, default=None
        The positive class. None means the second of two classes.
    between : {"max", "mean"}, default="max"
        "max" takes the largest gap between two groups; "mean" averages the gaps of all pairs of
        groups.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, arXiv 2405.17490 (there, the gap has a sign; here, it is the
       absolute value); Agarwal et al., "A Reductions Approach to Fair Classification", ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.targets import DemographicParity
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> group = np.where(X[:, 1] > 18, "rough", "smooth")
    >>> scorer = InfluenceScorer(target=DemographicParity(), random_state=0)
    >>> scorer.fit(X, y, sensitive_features=group).scores_.shape
    (569,)
    """

    def __init__(self, positive_label: Any = None, *, between: str = "max") -> None:
        self.positive_label = positive_label
        self.between = between

    def rates(self, reference: Reference, p: Tensor, rows: Tensor, group: str) -> Tensor:
        """Mean probability of the positive class."""
        return p[rows].mean().reshape(1)


class EqualOpportunity(_Gap):
    """Gap between groups in the true-positive rate, or in the loss of positive rows [1]_.

    Parameters
    ----------
    positive_label : label, default=None
        The positive class. None means the second of two classes.
    measure : {"probability", "loss"}, default="probability"
        Which mean over the rows of the positive class is compared. "probability": the mean
        predicted probability of that class, which is a smooth true-positive rate. "loss": the mean
        loss, as in the paper [2]_.
    between : {"max", "mean"}, default="max"
        "max" takes the largest gap between two groups; "mean" averages the gaps of all pairs of
        groups.

    References
    ----------
    .. [1] Hardt, Price, Srebro, "Equality of Opportunity in Supervised Learning", NeurIPS 2016.
    .. [2] Yang, Yue, Chen, Liu, arXiv 2405.17490.

    Examples
    --------
    >>> from skinfluence.targets import EqualOpportunity
    >>> EqualOpportunity("hired", measure="loss")
    EqualOpportunity(measure='loss', positive_label='hired')
    """

    def __init__(
        self,
        positive_label: Any = None,
        *,
        measure: str = "probability",
        between: str = "max",
    ) -> None:
        self.positive_label = positive_label
        self.measure = measure
        self.between = between

    def rates(self, reference: Reference, p: Tensor, rows: Tensor, group: str) -> Tensor:
        """Mean probability, or loss, of the group's positive rows."""
        if not _is_one_of(self.measure, ("probability", "loss")):
            raise ValueError(f"{self!r}: expected measure='probability' or 'loss'.")
        label = _positive(self, reference)
        among = _of_class(self, reference, rows, group, label, positive=True)
        return (p if self.measure == "probability" else reference.losses)[among].mean().reshape(1)


class EqualizedOdds(_Gap):
    """Larger of two gaps between groups: in the true-positive and the false-positive rate [1]_.

    Both rates are smooth: they are means of the predicted probability of the positive class. The
    true-positive rate is the mean over the rows of that class, and the false-positive rate is the
    mean over all other rows. As in :func:`fairlearn.metrics.equalized_odds_difference`, the larger
    of the two gaps is used.

    Parameters
    ----------
    positive_label : label, default=None
        The positive class. None means the second of two classes.
    between : {"max", "mean"}, default="max"
        "max" takes the largest gap between two groups; "mean" averages the gaps of all pairs of
        groups.

    References
    ----------
    .. [1] Hardt, Price, Srebro, "Equality of Opportunity in Supervised Learning", NeurIPS 2016.

    Examples
    --------
    >>> from skinfluence.targets import EqualizedOdds
    >>> EqualizedOdds(between="mean")
    EqualizedOdds(between='mean')
    """

    def __init__(self, positive_label: Any = None, *, between: str = "max") -> None:
        self.positive_label = positive_label
        self.between = between

    def rates(self, reference: Reference, p: Tensor, rows: Tensor, group: str) -> Tensor:
        """Mean probability of the positive class, over positive rows and over all other rows."""
        label = _positive(self, reference)
        return torch.stack(
            [
                p[_of_class(self, reference, rows, group, label, positive=kind)].mean()
                for kind in (True, False)
            ]
        )


def evaluate(target: Target | Callable[..., Tensor], reference: Reference) -> Tensor:
    """Return T as a scalar tensor; a plain callable gets ``(outputs, y, **metadata)``."""
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
            f"target {target!r} returned a value that is not differentiable with respect to the "
            "net's outputs; compute it from the outputs with differentiable torch operations."
        )
    if not torch.isfinite(value):
        raise not_finite(target, value.item())
    return value.reshape(())


def not_finite(target: Target | Callable[..., Tensor], value: float) -> ValueError:
    """Return the error for a target without a finite value."""
    return ValueError(
        f"target {target!r} is {value} on the reference rows. Either the net's outputs are not "
        "finite (did training diverge?), or the target divides by zero."
    )


def check_target(target: Any) -> Target | Callable[..., Tensor]:
    """Return the target to use for a `target=` argument; None means `Utility()`."""
    if target is None:
        return Utility()
    if not callable(target) or isinstance(target, type):
        raise TypeError(
            f"target={target!r}: expected an instance from skinfluence.targets, such as Utility(), "
            "a callable (outputs, y, **metadata) -> scalar tensor, or None."
        )
    return target


def _groups(target: Target, reference: Reference) -> dict[str, Tensor]:
    """Return the mask of the reference rows in each group."""
    sensitive = reference.metadata.get("sensitive_features")
    if sensitive is None:
        raise ValueError(
            f"{target!r} compares groups, but no groups were given. Give fit(..., "
            "sensitive_features=...), aligned with X; if you give X_val, also give "
            "sensitive_features_val=."
        )
    names = np.unique(sensitive)
    if len(names) < 2:
        raise ValueError(
            f"{target!r} compares groups, but all reference rows are in group {names[0].item()!r}."
        )
    device = reference.outputs.device
    return {repr(k.item()): torch.as_tensor(sensitive == k, device=device) for k in names}


def _positive(target: Any, reference: Reference) -> int:
    """Column of the positive class."""
    classes, label = reference.classes, target.positive_label
    if classes is None:
        raise ValueError(f"{target!r} needs class probabilities, which a regressor does not have.")
    if label is None:
        if len(classes) == 2:
            return 1
        raise ValueError(
            f"{target!r}: with {len(classes)} classes, name the positive one, for example "
            f"positive_label={classes[0].item()!r}."
        )
    found = [
        k for k, known in enumerate(classes.tolist()) if np.ndim(label) == 0 and known == label
    ]
    if not len(found):
        raise ValueError(
            f"{target!r}: positive_label is not among the classes {classes.tolist()!r}."
        )
    return int(found[0])


def _of_class(
    target: Target, reference: Reference, rows: Tensor, group: str, label: int, *, positive: bool
) -> Tensor:
    """Return a mask of a group's rows inside or outside the positive class; raise if empty."""
    chosen = rows & ((reference.y.reshape(-1).long() == label) == positive)
    if not chosen.any():
        kind = "the positive class" if positive else "another class"
        raise ValueError(
            f"{target!r}: no reference row of group {group} belongs to {kind}. Give more reference "
            "rows, or merge the group with another."
        )
    return chosen


def _is_one_of(value: Any, choices: tuple[str, ...]) -> bool:
    """Whether a parameter is one of a few strings; arrays must not be compared with strings."""
    return isinstance(value, str) and value in choices


def _as_list(values: Any, name: str, of_what: str) -> list[Any]:
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"WeightedSum({name}={values!r}): expected a list of {of_what}.")
    return list(values) if getattr(values, "shape", None) != () else [values]


def _brief(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"{value!r} of type {type(value).__name__}"
