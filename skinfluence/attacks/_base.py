"""The interface of an attack, checks of its arguments, and the log-odds of a net's classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, is_regressor
from torch import Tensor

from skinfluence._core.kernels import plain_kernels
from skinfluence._core.net import FunctionalNet


class Attack(ABC, BaseEstimator):
    """Base class of attacks that use the gradients of a net.

    A subclass implements `perturb` for one batch.

    Attributes
    ----------
    needs_classes : bool, default=False
        Class attribute. If true, calling the attack with a regressor raises an error.
    """

    needs_classes = False

    def __call__(self, net: Any, X: Any, y: Any) -> Any:
        """Return changed rows.

        Parameters
        ----------
        net : skorch net
            Fitted net.
        X : ndarray or Tensor of shape (n_samples, ...)
            Rows of floats.
        y : ndarray of shape (n_samples,)
            Labels, in the form that the net's criterion accepts.

        Returns
        -------
        X_adversarial : ndarray or Tensor of shape (n_samples, ...)
            Has the type, dtype and shape of `X`.

        Raises
        ------
        TypeError
            If `X` is not an array or tensor of floats.
        ValueError
            If `X` has no rows, or the attack needs classes and the net is a regressor.
        """
        check_rows(X, self)
        net.check_is_fitted()
        fnet = FunctionalNet(net)
        if self.needs_classes:
            check_classifier(net, self)
        given, changed = [], []
        y = y if isinstance(y, Tensor) else np.asarray(y)
        for Xb, yb in fnet.batches(X, y):
            given.append(Xb)
            changed.append(self.perturb(fnet, Xb, yb))
        return in_form_of(X, torch.cat(changed), torch.cat(given))

    @abstractmethod
    def perturb(self, fnet: FunctionalNet, X: Tensor, y: Tensor) -> Tensor:
        """Change one batch of rows.

        Parameters
        ----------
        fnet : FunctionalNet
            The net as pure functions of its parameters.
        X : Tensor of shape (n_batch, ...)
            Rows, in the dtype and on the device of the net.
        y : Tensor of shape (n_batch, ...)
            Labels of the rows.

        Returns
        -------
        X_adversarial : Tensor of shape (n_batch, ...)
        """


def check_rows(X: Any, attack: Any) -> None:
    """Raise unless X is an array or a tensor of floats with at least one row."""
    floats = (isinstance(X, np.ndarray) and X.dtype.kind == "f") or (
        isinstance(X, Tensor) and X.is_floating_point()
    )
    if not floats:
        raise TypeError(
            f"{type(attack).__name__} needs an array or a Tensor of floats, but X is "
            f"{getattr(X, 'dtype', type(X).__name__)}. Give the rows as floats. If the inputs of "
            "the net are integers that select embeddings, attack the embeddings."
        )
    if not len(X):
        raise ValueError(f"{type(attack).__name__}: X has 0 rows; at least one is needed.")


def check_classifier(net: Any, attack: Any) -> None:
    """Raise if the net is a regressor."""
    if is_regressor(net):
        raise ValueError(
            f"{type(attack).__name__} moves rows across the border between classes, but a "
            "regressor does not have classes; use FGSM or PGD, which raise the loss."
        )


def in_form_of(X: Any, changed: Tensor, given: Tensor) -> Any:
    """Changed rows in the type and dtype of X.

    `given` are the rows of X in the dtype of the attack. Entries that the attack did not change are
    copied from X, so that they are not rounded to the dtype of the attack.
    """
    after, before = like(X, changed), like(X, given)
    where: Any = torch.where if isinstance(X, Tensor) else np.where
    return where(after == before, X, after)


def like(X: Any, rows: Tensor) -> Any:
    """Rows in the type, dtype and device of X."""
    if isinstance(X, Tensor):
        return rows.detach().to(X)
    return rows.detach().cpu().numpy().astype(X.dtype, copy=False)


def log_odds(fnet: FunctionalNet, outputs: Tensor) -> Tensor:
    """One score per class. Differences of scores are log-odds, and linear in x for a linear net."""
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


def log_odds_at(fnet: FunctionalNet, X: Tensor) -> Tensor:
    """Log-odds of rows, computed without a graph for autograd."""
    with torch.no_grad(), plain_kernels(fnet):
        return log_odds(fnet, fnet.outputs(fnet.params, X))
