"""The loss of a row is what the net's `get_loss` returns for that row alone.

The net's own reduction is used, because it decides how the terms of a row with several terms are
combined. For example, the loss of a row of tokens may be the mean over its tokens without padding,
as in a batch of one. There is one exception. For class labels with class weights, torch divides by
the sum of the weights of the batch. In a batch of one, this division would cancel the weight of the
row, so it is left out here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skinfluence._core.shell import copy_of_rows, twin_net
from skinfluence._core.switches import VMAP_WARNINGS
from skinfluence._core.tensors import (
    Rows,
    as_net_takes,
    cast_floats,
    map_tensors,
    slice_rows,
    wide,
)

_NLL = (nn.CrossEntropyLoss, nn.NLLLoss)

# Criteria for which the loss of a row is the sum or the mean of the row's terms.
_KNOWN = (
    *_NLL,
    nn.MSELoss,
    nn.L1Loss,
    nn.SmoothL1Loss,
    nn.HuberLoss,
    nn.BCELoss,
    nn.BCEWithLogitsLoss,
    nn.KLDivLoss,
    nn.PoissonNLLLoss,
    nn.SoftMarginLoss,
    nn.MultiMarginLoss,
    nn.MultiLabelMarginLoss,
    nn.MultiLabelSoftMarginLoss,
)


class RowLoss:
    """Losses of rows of one net.

    Parameters
    ----------
    net : skorch.NeuralNet
    twin : skorch.NeuralNet
        The copy of the net that runs the shell, which a `get_loss` may call.
    """

    def __init__(self, net: Any, twin: Any) -> None:
        self._criterion = net.criterion_
        self._whole = twin
        self._terms = twin_net(net, twin.module_, unreduced=True)
        # A subclass of a criterion, or the user's own `get_loss`, may reduce the terms differently.
        self.is_known = _comes_with(type(net).get_loss, "skorch", "skinfluence") and (
            type(self._criterion) in _KNOWN or _comes_with(type(self._criterion), "skinfluence")
        )
        self._can_vmap = True

    @property
    def sums_outputs(self) -> bool:
        """Whether a row's loss is the sum over its outputs rather than their mean."""
        return getattr(self._criterion, "reduction", "mean") in ("sum", "batchmean")

    def of_rows(self, outputs: Tensor, X: Rows, y: Tensor) -> Tensor:
        """Loss of each row, (n,)."""
        # `wide`, because half precision rounds the loss of a confidently predicted row to 0.
        outputs = wide(outputs)
        y = cast_floats(y, outputs.dtype)
        return (self._from_terms if self.is_known else self._alone)(outputs, X, y)

    def of_batch(self, outputs: Tensor, X: Rows, y: Tensor) -> Tensor:
        """Loss of the batch as the net's `get_loss` reduces it."""
        # Trap: criterion_(outputs, y) would miss the log that skorch takes for NLLLoss in get_loss.
        outputs = wide(outputs)
        y = cast_floats(y, outputs.dtype)
        return self._on_copies(outputs, X, y).mean()

    def _from_terms(self, outputs: Tensor, X: Rows, y: Tensor) -> Tensor:
        terms, n = self._terms.get_loss(outputs, y, X=as_net_takes(X), training=False), len(outputs)
        if terms.ndim == 0 or terms.shape[0] != n or terms.numel() > outputs.numel():
            raise ValueError(
                f"criterion {type(self._criterion).__name__} turned outputs of shape "
                f"{tuple(outputs.shape)} and y of shape {tuple(y.shape)} into losses of shape "
                f"{tuple(terms.shape)}, but one loss per row was expected. Give y the shape of the "
                "outputs: a regressor that returns (n, 1) needs y of shape (n, 1)."
            )
        if terms.ndim == 1:
            return terms
        flat = terms.reshape(n, -1)
        if self.sums_outputs:
            return flat.sum(1)
        if isinstance(self._criterion, _NLL) and not y.is_floating_point():
            weights = self._weights_of(y).reshape(n, -1).sum(1)
            return flat.sum(1) / torch.where(weights > 0, weights, 1)
        return flat.mean(1)

    def _weights_of(self, y: Tensor) -> Tensor:
        """Weights of the labels, 0 for an ignored label; torch divides by the sum of weights."""
        counted, weight = y != self._criterion.ignore_index, self._terms.criterion_.weight
        return counted.double() if weight is None else weight[torch.where(counted, y, 0)] * counted

    def _alone(self, outputs: Tensor, X: Rows, y: Tensor) -> Tensor:
        """Call `get_loss` for each row."""
        if self._can_vmap:
            try:
                with VMAP_WARNINGS.off():
                    return torch.vmap(self._of_row)(outputs, X, y)
            except Exception:  # an error of the user's own is raised again below
                self._can_vmap = False
        each = [self._of_row(outputs[i], slice_rows(X, i), y[i]) for i in range(len(outputs))]
        return torch.stack(each)

    def _of_row(self, f: Tensor, x: Rows, y: Tensor) -> Tensor:
        x = map_tensors(lambda t: t.unsqueeze(0), x)
        loss = self._on_copies(f.unsqueeze(0), x, y.unsqueeze(0))
        return loss.sum() if self.sums_outputs else loss.mean()

    def _on_copies(self, outputs: Tensor, X: Rows, y: Tensor) -> Tensor:
        """Call `get_loss` on copies, because it may write into the outputs or the labels."""
        if not self.is_known:
            outputs, X, y = outputs.clone(), copy_of_rows(X), y.clone()
        return self._whole.get_loss(outputs, y, X=as_net_takes(X), training=False)


def _comes_with(function: Any, *packages: str) -> bool:
    name = function.__module__
    return name.startswith(("torch.nn.", *(f"{package}." for package in packages)))
