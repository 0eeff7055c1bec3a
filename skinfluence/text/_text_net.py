"""Shared by the two nets: a pretrained model, texts as input, and default parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from skinfluence.text._tokens import TokenRows, pad_rows, read_texts

DEFAULTS: dict[str, Any] = {
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


class TextNet:
    """Mixin of a skorch net that reads texts and trains some parameters of a pretrained model."""

    reads_text = True
    frozen_is_pretrained = True
    model: Any

    def initialize_module(self: Any) -> Any:
        """Load the pretrained model into the module."""
        known = {"model": self.model, **self._params_from_rows(), **self.get_params_for("module")}
        self.module_ = self.initialized_instance(self.module, known)
        return self

    def get_all_learnable_params(self) -> Any:
        """Yield the names and values of the trained parameters.

        Frozen parameters are left out, so the optimizer does not hold them.
        """
        parameters = super().get_all_learnable_params()  # type: ignore[misc]
        return ((name, p) for name, p in parameters if p.requires_grad)

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Return the token ids of the texts as a Dataset."""
        return X if isinstance(X, TokenRows) else self._tokenize(*read_texts(X, y))

    def _params_from_rows(self) -> dict[str, Any]:
        """Return the arguments of the module that `fit` learns from the rows, such as n_outputs."""
        return {}

    def _tokenize(self, texts: np.ndarray, y: Any) -> TokenRows:
        raise NotImplementedError
