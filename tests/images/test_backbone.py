"""A network with its preprocessing: what it is given, and what is made of its output."""

import numpy as np
import pytest
import torch
from torch import nn

from skinfluence.images import Backbone

PIXELS = np.random.RandomState(0).randint(0, 256, (2, 8, 8, 3), dtype=np.uint8)


class Returns(nn.Module):
    """A network that applies a function to its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def embedded(function, **settings):
    return Backbone(Returns(function), size=8, **settings).ready(None, "cpu").embed(PIXELS, "cpu")


def test_pixels_are_scaled_and_normalized_per_color():
    rows = embedded(lambda x: x, mean=(0.1, 0.2, 0.3), std=(1, 2, 4))
    expected = (PIXELS.mean((1, 2)) / 255 - [0.1, 0.2, 0.3]) / [1, 2, 4]
    np.testing.assert_allclose(rows, expected, rtol=1e-5)
    assert rows.dtype == np.float32


@pytest.mark.parametrize(
    "function",
    [lambda x: x.mean((2, 3)), lambda x: x.flatten(2).transpose(1, 2), lambda x: x.double()],
)
def test_vectors_tokens_and_maps_give_one_vector(function):
    np.testing.assert_allclose(embedded(function), embedded(lambda x: x), rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.sum(), "neither vectors"),
        (lambda x: {"x": x}, "neither vectors"),
        (lambda x: x[:1], "1 rows for 2 images"),
        (lambda x: x / 0 * 0, "NaN or infinity"),
    ],
)
def test_outputs_that_are_not_vectors_are_refused(function, message):
    with pytest.raises(ValueError, match=message):
        embedded(function)


def test_weights_of_low_precision():
    module = nn.Conv2d(3, 4, 3).bfloat16()
    rows = Backbone(module, size=8).ready(None, "cpu").embed(PIXELS, "cpu")
    assert rows.dtype == np.float32


@pytest.mark.parametrize("settings", [{"mean": (0.5,)}, {"std": (1, 1, 0)}])
def test_wrong_normalization_is_refused(settings):
    with pytest.raises(ValueError, match="three numbers each, one per color"):
        Backbone(nn.Identity(), **settings)


def test_the_digest_changes_with_whatever_decides_an_embedding():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3)
    low = nn.Conv2d(3, 4, 3).bfloat16()
    low.load_state_dict(conv.state_dict())
    same = nn.Conv2d(3, 4, 3)
    same.load_state_dict(conv.state_dict())
    strided = nn.Conv2d(3, 4, 3, stride=2)
    strided.load_state_dict(conv.state_dict())
    normalized = nn.Sequential(conv, nn.BatchNorm2d(4))
    backbones = [
        Backbone(conv),
        Backbone(conv, size=100),
        Backbone(conv, mean=(0, 0, 0)),
        Backbone(conv, std=(1, 1, 1)),
        Backbone(nn.Conv2d(3, 4, 3)),
        Backbone(strided),
        Backbone(low),
        Backbone(normalized),
    ]
    digests = {backbone.digest() for backbone in backbones}
    assert len(digests) == len(backbones)
    assert Backbone(same).digest() == Backbone(conv).digest()


def test_the_repr_is_short():
    assert repr(Backbone(nn.Conv2d(3, 4, 3), size=32)) == "Backbone(Conv2d, size=32)"
