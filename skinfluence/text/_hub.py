"""Load pretrained models and tokenizers from a directory, or by their name on the hub."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from skinfluence import _extras


@functools.lru_cache(maxsize=8)
def load_tokenizer(model: str) -> Any:
    """Load the tokenizer of a model."""
    transformers = load("transformers")
    return transformers.AutoTokenizer.from_pretrained(model, local_files_only=_is_local(model))


def load_config(model: str) -> Any:
    """Load the configuration of a model."""
    transformers = load("transformers")
    return transformers.AutoConfig.from_pretrained(model, local_files_only=_is_local(model))


def load_pretrained(kind: str, model: str, dtype: str, attention: str = "eager") -> Any:
    """Load a model by one of the Auto classes of transformers, whose name is `kind`."""
    transformers = load("transformers")
    if dtype not in ("float32", "bfloat16", "float16"):
        # In float64, the value that transformers gives to masked attention scores overflows.
        raise ValueError(f"dtype={dtype!r}: expected 'float32', 'bfloat16' or 'float16'.")
    with _without_progress_bars(transformers):
        return getattr(transformers, kind).from_pretrained(
            model,
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
            local_files_only=_is_local(model),
        )


def pooling_of(model: str) -> str:
    """How an encoder turns tokens into one vector: "cls" if its files say so, otherwise "mean".

    Models of sentence-transformers have a file for this.
    """
    file = load("transformers.utils").cached_file(
        model,
        "1_Pooling/config.json",
        local_files_only=_is_local(model),
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if file is None:
        return "mean"
    config = json.loads(Path(file).read_text(encoding="utf-8"))
    return "cls" if config.get("pooling_mode_cls_token") else "mean"


@contextmanager
def _without_progress_bars(transformers: Any) -> Iterator[None]:
    """Hide the progress bars of transformers: a grid search would show hundreds of them."""
    logging = transformers.utils.logging
    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()


def _is_local(model: str) -> bool:
    return Path(model).is_dir()


def load(package: str) -> Any:
    """Import a package of the extra "text", or raise an error that says how to install it."""
    return _extras.load(package, "text", "skinfluence.text")
