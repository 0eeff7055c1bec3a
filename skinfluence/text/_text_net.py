"""What the nets that read texts have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from skinfluence.text._tokens import _read, _Tokens, pad_rows

_DEFAULTS: dict[str, Any] = {
    "optimizer": torch.optim.AdamW,
    "lr": 2e-5,
    "max_epochs": 3,
    "batch_size": 16,
    "iterator_train__shuffle": True,
    "iterator_train__collate_fn": pad_rows,
    "iterator_valid__collate_fn": pad_rows,
    "train_split": None,
    "verbose": 0,
}


class _ReadsText:
    """What the nets here have in common: a pretrained model, part of which is trained."""

    reads_text = True
    frozen_is_pretrained = True
    model: Any

    def initialize_module(self: Any) -> Any:
        """Load the pretrained model into the module."""
        known = {"model": self.model, **self._learned_params(), **self.get_params_for("module")}
        self.module_ = self.initialized_instance(self.module, known)
        return self

    def get_all_learnable_params(self) -> Any:
        """Yield what is trained: the optimizer does not hold what is frozen."""
        of_all = super().get_all_learnable_params()  # type: ignore[misc]
        return ((name, p) for name, p in of_all if p.requires_grad)

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Tokens of the texts."""
        return X if isinstance(X, _Tokens) else self._tokens(*_read(X, y))

    def _learned_params(self) -> dict[str, Any]:
        """Parameters of the module that the rows decide."""
        return {}

    def _tokens(self, texts: np.ndarray, y: Any) -> _Tokens:
        raise NotImplementedError
