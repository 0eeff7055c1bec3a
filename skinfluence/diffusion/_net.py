"""The diffusion model as a skorch net."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.utils import to_tensor
from torch import Tensor, nn
from torch.utils.data import Dataset

from skinfluence._data.params import check_count, draw_seed
from skinfluence.diffusion._bound import VariationalBound
from skinfluence.diffusion._denoiser import Denoiser
from skinfluence.diffusion._schedule import _fixed_draws, _noise_of, _schedule
from skinfluence.nets import table_batches


class DenoisingDiffusion(NeuralNet):
    """Denoising diffusion model of small images [1]_, as an unsupervised skorch net.

    In training every image of a batch gets a time and a noise by lot. Otherwise (validation,
    influence) its loss is the mean over `n_draws` fixed draws: times that are evenly spread, and
    noises that are the same for every image. The net's outputs then are the predicted noises, of
    shape (n, n_draws, n_pixels).

    Parameters
    ----------
    module : class, default=Denoiser
        Takes ``n_inputs``; called with noisy images (n, k, n_pixels) and times (n, k) between 0 and
        1, it returns the noise in them.
    criterion : class, default=torch.nn.MSELoss
        Compares predicted noise with the noise that was added.
    n_steps : int, default=100
        Steps from an image to noise.
    n_draws : int, default=50
        Fixed draws that make up the loss of an image. More of them are a better estimate of the
        expected loss, at a price in proportion.
    schedule : {"linear", "cosine"}, default="linear"
        How the noise grows: as in [1]_, rescaled to `n_steps`, or as in [2]_.
    **kwargs
        Any parameter of :class:`skorch.NeuralNet`, such as ``lr`` (default 5e-3), ``max_epochs``
        (300), ``batch_size`` (128), ``module__hidden`` ((256, 256)).

    Attributes
    ----------
    image_shape_ : tuple of int
        Shape of an image as it was given to `fit`, and as `sample` returns it.

    Notes
    -----
    There are no labels. `InfluenceScorer` asks for a y all the same: give it anything with an entry
    an image, such as the class; it is not looked at.

    References
    ----------
    .. [1] Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020.
    .. [2] Nichol, Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.frozen import FrozenEstimator
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.diffusion import DenoisingDiffusion
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X[:200] / 8 - 1
    >>> net = DenoisingDiffusion(max_epochs=5, n_draws=8).fit(X)
    >>> image = net.sample(1, random_state=0)
    >>> image.shape
    (1, 64)
    >>> scorer = InfluenceScorer(FrozenEstimator(net), target=net.variational_bound())
    >>> scorer.fit(X, y[:200], X_val=image, y_val=[0]).scores_.shape
    (200,)
    """

    def __init__(
        self,
        module: Any = Denoiser,
        *args: Any,
        criterion: Any = nn.MSELoss,
        n_steps: int = 100,
        n_draws: int = 50,
        schedule: str = "linear",
        **kwargs: Any,
    ) -> None:
        super().__init__(module, *args, criterion=criterion, **(_DEFAULTS | kwargs))
        self.n_steps = n_steps
        self.n_draws = n_draws
        self.schedule = schedule

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit to images.

        Parameters
        ----------
        X : ndarray or Tensor of shape (n_images, n_pixels) or (n_images, channels, height, width)
            Scaled to [-1, 1].
        y : Ignored
        **fit_params : see skorch

        Returns
        -------
        self : DenoisingDiffusion
        """
        self.image_shape_ = _check_images(X)
        return super().fit(X, y, **fit_params)

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any) -> Any:
        """Fit without re-initializing."""
        self.image_shape_ = _check_images(X)
        # `table_batches` cuts batches whole only where there is a y.
        return super().partial_fit(X, np.zeros(len(X)) if y is None else y, classes, **fit_params)

    def initialize_module(self) -> Any:
        """Make the module, as wide as the images."""
        check_count(self, "n_draws")
        _schedule(self.schedule, self.n_steps)
        known = {"n_inputs": math.prod(getattr(self, "image_shape_", (1,)))}
        self.module_ = self.initialized_instance(self.module, known | self.get_params_for("module"))
        return self

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Predict the noise of the fixed draws; in training, of one by lot, with the true one."""
        weight = next(self.module_.parameters())
        x = to_tensor(x, device=self.device).to(weight.dtype).flatten(1).unsqueeze(1)
        if self.module_.training:
            steps = torch.randint(1, self.n_steps + 1, x.shape[:2], device=x.device)
            noise = torch.randn_like(x)
            return self._predicted(x, steps, noise), noise
        steps, noise = _fixed_draws(self.n_draws, x.shape[2], self.n_steps)
        return self._predicted(x, steps.to(x.device).expand(len(x), -1), noise.to(x))

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        """Compare predicted with true noise; y is not looked at.

        Unless it has the shape of the outputs: then it is noise that a curvature drew in their
        place.
        """
        if training:
            predicted, noise = y_pred
        else:
            predicted, noise = y_pred, y_true
            if y_true.shape != y_pred.shape:
                noise = _noise_of(y_pred, self.n_steps)
        return super().get_loss(predicted, noise, X=X, training=training)

    @torch.no_grad()
    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Draw images, by going back from noise step by step [1]_.

        Parameters
        ----------
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        images : ndarray of shape (n_samples, ...), between -1 and 1
            In the shape of those that the net was fitted to.

        References
        ----------
        .. [1] Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020.
        """
        check_is_fitted(self, "image_shape_")
        if not isinstance(n_samples, int | np.integer) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples!r}: expected an integer, 1 or more.")
        generator = torch.Generator().manual_seed(draw_seed(random_state))
        weight = next(self.module_.parameters())
        shape = n_samples, 1, math.prod(self.image_shape_)
        self._set_training(False)
        x = torch.randn(shape, generator=generator).to(weight)
        kept, beta, variance = _schedule(self.schedule, self.n_steps).rows()
        for t in range(self.n_steps, 0, -1):
            time = torch.full(shape[:2], t / self.n_steps, dtype=x.dtype, device=x.device)
            image = (x - (1 - kept[t]) ** 0.5 * self.module_(x, time)) / kept[t] ** 0.5
            ours = kept[t - 1] ** 0.5 * beta[t] * image.clamp(-1, 1)
            x = (ours + (1 - beta[t]) ** 0.5 * (1 - kept[t - 1]) * x) / (1 - kept[t])
            if t > 1:
                x += variance[t] ** 0.5 * torch.randn(shape, generator=generator).to(weight)
        return x.reshape(n_samples, *self.image_shape_).cpu().numpy()

    def score_samples(self, X: Any) -> np.ndarray:
        """Minus the mean squared error of the noise predicted in each image, (n_images,)."""
        found = [
            -(f - _noise_of(f, self.n_steps)).square().mean((1, 2)).cpu()
            for f in self.forward_iter(X)
        ]
        return torch.cat(found).double().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of `score_samples`, for a search; nets are comparable under one schedule only."""
        return float(self.score_samples(X).mean())

    def variational_bound(self, steps: tuple[int, int] | None = None) -> VariationalBound:
        """Return the target of this net's schedule; see `VariationalBound`."""
        return VariationalBound(self.n_steps, self.schedule, steps)

    def _predicted(self, x: Tensor, steps: Tensor, noise: Tensor) -> Tensor:
        kept = _schedule(self.schedule, self.n_steps).kept.to(x)[steps].unsqueeze(-1)
        noisy = kept.sqrt() * x + (1 - kept).sqrt() * noise
        return self.module_(noisy, steps.to(x) / self.n_steps)


def _check_images(X: Any) -> tuple[int, ...]:
    """Return the shape of an image; raise where X holds none."""
    if isinstance(X, Mapping | Dataset) or not hasattr(X, "shape") or len(X.shape) < 2:
        given = f"shape {tuple(X.shape)}" if hasattr(X, "shape") else f"type {type(X).__name__}"
        raise ValueError(
            "DenoisingDiffusion takes images, an array of shape (n_images, n_pixels) or (n_images, "
            f"channels, height, width); got X of {given}."
        )
    low, high = float(X.min()), float(X.max())
    if not -1.001 <= low <= high <= 1.001:
        raise ValueError(
            f"X goes from {low:.3g} to {high:.3g}, and a diffusion model takes images between -1 "
            "and 1: scale them, e.g. X / 8 - 1 where they go from 0 to 16."
        )
    return tuple(X.shape[1:])


_DEFAULTS: dict[str, Any] = {
    "optimizer": torch.optim.Adam,
    "lr": 5e-3,
    "max_epochs": 300,
    "batch_size": 128,
    "iterator_train": table_batches,
    "iterator_train__shuffle": True,
    "iterator_valid__batch_size": 128,  # each row of it is n_draws noisy images
    "train_split": None,
    "verbose": 0,
}
