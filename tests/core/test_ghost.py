"""Norms and inner products from factors equal those of the gradients themselves."""

import numpy as np
import pytest
import torch
from core_cases import ghost_of
from torch import nn
from zoo import MODULES, initialized, loop_gradients, make, rows_for

from skinfluence._core import factors as factors_module
from skinfluence._core.factors import products, square_norms
from skinfluence._core.ghost import Ghost
from skinfluence._core.gradients import forward
from skinfluence._core.net import FunctionalNet
from skinfluence._core.selfcheck import check_gradients
from skinfluence._core.tensors import slice_rows

# The gradients agree up to rounding (see test_gradients), and so do their squares.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}

each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
each_net = pytest.mark.parametrize("name", MODULES)


def assert_close(got, want, dtype=torch.float64):
    atol = TOLERANCE[dtype] * np.abs(want).max()
    np.testing.assert_allclose(got.double().numpy(), want, rtol=0, atol=atol)


@each_dtype
@each_net
def test_square_norms_are_those_of_the_loop(name, dtype):
    net, X, y = make(name, dtype)
    ghost, Xb, G = ghost_of(net, X, y)
    assert_close(ghost.square_norms(Xb, G), (loop_gradients(net, X, y) ** 2).sum(1), dtype)


@each_dtype
@each_net
def test_gram_is_that_of_the_loop(name, dtype):
    net, X, y = make(name, dtype)
    ghost, Xb, G = ghost_of(net, X, y)
    rows = loop_gradients(net, X, y)
    left, right = slice(0, 3), slice(2, 7)
    got = products(*(ghost.factors(slice_rows(Xb, part), G[part]) for part in (left, right)))
    assert_close(got, rows[left] @ rows[right].T, dtype)


@each_net
def test_pieces_give_the_same_norms(name, monkeypatch):
    net, X, y = make(name)
    ghost, Xb, G = ghost_of(net, X, y)
    monkeypatch.setattr(factors_module, "_MAX_NUMBERS", 1)  # one row at a time
    assert_close(ghost.square_norms(Xb, G), (loop_gradients(net, X, y) ** 2).sum(1))


@each_net
def test_pieces_give_the_same_gram(name, monkeypatch):
    net, X, y = make(name)
    ghost, Xb, G = ghost_of(net, X, y)
    monkeypatch.setattr(factors_module, "_MAX_NUMBERS", 1)
    rows = loop_gradients(net, X, y)
    factors = ghost.factors(Xb, G)
    assert_close(products(factors, factors), rows @ rows.T)
    assert_close(square_norms(factors), (rows**2).sum(1))


@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "in pieces"])
@each_dtype
@each_net
def test_products_with_several_directions_are_those_of_the_loop(name, dtype, pieces, monkeypatch):
    net, X, y = make(name, dtype)
    ghost, Xb, G = ghost_of(net, X, y)
    if pieces:
        monkeypatch.setattr(factors_module, "_MAX_NUMBERS", 1)
    rows = loop_gradients(net, X, y)
    generator = torch.Generator().manual_seed(0)
    U = {
        n: torch.randn(5, *p.shape, generator=generator, dtype=dtype)
        for n, p in ghost.fnet.params.items()
    }
    along = rows @ np.concatenate([u.double().reshape(len(u), -1).numpy() for u in U.values()], 1).T
    yb = torch.as_tensor(y)
    assert_close(ghost.inner(Xb, G, U), along, dtype)
    assert_close(ghost.inner(Xb, ghost.of_losses(Xb, yb), U), along, dtype)
    along /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert_close(ghost.inner(Xb, G, U, normalize=True), along, dtype)


# By a rule or row by row ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "by_vmap"),
    [
        ("mlp", set()),
        ("inplace relu", set()),
        ("batchnorm1d", set()),
        ("layernorm", set()),
        ("conv2d groups", set()),
        ("conv2d circular", set()),
        ("conv1d", set()),
        ("residual batchnorm2d", set()),
        ("embedding", set()),
        ("linear over time", set()),
        ("frozen first layer", set()),
        ("groupnorm", {"1.weight", "1.bias"}),
        ("weight used elsewhere", {"a.weight"}),
        ("tied", {"embed.weight"}),
        (
            "lstm",
            {"layer.weight_ih_l0", "layer.weight_hh_l0", "layer.bias_ih_l0", "layer.bias_hh_l0"},
        ),
        ("weight norm", {f"0.parametrizations.weight.original{k}" for k in (0, 1)}),
        (
            "attention",
            {
                f"layer.attention.{n}"
                for n in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
            },
        ),
    ],
)
def test_only_parameters_without_a_correct_rule_are_done_row_by_row(name, by_vmap):
    assert set(ghost_of(*make(name))[0].by_vmap) == by_vmap


class TimeFirst(nn.Module):
    """Inside, rows are the second axis."""

    def __init__(self):
        super().__init__()
        self.inside, self.head = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, X):
        return self.head(torch.tanh(self.inside(X.transpose(0, 1))).mean(0))


# 4 is the number of rows that a rule is checked on, 7 the number of rows in the batch.
@pytest.mark.parametrize("steps", [1, 4, 7])
def test_a_layer_with_time_as_the_first_axis_is_done_row_by_row(steps):
    rng = np.random.RandomState(0)
    X, y = rng.randn(7, steps, 6), rng.randint(0, 3, 7)
    net = initialized(TimeFirst())
    ghost, Xb, G = ghost_of(net, X, y)
    assert set(ghost.by_vmap) == {"inside.weight", "inside.bias"}
    assert_close(ghost.square_norms(Xb, G), (loop_gradients(net, X, y) ** 2).sum(1))


class Cut(nn.Module):
    """A layer that no gradient reaches, and one that is never called."""

    def __init__(self):
        super().__init__()
        self.cut, self.idle, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, X):
        return self.head(X + self.cut(X).detach())


def test_layers_without_a_gradient_add_0():
    X, y = rows_for("mlp")
    net = initialized(Cut())
    ghost, Xb, G = ghost_of(net, X, y)
    assert_close(ghost.square_norms(Xb, G), (loop_gradients(net, X, y) ** 2).sum(1))


class Reused(nn.Module):
    def __init__(self, embed):
        super().__init__()
        self.embed = nn.Embedding(11, 6) if embed else None
        self.norm, self.mix, self.head = nn.LayerNorm(6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, X):
        h = X if self.embed is None else self.embed(X) + self.embed(10 - X)
        for _ in range(3):
            h = torch.tanh(self.mix(self.norm(h)))
        return self.head(h.mean(1))


@pytest.mark.parametrize("embed", [False, True])
def test_the_calls_of_a_reused_layer_are_summed(embed):
    X, y = rows_for("embedding" if embed else "linear over time")
    net = initialized(Reused(embed))
    ghost, Xb, G = ghost_of(net, X, y)
    assert not ghost.by_vmap
    assert_close(ghost.square_norms(Xb, G), (loop_gradients(net, X, y) ** 2).sum(1))


@pytest.mark.parametrize("parameters", ["0.*", "*.bias", "2.weight"])
def test_only_the_chosen_parameters_count(parameters):
    net, X, y = make("mlp")
    ghost, Xb, G = ghost_of(net, X, y, parameters)
    chosen = FunctionalNet(net, parameters).params
    for name, p in net.module_.named_parameters():
        p.requires_grad_(name in chosen)
    assert_close(ghost.square_norms(Xb, G), (loop_gradients(net, X, y) ** 2).sum(1))


def test_the_batchnorm_statistics_of_a_checkpoint_are_used():
    net, X, y = make("batchnorm1d")
    state = {n: t.clone() for n, t in net.module_.state_dict().items()}
    state["1.running_mean"] += 1
    fnet = FunctionalNet(net).at(state)
    Xb, yb = next(fnet.batches(X, y))
    G = fnet.cotangents(forward(fnet, Xb), Xb, yb)
    got = Ghost(fnet, Xb).square_norms(Xb, G)
    net.module_.load_state_dict(state)
    assert_close(got, (loop_gradients(net, X, y) ** 2).sum(1))


def test_one_row_is_enough():
    net, X, y = make("mlp")
    ghost, Xb, G = ghost_of(net, X[:1], y[:1])
    assert not ghost.by_vmap
    assert_close(ghost.square_norms(Xb, G), (loop_gradients(net, X[:1], y[:1]) ** 2).sum(1))


def test_rows_with_a_gradient_of_zero_have_norm_zero():
    net, X, y = make("mlp")
    ghost, Xb, G = ghost_of(net, X, y)
    assert not ghost.square_norms(Xb, torch.zeros_like(G)).any()


class ByKeyword(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 4, padding_idx=0), nn.Linear(16, 3)

    def forward(self, X):
        return self.head(input=self.embed(input=X).flatten(1))


class TwoNames(nn.Module):
    """One layer under two names, next to a weight that two layers share."""

    def __init__(self):
        super().__init__()
        self.a, self.c, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.b, self.c.weight = self.a, self.a.weight

    def forward(self, X):
        return self.head(torch.tanh(self.c(torch.tanh(self.b(torch.tanh(self.a(X)))))))


def repeated():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(5, 3))


@pytest.mark.parametrize(
    ("module", "rows"), [(ByKeyword, "embedding"), (TwoNames, "mlp"), (repeated, "mlp")]
)
def test_calls_by_keyword_and_modules_with_two_names_have_the_gradients_of_the_loop(module, rows):
    X, y = rows_for(rows, n=20)
    net = initialized(module())
    check_gradients(FunctionalNet(net), X, y)
    ghost, Xb, G = ghost_of(net, X, y)
    forward(ghost.fnet.at(net.module_.state_dict()), Xb)
    assert_close(ghost.square_norms(Xb, G), (loop_gradients(net, X, y) ** 2).sum(1))
    own = dict(ghost.fnet.shell.named_parameters())
    assert all(own[n] is p for n, p in net.module_.named_parameters())
