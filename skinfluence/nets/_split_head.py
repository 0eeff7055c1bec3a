"""Split a fitted net into its embedding and its last layer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import Tensor, nn

from skinfluence._core.net import FunctionalNet
from skinfluence._core.tensors import layer_argument


def split_head(net: Any, layer: str = "head") -> tuple[Callable[[Any], np.ndarray], Any]:
    """Split a fitted net into its embedding and a net that consists of its last layer.

    Methods for linear models, such as :class:`skinfluence.attacks.Crossing`, can then be used on
    the last layer. Pass ``embed(X)`` as the rows and ``FrozenEstimator(head)`` as the net. The
    outputs of the last layer must be the outputs of the net. A `TabularRegressor` cannot be split,
    because it scales the outputs of its last layer.

    Parameters
    ----------
    net : skorch net
        Fitted net; the function does not change it.
    layer : str, default="head"
        Name of the net's last layer, as in ``net.module_.named_modules()``.

    Returns
    -------
    embed : callable
        Function that maps rows to the inputs of the layer, ndarray of shape (n_samples, n_units).
    head : skorch net
        Fitted classifier or regressor, like `net`. ``head.predict(embed(X))`` equals
        ``net.predict(X)``.

    Raises
    ------
    ValueError
        If the net has no such layer. If the layer exists, but is not the last one, ``embed`` raises
        the error when it is called.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence.nets import TabularClassifier, split_head
    >>> X, y = load_iris(return_X_y=True)
    >>> net = TabularClassifier(max_epochs=20, module__hidden=(32,)).fit(X, y)
    >>> embed, head = split_head(net)
    >>> embed(X).shape
    (150, 32)
    >>> bool((head.predict(embed(X)) == net.predict(X)).all())
    True
    """
    check_is_fitted(net)
    fnet = FunctionalNet(net)
    layers = dict(fnet.shell.named_modules())
    if layer not in layers:
        names = ", ".join(name for name in layers if name)
        raise ValueError(f"layer={layer!r}: the net's module has no such layer; it has {names}.")
    last = copy.deepcopy(layers[layer]).eval()

    def embed(X: Any) -> np.ndarray:
        # Make the batches before registering the hook: making them runs the net on two rows.
        batches = list(fnet.batches(X))
        inputs: list[Tensor] = []
        hook = layers[layer].register_forward_pre_hook(
            lambda _, given, named: inputs.append(layer_argument(given, named)), with_kwargs=True
        )
        try:
            with torch.no_grad():
                outputs = [fnet.outputs(fnet.params, Xb) for Xb, _ in batches]
        finally:
            hook.remove()
        _check_is_last(last, layer, inputs, outputs)
        entering = torch.cat(inputs).cpu()
        # NumPy has no bfloat16.
        return (entering.float() if entering.dtype is torch.bfloat16 else entering).numpy()

    return embed, _net_of(last, net)


def _check_is_last(
    last: nn.Module, layer: str, inputs: list[Tensor], outputs: list[Tensor]
) -> None:
    """Raise unless the layer turns its inputs, one per batch, into the outputs of the net."""
    if len(inputs) != len(outputs):
        raise ValueError(
            f"layer={layer!r} is not called exactly once per batch; name the last layer."
        )
    with torch.no_grad():
        is_last = all(
            (f.shape, f.dtype) == ((g := last(e)).shape, g.dtype)
            and torch.allclose(f, g, rtol=1e-4, atol=1e-5)
            for e, f in zip(inputs, outputs, strict=True)
        )
    if not is_last:
        raise ValueError(
            f"the net's outputs are not the outputs of layer={layer!r}: other layers follow it. "
            "Name the last layer."
        )


def _net_of(last: nn.Module, net: Any) -> Any:
    """Return an initialized skorch net around a trained layer, with the settings of `net`."""
    valid = net.get_params_for("iterator_valid")
    parent = NeuralNetRegressor if isinstance(net, NeuralNetRegressor) else NeuralNetClassifier
    parent = NeuralNetBinaryClassifier if isinstance(net, NeuralNetBinaryClassifier) else parent
    head = parent(
        last,
        criterion=copy.deepcopy(net.criterion_),
        predict_nonlinearity=net.predict_nonlinearity,
        device=net.device,
        train_split=None,
        verbose=0,
        **{f"iterator_valid__{k}": v for k, v in valid.items() if k == "batch_size"},
    ).initialize()
    if hasattr(net, "classes_inferred_"):
        head.classes_inferred_ = net.classes_inferred_
    return head
