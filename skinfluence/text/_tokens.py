"""Texts as padded batches of token numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from skinfluence._core.tensors import IGNORED
from skinfluence._data.rows import as_texts, described


class _Tokens(Dataset):
    """Rows of token lists, with a label or a list of tokens each."""

    def __init__(self, rows: list[dict[str, list[int]]], y: Any = None) -> None:
        self.rows, self.y = rows, y

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[dict[str, list[int]], Any]:
        return self.rows[index], 0 if self.y is None else self.y[index]


def pad_rows(rows: list[tuple[dict[str, list[int]], Any]]) -> tuple[dict[str, Tensor], Tensor]:
    """Collate token lists: prompts are padded on the left, all else on the right."""
    X = {}
    for name in rows[0][0]:
        ids, mask = _padded([row[name] for row, _ in rows], left=name == "prompt")
        X |= {name: ids, f"{name}_mask": mask}
    y = [label for _, label in rows]
    if isinstance(y[0], list):
        targets = [torch.tensor(tokens) for tokens in y]
        return X, pad_sequence(targets, batch_first=True, padding_value=IGNORED)
    return X, torch.as_tensor(np.asarray(y))


def _padded(rows: Sequence[list[int]], left: bool = False) -> tuple[Tensor, Tensor]:
    """Token ids and their mask, (n, longest); what is masked is 0, an id that every model has."""
    side = "left" if left else "right"
    ids = [torch.tensor(row, dtype=torch.long) for row in rows]
    ones = [torch.ones_like(row) for row in ids]
    padded, mask = (pad_sequence(p, batch_first=True, padding_side=side) for p in (ids, ones))
    return padded, mask


def _read(X: Any, y: Any) -> tuple[np.ndarray, Any]:
    """Texts, and labels or answers in an array."""
    if isinstance(X, Dataset) and not hasattr(X, "column_names"):
        items = [X[i] for i in range(len(X))]
        pairs = isinstance(items[0], tuple | list) and len(items[0]) == 2
        if pairs and y is None:
            y = [label for _, label in items]
        X = [text for text, _ in items] if pairs else items
    texts = as_texts(X)
    if texts is None:
        raise ValueError(
            f"X is of {described(X)}; expected texts: a list of strings, a Series, or a "
            "frame with one column."
        )
    if y is not None and len(y) != len(texts):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {len(texts)} texts, but "
            f"y has {len(y)}."
        )
    return texts, y


def _answers(y: Any, tokenizer: Any) -> list[list[int]]:
    answers = as_texts(y, "y")
    if answers is None:
        raise ValueError(
            "y is no column of texts; a language model learns answers, one string a row."
        )
    return tokenizer(list(answers), add_special_tokens=False).input_ids


def _cut(rows: list[list[int]], most: int, where: str) -> list[list[int]]:
    long = sum(len(row) > most for row in rows)
    if not long:
        return rows
    warnings.warn(
        f"{long} of {len(rows)} texts have more than max_length={most} tokens and are cut at their "
        f"{where}.",
        UserWarning,
        stacklevel=4,
    )
    return [row[:most] if where == "end" else row[-most:] for row in rows]
