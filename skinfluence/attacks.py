"""Attacks: small changes to rows that make a net err, for the robustness target and for defence.

An attack is called as ``attack(net, X, y)`` with a fitted skorch net, rows as the net takes them
and labels as the net's criterion takes them, and returns changed rows of the same shape; any
callable will do. The attacks here need gradients; :class:`FromART` brings those of the
adversarial-robustness-toolbox, which has some that need labels only. Nothing given is modified.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from numbers import Real
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sklearn.base import BaseEstimator, is_regressor
from torch import Tensor

from skinfluence._core.kernels import plain_kernels
from skinfluence._core.net import FunctionalNet
from skinfluence._data.params import check_count
from skinfluence._fitting.isolation import seeded
from skinfluence.targets import Robustness

__all__ = ["FGSM", "PGD", "Attack", "Crossing", "FromART"]


class Attack(ABC, BaseEstimator):
    """Base of the attacks on a net whose gradients are known."""

    needs_classes = False

    def __call__(self, net: Any, X: Any, y: Any) -> Any:
        """Return changed rows.

        Parameters
        ----------
        net : skorch net
            Fitted classifier.
        X : ndarray or Tensor of shape (n_samples, ...)
            Rows of floats.
        y : ndarray of shape (n_samples,)
            Labels, as the net was trained on them.

        Returns
        -------
        X_adversarial : of the type, dtype and shape of X
        """
        _check_rows(X, self)
        net.check_is_fitted()
        fnet = FunctionalNet(net)
        if self.needs_classes:
            _check_classifier(net, self)
        given, found = [], []
        y = y if isinstance(y, Tensor) else np.asarray(y)
        for Xb, yb in fnet.batches(X, y):
            given.append(Xb)
            found.append(self.perturb(fnet, Xb, yb))
        return _changed(torch.cat(found), torch.cat(given), X)

    @abstractmethod
    def perturb(self, fnet: FunctionalNet, X: Tensor, y: Tensor) -> Tensor:
        """Change one batch of rows."""


class Crossing(Attack):
    """Step across the nearest class border, the closed form of the paper for linear models [1]_.

    With m(x) the margin of the predicted class over its nearest rival and w = ∇m, a row moves to
    ``x - gamma * m(x) / ||w||² * w``: just onto the border at gamma = 1 where the margin is linear
    in x, and beyond it at a larger gamma. For a linear model this is x - γ (w·x + b)/‖w‖² w; for a
    linear head on an embedding, see :func:`skinfluence.nets.split_head`; for any other net it is
    one step of DeepFool [2]_.

    Parameters
    ----------
    gamma : float, default=1.3
        The paper's value.

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
        """Change one batch of rows."""
        logits = _log_odds_at(fnet, X)
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
            change = self.gamma * _rows(margin / torch.where(square > 0, square, 1), X) * w
            moved = torch.where(_rows(nearer, X), X - change, moved)
        return moved


class FGSM(Attack):
    """One step of size `eps` along the sign of the loss's gradient [1]_.

    Parameters
    ----------
    eps : float or array-like of the shape of a row
        Largest change of an entry, in the units of X; 0 for entries that an attacker cannot change.
    clip : tuple of (low, high), default=None
        Bounds of the changed rows, numbers or arrays of the shape of a row.

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
        """Change one batch of rows."""
        eps = _size(self, self.eps, X)
        return _clip(X + eps * _loss_gradient(fnet, X, y).sign(), self.clip)


class PGD(Attack):
    """Steps along the sign of the loss's gradient, inside a box of size `eps` [1]_.

    Parameters
    ----------
    eps : float or array-like of the shape of a row
        Largest change of an entry, in the units of X; 0 for entries that an attacker cannot change.
    n_steps : int, default=10
    step : float, default=None
        Size of a step as a share of `eps`; None is ``2.5 / n_steps``.
    clip : tuple of (low, high), default=None
        Bounds of the changed rows, numbers or arrays of the shape of a row.
    random_state : int, default=None
        Start from a random point in the box; None starts from the row.

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
        # Not in `perturb`: a row would start where the same row of any other batch does.
        with seeded(int(self.random_state), next(net.module_.parameters()).device):
            return super().__call__(net, X, y)

    def perturb(self, fnet: FunctionalNet, X: Tensor, y: Tensor) -> Tensor:
        """Change one batch of rows."""
        check_count(self, "n_steps")
        if self.step is not None and not (isinstance(self.step, Real) and self.step > 0):
            raise ValueError(f"PGD(step={self.step!r}): expected a number above 0, or None.")
        eps = _size(self, self.eps, X)
        step = eps * (2.5 / self.n_steps if self.step is None else self.step)
        moved = X
        if self.random_state is not None:
            moved = _clip(X + eps * (2 * torch.rand_like(X) - 1), self.clip)
        for _ in range(self.n_steps):
            moved = moved + step * _loss_gradient(fnet, moved, y).sign()
            moved = _clip(torch.minimum(torch.maximum(moved, X - eps), X + eps), self.clip)
        return moved


class FromART(BaseEstimator):
    """An evasion attack of the adversarial-robustness-toolbox [1]_ (``skinfluence[defence]``).

    Parameters
    ----------
    attack : class
        Such as :class:`art.attacks.evasion.HopSkipJump`, which asks the net for labels only.
    params : dict, default=None
        Further arguments of the class.
    random_state : int, default=0
        ART draws from numpy's and torch's global generators, and from numpy generators that it
        makes without a seed: all of them are seeded for the while, and put back.

    References
    ----------
    .. [1] Nicolae et al., "Adversarial Robustness Toolbox v1.0.0", arXiv 1807.01069.
    """

    def __init__(
        self, attack: Any, params: dict[str, Any] | None = None, *, random_state: int = 0
    ) -> None:
        self.attack = attack
        self.params = params
        self.random_state = random_state

    def __call__(self, net: Any, X: Any, y: Any) -> Any:
        """Return changed rows; see :class:`Attack`."""
        try:
            from art.estimators.classification import PyTorchClassifier
        except ImportError as error:
            raise ImportError(
                "FromART needs the adversarial-robustness-toolbox: pip install "
                "'skinfluence[defence]'."
            ) from error
        _check_classifier(net, self)
        _check_rows(X, self)
        net.check_is_fitted()
        fnet = FunctionalNet(net)
        given = torch.as_tensor(np.array(X) if isinstance(X, np.ndarray) else X.detach())
        given = given.to("cpu", torch.float32)
        rows = given.numpy().copy()
        classifier = PyTorchClassifier(
            model=_Logits(fnet),
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=rows.shape[1:],
            nb_classes=_log_odds_at(fnet, given[:1].to(fnet.device, fnet.dtype)).shape[1],
            device_type="gpu" if fnet.device.type == "cuda" else "cpu",
        )
        # cuDNN has no backward pass for a recurrent layer that is not in training.
        with _global_seeds(self.random_state, fnet.device), plain_kernels(fnet):
            found = self.attack(classifier, **(self.params or {})).generate(
                x=rows, y=np.asarray(y).astype(np.int64).ravel()
            )
        return _changed(torch.as_tensor(found), given, X)


class _Logits(torch.nn.Module):
    """A skorch net as a module from rows to one score a class."""

    def __init__(self, fnet: FunctionalNet) -> None:
        super().__init__()
        self.fnet = fnet

    def forward(self, X: Tensor) -> Tensor:
        X = X.to(self.fnet.device, self.fnet.dtype)
        return _log_odds(self.fnet, self.fnet.outputs(self.fnet.params, X))


def attack_rows(target: Any, net: Any, X: Any, y: Any) -> Any:
    """Reference rows as a target wants them: attacked, where it has an attack."""
    attack = getattr(target, "attack", None)
    if attack is None:
        if not isinstance(target, Robustness):
            return X
        attack = Crossing()
    if not callable(attack) or isinstance(attack, type):
        raise TypeError(
            f"attack={attack!r}: expected an instance from skinfluence.attacks, such as FGSM(0.1), "
            "or a callable (net, X, y) -> X."
        )
    _check_rows(X, attack)
    # A copy: an attack that works in place would work on the user's own rows.
    changed = attack(net, X.clone() if isinstance(X, Tensor) else X.copy(), y)
    if np.shape(changed) != np.shape(X):
        raise ValueError(
            f"attack {attack!r} returned rows of shape {np.shape(changed)}; X has {np.shape(X)}."
        )
    if not bool(torch.isfinite(torch.as_tensor(changed)).all()):
        raise ValueError(f"attack {attack!r} returned NaN or infinite values.")
    return _like(torch.as_tensor(changed), X)


def _check_rows(X: Any, attack: Any) -> None:
    floats = (isinstance(X, np.ndarray) and X.dtype.kind == "f") or (
        isinstance(X, Tensor) and X.is_floating_point()
    )
    if not floats:
        raise TypeError(
            f"{type(attack).__name__} changes rows of floats, an array or a Tensor; X is "
            f"{getattr(X, 'dtype', type(X).__name__)}. Give the rows as floats, or, where the net "
            "looks up integers, attack the embeddings that they lead to."
        )
    if not len(X):
        raise ValueError(f"{type(attack).__name__}: X has 0 rows; at least one is needed.")


def _check_classifier(net: Any, attack: Any) -> None:
    if is_regressor(net):
        raise ValueError(
            f"{type(attack).__name__} moves rows across the border between classes, which a "
            "regressor does not have; use FGSM or PGD, which raise the loss."
        )


def _input_gradient(
    fnet: FunctionalNet, X: Tensor, of_outputs: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Value of a function of each row's outputs, (n,), and its gradient by that row."""
    with torch.enable_grad(), plain_kernels(fnet):
        x = X.detach().requires_grad_()
        value = of_outputs(fnet.outputs(fnet.params, x))
        if not value.requires_grad:
            return value.detach(), torch.zeros_like(X)
        grad = torch.autograd.grad(value.sum(), x, materialize_grads=True)[0]
    return value.detach(), grad


def _loss_gradient(fnet: FunctionalNet, X: Tensor, y: Tensor) -> Tensor:
    return _input_gradient(fnet, X, lambda f: fnet.losses(f, X, y))[1]


def _log_odds(fnet: FunctionalNet, outputs: Tensor) -> Tensor:
    """One score a class, differences of which are log-odds: linear in x where the net is."""
    outputs = outputs.reshape(len(outputs), -1)
    if outputs.shape[1] == 1:  # one logit, or one probability, for two classes
        positive = fnet.probabilities(outputs.squeeze(1))[:, 1:]
        if not torch.allclose(positive, outputs, atol=1e-6):
            return torch.cat([torch.zeros_like(outputs), outputs], 1)
        outputs = torch.cat([1 - outputs, outputs], 1)
    sums = outputs.sum(1)
    if (outputs < 0).any() or not torch.allclose(sums, torch.ones_like(sums), atol=1e-6):
        return outputs
    return outputs.clamp_min(torch.finfo(outputs.dtype).tiny).log()


def _log_odds_at(fnet: FunctionalNet, X: Tensor) -> Tensor:
    with torch.no_grad(), plain_kernels(fnet):
        return _log_odds(fnet, fnet.outputs(fnet.params, X))


def _margin(fnet: FunctionalNet, top: Tensor, rival: int, outputs: Tensor) -> Tensor:
    logits = _log_odds(fnet, outputs)
    return logits.gather(1, top.unsqueeze(1)).squeeze(1) - logits[:, rival]


def _rows(values: Tensor, X: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (X.ndim - 1))


def _size(attack: Any, eps: Any, X: Tensor) -> Tensor:
    size = torch.as_tensor(np.asarray(eps, dtype=np.float64)).to(X)
    if not bool(torch.isfinite(size).all()) or bool((size < 0).any()):
        raise ValueError(f"{type(attack).__name__}(eps={eps!r}): expected numbers, 0 or more.")
    if size.ndim and size.shape != X.shape[1:]:
        raise ValueError(
            f"{type(attack).__name__}: eps has shape {tuple(size.shape)}, a row has "
            f"{tuple(X.shape[1:])}; give one number, or one for each entry of a row."
        )
    return size


def _clip(X: Tensor, bounds: Any) -> Tensor:
    if bounds is None:
        return X
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise ValueError(f"clip={bounds!r}: expected a pair of bounds, (low, high).")
    low, high = (torch.as_tensor(np.asarray(b, dtype=np.float64)).to(X) for b in bounds)
    if not bool((low <= high).all()):
        raise ValueError(f"clip={bounds!r}: expected (low, high), low at most high.")
    return torch.minimum(torch.maximum(X, low), high)


def _changed(found: Tensor, given: Tensor, X: Any) -> Any:
    """Rows like X; entries that were left alone are not rounded to the attack's dtype either."""
    changed, before = _like(found, X), _like(given, X)
    where: Any = torch.where if isinstance(X, Tensor) else np.where
    return where(changed == before, X, changed)


def _like(found: Tensor, X: Any) -> Any:
    if isinstance(X, Tensor):
        return found.detach().to(X)
    return found.detach().cpu().numpy().astype(X.dtype, copy=False)


@contextmanager
def _global_seeds(seed: int, device: torch.device) -> Iterator[None]:
    before = np.random.get_state()  # noqa: NPY002 (ART draws from the old global generator)
    np.random.seed(seed)  # noqa: NPY002
    # HopSkipJump and others start from generators of their own, which nobody seeds.
    fresh = np.random.RandomState(seed)

    class Seeded(np.random.RandomState):
        def __init__(self, seed: Any = None) -> None:
            super().__init__(fresh.randint(2**31) if seed is None else seed)

    try:
        with seeded(seed, device), patch("numpy.random.RandomState", Seeded):
            yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
