"""TextClassifier: predicts the classes of texts."""

from __future__ import annotations

from typing import Any

import numpy as np
from skorch import NeuralNetClassifier
from torch import nn

from skinfluence.text._encoder import EncoderClassifier
from skinfluence.text._hub import load_tokenizer
from skinfluence.text._text_net import DEFAULTS, TextNet
from skinfluence.text._tokens import TokenRows, truncate


class TextClassifier(TextNet, NeuralNetClassifier):
    """Text classifier: a pretrained encoder, the mean of its outputs over tokens, a linear head.

    Parameters
    ----------
    model : str
        Directory or hub name of an encoder that :class:`transformers.AutoModel` can load; see
        `packaged_model`.
    module : class, default=EncoderClassifier
        Module with the parameters ``model`` and ``n_outputs``.
    *args : tuple
        Further positional parameters of :class:`skorch.NeuralNetClassifier`.
    criterion : class, default=torch.nn.CrossEntropyLoss
        Loss of the logits.
    max_length : int, default=128
        Maximum number of tokens per text. Longer texts are cut at their end, with a warning.
    **kwargs : dict
        Any parameter of :class:`skorch.NeuralNetClassifier`, such as ``lr`` (default 2e-5),
        ``max_epochs`` (3), ``batch_size`` (16), ``module__train_encoder`` (True).

    Notes
    -----
    As for any skorch net, labels are 0, 1, ..., n_classes - 1. The estimators of this library
    accept any labels and encode them.

    Examples
    --------
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.text import TextClassifier, packaged_model
    >>> texts = ["good", "very good", "fine", "bad", "very bad", "poor"]
    >>> net = TextClassifier(packaged_model("minilm"), max_epochs=2)
    >>> scorer = InfluenceScorer(net, validation_fraction=0.4, random_state=0)
    >>> scorer.fit(texts, ["+", "+", "+", "-", "-", "-"]).transform(["bad food"]).shape
    (1, 2)
    """

    def __init__(
        self,
        model: Any,
        module: Any = None,
        *args: Any,
        criterion: Any = nn.CrossEntropyLoss,
        max_length: int = 128,
        **kwargs: Any,
    ) -> None:
        module = EncoderClassifier if module is None else module
        super().__init__(module, *args, criterion=criterion, **(DEFAULTS | kwargs))
        self.model = model
        self.max_length = max_length

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Fit to texts and their labels.

        Parameters
        ----------
        X : column of str
            Texts.
        y : array-like of int of shape (n_samples,)
            Labels 0, 1, ..., n_classes - 1.
        **fit_params : dict
            Passed to skorch.

        Returns
        -------
        self : TextClassifier
            The fitted net.
        """
        y = np.asarray(y)
        if y.ndim != 1 or y.dtype.kind not in "iu" or y.min() < 0:
            raise ValueError(
                f"y has shape {y.shape} and dtype {y.dtype}; without one of this library's "
                "estimators, TextClassifier takes labels 0, 1, ..., n_classes - 1. Encode them "
                "with sklearn.preprocessing.LabelEncoder."
            )
        self.n_outputs_ = int(y.max()) + 1
        return super().fit(X, y, **fit_params)

    def _params_from_rows(self) -> dict[str, Any]:
        return {"n_outputs": getattr(self, "n_outputs_", 2)}

    def _tokenize(self, texts: np.ndarray, y: Any) -> TokenRows:
        ids = truncate(load_tokenizer(self.model)(list(texts)).input_ids, self.max_length, "end")
        return TokenRows([{"ids": row} for row in ids], y)
