"""The module of the ready-made nets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skinfluence._data.params import check_int, check_number


class MLP(nn.Module):
    """Multi-layer perceptron on standardized columns.

    The means and scales of the columns are buffers, which the ready-made nets compute from the
    training rows. You therefore need not scale a table first; if you do, it does no harm.

    Parameters
    ----------
    n_inputs, n_outputs : int, default=1
        Widths of input and output; the ready-made nets set them at fit.
    hidden : sequence of int, default=(128, 64)
        Widths of the hidden layers. An empty sequence gives a linear model.
    dropout : float, default=0.0
        Dropout rate after each hidden layer.

    Attributes
    ----------
    body : torch.nn.Sequential
        Hidden layers.
    head : torch.nn.Linear
        Last layer; ``parameters="head.*"`` restricts influence to this layer.

    Examples
    --------
    >>> from skinfluence.nets import MLP
    >>> MLP(n_inputs=4, n_outputs=3, hidden=(8,)).head
    Linear(in_features=8, out_features=3, bias=True)
    """

    casts_inputs = True  # float64 columns are standardized before they are rounded to float32

    x_mean: Tensor
    x_mean_rest: Tensor
    x_scale: Tensor
    y_mean: Tensor
    y_scale: Tensor

    def __init__(
        self,
        n_inputs: int = 1,
        n_outputs: int = 1,
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        n_inputs = check_int("n_inputs", n_inputs, 1)
        n_outputs = check_int("n_outputs", n_outputs, 1)
        hidden = _check_widths(hidden)
        check_number("dropout", dropout, "a rate in [0, 1)", lambda rate: 0 <= rate < 1)
        for name, width, value in (
            ("x_mean", n_inputs, 0.0),
            # The part of the mean that float32 loses. Not every device supports a float64 buffer.
            ("x_mean_rest", n_inputs, 0.0),
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
        """Compute logits or predictions.

        Parameters
        ----------
        X : Tensor of shape (n, n_inputs)
            Rows, on the scale of the table.

        Returns
        -------
        outputs : Tensor of shape (n, n_outputs)
            Predictions are on the scale of the targets.
        """
        if not X.is_floating_point():
            X = X.to(torch.float32 if X.device.type == "mps" else torch.float64)
        # Standardized in the dtype of X: a column such as 1.7e9 ± 20 would be constant in float32.
        X = (X - self.x_mean - self.x_mean_rest) / self.x_scale
        return self.head(self.body(X.to(self.x_mean.dtype))) * self.y_scale + self.y_mean


def _check_widths(hidden: Any) -> list[int]:
    if isinstance(hidden, str) or not isinstance(hidden, Sequence | np.ndarray):
        raise TypeError(f"hidden={hidden!r}: expected a list of widths, such as (128, 64).")
    return [check_int("each width of hidden", width, 1) for width in hidden]
