"""The module of `TextClassifier`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from skinfluence.text._chunks import ROWS_AT_ONCE, longest_row, map_in_chunks
from skinfluence.text._hub import load_pretrained


class EncoderClassifier(nn.Module):
    """A pretrained encoder, the mean of its outputs over the tokens, and a linear head.

    Parameters
    ----------
    model : str
        Directory or hub name of the encoder.
    n_outputs : int, default=2
        Number of classes.
    train_encoder : bool, default=True
        Whether the encoder is trained. False trains the head alone.
    dropout : float, default=0.0
        Dropout rate before the head.
    dtype : str, default="float32"
        Data type of the encoder's weights.

    Attributes
    ----------
    encoder : torch.nn.Module
        The pretrained model.
    head : torch.nn.Linear
        The linear head; ``parameters="head.*"`` restricts influence to the head.

    Examples
    --------
    >>> from skinfluence.text import EncoderClassifier, packaged_model
    >>> EncoderClassifier(packaged_model("minilm"), n_outputs=3).head
    Linear(in_features=384, out_features=3, bias=True)
    """

    encoder: Any
    rows_at_once = ROWS_AT_ONCE

    def __init__(
        self,
        model: str,
        n_outputs: int = 2,
        train_encoder: bool = True,
        dropout: float = 0.0,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.encoder = load_pretrained("AutoModel", model, dtype)
        # The pooler on top of the first token is not used here, so it would have no gradient.
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None
        self.encoder.requires_grad_(train_encoder)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.encoder.config.hidden_size, n_outputs)

    def forward(self, ids: Tensor, ids_mask: Tensor) -> Tensor:
        """Compute the logits of texts.

        Parameters
        ----------
        ids : Tensor of shape (n, length)
            Token ids, padded on the right.
        ids_mask : Tensor of shape (n, length)
            1 for tokens, 0 for padding.

        Returns
        -------
        logits : Tensor of shape (n, n_outputs)
            One column per class.
        """
        return self.head(self.dropout(self.embed(ids, ids_mask).to(self.head.weight.dtype)))

    def embed(self, ids: Tensor, ids_mask: Tensor, pooling: str = "mean") -> Tensor:
        """Compute one vector per text from the encoder's outputs, one output per token.

        Parameters
        ----------
        ids : Tensor of shape (n, length)
            Token ids, padded on the right.
        ids_mask : Tensor of shape (n, length)
            1 for tokens, 0 for padding.
        pooling : {"mean", "cls"}, default="mean"
            Whether the vector is the mean over the tokens, without the padding, or the output of
            the first token.

        Returns
        -------
        vectors : Tensor of shape (n, width)
        """

        def of_chunk(rows: Tensor) -> Tensor:
            length = longest_row(ids_mask[rows])
            part, mask = ids[rows, :length], ids_mask[rows, :length]
            hidden = self.encoder(input_ids=part, attention_mask=mask)[0]
            if pooling == "cls":
                return hidden[:, 0]
            weight = mask.to(hidden.dtype).unsqueeze(-1)
            return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)

        return map_in_chunks(of_chunk, ids_mask.sum(1))
