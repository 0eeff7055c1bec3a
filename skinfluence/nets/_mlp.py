"""The module of the ready-made nets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """Multi-layer perceptron over standardised columns.

    The columns' means and scales are buffers that the ready-made nets fill from the training rows,
    so that a table need not be scaled first (and a scaled one is not hurt).

    Parameters
    ----------
    n_inputs, n_outputs : int, default=1
        Widths; the ready-made nets set them at fit.
    hidden : sequence of int, default=(128, 64)
        Widths of the hidden layers; empty gives a linear model.
    dropout : float, default=0.0
        Dropout rate after each hidden layer.

    Attributes
    ----------
    body : torch.nn.Sequential
        Hidden layers.
    head : torch.nn.Linear
        Last layer; ``parameters="head.*"`` restricts influence to it.
    """

    def __init__(
        self,
        n_inputs: int = 1,
        n_outputs: int = 1,
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, width, value in (
            ("x_mean", n_inputs, 0.0),
            ("x_scale", n_inputs, 1.0),
            ("y_mean", n_outputs, 0.0),
            ("y_scale", n_outputs, 1.0),
        ):
            self.register_buffer(name, torch.full((width,), value))
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(n_inputs, width), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
            n_inputs = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(n_inputs, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        """Return logits or predictions, (n, n_outputs)."""
        X = (X.to(self.x_mean.dtype) - self.x_mean) / self.x_scale
        return self.head(self.body(X)) * self.y_scale + self.y_mean
