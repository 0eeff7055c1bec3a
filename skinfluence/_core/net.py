"""A fitted skorch net as pure functions of its parameters: losses, probabilities, drawn labels.

Outputs are in `functional_module`, and batches in `batches`. Only this file and `batches` import
skorch in the core.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from sklearn.base import is_classifier
from skorch import NeuralNetClassifier
from torch import Tensor, nn

from skinfluence._core.batches import BatchedModule
from skinfluence._core.row_loss import RowLoss
from skinfluence._core.shell import refuse_parameters_elsewhere
from skinfluence._core.tensors import Rows, wide

# Batches that are compared with plain autograd after the self-check.
_RECHECKS = 4


class FunctionalNet(BatchedModule):
    """Outputs and per-row losses of a fitted skorch net, as functions of a dict of parameters.

    Parameters
    ----------
    net : skorch.NeuralNet
        An initialized net, normally a fitted one. It is never changed.
    parameters : str or sequence of str, default="*"
        Globs over parameter names. A parameter is used if it matches a glob *and* requires a
        gradient.

    Attributes
    ----------
    params : dict of str to Tensor
        The parameters that are used, detached. A complex parameter has the shape (..., 2), for its
        real and imaginary parts.
    module : Module
        The user's module, which is never called.
    shell : Module
        A copy of the module, in eval mode, that shares its weights (see `shell`).
    device : torch.device
    dtype : torch.dtype
        A data type that holds the numbers of all parameters that are used.
    eps : float
        Machine epsilon of the least precise weight or buffer.
    row_loss : RowLoss
        What the loss of a row is.
    rows_at_once : int or None
        Maximum number of rows in one call of the module, if the module sets one.
    """

    def __init__(self, net: Any, parameters: str | Sequence[str] = "*") -> None:
        refuse_parameters_elsewhere(net)
        super().__init__(net, parameters)
        # Shared by all states of this net:
        self._rechecks = {"batches": 0}
        self._logits_seen: list[bool] = []  # one answer for all batches
        self.row_loss = RowLoss(net, self._twin)

    def expect_recheck(self, number: int = _RECHECKS) -> None:
        """Let `take_recheck` be true for `number` of the next batches that are scored.

        If the net is known to have no branches, it treats all batches alike: none is compared.
        """
        self._rechecks.update(batches=0, left=0 if self.is_known else number)

    def take_recheck(self) -> bool:
        """Whether to compare the batch that was just scored: the first, third, seventh, ..."""
        if not self._rechecks.get("left"):
            return False
        self._rechecks["batches"] += 1
        is_due = (self._rechecks["batches"] & (self._rechecks["batches"] + 1)) == 0
        self._rechecks["left"] -= is_due
        return is_due

    @property
    def is_known(self) -> bool:
        """Whether forward and loss are known to have no branches; see `Inference.is_known`."""
        return self.has_known_forward and self.row_loss.is_known

    def losses(self, outputs: Tensor, X: Rows, y: Tensor) -> Tensor:
        """Loss of each row, (n,): what `get_loss` returns for the row alone, see `row_loss`."""
        return self.row_loss.of_rows(outputs, X, y)

    @property
    def takes_logarithms(self) -> bool:
        """Whether the loss takes the logarithm of the outputs; they must then be probabilities."""
        net = self._net
        return isinstance(net, NeuralNetClassifier) and isinstance(net.criterion_, nn.NLLLoss)

    def cotangents(self, outputs: Tensor, X: Rows, y: Tensor) -> Tensor:
        """G = ∂ℓ/∂f of each row's loss, in the shape of `outputs`."""
        with torch.enable_grad():
            f = outputs.detach().requires_grad_()
            total = self.losses(f, X, y).sum()
            grad = torch.autograd.grad(total, f, allow_unused=True)[0] if total.grad_fn else None
        if grad is None:
            raise self.not_differentiable()
        return grad

    def sampled_labels(self, outputs: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Labels drawn from the model: (n,), or in the shape of a regressor's outputs.

        For a regressor, the loss is assumed to be the squared error. Up to a constant, the squared
        error is the negative log-likelihood of a normal distribution with variance 1/2. If the loss
        is the mean over k outputs, the variance of each output is k/2. For any other distribution,
        the criterion needs a method ``sample(outputs, y, generator)``.
        """
        if hasattr(self._net.criterion_, "sample"):
            return self._net.criterion_.sample(outputs, y, generator)
        if not is_classifier(self._net):
            noise = torch.randn(outputs.shape, generator=generator).to(outputs)
            terms = 1 if self.row_loss.sums_outputs else outputs[0].numel()
            return outputs + noise * (0.5 * terms) ** 0.5
        p = self.probabilities(outputs).double().cpu()
        drawn = torch.multinomial(p, 1, generator=generator)[:, 0].to(outputs.device)
        # With one output for two classes, the criterion expects floats in the shape of the outputs.
        return drawn if outputs[0].numel() > 1 else drawn.to(outputs).reshape(outputs.shape)

    def not_differentiable(self) -> ValueError:
        """Return the error to raise for a loss that has no gradient with respect to the outputs."""
        return ValueError(
            f"criterion {type(self._net.criterion_).__name__} returns a loss that does not "
            "depend differentiably on the net's outputs. Influence needs the gradient of the loss: "
            "use a differentiable criterion, without detach() or argmax()."
        )

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Class probabilities, (n, n_classes), computed as in the net's own `predict_proba`.

        For a criterion that skorch does not know, `predict_proba` returns the outputs as they are.
        If they are not a distribution over the classes, they are taken as logits, with a warning.
        """
        p = self._twin._get_predict_nonlinearity()(outputs)
        if p is not outputs or outputs.ndim > 2:
            return p
        if not self._logits_seen and _are_distributions(outputs):
            return p
        if outputs[0].numel() == 1:
            raise ValueError(
                f"the net returns one number per row, and its criterion, {self._criterion_name}, "
                "does not say whether this number is a probability or a logit. Give the net "
                "predict_nonlinearity=, a function from the outputs to class probabilities of "
                "shape (n, 2)."
            )
        warnings.warn(
            "predict_proba of the net does not return probabilities: the outputs of a row are "
            f"negative or do not sum to 1, and with criterion {self._criterion_name}, skorch does "
            "not change them. They are taken as logits and turned into probabilities by a softmax. "
            "If this is right, give the net predict_nonlinearity=torch.nn.Softmax(dim=1). "
            "Otherwise, give it the function from outputs to probabilities.",
            UserWarning,
            stacklevel=2,
        )
        self._logits_seen.append(True)
        return torch.softmax(outputs, 1)

    @property
    def _criterion_name(self) -> str:
        return type(self._net.criterion_).__name__


def _are_distributions(p: Tensor) -> bool:
    """Whether each row is nonnegative and sums to 1, up to rounding; True if p is not finite."""
    if not torch.isfinite(p).all():
        return True  # another check reports outputs that are not finite
    sums = wide(p).reshape(len(p), -1).sum(1)
    tolerance = max(1e-3, torch.finfo(p.dtype).eps ** 0.5)
    return bool((p >= 0).all() and ((sums - 1).abs() <= tolerance).all())
