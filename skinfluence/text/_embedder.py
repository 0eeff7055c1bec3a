"""TextEmbedder: texts as vectors, for any estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import TransformerMixin
from torch.nn import functional as F

from skinfluence._base import Estimator
from skinfluence.text._encoder import EncoderClassifier
from skinfluence.text._hub import _tokenizer
from skinfluence.text._tokens import _cut, _padded, _read


class TextEmbedder(TransformerMixin, Estimator):
    """Embed texts by a pretrained encoder: the mean over a text's tokens, scaled to length 1.

    Parameters
    ----------
    model : str
        Directory or hub name of an encoder; see `packaged_model`.
    batch_size : int, default=64
        Texts at a time.
    max_length : int, default=128
        Tokens a text; longer ones are cut at their end, with a warning.
    device : str, default="cpu"
        Where the encoder runs.

    Examples
    --------
    >>> from skinfluence.text import TextEmbedder, packaged_model
    >>> rows = TextEmbedder(packaged_model("minilm")).fit_transform(["a cat", "a kitten", "tax"])
    >>> rows.shape, bool(rows[0] @ rows[1] > rows[0] @ rows[2])
    ((3, 384), True)
    """

    def __init__(
        self, model: Any, *, batch_size: int = 64, max_length: int = 128, device: str = "cpu"
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.max_length = max_length
        self.device = device

    def fit(self, X: Any, y: Any = None) -> Any:
        """Do nothing: the encoder is trained already."""
        _read(X, None)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embed texts, (n_samples, width) float32."""
        texts = _read(X, None)[0]
        with torch.random.fork_rng(devices=[]):  # the head, which is not used, is made by lot
            encoder = EncoderClassifier(self.model).eval().to(self.device)
        ids = _cut(_tokenizer(self.model)(list(texts)).input_ids, self.max_length, "end")
        order = np.argsort([len(row) for row in ids], kind="stable")
        rows = np.empty((len(ids), encoder.head.in_features), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(order), self.batch_size):
                at = order[start : start + self.batch_size]
                padded, mask = _padded([ids[i] for i in at])
                found = encoder.embed(padded.to(self.device), mask.to(self.device))
                rows[at] = F.normalize(found, dim=1).cpu().numpy()
        return rows

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags
