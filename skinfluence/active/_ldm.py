"""The least disagree metric: how small a change of the last layer flips a row's label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from torch import Tensor, nn

from skinfluence._core.net import FunctionalNet
from skinfluence._core.states import Params
from skinfluence._core.tensors import Rows
from skinfluence._data.arrays import check_numbers
from skinfluence._data.params import check_int, check_patterns, draw_seed
from skinfluence._data.rows import cast, check_rows
from skinfluence._scorer import InfluenceScorer
from skinfluence.nets import split_head

_AT_ONCE = 2**23  # outputs held at a time: draws × rows × classes
Labeller = Callable[[Params], Tensor]  # stacked weights, entries (d, *shape) -> labels (d, n)


def least_disagree_metric(
    net: Any,
    X: Any,
    *,
    X_val: Any = None,
    sigmas: Any = None,
    n_draws: int = 10,
    parameters: str | list[str] | None = None,
    random_state: Any = None,
) -> np.ndarray:
    """Least disagree metric (LDM): how little a net must change to flip a row's label [1]_.

    Let w be the weights of the net's last layer. New weights are drawn from N(w, σ²), a few times
    for each σ. Each draw changes the predicted labels of some share of the reference rows. The
    metric of a row is the smallest of these shares, among the draws that change the predicted label
    of this row. A small value means that the row lies near the decision boundary and is worth
    labeling.

    The metric takes forward passes only. If the last layer is linear, its inputs are computed once.

    Parameters
    ----------
    net : skorch classifier or InfluenceScorer
        A fitted classifier, or a fitted scorer, whose ``estimator_`` is used.
    X : array-like of shape (n_samples, ...), DataFrame, Tensor, dict of arrays or Dataset
        Rows; no labels needed.
    X_val : like X, default=None
        Reference rows over which shares of changed labels are computed. None: X.
    sigmas : array-like of shape (n_sigmas,), default=None
        Standard deviations, in the units of the weights. None: 51 values from 1e-5 to 1, on a log
        grid.
    n_draws : int, default=10
        Number of draws for each σ.
    parameters : str or list of str, default=None
        Glob patterns for the names of the parameters to draw. None: the parameters of the layer
        that is called last.
    random_state : int, RandomState instance or None, default=None
        Seeds the draws.

    Returns
    -------
    metric : ndarray of shape (n_samples,), float64
        In [0, 1]; 1 if no draw changes the label of the row.

    Raises
    ------
    TypeError
        When `net` is neither a skorch net nor a scorer.
    ValueError
        When the net is not a classifier, a σ is not positive, or no parameter matches.

    Notes
    -----
    Here, the number of draws for each σ is fixed. In [1]_, drawing stops only when ten draws have
    not lowered the metric of any row, so more rows take more draws.

    References
    ----------
    .. [1] Cho, Kim, Lee, Shin, Yoo, "Querying Easily Flip-flopped Samples for Deep Active
       Learning", ICLR 2024, arXiv 2401.09787.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence.active import least_disagree_metric
    >>> from skinfluence.nets import TabularClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = TabularClassifier().fit(X, y)
    >>> least_disagree_metric(net, X, random_state=0).shape
    (150,)
    """
    sigmas = _check_sigmas(sigmas)
    n_draws = check_int("n_draws", n_draws, 1)
    if parameters is not None:
        check_patterns(parameters)
    owner, net = _net_of(net)
    whole = FunctionalNet(net)
    rows = [read_input(owner, X)]
    if X_val is not None:
        rows.append(read_input(owner, X_val, "X_val"))
    rows = [cast(R, whole.input_dtype(R)) for R in rows]
    chosen = last_parameters(net, rows[0]) if parameters is None else parameters
    fnet = FunctionalNet(net, chosen)
    generator = torch.Generator().manual_seed(draw_seed(random_state))
    with torch.no_grad():
        labellers = [_labeller(fnet, net, R) for R in rows]
        own = [label({name: p[None] for name, p in fnet.params.items()}) for label in labellers]
        least = torch.ones(own[0].shape[1], dtype=torch.float64, device=fnet.device)
        for sigma in sigmas:
            drawn = _draws(fnet, sigma, n_draws, generator)
            changed = [label(drawn) != at for label, at in zip(labellers, own, strict=True)]
            rates = changed[-1].double().mean(1, keepdim=True)
            least = torch.minimum(least, torch.where(changed[0], rates, 1.0).amin(0))
    return least.cpu().numpy()


def _check_sigmas(sigmas: Any) -> np.ndarray:
    if sigmas is None:
        return np.logspace(-5, 0, 51)
    given, sigmas = sigmas, np.atleast_1d(check_numbers("sigmas", sigmas, None, finite=False))
    if sigmas.ndim != 1 or not len(sigmas) or not (np.isfinite(sigmas) & (sigmas > 0)).all():
        raise ValueError(
            f"sigmas={given!r}: expected one or more positive numbers, such as "
            "np.logspace(-5, 0, 51)."
        )
    return sigmas


def _net_of(net: Any) -> tuple[BaseEstimator, NeuralNet]:
    """Return the estimator that X is checked against, and the net itself."""
    owner = net if isinstance(net, InfluenceScorer) else BaseEstimator()
    if isinstance(net, InfluenceScorer):
        check_is_fitted(net)
        net = net.estimator_
    net = net.estimator if isinstance(net, FrozenEstimator) else net
    if not isinstance(net, NeuralNet):
        raise TypeError(
            f"net={net!r}: expected a fitted skorch classifier, or a fitted InfluenceScorer."
        )
    check_is_fitted(net)
    if not is_classifier(net):
        raise ValueError(
            f"net is a {type(net).__name__}, which predicts no labels; give a classifier, such as "
            "skorch.NeuralNetClassifier."
        )
    return owner, net


def read_input(owner: Any, X: Any, name: str = "X") -> Rows:
    reset = not isinstance(owner, InfluenceScorer)
    return check_rows(owner, X, reset=reset, name=name)


def last_parameters(net: NeuralNet, X: Rows) -> list[str]:
    """Names of the parameters of the layer that finishes last among those that have any."""
    fnet = FunctionalNet(net)
    finished: list[str] = []
    layers = {
        name: layer
        for name, layer in fnet.shell.named_modules()
        if any(p.requires_grad for p in layer.parameters(recurse=False))
    }
    for name, layer in layers.items():
        layer.register_forward_hook(lambda *_, name=name: finished.append(name))
    with torch.no_grad():
        fnet.outputs(fnet.params, next(iter(fnet.batches(X)))[0])
    if not finished:
        raise ValueError(
            "the net's module calls no layer with trainable parameters, so it has no last layer. "
            "Name the parameters to draw, for example parameters='head.*'."
        )
    last = finished[-1]
    # If the last layer is the whole module (""), take only its own parameters. Otherwise, also take
    # nested ones: the output projection of an attention layer, for example, is never called itself.
    return [f"{last}.*"] if last else [n for n, _ in layers[last].named_parameters(recurse=False)]


def _draws(fnet: FunctionalNet, sigma: float, number: int, generator: torch.Generator) -> Params:
    """Return weights from N(w, σ²), entries (number, *shape)."""
    noise = {
        name: torch.randn((number, *p.shape), generator=generator, dtype=p.dtype)
        for name, p in fnet.params.items()
    }
    return {name: p + sigma * noise[name].to(p.device) for name, p in fnet.params.items()}


def _labeller(fnet: FunctionalNet, net: NeuralNet, X: Rows) -> Labeller:
    """Return a function from stacked weights to the labels of X, the fastest one that applies."""
    layers = dict(fnet.shell.named_modules())
    owners = {name.rpartition(".")[0] for name in fnet.params}
    name = owners.pop()
    if not owners and type(layers.get(name)) is nn.Linear:
        E = entering(net, name, X)
        if E is not None:
            return _LastLinear(fnet, net, name, E.to(layers[name].weight))
    return _Whole(fnet, net, X)


def entering(net: NeuralNet, layer: str, X: Rows) -> Tensor | None:
    """Return the inputs of `layer`, (n, n_units); None if another layer follows it."""
    try:
        embed, _ = split_head(net, layer)
        E = torch.as_tensor(embed(X))
    except ValueError:
        return None
    return E if E.ndim == 2 else None


class _LastLinear:
    """Labels at many weights of a last linear layer, by one matrix product."""

    def __init__(self, fnet: FunctionalNet, net: NeuralNet, name: str, E: Tensor) -> None:
        self.fnet, self.net, self.E = fnet, net, E
        self.prefix = f"{name}." if name else ""
        layer = fnet.shell.get_submodule(name)
        self.own = {n: p[None] for n, p in layer.named_parameters()}

    def __call__(self, drawn: Params) -> Tensor:
        d = len(next(iter(drawn.values())))
        W = self._stacked(drawn, "weight", d)
        b = self._stacked(drawn, "bias", d).flatten() if "bias" in self.own else None
        size = max(1, _AT_ONCE // (d * W.shape[1]))
        found = []
        for E in self.E.split(size):
            f = nn.functional.linear(E, W.flatten(0, 1), b)
            labels = _labels(self.fnet, self.net, f.reshape(len(E) * d, -1))
            found.append(labels.reshape(len(E), d).T)
        return torch.cat(found, 1)

    def _stacked(self, drawn: Params, name: str, d: int) -> Tensor:
        own = self.own[name]
        return drawn.get(self.prefix + name, own.expand(d, *own.shape[1:]))


class _Whole:
    """Labels at many weights of any layers, by one pass through the whole net for each."""

    def __init__(self, fnet: FunctionalNet, net: NeuralNet, X: Rows) -> None:
        self.fnet, self.net, self.X = fnet, net, X

    def __call__(self, drawn: Params) -> Tensor:
        d, found = len(next(iter(drawn.values()))), []
        for X, _ in self.fnet.batches(self.X):
            every = [
                self.fnet.outputs({name: value[k] for name, value in drawn.items()}, X)
                for k in range(d)
            ]
            found.append(torch.stack([_labels(self.fnet, self.net, f) for f in every]))
        return torch.cat(found, 1)


def _labels(fnet: FunctionalNet, net: NeuralNet, outputs: Tensor) -> Tensor:
    p = fnet.probabilities(outputs)
    threshold = getattr(net, "threshold", None)  # of a NeuralNetBinaryClassifier
    return p.argmax(1) if threshold is None else p[:, 1] > threshold
