"""Nets as the core sees them, with directions and targets for them."""

import pytest
import torch
from zoo import KINDS, make

from skinfluence._core.directions import Objective, directions
from skinfluence._core.ghost import Ghost
from skinfluence._core.gradients import forward
from skinfluence._core.net import FunctionalNet
from skinfluence.targets import Utility

each_kind = pytest.mark.parametrize("name", KINDS)
each_batch_size = pytest.mark.parametrize("batch_size", [1, 3, 128])


def fnet_of(name, **params):
    net, X, y = make(name, **params)
    return FunctionalNet(net), X, y, net


def flat(U):
    """Directions as an array (d, p)."""
    return torch.cat([u.reshape(len(u), -1) for u in U.values()], 1).numpy()


def ask(fnet, target, X, y, **options):
    return directions(fnet, Objective(target, X, y, True), **options)


def random_directions(fnet, number, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(number, *p.shape, generator=generator, dtype=torch.float64).to(p.dtype)
        for name, p in fnet.params.items()
    }


def ghost_of(net, X, y, parameters="*"):
    fnet = FunctionalNet(net, parameters)
    Xb, yb = next(fnet.batches(X, y))
    return Ghost(fnet, Xb), Xb, fnet.cotangents(forward(fnet, Xb), Xb, yb)


def gap(outputs, y):
    """Squared difference of two groups' mean outputs: no sum over rows."""
    p = outputs.softmax(1)[:, 1]
    return (p[y == 0].mean() - p[y > 0].mean()) ** 2


def broken(value):
    fnet, X, y, net = fnet_of("mlp", batch_size=3)
    U = ask(fnet, Utility(), X, y)
    with torch.no_grad():
        net.module_[2].bias[0] = value
    return fnet, U, X, y


def losses_of(net, X, y):
    fnet = FunctionalNet(net)
    Xb, yb = next(fnet.batches(X, y))
    return fnet.losses(forward(fnet, Xb), Xb, yb).numpy()
