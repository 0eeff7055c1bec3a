"""The module of the diffusion model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Denoiser(nn.Module):
    """Multi-layer perceptron that finds the noise in an image; every hidden layer knows the time.

    Parameters
    ----------
    n_inputs : int, default=1
        Numbers in an image; `DenoisingDiffusion` sets it at fit.
    hidden : sequence of int, default=(256, 256)
        Widths of the hidden layers.
    n_frequencies : int, default=16
        The time is told as a sine and a cosine of so many frequencies.
    """

    frequencies: Tensor

    def __init__(
        self, n_inputs: int = 1, hidden: Sequence[int] = (256, 256), n_frequencies: int = 16
    ) -> None:
        super().__init__()
        widths = [n_inputs, *hidden]
        self.body = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.time = nn.ModuleList(nn.Linear(2 * n_frequencies, w, bias=False) for w in hidden)
        self.head = nn.Linear(widths[-1], n_inputs)
        self.register_buffer("frequencies", torch.logspace(0, 2, n_frequencies))

    def forward(self, noisy: Tensor, time: Tensor) -> Tensor:
        """Return the noise in images (n, k, n_inputs) at times (n, k), from 0 to 1."""
        angles = time.unsqueeze(-1) * self.frequencies
        waves = torch.cat([angles.sin(), angles.cos()], -1)
        for layer, of_time in zip(self.body, self.time, strict=True):
            noisy = nn.functional.silu(layer(noisy) + of_time(waves))
        return self.head(noisy)
