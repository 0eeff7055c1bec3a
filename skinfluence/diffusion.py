"""A denoising diffusion model as a skorch net, and the variational bound of its images as a target.

The loss that such a model is trained on is random: a time and a noise are drawn for each image.
Influence needs a loss that is a function of the row, so out of training it is the mean over draws
that are fixed, the same for every row and each time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from skorch.utils import to_tensor
from torch import Tensor, nn
from torch.utils.data import Dataset

from skinfluence._data.params import check_count, draw_seed
from skinfluence.nets import table_batches
from skinfluence.targets import Reference, Target

__all__ = ["Denoiser", "DenoisingDiffusion", "VariationalBound"]


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
