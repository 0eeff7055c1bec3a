"""A denoising diffusion model as a skorch net, and the variational bound of its images as a target.

The loss that such a model is trained on is random: a time and a noise are drawn for each image.
Influence needs a loss that is a function of the row, so out of training it is the mean over draws
that are fixed, the same for every row and each time.
"""

from skinfluence.diffusion._bound import VariationalBound
from skinfluence.diffusion._denoiser import Denoiser
from skinfluence.diffusion._net import DenoisingDiffusion

__all__ = ["Denoiser", "DenoisingDiffusion", "VariationalBound"]
