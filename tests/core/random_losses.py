"""Random losses: criteria of torch and of the user's own, with labels for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from random_layers import STEPS
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.nn import functional as F

CLASSES, NUMBERS, PAD = 4, 2, 0


class Focal(nn.Module):
    def __init__(self, gamma=2.0, reduction="mean"):
        super().__init__()
        self.gamma, self.reduction = gamma, reduction

    def forward(self, f, y):
        losses = F.cross_entropy(f, y, reduction="none")
        losses = (1 - torch.exp(-losses)) ** self.gamma * losses
        return losses if self.reduction == "none" else getattr(losses, self.reduction)()


class FocalByHand(nn.Module):
    """Has no reduction that could be changed, and weights for the classes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.arange(1.0, 1 + CLASSES, dtype=torch.float64))

    def forward(self, f, y):
        log_p = f.log_softmax(1).gather(1, y[:, None]).squeeze(1)
        return (-self.weights[y] * (1 - log_p.exp()) ** 2 * log_p).mean()


class Hinge(nn.Module):
    def forward(self, f, y):
        own = f.gather(1, y[:, None])
        return (1 + f - own).clamp_min(0).sum(1).sub(1).mean()


class HingeSum(Hinge):
    reduction = "sum"

    def forward(self, f, y):
        return super().forward(f, y) * len(f)


class Adjusted(nn.CrossEntropyLoss):
    """Adds the logarithm of the classes' shares to the logits."""

    def forward(self, f, y):
        shares = torch.linspace(0.1, 0.4, CLASSES, dtype=f.dtype)
        return super().forward(f + shares.log(), y)


class LogCosh(nn.Module):
    def forward(self, f, y):
        return torch.log(torch.cosh(f - y)).mean()


class TaskWeights(nn.Module):
    """Has weights for the tasks in the mean only."""

    reduction = "mean"

    def forward(self, f, y):
        losses = (f - y) ** 2
        if self.reduction == "none":
            return losses
        return (losses * torch.tensor([1.0, 10.0], dtype=f.dtype)).mean()


class Quantile(nn.Module):
    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, f, y):
        losses = torch.maximum(0.9 * (y - f), 0.1 * (f - y))
        return losses if self.reduction == "none" else getattr(losses, self.reduction)()


class Gaussian(nn.GaussianNLLLoss):
    """The first output is the mean, the second one the variance."""

    def forward(self, f, y):
        return super().forward(f[:, :1], y[:, :1], F.softplus(f[:, 1:]))


class CosineDistance(nn.Module):
    def forward(self, f, y):
        return 1 - F.cosine_similarity(f, y).mean()


class MeanOfRealSteps(nn.Module):
    """The mean over the real steps of a row, then over rows."""

    def forward(self, f, y):
        losses = F.cross_entropy(f, y, reduction="none", ignore_index=PAD)
        return (losses.sum(1) / (y != PAD).sum(1).clamp_min(1)).mean()


class SumOfSteps(nn.Module):
    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, f, y):
        losses = F.cross_entropy(f, y, reduction="none").sum(1)
        return losses if self.reduction == "none" else getattr(losses, self.reduction)()


class WithPenalty(NeuralNetClassifier):
    def get_loss(self, *args, **kwargs):
        penalty = sum(w.abs().sum() for w in self.module_.parameters())
        return super().get_loss(*args, **kwargs) + 0.01 * penalty


class WeighsRows(NeuralNetClassifier):
    """The weight of a row follows from its inputs."""

    def get_loss(self, y_pred, y_true, X, *args, **kwargs):
        losses = F.cross_entropy(y_pred, y_true, reduction="none")
        return (losses * X.double().flatten(1).mean(1).exp()).mean()


class Transposes(NeuralNet):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return super().get_loss(y_pred.movedim(1, -1).movedim(-1, 1), y_true, *args, **kwargs)


@dataclass(frozen=True)
class LossPlan:
    """A loss and the labels for it.

    `last` turns the outputs of the module into what the criterion expects. `keeps_weight` says that
    a row keeps its class weight, by which torch's mean over a batch of one row would divide.
    `refused` is what the error says if the loss is not a function of single rows.
    """

    labels: str  # "classes", "two classes", "numbers", ... see `labels_for`
    criterion: Any
    params: dict[str, Any] = field(default_factory=dict)
    net: type[NeuralNet] = NeuralNetClassifier
    last: Callable[[torch.Tensor], torch.Tensor] | None = None
    keeps_weight: bool = False
    refused: str | None = None

    @property
    def n_outputs(self) -> int:
        if self.labels == "two classes":
            return 1
        return NUMBERS if self.labels in ("numbers", "counts", "signs", "bits") else CLASSES


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


MIXED = "neither the sum nor the mean of its rows' losses"
WEIGHTS = {"weight": doubles(0.2, 3.0, 1.0, 20.0)}
CE, NLL = nn.CrossEntropyLoss, nn.NLLLoss
SOFTMAX = {"last": lambda f: f.softmax(1)}

OF_CLASSES = {
    "cross-entropy": LossPlan("classes", CE),
    "cross-entropy, sum": LossPlan("classes", CE, {"reduction": "sum"}),
    "cross-entropy, no reduction": LossPlan("classes", CE, {"reduction": "none"}),
    "cross-entropy, weights": LossPlan("classes", CE, WEIGHTS, keeps_weight=True),
    "cross-entropy, weights, sum": LossPlan("classes", CE, WEIGHTS | {"reduction": "sum"}),
    "smoothing": LossPlan("classes", CE, {"label_smoothing": 0.2}),
    "weights and smoothing": LossPlan(
        "classes", CE, WEIGHTS | {"label_smoothing": 0.2}, keeps_weight=True
    ),
    "ignored": LossPlan("classes", CE, {"ignore_index": 2}),
    "ignored, weights": LossPlan("classes", CE, WEIGHTS | {"ignore_index": 2}, keeps_weight=True),
    "ignored, smoothing": LossPlan("classes", CE, {"ignore_index": 2, "label_smoothing": 0.1}),
    "ignored, sum": LossPlan("classes", CE, {"ignore_index": 2, "reduction": "sum"}),
    "negative ignored": LossPlan("classes", CE, {"ignore_index": -1}),
    "probabilities": LossPlan("classes", NLL, **SOFTMAX),
    "probabilities, weights": LossPlan("classes", NLL, WEIGHTS, keeps_weight=True, **SOFTMAX),
    "probabilities, ignored": LossPlan("classes", NLL, {"ignore_index": 1}, **SOFTMAX),
    "margin": LossPlan("classes", nn.MultiMarginLoss, {"margin": 0.7}),
    "margin, squared, weights": LossPlan("classes", nn.MultiMarginLoss, WEIGHTS | {"p": 2}),
    "focal": LossPlan("classes", Focal),
    "focal, sum": LossPlan("classes", Focal, {"reduction": "sum"}),
    "focal by hand": LossPlan("classes", FocalByHand),
    "hinge": LossPlan("classes", Hinge),
    "hinge, sum": LossPlan("classes", HingeSum),
    "adjusted": LossPlan("classes", Adjusted),
    "adjusted, weights": LossPlan("classes", Adjusted, WEIGHTS, refused=MIXED),
    "penalty": LossPlan("classes", CE, net=WithPenalty),
    "weights of rows": LossPlan("classes", CE, net=WeighsRows),
}
BINARY, REGRESSOR = {"net": NeuralNetBinaryClassifier}, {"net": NeuralNetRegressor}
LOGITS = nn.BCEWithLogitsLoss
OF_NUMBERS = {
    "logits": LossPlan("two classes", LOGITS, **BINARY),
    "logits, positive weight": LossPlan(
        "two classes", LOGITS, {"pos_weight": doubles(3.0)}, **BINARY
    ),
    "logits, sum": LossPlan("two classes", LOGITS, {"reduction": "sum"}, **BINARY),
    "logits (n,)": LossPlan("two classes", LOGITS, last=lambda f: f.squeeze(1), **BINARY),
    "sigmoid": LossPlan("two classes", nn.BCELoss, last=torch.sigmoid, **BINARY),
    "squares": LossPlan("numbers", nn.MSELoss, **REGRESSOR),
    "squares, sum": LossPlan("numbers", nn.MSELoss, {"reduction": "sum"}, **REGRESSOR),
    "squares, not a regressor": LossPlan("numbers", nn.MSELoss, net=NeuralNet),
    "absolute": LossPlan("numbers", nn.L1Loss, **REGRESSOR),
    "huber": LossPlan("numbers", nn.HuberLoss, {"delta": 0.3}, **REGRESSOR),
    "smooth": LossPlan("numbers", nn.SmoothL1Loss, {"beta": 0.5, "reduction": "sum"}, **REGRESSOR),
    "poisson": LossPlan("counts", nn.PoissonNLLLoss, **REGRESSOR),
    "poisson, full": LossPlan("counts", nn.PoissonNLLLoss, {"full": True}, net=NeuralNet),
    "poisson of means": LossPlan(
        "counts", nn.PoissonNLLLoss, {"log_input": False}, last=F.softplus, **REGRESSOR
    ),
    "bits": LossPlan(
        "bits", LOGITS, {"pos_weight": doubles(3.0, 0.5), "weight": doubles(1.0, 4.0)}, **REGRESSOR
    ),
    "many labels": LossPlan("bits", nn.MultiLabelSoftMarginLoss, net=NeuralNet),
    "signs": LossPlan("signs", nn.SoftMarginLoss, **REGRESSOR),
    "distributions": LossPlan("distributions", CE, WEIGHTS, net=NeuralNet),
    "distributions, smoothing": LossPlan(
        "distributions", CE, {"label_smoothing": 0.1, "reduction": "sum"}, net=NeuralNet
    ),
    "divergence": LossPlan(
        "distributions", nn.KLDivLoss, {"reduction": "batchmean"},
        net=NeuralNet, last=lambda f: f.log_softmax(1),
    ),
    "divergence, mean": LossPlan(
        "distributions", nn.KLDivLoss, net=NeuralNet, last=lambda f: f.log_softmax(1)
    ),
    "log cosh": LossPlan("numbers", LogCosh, **REGRESSOR),
    "task weights": LossPlan("numbers", TaskWeights, **REGRESSOR),
    "quantile": LossPlan("numbers", Quantile, **REGRESSOR),
    "quantile, sum": LossPlan("numbers", Quantile, {"reduction": "sum"}, **REGRESSOR),
    "gaussian": LossPlan("numbers", Gaussian, **REGRESSOR),
    "gaussian, sum": LossPlan("numbers", Gaussian, {"reduction": "sum", "full": True}, **REGRESSOR),
    "cosine": LossPlan("numbers", CosineDistance, **REGRESSOR),
}  # fmt: skip
PADDED = {"ignore_index": PAD}
OF_STEPS = {
    "steps": LossPlan("steps", CE, PADDED, NeuralNet),
    "steps, sum": LossPlan("steps", CE, PADDED | {"reduction": "sum"}, NeuralNet),
    "steps, weights": LossPlan("steps", CE, PADDED | WEIGHTS, NeuralNet),
    "steps, smoothing": LossPlan("steps", CE, WEIGHTS | {"label_smoothing": 0.1}, NeuralNet),
    "steps, probabilities": LossPlan(
        "steps", NLL, PADDED, NeuralNet, last=lambda f: f.log_softmax(1)
    ),
    "steps, own mean": LossPlan("steps", MeanOfRealSteps, {}, NeuralNet),
    "steps, own sum": LossPlan("steps", SumOfSteps, {}, NeuralNet),
    "steps, summed twice": LossPlan("steps", SumOfSteps, {"reduction": "sum"}, NeuralNet),
    "steps, transposed": LossPlan("steps", CE, {}, Transposes),
}


def labels_for(loss: LossPlan, n: int, rng: np.random.RandomState, present: list[int]) -> Any:
    """Labels of n rows; `present` are the classes that may occur."""
    kind = loss.labels
    if kind in ("classes", "steps"):
        return rng.choice(present, n if kind == "classes" else (n, STEPS))
    if kind == "two classes":
        return rng.randint(0, 2, n)
    if kind == "distributions":
        return rng.dirichlet(np.ones(CLASSES), n)
    values = rng.randn(n, NUMBERS)
    if kind == "counts":
        return np.floor(values**2 * 3)
    if kind in ("signs", "bits"):
        return np.sign(values) if kind == "signs" else (values > 0).astype(float)
    return values
