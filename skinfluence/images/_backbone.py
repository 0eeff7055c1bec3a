"""A network with the preprocessing that it expects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skinfluence._data.embedding_cache import digest_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Backbone:
    """A network and the preprocessing that it expects, for ``ImageEmbedder(model=...)``.

    The input of the network is ``(pixels / 255 - mean) / std``, of shape (n, 3, size, size). Its
    output is a batch of vectors (n, n_units), feature maps (n, n_units, height, width) or tokens
    (n, n_tokens, n_units). For feature maps and tokens, the embedding is the mean over positions
    or tokens.

    Parameters
    ----------
    module : torch.nn.Module
        The network, without its classification head. A copy of it is used, in evaluation mode.
    mean, std : sequence of three floats
        Mean and standard deviation of each color, for pixels between 0 and 1. The defaults are the
        values of ImageNet, which most networks expect.
    size : int, default=224
        Height and width of the network's input.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skinfluence.images import Backbone, ImageEmbedder
    >>> net = torch.nn.Conv2d(3, 8, kernel_size=5)
    >>> X = np.zeros((4, 30, 40, 3), dtype="uint8")
    >>> ImageEmbedder(Backbone(net, size=32)).fit_transform(X).shape
    (4, 8)
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        size: int = 224,
    ) -> None:
        self.module = module
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        self.size = int(size)
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                f"mean={mean!r}, std={std!r}: expected three numbers each, one per color, and "
                "positive standard deviations."
            )

    def __repr__(self) -> str:
        return f"Backbone({type(self.module).__name__}, size={self.size})"

    def ready(self, size: int | None, device: str) -> Backbone:
        """Prepare the module for inference on a device, with another input size if one is given."""
        module = self.module.eval().requires_grad_(False).to(device)
        return Backbone(module, mean=self.mean, std=self.std, size=size or self.size)

    @torch.no_grad()
    def embed(self, pixels: np.ndarray, device: str) -> np.ndarray:
        """Compute float32 embeddings of uint8 pixels of shape (n, size, size, 3)."""
        x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (self.mean, self.std))
        first = next(self.module.parameters(), x)
        x = ((x - mean) / std).to(first.dtype).contiguous()
        rows = pooled(self.module(x)).float().cpu().numpy()
        if rows.shape[0] != len(pixels):
            raise ValueError(
                f"the network returned {rows.shape[0]} rows for {len(pixels)} images; expected "
                "one vector per image."
            )
        if not np.isfinite(rows).all():
            raise ValueError(
                "the network returned NaN or infinity; check its weights, mean and std, and use "
                "float32 if its weights have a lower precision."
            )
        return rows

    def digest(self) -> bytes:
        """Hash of everything that decides an embedding; see `digest_of`."""
        # Increase the first number when the preprocessing changes.
        return digest_of(self.module, 2, self.mean, self.std, self.size)


def pooled(outputs: Any) -> Tensor:
    """Return one vector per image: the mean over the positions or tokens of a network's output."""
    if not isinstance(outputs, Tensor):
        outputs = getattr(outputs, "last_hidden_state", None)
    if not isinstance(outputs, Tensor) or outputs.ndim not in (2, 3, 4):
        raise ValueError(
            "the network returned neither vectors (n, n_units), nor tokens (n, n_tokens, n_units), "
            "nor feature maps (n, n_units, height, width); wrap the network in a module that does."
        )
    if outputs.ndim == 4:
        return outputs.mean((2, 3))
    return outputs.mean(1) if outputs.ndim == 3 else outputs
