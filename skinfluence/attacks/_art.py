"""Attacks of the adversarial-robustness-toolbox (ART)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skinfluence._core.kernels import plain_kernels
from skinfluence._core.net import FunctionalNet
from skinfluence._extras import need
from skinfluence._fitting.isolation import seeded
from skinfluence.attacks._base import (
    check_classifier,
    check_rows,
    in_form_of,
    log_odds,
    log_odds_at,
)


class FromART(BaseEstimator):
    """An evasion attack of the adversarial-robustness-toolbox [1]_.

    Needs the extra ``skinfluence[defence]``. The net must be a classifier.

    Parameters
    ----------
    attack : class
        A class such as :class:`art.attacks.evasion.HopSkipJump`, which needs only predicted labels.
    params : dict or None, default=None
        Keyword arguments of the class, in addition to the classifier.
    random_state : int, default=0
        Seed of the attack. ART draws from the global generators of numpy and torch, and from numpy
        generators that it creates without a seed. All these generators are seeded during the call;
        the global generators are restored afterwards.

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
        """Return changed rows.

        Parameters
        ----------
        net : skorch net
            Fitted classifier.
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
        ImportError
            If the adversarial-robustness-toolbox is not installed.
        TypeError
            If `X` is not an array or tensor of floats.
        ValueError
            If `X` has no rows, or the net is a regressor.
        """
        try:
            from art.estimators.classification import PyTorchClassifier
        except ImportError as error:
            raise need("defence", "FromART needs the adversarial-robustness-toolbox") from error
        check_classifier(net, self)
        check_rows(X, self)
        net.check_is_fitted()
        fnet = FunctionalNet(net)
        given = torch.as_tensor(np.array(X) if isinstance(X, np.ndarray) else X.detach())
        given = given.to("cpu", torch.float32)
        rows = given.numpy().copy()
        classifier = PyTorchClassifier(
            model=_LogOdds(fnet),
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=rows.shape[1:],
            nb_classes=log_odds_at(fnet, fnet.accepted(given[:1].to(fnet.device))).shape[1],
            device_type="gpu" if fnet.device.type == "cuda" else "cpu",
        )
        # plain_kernels: in evaluation mode, cuDNN has no backward pass for recurrent layers.
        with _global_seeds(self.random_state, fnet.device), plain_kernels(fnet):
            changed = self.attack(classifier, **(self.params or {})).generate(
                x=rows, y=np.asarray(y).astype(np.int64).ravel()
            )
        return in_form_of(X, torch.as_tensor(changed), given)


class _LogOdds(torch.nn.Module):
    """A skorch net as a module that maps rows to one score per class."""

    def __init__(self, fnet: FunctionalNet) -> None:
        super().__init__()
        self.fnet = fnet

    def forward(self, X: Tensor) -> Tensor:
        X = self.fnet.accepted(X.to(self.fnet.device))
        return log_odds(self.fnet, self.fnet.outputs(self.fnet.params, X))


@contextmanager
def _global_seeds(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators, and numpy generators created without a seed; then undo this."""
    # HopSkipJump and others create generators without a seed.
    fresh = np.random.RandomState(seed)

    class Seeded(np.random.RandomState):
        def __init__(self, seed: Any = None) -> None:
            super().__init__(fresh.randint(2**31) if seed is None else seed)

    with seeded(seed, device):  # first, since it lets one thread at a time pass
        before = np.random.get_state()  # noqa: NPY002 (ART draws from the old global generator)
        np.random.seed(seed)  # noqa: NPY002
        try:
            with patch("numpy.random.RandomState", Seeded):
                yield
        finally:
            np.random.set_state(before)  # noqa: NPY002
