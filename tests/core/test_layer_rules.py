"""A registered rule is used, unless it gives wrong gradients."""

import numpy as np
import pytest
import torch
from core_cases import ghost_of, random_directions
from torch import nn
from zoo import assert_close, initialized, loop_gradients, make, rows_for

from skinfluence._core import ghost as ghost_module
from skinfluence._core import layer_rules
from skinfluence._core.factors import Dense
from skinfluence._core.gradients import pushforward


class Scale(nn.Module):
    """A custom layer, whose parameter is named neither weight nor bias."""

    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, X):
        return X * self.scale


def test_a_rule_registered_for_a_new_layer_is_used():
    X, y = rows_for("mlp")
    net = initialized(nn.Sequential(nn.Linear(5, 4), Scale(4), nn.Linear(4, 3)))
    assert ghost_of(net, X, y)[0].by_vmap == ["1.scale"]

    @layer_rules.layer_factors.register
    def _(layer: Scale, a: torch.Tensor, d: torch.Tensor):
        return {"scale": Dense(a * d)}

    ghost, Xb, G = ghost_of(net, X, y)
    assert not ghost.by_vmap
    assert_close(ghost.square_norms(Xb, G), (loop_gradients(net, X, y) ** 2).sum(1))


def test_a_rule_that_gives_wrong_gradients_is_not_used(monkeypatch):
    net, X, y = make("mlp")
    correct_rule = layer_rules.layer_factors.dispatch(nn.Linear)

    def halved(layer, a, d):
        return correct_rule(layer, a / 2, d)

    monkeypatch.setattr(ghost_module, "layer_factors", halved)
    ghost, Xb, G = ghost_of(net, X, y)
    assert set(ghost.by_vmap) == {"0.weight", "2.weight"}
    assert_close(ghost.square_norms(Xb, G), (loop_gradients(net, X, y) ** 2).sum(1))


def test_batchnorm_without_running_statistics_has_no_rule():
    assert layer_rules.has_rule(nn.BatchNorm1d(4))
    assert not layer_rules.has_rule(nn.BatchNorm1d(4, track_running_stats=False))


def test_padding_has_no_gradient():
    net, X, y = make("embedding")
    X[:, 1] = 0  # the padding index
    ghost, Xb, G = ghost_of(net, X, y)
    assert "embed.weight" in ghost.trusted
    embedded = ghost.factors(Xb, G)["embed.weight"].dense()
    assert not embedded[:, 0].any()
    assert embedded[:, 1:].any()


def test_an_embedding_with_sparse_gradients_has_the_same_norms():
    def flat_sequence(**kwargs):
        return nn.Sequential(nn.Embedding(11, 3, **kwargs), nn.Flatten(), nn.Linear(12, 3))

    plain, sparse = flat_sequence(), flat_sequence(sparse=True)
    sparse.load_state_dict(plain.state_dict())
    X, y = rows_for("embedding")
    ghost, Xb, G = ghost_of(initialized(sparse), X, y)
    rows = loop_gradients(initialized(plain), X, y)
    assert_close(ghost.square_norms(Xb, G), (rows**2).sum(1))


class WithPositions(nn.Embedding):
    """Adds positions, also to padding."""

    def __init__(self):
        super().__init__(11, 3, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(4, 3))

    def forward(self, X):
        return super().forward(X) + self.positions


class WithAdapter(nn.Embedding):
    """Adds a low-rank adapter, in which padding has a gradient."""

    def __init__(self):
        super().__init__(11, 3, padding_idx=0)
        self.A, self.B = nn.Parameter(torch.randn(11, 2)), nn.Parameter(torch.randn(2, 3))

    def forward(self, X):
        return super().forward(X) + self.A[X] @ self.B


class Functional(nn.Embedding):
    """Calls the functions of torch itself."""

    def __init__(self):
        super().__init__(11, 3)

    def forward(self, X):
        found = nn.functional.embedding(X, self.weight, padding_idx=-11)
        return found + torch.embedding(self.weight, X, 1)


class RareDifferently(nn.Linear):
    """Doubles its output for rare rows: the first rows do not show it."""

    def __init__(self):
        super().__init__(5, 3)

    def forward(self, X):
        return super().forward(X) * (1 + (X[:, :1] > 1.2))


class HookedRare(nn.Linear):
    def __init__(self):
        super().__init__(5, 3)
        self.register_forward_hook(lambda layer, inputs, f: f * (1 + (inputs[0][:, :1] > 1.2)))


@pytest.mark.parametrize(
    "layer", [WithPositions, WithAdapter, Functional, RareDifferently, HookedRare]
)
def test_layers_that_add_to_a_known_layer_have_the_gradients_of_the_loop(layer):
    is_linear = issubclass(layer, nn.Linear)
    X, y = rows_for("mlp" if is_linear else "embedding", n=60)
    if is_linear:
        X = X[np.argsort(X[:, 0])]
    else:
        X[:10] = X[:10].clip(2)  # no padding where the rules are tested
    torch.manual_seed(0)
    head = nn.Linear(3, 3) if is_linear else nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    net = initialized(nn.Sequential(layer(), head))
    ghost, Xb, G = ghost_of(net, X, y)
    rows = loop_gradients(net, X, y)
    assert_close(ghost.square_norms(Xb, G), (rows**2).sum(1))
    U = random_directions(ghost.fnet, 2)
    flat = torch.cat([u.reshape(len(u), -1) for u in U.values()], 1).numpy()
    _, t = pushforward(ghost.fnet, Xb, U)
    assert_close((t * G).sum(2).T, rows @ flat.T)


def test_a_subclass_with_the_same_forward_keeps_its_rule():
    class Named(nn.Linear):
        """Has a name of its own only."""

    assert layer_rules.has_rule(Named(5, 3))
    assert not layer_rules.has_rule(RareDifferently())
