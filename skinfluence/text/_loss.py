"""The loss of a language model."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skinfluence._core.tensors import IGNORED


class AnswerLoss(nn.Module):
    """Cross-entropy of the tokens of an answer: the mean over a row's, then over the rows.

    A mean over all tokens of a batch, which language models are often trained with, has no loss of
    a row: it depends on how long the others are.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default="mean"
        Over rows.
    """

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Loss of logits (n, length, n_tokens) against tokens (n, length), -100 where none is."""
        losses = answer_losses(outputs, y)
        if self.reduction == "none":
            return losses
        return losses.sum() if self.reduction == "sum" else losses.mean()

    @staticmethod
    def sample(outputs: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Answers drawn from the model, token by token after the given ones before it."""
        p = outputs.detach().flatten(0, 1).softmax(-1).cpu()
        drawn = torch.multinomial(p, 1, generator=generator).reshape(y.shape).to(y.device)
        return torch.where(y == IGNORED, y, drawn)


def answer_losses(outputs: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy over each row's tokens, (n,)."""
    losses = F.cross_entropy(
        outputs.flatten(0, 1), y.flatten(), reduction="none", ignore_index=IGNORED
    )
    return losses.reshape(y.shape).sum(1) / (y != IGNORED).sum(1).clamp(min=1)
