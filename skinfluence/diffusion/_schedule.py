"""How the noise grows from step to step, and the fixed draws of steps and noises."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from skinfluence._data.params import check_int


@dataclass
class Schedule:
    """Constants of the diffusion; entry t belongs to step t, and step 0 has no noise."""

    kept: Tensor  # ᾱ, the share of the image in the variance of the noisy image
    beta: Tensor  # 1 - α
    variance: Tensor  # σ²

    @property
    def weights(self) -> Tensor:
        """Weight of the squared error of the predicted noise in the variational bound."""
        alpha = 1 - self.beta
        return self.beta**2 / (2 * self.variance * alpha * (1 - self.kept))

    def rows(self) -> tuple[list[float], ...]:
        """Return ᾱ, 1 - α and σ² as lists of floats."""
        return self.kept.tolist(), self.beta.tolist(), self.variance.tolist()


@functools.lru_cache(maxsize=8)
def make_schedule(name: str, n_steps: int) -> Schedule:
    """Make the schedule "linear" or "cosine" with `n_steps` steps."""
    n_steps = check_int("n_steps", n_steps, 2)
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
    return Schedule(kept, beta, torch.cat([torch.zeros(1), variance]))


@functools.lru_cache(maxsize=8)
def fixed_draws(n_draws: int, width: int, n_steps: int) -> tuple[Tensor, Tensor]:
    """Return fixed steps, (n_draws,), and fixed noises, (n_draws, width).

    The steps are stratified: time is divided into `n_draws` equal intervals, and one step is drawn
    from each.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((n_draws, width), generator=generator, dtype=torch.float64)
    at = torch.arange(n_draws) + torch.rand(n_draws, generator=generator, dtype=torch.float64)
    return 1 + (at * n_steps / n_draws).long().clamp_max(n_steps - 1), noise


def true_noise(outputs: Tensor, n_steps: int) -> Tensor:
    """Return the noise that these outputs (n, n_draws, width) should equal, in the same shape."""
    return fixed_draws(*outputs.shape[1:], n_steps)[1].to(outputs).expand_as(outputs)
