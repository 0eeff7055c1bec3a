"""The module of the classifier."""

from __future__ import annotations

from torch import Tensor, nn

from skinfluence.text._chunks import _ROWS_AT_ONCE, _in_chunks, _longest
from skinfluence.text._hub import _pretrained


class EncoderClassifier(nn.Module):
    """A pretrained encoder, the mean over a text's tokens, and a linear head.

    Parameters
    ----------
    model : str
        Directory or hub name of the encoder.
    n_outputs : int, default=2
        Classes.
    train_encoder : bool, default=True
        False freezes it and trains the head alone.
    dropout : float, default=0.0
        Dropout rate before the head.
    dtype : str, default="float32"
        Of the encoder's weights.

    Attributes
    ----------
    encoder : torch.nn.Module
    head : torch.nn.Linear
        ``parameters="head.*"`` restricts influence to it.
    """

    rows_at_once = _ROWS_AT_ONCE

    def __init__(
        self,
        model: str,
        n_outputs: int = 2,
        train_encoder: bool = True,
        dropout: float = 0.0,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.encoder = _pretrained("AutoModel", model, dtype)
        # The head on top of the first token is not used here, and what is not used has no gradient.
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None
        self.encoder.requires_grad_(train_encoder)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.encoder.config.hidden_size, n_outputs)

    def forward(self, ids: Tensor, ids_mask: Tensor) -> Tensor:
        """Return logits, (n, n_outputs)."""
        return self.head(self.dropout(self.embed(ids, ids_mask).to(self.head.weight.dtype)))

    def embed(self, ids: Tensor, ids_mask: Tensor) -> Tensor:
        """Mean over each text's tokens, (n, width)."""

        def of_chunk(rows: Tensor) -> Tensor:
            width = _longest(ids_mask[rows])
            part, mask = ids[rows, :width], ids_mask[rows, :width]
            hidden = self.encoder(input_ids=part, attention_mask=mask)[0]
            weight = mask.to(hidden.dtype).unsqueeze(-1)
            return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)

        return _in_chunks(of_chunk, ids_mask.sum(1))
