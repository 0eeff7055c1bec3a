"""Pretrained models and tokenizers, from a folder or by a name on the hub."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn


@functools.lru_cache(maxsize=8)
def _tokenizer(model: str) -> Any:
    transformers = _need("transformers")
    return transformers.AutoTokenizer.from_pretrained(model, local_files_only=_is_local(model))


def _pretrained(kind: str, model: str, dtype: str, attention: str = "eager") -> nn.Module:
    transformers = _need("transformers")
    if dtype not in ("float32", "bfloat16", "float16"):
        # In float64 what transformers puts into the place of masked scores overflows.
        raise ValueError(f"dtype={dtype!r}: expected 'float32', 'bfloat16' or 'float16'.")
    with _without_bars(transformers):
        return getattr(transformers, kind).from_pretrained(
            model,
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
            local_files_only=_is_local(model),
        )


@contextmanager
def _without_bars(transformers: Any) -> Iterator[None]:
    """Load without a progress bar: a grid search would show hundreds."""
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _is_local(model: str) -> bool:
    return Path(model).is_dir()


def _need(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f'skinfluence.text needs {package}: pip install "skinfluence[text]".'
        ) from error
