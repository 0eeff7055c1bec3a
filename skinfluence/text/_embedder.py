"""TextEmbedder: texts as vectors, for any estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import TransformerMixin
from torch.nn import functional as F

from skinfluence._base import Estimator
from skinfluence._core.random_state import forked_random_state
from skinfluence.text._encoder import EncoderClassifier
from skinfluence.text._hub import load_tokenizer
from skinfluence.text._tokens import pad_ids, read_texts, truncate


class TextEmbedder(TransformerMixin, Estimator):
    """Embed texts by a pretrained encoder.

    The embedding of a text is the mean of the encoder's outputs over the tokens, scaled to
    length 1.

    Parameters
    ----------
    model : str
        Directory or hub name of an encoder; see `packaged_model`.
    batch_size : int, default=64
        Number of texts per batch.
    max_length : int, default=128
        Maximum number of tokens per text. Longer texts are cut at their end, with a warning.
    device : str, default="cpu"
        Device on which the encoder runs.

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
        """Check the texts; the encoder is already trained.

        Parameters
        ----------
        X : column of str
            Texts.
        y : Ignored
            Present for the API of scikit-learn.

        Returns
        -------
        self : TextEmbedder
            The same object.
        """
        read_texts(X, None)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embed texts.

        Parameters
        ----------
        X : column of str
            Texts.

        Returns
        -------
        rows : ndarray of shape (n_samples, width), float32
            Vectors of length 1.
        """
        texts = read_texts(X, None)[0]
        # The head is initialized at random although it is not used here.
        with forked_random_state():
            encoder = EncoderClassifier(self.model).eval().to(self.device)
        ids = truncate(load_tokenizer(self.model)(list(texts)).input_ids, self.max_length, "end")
        order = np.argsort([len(row) for row in ids], kind="stable")
        rows = np.empty((len(ids), encoder.head.in_features), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, len(order), self.batch_size):
                batch = order[start : start + self.batch_size]
                padded, mask = pad_ids([ids[i] for i in batch])
                found = encoder.embed(padded.to(self.device), mask.to(self.device))
                rows[batch] = F.normalize(found, dim=1).cpu().numpy()
        return rows

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags
