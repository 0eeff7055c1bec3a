"""The module of `DenoisingDiffusion`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Denoiser(nn.Module):
    """Multi-layer perceptron that predicts the noise in an image.

    The time, as sines and cosines of several frequencies, is an input of every hidden layer.

    Parameters
    ----------
    n_inputs : int, default=1
        Number of pixels of an image; `DenoisingDiffusion` sets it at fit.
    hidden : sequence of int, default=(256, 256)
        Widths of the hidden layers.
    n_frequencies : int, default=16
        Number of frequencies; for each, a sine and a cosine of the time are inputs.

    Examples
    --------
    Five noisy versions of each of two images with 64 pixels:

    >>> import torch
    >>> from skinfluence.diffusion import Denoiser
    >>> Denoiser(n_inputs=64)(torch.randn(2, 5, 64), torch.rand(2, 5)).shape
    torch.Size([2, 5, 64])
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
        """Predict the noise in images.

        Parameters
        ----------
        noisy : Tensor of shape (n, k, n_inputs)
            k noisy versions of each image.
        time : Tensor of shape (n, k)
            Time of each version, from 0 (no noise) to 1.

        Returns
        -------
        noise : Tensor of shape (n, k, n_inputs)
            Predicted noise, in the order of the inputs.
        """
        angles = time.unsqueeze(-1) * self.frequencies
        waves = torch.cat([angles.sin(), angles.cos()], -1)
        for layer, of_time in zip(self.body, self.time, strict=True):
            noisy = nn.functional.silu(layer(noisy) + of_time(waves))
        return self.head(noisy)
