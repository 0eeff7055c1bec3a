"""DenoisingDiffusion: the diffusion model as a skorch net."""

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

from skinfluence._data.params import check_count, check_int, draw_seed
from skinfluence.diffusion._bound import VariationalBound
from skinfluence.diffusion._denoiser import Denoiser
from skinfluence.diffusion._schedule import fixed_draws, make_schedule, true_noise
from skinfluence.nets import table_batches


class DenoisingDiffusion(NeuralNet):
    """Denoising diffusion model of small images [1]_, as an unsupervised skorch net.

    In training, each image of a batch gets a random time and a random noise. In validation and for
    influence, the loss of an image is the mean over `n_draws` fixed draws of a time and a noise.
    The times are evenly spread, and the draws are the same for every image. In these two cases, the
    outputs of the net are the predicted noises, of shape (n, n_draws, n_pixels).

    Parameters
    ----------
    module : class, default=Denoiser
        Module with the parameter ``n_inputs``. It maps noisy images (n, k, n_pixels) and times (n,
        k) between 0 and 1 to the noise in the images.
    *args : tuple
        Further positional parameters of :class:`skorch.NeuralNet`.
    criterion : class, default=torch.nn.MSELoss
        Compares the predicted noise with the noise that was added.
    n_steps : int, default=100
        Number of steps from an image to noise.
    n_draws : int, default=50
        Number of fixed draws in the loss of an image. More draws estimate the expected loss better;
        the cost is proportional to their number.
    schedule : {"linear", "cosine"}, default="linear"
        How the noise grows. "linear" is the schedule of [1]_, rescaled to `n_steps`; "cosine" is
        the schedule of [2]_.
    **kwargs : dict
        Any parameter of :class:`skorch.NeuralNet`, such as ``lr`` (default 5e-3), ``max_epochs``
        (300), ``batch_size`` (128), ``module__hidden`` ((256, 256)).

    Attributes
    ----------
    image_shape_ : tuple of int
        Shape of an image, as `fit` received it and as `sample` returns it.

    Notes
    -----
    The net has no labels, but `InfluenceScorer` requires a y. Pass any array with one entry per
    image, such as the class; its values are not used.

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
            Images, scaled to [-1, 1].
        y : Ignored
            Present for the API of scikit-learn.
        **fit_params : dict
            Passed to skorch.

        Returns
        -------
        self : DenoisingDiffusion
            The fitted net.
        """
        self.image_shape_ = _check_images(X)
        return super().fit(X, y, **fit_params)

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any) -> Any:
        """Continue training without initializing the net again.

        Parameters
        ----------
        X : ndarray or Tensor of shape (n_images, n_pixels) or (n_images, channels, height, width)
            Images, scaled to [-1, 1].
        y : Ignored
            Present for the API of scikit-learn.
        classes : Ignored
            Present for the API of skorch.
        **fit_params : dict
            Passed to skorch.

        Returns
        -------
        self : DenoisingDiffusion
            The fitted net.
        """
        self.image_shape_ = _check_images(X)
        # `table_batches` cuts batches from arrays only if there is a y.
        return super().partial_fit(X, np.zeros(len(X)) if y is None else y, classes, **fit_params)

    def initialize_module(self) -> Any:
        """Make the module, with one input per pixel.

        Returns
        -------
        self : DenoisingDiffusion
            The net with its module.
        """
        check_count(self, "n_draws")
        make_schedule(self.schedule, self.n_steps)  # raises if they are invalid
        known = {"n_inputs": math.prod(getattr(self, "image_shape_", (1,)))}
        self.module_ = self.initialized_instance(self.module, known | self.get_params_for("module"))
        return self

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """Add noise to images and predict it.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Images.
        **fit_params : dict
            Not used.

        Returns
        -------
        predicted : Tensor of shape (n, n_draws, n_pixels)
            Predictions for the fixed draws. In training, a pair is returned instead: the prediction
            for one random draw, of shape (n, 1, n_pixels), and the noise that was added.
        """
        weight = next(self.module_.parameters())
        x = to_tensor(x, device=self.device).to(weight.dtype).flatten(1).unsqueeze(1)
        if self.module_.training:
            steps = torch.randint(1, self.n_steps + 1, x.shape[:2], device=x.device)
            noise = torch.randn_like(x)
            return self._predict_noise(x, steps, noise), noise
        steps, noise = fixed_draws(self.n_draws, x.shape[2], self.n_steps)
        return self._predict_noise(x, steps.to(x.device).expand(len(x), -1), noise.to(x))

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        """Compare predicted with true noise.

        Parameters
        ----------
        y_pred : Tensor or pair of Tensor
            What `infer` returned.
        y_true : Tensor
            If it has the shape of `y_pred`, it replaces the true noise; curvatures that sample from
            the model pass such values. Otherwise it is not used.
        X : Tensor or None, default=None
            Images; passed on to skorch.
        training : bool, default=False
            Whether `y_pred` comes from training.

        Returns
        -------
        loss : Tensor
            Reduced according to the criterion.
        """
        if training:
            predicted, noise = y_pred
        else:
            predicted, noise = y_pred, y_true
            if y_true.shape != y_pred.shape:
                noise = true_noise(y_pred, self.n_steps)
        return super().get_loss(predicted, noise, X=X, training=training)

    @torch.no_grad()
    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """Generate images, by removing noise step by step [1]_.

        Parameters
        ----------
        n_samples : int, default=1
            Number of images.
        random_state : int, RandomState instance or None, default=None
            Seeds the noise. torch's global random state is not used.

        Returns
        -------
        images : ndarray of shape (n_samples, ...), between -1 and 1
            Each image has the shape of those that the net was fitted to.

        References
        ----------
        .. [1] Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020.
        """
        check_is_fitted(self, "image_shape_")
        n_samples = check_int("n_samples", n_samples, 1)
        generator = torch.Generator().manual_seed(draw_seed(random_state))
        weight = next(self.module_.parameters())
        shape = n_samples, 1, math.prod(self.image_shape_)
        self._set_training(False)
        x = torch.randn(shape, generator=generator).to(weight)
        kept, beta, variance = make_schedule(self.schedule, self.n_steps).rows()
        for t in range(self.n_steps, 0, -1):
            time = torch.full(shape[:2], t / self.n_steps, dtype=x.dtype, device=x.device)
            image = (x - (1 - kept[t]) ** 0.5 * self.module_(x, time)) / kept[t] ** 0.5
            from_image = kept[t - 1] ** 0.5 * beta[t] * image.clamp(-1, 1)
            x = (from_image + (1 - beta[t]) ** 0.5 * (1 - kept[t - 1]) * x) / (1 - kept[t])
            if t > 1:
                x += variance[t] ** 0.5 * torch.randn(shape, generator=generator).to(weight)
        return x.reshape(n_samples, *self.image_shape_).cpu().numpy()

    def score_samples(self, X: Any) -> np.ndarray:
        """Compute the negative loss of each image.

        Parameters
        ----------
        X : ndarray or Tensor of shape (n_images, ...)
            Images, scaled to [-1, 1].

        Returns
        -------
        scores : ndarray of shape (n_images,), float64
            Negative mean squared error of the predicted noise; higher is better.
        """
        found = [
            -(f - true_noise(f, self.n_steps)).square().mean((1, 2)).cpu()
            for f in self.forward_iter(X)
        ]
        return torch.cat(found).double().numpy()

    def score(self, X: Any, y: Any = None) -> float:
        """Compute the mean of `score_samples`, for example for a grid search.

        Scores can be compared only between nets with the same schedule.

        Parameters
        ----------
        X : ndarray or Tensor of shape (n_images, ...)
            Images, scaled to [-1, 1].
        y : Ignored
            Present for the API of scikit-learn.

        Returns
        -------
        score : float
            Higher is better.
        """
        return float(self.score_samples(X).mean())

    def variational_bound(self, steps: tuple[int, int] | None = None) -> VariationalBound:
        """Make a target with the schedule of this net.

        Parameters
        ----------
        steps : (int, int) or None, default=None
            First and last step whose terms are included; None includes all.

        Returns
        -------
        target : VariationalBound
            The target, for ``InfluenceScorer(target=...)``.
        """
        return VariationalBound(self.n_steps, self.schedule, steps)

    def _predict_noise(self, x: Tensor, steps: Tensor, noise: Tensor) -> Tensor:
        """Add noise to images (n, 1, n_pixels) at steps (n, k), and predict it."""
        kept = make_schedule(self.schedule, self.n_steps).kept.to(x)[steps].unsqueeze(-1)
        noisy = kept.sqrt() * x + (1 - kept).sqrt() * noise
        return self.module_(noisy, steps.to(x) / self.n_steps)


def _check_images(X: Any) -> tuple[int, ...]:
    """Return the shape of an image; raise unless X holds images between -1 and 1."""
    if isinstance(X, Mapping | Dataset) or not hasattr(X, "shape") or len(X.shape) < 2:
        given = f"shape {tuple(X.shape)}" if hasattr(X, "shape") else f"type {type(X).__name__}"
        raise ValueError(
            "DenoisingDiffusion takes images, an array of shape (n_images, n_pixels) or (n_images, "
            f"channels, height, width), but X is of {given}."
        )
    low, high = float(X.min()), float(X.max())
    if not -1.001 <= low <= high <= 1.001:
        raise ValueError(
            f"X has values from {low:.3g} to {high:.3g}, but a diffusion model takes images "
            "between -1 and 1: scale them, for example by X / 8 - 1 if they are between 0 and 16."
        )
    return tuple(X.shape[1:])


_DEFAULTS: dict[str, Any] = {
    "optimizer": torch.optim.Adam,
    "lr": 5e-3,
    "max_epochs": 300,
    "batch_size": 128,
    "iterator_train": table_batches,
    "iterator_train__shuffle": True,
    "iterator_valid__batch_size": 128,  # each row becomes n_draws noisy images
    "train_split": None,
    "verbose": 0,
}
