"""A flag is off while a thread needs it; vmap does not warn of operations without a rule."""

import warnings

import torch
from core_cases import losses_of, random_directions
from torch import nn
from zoo import initialized, rows_for

from skinfluence._core.influence import row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.switches import VMAP_WARNINGS, Switch


def test_the_last_to_leave_restores_the_flag():
    flags = [True]
    switch = Switch(lambda: flags[-1], flags.append)
    with switch.off():
        with switch.off():
            assert not flags[-1]
        assert not flags[-1]
    assert flags == [True, False, True]


def test_vmap_warns_again_after_the_switch_and_not_inside(recwarn):
    warnings.simplefilter("always")

    def clamped():
        return torch.vmap(lambda t: t.clone().clamp_(0, 1))(torch.randn(3, 2))

    with VMAP_WARNINGS.off():
        clamped()
    assert not list(recwarn)
    clamped()
    assert "batching rule" in str(recwarn.pop(UserWarning).message)


def test_no_loss_and_no_net_shows_the_warning(recwarn):
    class Clamps(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, X):
            return self.b(self.a(X).clamp_(-1, 1))

    warnings.simplefilter("always")
    X, y = rows_for("mlp")
    net = initialized(Clamps())
    fnet = FunctionalNet(net)
    row_scores(fnet, random_directions(fnet, 3), X, y)
    losses_of(net, X, y)
    assert not list(recwarn)
