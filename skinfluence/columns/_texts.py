"""Encoders of one column of texts or images: each distinct value is encoded once."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.pipeline import FeatureUnion

from skinfluence import _extras

# Numbers per text. Short texts also have inputs for frequent values, see `FrequentValues`. On three
# samples of each of five tables, none used for this choice, 15 numbers and these inputs found wrong
# labels with a mean AP of .677; 30 numbers without these inputs had .664.
SENTENCE, SHORT = 100, 15

MAX_FREQUENT = 32  # inputs per column for frequent values


class _Distinct(TransformerMixin, BaseEstimator):
    """Encodes the distinct values of a column, and gives each row the result of its value."""

    def fit(self, X: Any, y: Any = None) -> Any:
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        codes, values = self._values(X)
        self.name_ = getattr(X, "name", "x")
        self.encoder_ = self._make(values)
        rows = self._quietly(self.encoder_.fit_transform, values)
        self.n_outputs_ = rows.shape[1]
        return rows[codes]

    def transform(self, X: Any) -> np.ndarray:
        codes, values = self._values(X)
        return self._quietly(self.encoder_.transform, values)[codes]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        return np.array([f"{self.name_}_{i}" for i in range(self.n_outputs_)], dtype=object)

    def _make(self, values: np.ndarray) -> Any:
        """The encoder, not yet fitted."""
        raise NotImplementedError

    def _values(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        codes, values = pd.factorize(pd.Series(X).fillna(""))
        return codes, np.asarray(values, dtype=object)

    def _quietly(self, function: Any, values: np.ndarray) -> np.ndarray:
        return np.asarray(function(values), dtype=np.float32)


class Texts(_Distinct):
    """Texts as numbers, by skrub's encoder; sentences also by the user's encoder.

    Parameters
    ----------
    encoder : transformer or None
    n_components : int or None
        Numbers per text for skrub's encoder; None means that it depends on the texts.
    random_state : int or None
    """

    def __init__(self, encoder: Any, n_components: int | None, random_state: int | None) -> None:
        self.encoder = encoder
        self.n_components = n_components
        self.random_state = random_state

    def _make(self, values: np.ndarray) -> Any:
        skrub = _extras.load("skrub", "audit", "ColumnEncoder, for texts,")
        is_sentence = np.mean([len(text.split()) for text in values]) > 3
        n = self.n_components or (SENTENCE if is_sentence else SHORT)
        strings = skrub.StringEncoder(
            n_components=max(1, min(n, len(values) - 1)), random_state=self.random_state
        )
        if self.encoder is None or not is_sentence:
            return strings
        # Together, they find more wrong labels than either of them.
        return FeatureUnion([("strings", strings), ("encoder", clone(self.encoder))])

    def _quietly(self, function: Any, values: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            # Of a few short texts, there may be fewer sequences of characters than numbers.
            warnings.filterwarnings("ignore", message="The matrix shape is")
            return np.asarray(function(pd.Series(values, name="text", dtype=object)), np.float32)


class FrequentValues(TransformerMixin, BaseEstimator):
    """One input per value of a column that at least five rows, and one row in 200, have."""

    def fit(self, X: Any, y: Any = None) -> Any:
        column = pd.Series(X)
        counts = column.value_counts()
        counts = counts[counts >= max(5, len(column) // 200)]
        frequent = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
        self.values_ = [value for value, _ in frequent[:MAX_FREQUENT]]
        self.name_ = getattr(X, "name", "x")
        return self

    def transform(self, X: Any) -> np.ndarray:
        column = pd.Series(X)
        rows = np.empty((len(column), len(self.values_)), dtype=np.float32)
        for i, value in enumerate(self.values_):
            rows[:, i] = (column == value).to_numpy()
        return rows

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        return np.array([f"{self.name_}={value}" for value in self.values_], dtype=object)


class Images(_Distinct):
    """Images as numbers.

    Parameters
    ----------
    encoder : transformer or None
    """

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder

    def _values(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        values = np.empty(len(X), dtype=object)
        values[:] = list(X)
        return np.arange(len(X)), values

    def _make(self, values: np.ndarray) -> Any:
        if self.encoder is not None:
            return clone(self.encoder)
        from skinfluence.images import ImageEmbedder

        return ImageEmbedder()
