"""Forward mode stops at no_grad, and treats frozen linear layers as constants."""

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from skinfluence._core import gradients
from skinfluence._core.forward_mode import FrozenLinears, NoGradStops


@pytest.fixture(autouse=True)
def _forward_mode_is_loaded():
    gradients._load_forward_mode()


def constant(x):
    with torch.no_grad():
        factor = x.sum() + 1
    return x * factor


def in_place(x):
    y = 2 * x
    with torch.no_grad():
        y.round_()
        y += 1
    return y


def out_argument(x):
    y = x * 3
    with torch.no_grad():
        torch.mul(y, 0.5, out=y.data)
    return y


def inner_enable(x):
    with torch.no_grad():
        factor = x.exp()
        with torch.enable_grad():
            y = x * factor
    return y


def a_list(x):
    with torch.no_grad():
        both = torch.cat([x, x])
    return x * both[:3]


@torch.no_grad()
def _norm(x):
    return x.norm()


def decorated(x):
    return x / _norm(x)


def inference(x):
    with torch.inference_mode():
        size = x.abs().max().item()
    return x * size


@pytest.mark.parametrize(
    "function", [constant, in_place, out_argument, inner_enable, a_list, decorated, inference]
)
def test_the_tangent_is_that_of_backward_mode(function):
    x = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
    u = torch.tensor([1.0, 0.5, -0.7], dtype=torch.float64)
    want = torch.autograd.functional.jacobian(function, x) @ u
    with NoGradStops():
        _, functorch = torch.func.jvp(function, (x,), (u,))
        with forward_ad.dual_level():
            plain = forward_ad.unpack_dual(function(forward_ad.make_dual(x, u))).tangent
    torch.testing.assert_close(functorch, want)
    torch.testing.assert_close(plain, want)


@pytest.mark.parametrize("bias", [True, False])
def test_a_frozen_linear_layer_passes_on_the_tangent_of_its_input(bias):
    layer = nn.Linear(3, 2, bias=bias).double().requires_grad_(False)
    x, u = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    with FrozenLinears(), forward_ad.dual_level():
        f, t = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, u)))
    torch.testing.assert_close(f, layer(x))
    torch.testing.assert_close(t, F.linear(u, layer.weight))
