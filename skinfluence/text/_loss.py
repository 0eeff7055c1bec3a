"""The loss of a language model: cross-entropy, with one value per row."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skinfluence._core.tensors import IGNORED


class AnswerLoss(nn.Module):
    """Cross-entropy of answers: the mean over the tokens of a row, then the mean over rows.

    Language models are often trained on the mean over all tokens of a batch. Such a mean does not
    define a loss for each row, because the weight of a row depends on the lengths of the other rows
    in its batch.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default="mean"
        How the losses of the rows are combined.

    Examples
    --------
    Two rows with answers of three tokens and of one token:

    >>> import torch
    >>> from skinfluence.text import AnswerLoss
    >>> y = torch.tensor([[1, 4, 2], [3, -100, -100]])
    >>> AnswerLoss(reduction="none")(torch.zeros(2, 3, 5), y)
    tensor([1.6094, 1.6094])
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Compute the loss of logits against tokens.

        Parameters
        ----------
        outputs : Tensor of shape (n, length, n_tokens)
            Logits.
        y : Tensor of shape (n, length)
            Token ids; -100 where a row has no token.

        Returns
        -------
        loss : Tensor
            Of shape (n,) for ``reduction="none"``, otherwise a scalar.
        """
        losses = answer_losses(outputs, y)
        if self.reduction == "none":
            return losses
        return losses.sum() if self.reduction == "sum" else losses.mean()

    @staticmethod
    def sample(outputs: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Draw each token of the answers from the model's predicted distribution at its position.

        Parameters
        ----------
        outputs : Tensor of shape (n, length, n_tokens)
            Logits. Each token is predicted from the given tokens before it, not from drawn tokens.
        y : Tensor of shape (n, length)
            Token ids; -100 where a row has no token.
        generator : torch.Generator
            Source of randomness, on the CPU.

        Returns
        -------
        drawn : Tensor of shape (n, length)
            Token ids; -100 where `y` is -100.
        """
        p = outputs.detach().flatten(0, 1).softmax(-1).cpu()
        drawn = torch.multinomial(p, 1, generator=generator).reshape(y.shape).to(y.device)
        return torch.where(y == IGNORED, y, drawn)


def answer_losses(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy over the tokens of each row, (n,)."""
    losses = F.cross_entropy(
        outputs.flatten(0, 1), y.flatten(), reduction="none", ignore_index=IGNORED
    )
    return losses.reshape(y.shape).sum(1) / (y != IGNORED).sum(1).clamp(min=1)
