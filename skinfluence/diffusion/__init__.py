"""A denoising diffusion model as a skorch net, and the variational bound of its images as a target.

- `DenoisingDiffusion` is the net, with the module `Denoiser`.
- `VariationalBound` is the target, an upper bound of the negative log-likelihood.

In training, the loss of a diffusion model is random: each image gets a random time and a random
noise. Influence needs a loss that depends on the row alone. Outside of training, the loss is
therefore a mean over fixed draws of times and noises, which are the same for every row and every
call.
"""

from skinfluence.diffusion._bound import VariationalBound
from skinfluence.diffusion._denoiser import Denoiser
from skinfluence.diffusion._net import DenoisingDiffusion

__all__ = ["Denoiser", "DenoisingDiffusion", "VariationalBound"]
