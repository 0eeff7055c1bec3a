"""How noise grows, and the draws that are fixed."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor


@dataclass
class _Schedule:
    """Entry t of each is of step t; there is nothing to undo at step 0."""

    kept: Tensor  # ᾱ: the share of the image in the variance of what is noisy
    beta: Tensor  # 1 - α
    variance: Tensor  # σ²

    @property
    def weights(self) -> Tensor:
        """What the square error of the predicted noise weighs in the bound."""
        alpha = 1 - self.beta
        return self.beta**2 / (2 * self.variance * alpha * (1 - self.kept))

    def rows(self) -> tuple[list[float], ...]:
        return self.kept.tolist(), self.beta.tolist(), self.variance.tolist()


@functools.lru_cache(maxsize=8)
def _schedule(name: str, n_steps: int) -> _Schedule:
    if not isinstance(n_steps, Integral) or n_steps < 2:
        raise ValueError(f"n_steps={n_steps!r}: expected an integer, 2 or more.")
    at = torch.arange(n_steps + 1, dtype=torch.float64) / n_steps
    if name == "cosine":
        wave = torch.cos((at + 0.008) / 1.008 * torch.pi / 2) ** 2
        beta = 1 - wave[1:] / wave[:-1]
    elif name == "linear":
        beta = torch.linspace(0.1, 20, n_steps, dtype=torch.float64) / n_steps
    else:
        raise ValueError(f"schedule={name!r}: expected 'cosine' or 'linear'.")
    beta = torch.cat([torch.zeros(1), beta.clamp_max(0.999)])
    kept = (1 - beta).cumprod(0)
    variance = beta[1:] * (1 - kept[:-1]) / (1 - kept[1:])
    variance[0] = variance[1]
    return _Schedule(kept, beta, torch.cat([torch.zeros(1), variance]))


@functools.lru_cache(maxsize=8)
def _fixed_draws(n_draws: int, width: int, n_steps: int) -> tuple[Tensor, Tensor]:
    """Steps (n_draws,), one by lot out of each of as many spans, and noises (n_draws, width)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((n_draws, width), generator=generator, dtype=torch.float64)
    at = torch.arange(n_draws) + torch.rand(n_draws, generator=generator, dtype=torch.float64)
    return 1 + (at * n_steps / n_draws).long().clamp_max(n_steps - 1), noise


def _noise_of(outputs: Tensor, n_steps: int) -> Tensor:
    """The noise that outputs (n, n_draws, width) are to predict."""
    return _fixed_draws(*outputs.shape[1:], n_steps)[1].to(outputs).expand_as(outputs)
