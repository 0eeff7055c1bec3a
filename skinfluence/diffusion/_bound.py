"""The variational bound as a target."""

from __future__ import annotations

import torch
from torch import Tensor

from skinfluence.diffusion._schedule import _fixed_draws, _noise_of, _schedule
from skinfluence.targets import Reference, Target


class VariationalBound(Target):
    """Upper bound of minus the log-likelihood of an image, or some of its terms: no training loss.

    The loss that trains a `DenoisingDiffusion` weighs the errors of all steps alike. In the bound
    on the likelihood an error at step t weighs β² / (2 σ² α (1 - ᾱ)), most where there is little
    noise [1]_. Terms that do not depend on the net are left out; σ² is the posterior variance, of
    the first step that of the second [2]_.

    Parameters
    ----------
    n_steps : int, default=100
        As in the net; ``net.variational_bound()`` fills it in.
    schedule : {"linear", "cosine"}, default="linear"
        As in the net.
    steps : (int, int), default=None
        First and last step whose terms count, from 1, the least noise, to `n_steps`; None: all.

    References
    ----------
    .. [1] Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020, eq. 12.
    .. [2] Nichol, Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML 2021.

    Examples
    --------
    >>> from skinfluence.diffusion import DenoisingDiffusion
    >>> DenoisingDiffusion(n_steps=50).variational_bound(steps=(30, 50))
    VariationalBound(n_steps=50, steps=(30, 50))
    """

    def __init__(
        self,
        n_steps: int = 100,
        schedule: str = "linear",
        steps: tuple[int, int] | None = None,
    ) -> None:
        self.n_steps = n_steps
        self.schedule = schedule
        self.steps = steps

    def __call__(self, reference: Reference) -> Tensor:
        """Return the mean bound of the reference images."""
        return self.of_images(reference.outputs).mean()

    def of_images(self, outputs: Tensor) -> Tensor:
        """Bound of each image, (m,), in nats, from the net's outputs (m, n_draws, n_pixels)."""
        if outputs.ndim != 3:
            raise ValueError(
                f"{self!r} got outputs of shape {tuple(outputs.shape)}; expected those of a "
                "DenoisingDiffusion, (m, n_draws, n_pixels)."
            )
        plan = _schedule(self.schedule, self.n_steps)
        first, last = self._range()
        drawn = _fixed_draws(*outputs.shape[1:], self.n_steps)[0]
        counts = (first <= drawn) & (drawn <= last)
        if not counts.any():
            raise ValueError(
                f"{self!r}: none of the {len(drawn)} fixed draws is at one of these steps; widen "
                "steps, or give the net more n_draws."
            )
        weights = torch.where(counts, plan.weights[drawn], 0) * (last - first + 1) / counts.sum()
        errors = (outputs - _noise_of(outputs, self.n_steps)).square().sum(2)
        return errors @ weights.to(outputs)

    def _range(self) -> tuple[int, int]:
        if self.steps is None:
            return 1, self.n_steps
        first, last = self.steps
        if not 1 <= first <= last <= self.n_steps:
            raise ValueError(
                f"{self!r}: expected steps=(first, last) with 1 <= first <= last <= {self.n_steps}."
            )
        return first, last
