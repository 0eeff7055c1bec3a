"""Attacks that follow the gradient of the loss or of the margin."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from skinfluence._core.kernels import plain_kernels
from skinfluence._core.net import FunctionalNet
from skinfluence._data.arrays import check_numbers
from skinfluence._data.params import check_count, check_int, check_number
from skinfluence._fitting.isolation import seeded
from skinfluence.attacks._base import Attack, log_odds, log_odds_at


class Crossing(Attack):
    """Step across the nearest border between classes: in closed form for linear models [1]_.

    Let m(x) be the margin between the predicted class and the class with the nearest border, and
    w = ∇m the gradient of the margin. A row moves to

        x - gamma * m(x) / ||w||² * w.

    If the margin is linear in x, the row ends on the border for gamma = 1, and beyond the border
    for a larger gamma. For a linear model, m(x) = w·x + b, and the attack is that of [1]_. For any
    other net, the attack is one step of DeepFool [2]_. To attack embeddings with a linear last
    layer, see :func:`skinfluence.nets.split_head`.

    Parameters
    ----------
    gamma : float, default=1.3
        Length of the step, as a multiple of the distance to the border. 1.3 is the value of [1]_.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, "Revisit, Extend, and Enhance Hessian-Free Influence Functions",
       arXiv 2405.17490.
    .. [2] Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool", CVPR 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skinfluence.attacks import Crossing
    >>> from skinfluence.nets import TabularClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = X.astype("float32")
    >>> net = TabularClassifier(module__hidden=()).fit(X, y)
    >>> X_adversarial = Crossing()(net, X, y)
    >>> bool((net.predict(X_adversarial) != net.predict(X)).all())
    True
    """

    needs_classes = True

    def __init__(self, gamma: float = 1.3) -> None:
        self.gamma = gamma

    def perturb(self, fnet: FunctionalNet, X: Tensor, y: Tensor) -> Tensor:
        """Change one batch of rows; see :meth:`Attack.perturb`."""
        gamma = check_number(
            "gamma", self.gamma, "a finite number, 0 or more", lambda g: g >= 0, owner=self
        )
        logits = log_odds_at(fnet, X)
        top = logits.argmax(1)
        best_step = torch.full((len(X),), torch.inf, dtype=X.dtype, device=X.device)
        moved = X.clone()
        for rival in range(logits.shape[1]):
            over_rival = partial(_margin, fnet, top, rival)
            margin, w = _input_gradient(fnet, X, over_rival)
            square = w.flatten(1).square().sum(1)
            step = margin / square.sqrt()
            nearer = (top != rival) & (square > 0) & (step < best_step)
            best_step = torch.where(nearer, step, best_step)
            change = gamma * _per_row(margin / torch.where(square > 0, square, 1), X) * w
            moved = torch.where(_per_row(nearer, X), X - change, moved)
        return moved


class FGSM(Attack):
    """One step of size `eps` along the sign of the gradient of the loss [1]_.

    Parameters
    ----------
    eps : float or array-like of the shape of a row
        Largest change of an entry, in the units of X. Set it to 0 for entries that an attacker
        cannot change.
    clip : tuple of (low, high) or None, default=None
        Bounds of the changed rows: two numbers, or two arrays of the shape of a row.

    References
    ----------
    .. [1] Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015.

    Examples
    --------
    >>> from skinfluence.attacks import FGSM
    >>> FGSM(0.1, clip=(0, 1))
    FGSM(clip=(0, 1), eps=0.1)
    """

    def __init__(self, eps: Any, *, clip: Any = None) -> None:
        self.eps = eps
        self.clip = clip

    def perturb(self, fnet: FunctionalNet, X: Tensor, y: Tensor) -> Tensor:
        """Change one batch of rows; see :meth:`Attack.perturb`."""
        eps = _read_eps(self, self.eps, X)
        return _clip(X + eps * _loss_gradient(fnet, X, y).sign(), self.clip)


class PGD(Attack):
    """Several steps along the sign of the gradient of the loss [1]_.

    After each step, every entry is clipped to within `eps` of the entry of the given row.

    Parameters
    ----------
    eps : float or array-like of the shape of a row
        Largest change of an entry, in the units of X. Set it to 0 for entries that an attacker
        cannot change.
    n_steps : int, default=10
        Number of steps.
    step : float or None, default=None
        Size of a step as a share of `eps`. None means ``2.5 / n_steps``.
    clip : tuple of (low, high) or None, default=None
        Bounds of the changed rows: two numbers, or two arrays of the shape of a row.
    random_state : int or None, default=None
        None: the attack starts at the given row. An integer: it seeds a random starting point, at
        most `eps` away from the row in each entry.

    References
    ----------
    .. [1] Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018.

    Examples
    --------
    >>> from skinfluence.attacks import PGD
    >>> PGD(0.1, n_steps=20)
    PGD(eps=0.1, n_steps=20)
    """

    def __init__(
        self,
        eps: Any,
        *,
        n_steps: int = 10,
        step: float | None = None,
        clip: Any = None,
        random_state: int | None = None,
    ) -> None:
        self.eps = eps
        self.n_steps = n_steps
        self.step = step
        self.clip = clip
        self.random_state = random_state

    def __call__(self, net: Any, X: Any, y: Any) -> Any:
        """Return changed rows; see :class:`Attack`."""
        if self.random_state is None:
            return super().__call__(net, X, y)
        net.check_is_fitted()
        # Seed once per call: with a seed in `perturb`, all batches would draw the same numbers.
        seed = check_int("random_state", self.random_state, 0, 2**32 - 1, owner=self)
        with seeded(seed, next(net.module_.parameters()).device):
            return super().__call__(net, X, y)

    def perturb(self, fnet: FunctionalNet, X: Tensor, y: Tensor) -> Tensor:
        """Change one batch of rows; see :meth:`Attack.perturb`."""
        check_count(self, "n_steps")
        share = 2.5 / self.n_steps
        if self.step is not None:
            wanted = "a number above 0, or None"
            share = check_number("step", self.step, wanted, lambda size: size > 0, owner=self)
        eps = _read_eps(self, self.eps, X)
        step = eps * share
        moved = X
        if self.random_state is not None:
            moved = _clip(X + eps * (2 * torch.rand_like(X) - 1), self.clip)
        for _ in range(self.n_steps):
            moved = moved + step * _loss_gradient(fnet, moved, y).sign()
            moved = _clip(torch.minimum(torch.maximum(moved, X - eps), X + eps), self.clip)
        return moved


def _input_gradient(
    fnet: FunctionalNet, X: Tensor, of_outputs: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Values of a function of each row's outputs, (n,), and gradients with respect to the rows."""
    with torch.enable_grad(), plain_kernels(fnet):
        x = X.detach().requires_grad_()
        value = of_outputs(fnet.outputs(fnet.params, x))
        if not value.requires_grad:
            return value.detach(), torch.zeros_like(X)
        grad = torch.autograd.grad(value.sum(), x, materialize_grads=True)[0]
    return value.detach(), grad


def _loss_gradient(fnet: FunctionalNet, X: Tensor, y: Tensor) -> Tensor:
    return _input_gradient(fnet, X, lambda f: fnet.losses(f, X, y))[1]


def _margin(fnet: FunctionalNet, top: Tensor, rival: int, outputs: Tensor) -> Tensor:
    """Log-odds of each row's class `top` over a rival class."""
    logits = log_odds(fnet, outputs)
    return logits.gather(1, top.unsqueeze(1)).squeeze(1) - logits[:, rival]


def _per_row(values: Tensor, X: Tensor) -> Tensor:
    """One value per row, in a shape that broadcasts against X."""
    return values.reshape(-1, *[1] * (X.ndim - 1))


def _read_eps(attack: Any, eps: Any, X: Tensor) -> Tensor:
    numbers = check_numbers(f"{type(attack).__name__}: eps", eps, None, finite=False)
    size = torch.as_tensor(numbers).to(X)
    if not bool(torch.isfinite(size).all()) or bool((size < 0).any()):
        raise ValueError(
            f"{type(attack).__name__}(eps={eps!r}): expected finite numbers, 0 or more."
        )
    if size.ndim and size.shape != X.shape[1:]:
        raise ValueError(
            f"{type(attack).__name__}: eps has shape {tuple(size.shape)}, but a row has shape "
            f"{tuple(X.shape[1:])}; give one number, or one number for each entry of a row."
        )
    return size


def _clip(X: Tensor, bounds: Any) -> Tensor:
    if bounds is None:
        return X
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise ValueError(f"clip={bounds!r}: expected a pair of bounds, (low, high).")
    given = (check_numbers("clip", bound, None, finite=False) for bound in bounds)
    low, high = (torch.as_tensor(numbers).to(X) for numbers in given)
    for bound in (low, high):
        if bound.ndim and bound.shape != X.shape[1:]:
            raise ValueError(
                f"clip has a bound of shape {tuple(bound.shape)}, but a row has shape "
                f"{tuple(X.shape[1:])}; give one number, or one number for each entry of a row."
            )
    if not bool((low <= high).all()):
        raise ValueError(f"clip={bounds!r}: expected (low, high) with low <= high.")
    return torch.minimum(torch.maximum(X, low), high)
