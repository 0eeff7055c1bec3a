"""Read texts, turn them into token ids, and pad the ids to batches."""

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


class TokenRows(Dataset):
    """Rows of token ids, each with a label or with the token ids to predict."""

    def __init__(self, rows: list[dict[str, list[int]]], y: Any = None) -> None:
        self.rows, self.y = rows, y

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[dict[str, list[int]], Any]:
        return self.rows[index], 0 if self.y is None else self.y[index]


def pad_rows(rows: list[tuple[dict[str, list[int]], Any]]) -> tuple[dict[str, Tensor], Tensor]:
    """Collate rows to a batch: prompts are padded on the left, everything else on the right."""
    X: dict[str, Tensor] = {}
    for name in rows[0][0]:
        ids, mask = pad_ids([row[name] for row, _ in rows], left=name == "prompt")
        X |= {name: ids, f"{name}_mask": mask}
    y = [label for _, label in rows]
    if isinstance(y[0], list):
        targets = [torch.tensor(tokens) for tokens in y]
        return X, pad_sequence(targets, batch_first=True, padding_value=IGNORED)
    return X, torch.as_tensor(np.asarray(y))


def pad_ids(rows: Sequence[list[int]], left: bool = False) -> tuple[Tensor, Tensor]:
    """Return padded token ids and their mask, both of shape (n, length of the longest row).

    Padded positions have the id 0, which exists in every model, and the mask 0.
    """
    side = "left" if left else "right"
    ids = [torch.tensor(row, dtype=torch.long) for row in rows]
    ones = [torch.ones_like(row) for row in ids]
    padded, mask = (pad_sequence(p, batch_first=True, padding_side=side) for p in (ids, ones))
    return padded, mask


def read_texts(X: Any, y: Any) -> tuple[np.ndarray, Any]:
    """Return the texts in X as an array, (n,) of dtype object, and y.

    The items of a Dataset may be pairs of a text and a label. If y is None, these labels are used.
    """
    if isinstance(X, Dataset) and not hasattr(X, "column_names"):
        sized: Any = X
        items = [sized[i] for i in range(len(sized))]
        has_labels = isinstance(items[0], tuple | list) and len(items[0]) == 2
        if has_labels and y is None:
            y = [label for _, label in items]
        X = [text for text, _ in items] if has_labels else items
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


def tokenize_answers(y: Any, tokenizer: Any) -> list[list[int]]:
    """Return the token ids of each answer, without special tokens."""
    answers = as_texts(y, "y")
    if answers is None:
        raise ValueError(
            f"y is of {described(y)}, not a column of texts; a language model learns answers, one "
            "string per row."
        )
    return tokenizer(list(answers), add_special_tokens=False).input_ids


def truncate(rows: list[list[int]], max_length: int, where: str) -> list[list[int]]:
    """Cut rows that are too long at their "beginning" or "end", with a warning."""
    n_long = sum(len(row) > max_length for row in rows)
    if not n_long:
        return rows
    warnings.warn(
        f"{n_long} of {len(rows)} texts have more than max_length={max_length} tokens and are cut "
        f"at their {where}.",
        UserWarning,
        stacklevel=4,
    )
    return [row[:max_length] if where == "end" else row[-max_length:] for row in rows]
