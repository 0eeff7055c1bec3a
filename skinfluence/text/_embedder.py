"""TextEmbedder: texts as vectors, for any estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from skinfluence._base import Embedder
from skinfluence._core.random_state import forked_random_state
from skinfluence._data.embedding_cache import EmbeddingCache, digest_of
from skinfluence._data.params import check_int, check_verbose
from skinfluence.text._encoder import EncoderClassifier
from skinfluence.text._hub import load_config, load_tokenizer, pooling_of
from skinfluence.text._packaged import packaged_model
from skinfluence.text._tokens import pad_ids, read_texts, truncate


class TextEmbedder(Embedder):
    """Embed texts by a pretrained encoder, as vectors of length 1.

    A text's vector is the mean of the encoder's outputs over its tokens. If the encoder is a
    sentence-transformers model whose configuration asks for first-token (CLS) pooling, the vector
    is the output of the first token instead.

    Parameters
    ----------
    model : str, default="minilm"
        Directory or hub name of an encoder, of transformers or sentence-transformers. "minilm" is
        the encoder that `packaged_model` finds: 384 numbers per text, for English.
    batch_size : int, default=64
        Number of texts per batch.
    max_length : int, default=128
        Maximum number of tokens per text. Longer texts are cut at their end, with a warning.
    device : str, default="cpu"
        Device on which the encoder runs.
    cache : str, path-like or None, default=None
        Folder in which embeddings are kept, one file per text. A text that was embedded before, by
        the same encoder with the same settings, is then read from the folder. The folder may be
        shared by several encoders and processes, and may be deleted at any time.
    verbose : int, default=0
        1 shows a progress bar.

    Examples
    --------
    >>> from skinfluence.text import TextEmbedder
    >>> rows = TextEmbedder("minilm").fit_transform(["a cat", "a kitten", "tax"])
    >>> rows.shape, bool(rows[0] @ rows[1] > rows[0] @ rows[2])
    ((3, 384), True)
    """

    def __init__(
        self,
        model: Any = "minilm",
        *,
        batch_size: int = 64,
        max_length: int = 128,
        device: str = "cpu",
        cache: Any = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.max_length = max_length
        self.device = device
        self.cache = cache
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Any:
        """Check the parameters and the texts; the encoder is already trained.

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
        self._check_params()
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
        self._check_params()
        texts = list(read_texts(X, None)[0])
        model = _directory(self.model)
        # The head is initialized at random although it is not used here.
        with forked_random_state():
            encoder = EncoderClassifier(model).eval().to(self.device)
        distinct = list(dict.fromkeys(texts))
        ids = truncate(load_tokenizer(model)(distinct).input_ids, self.max_length, "end")
        rows = _Embedding(encoder, pooling_of(model), self).rows_of(ids)
        position = {text: i for i, text in enumerate(distinct)}
        return rows[[position[text] for text in texts]]

    def _n_outputs(self) -> int:
        return load_config(_directory(self.model)).hidden_size

    def _check_params(self) -> None:
        check_int("batch_size", self.batch_size, 1)
        check_int("max_length", self.max_length, 1)
        check_verbose(self.verbose)


class _Embedding:
    """Embeds rows of token ids, those of similar length together, and asks the cache first."""

    def __init__(self, encoder: EncoderClassifier, pooling: str, params: TextEmbedder) -> None:
        self.encoder, self.pooling, self.params = encoder, pooling, params
        self.cache = None
        if params.cache is not None:
            self.cache = EmbeddingCache(params.cache, digest_of(encoder.encoder, 1, pooling))

    def rows_of(self, ids: list[list[int]]) -> np.ndarray:
        """Return one vector per row of ids."""
        rows = np.empty((len(ids), self.encoder.head.in_features), dtype=np.float32)
        missing = [i for i in range(len(ids)) if not self._from_cache(ids[i], rows[i])]
        missing.sort(key=lambda i: len(ids[i]))
        with tqdm(total=len(ids), unit="text", disable=not self.params.verbose) as bar:
            bar.update(len(ids) - len(missing))
            for start in range(0, len(missing), self.params.batch_size):
                batch = missing[start : start + self.params.batch_size]
                rows[batch] = self._embedded([ids[i] for i in batch])
                if self.cache:
                    for i in batch:
                        self.cache.put(self._key(ids[i]), rows[i])
                bar.update(len(batch))
        return rows

    def _from_cache(self, ids: list[int], row: np.ndarray) -> bool:
        """Write the vector into `row` if the cache has it."""
        found = self.cache.get(self._key(ids)) if self.cache else None
        if found is None:
            return False
        row[:] = found
        return True

    def _key(self, ids: list[int]) -> str:
        # By the ids, because the tokenizer is not part of the encoder's digest.
        assert self.cache is not None
        return self.cache.key(np.array(ids, dtype="<i8").tobytes())

    def _embedded(self, ids: list[list[int]]) -> np.ndarray:
        padded, mask = (part.to(self.params.device) for part in pad_ids(ids))
        with torch.no_grad():
            found = self.encoder.embed(padded, mask, self.pooling)
        return F.normalize(found, dim=1).cpu().numpy()


def _directory(model: Any) -> Any:
    return packaged_model("minilm") if model == "minilm" else model
