"""The variational bound on the likelihood of images, as a target of influence."""

from __future__ import annotations

import torch
from torch import Tensor

from skinfluence.diffusion._schedule import fixed_draws, make_schedule, true_noise
from skinfluence.targets import Reference, Target


class VariationalBound(Target):
    """Upper bound of the negative log-likelihood of an image, or some of the terms of this bound.

    The training loss of a `DenoisingDiffusion` weights the errors of all steps equally. In this
    bound, the squared error at step t has the weight ::

        β² / (2 σ² α (1 - ᾱ))

    where α, ᾱ and β are the constants of step t in [1]_, and σ² is the posterior variance. The
    weight is largest at steps with little noise [1]_. The first step uses the posterior variance of
    the second step [2]_. Terms of the bound that do not depend on the net are left out.

    Parameters
    ----------
    n_steps : int, default=100
        Number of steps of the net; ``net.variational_bound()`` sets it.
    schedule : {"linear", "cosine"}, default="linear"
        Schedule of the net; ``net.variational_bound()`` sets it.
    steps : (int, int) or None, default=None
        First and last step whose terms are included. Step 1 has the least noise, step `n_steps` the
        most. None includes all steps.

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
        """Compute the bound of each image from the outputs of the net.

        Parameters
        ----------
        outputs : Tensor of shape (m, n_draws, n_pixels)
            Outputs of a `DenoisingDiffusion` for m images.

        Returns
        -------
        bounds : Tensor of shape (m,)
            In nats.
        """
        if outputs.ndim != 3:
            raise ValueError(
                f"{self!r} got outputs of shape {tuple(outputs.shape)}; expected outputs of a "
                "DenoisingDiffusion, (m, n_draws, n_pixels)."
            )
        constants = make_schedule(self.schedule, self.n_steps)
        first, last = self._range()
        drawn = fixed_draws(*outputs.shape[1:], self.n_steps)[0]
        included = (first <= drawn) & (drawn <= last)
        if not included.any():
            raise ValueError(
                f"{self!r}: none of the {len(drawn)} fixed draws is at one of these steps; widen "
                "steps, or increase the net's n_draws."
            )
        # The included draws stand for all steps from first to last.
        weights = torch.where(included, constants.weights[drawn], 0)
        weights = weights * (last - first + 1) / included.sum()
        errors = (outputs - true_noise(outputs, self.n_steps)).square().sum(2)
        return errors @ weights.to(outputs)

    def _range(self) -> tuple[int, int]:
        """Return the first and the last step that are included."""
        if self.steps is None:
            return 1, self.n_steps
        first, last = self.steps
        if not 1 <= first <= last <= self.n_steps:
            raise ValueError(
                f"{self!r}: expected steps=(first, last) with 1 <= first <= last <= {self.n_steps}."
            )
        return first, last
