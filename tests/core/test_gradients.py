"""Each way to differentiate gives the numbers of one backward pass per row."""

import numpy as np
import pytest
import torch
from core_cases import random_directions
from torch import nn
from zoo import MODULES, initialized, loop_gradients, make, rows_for

from skinfluence._core import gradients
from skinfluence._core.gradients import (
    forward,
    hvp,
    pullback,
    pushforward,
    pushforward_members,
    row_gradients,
)
from skinfluence._core.net import FunctionalNet

# Both sides sum the same terms in another order: a few hundred roundings at most.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
NO_FORWARD_RULE = {"weight norm"}

each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
each_net = pytest.mark.parametrize("name", MODULES)


@pytest.fixture(autouse=True)
def _forward_mode_is_loaded():
    gradients._load_forward_mode()


def batch_of(net, X, y):
    """A FunctionalNet, its one batch of rows, their cotangents."""
    fnet = FunctionalNet(net)
    Xb, yb = next(fnet.batches(X, y))
    return fnet, Xb, fnet.cotangents(forward(fnet, Xb), Xb, yb)


def flat(gradient, start=0):
    parts = [g.reshape(*g.shape[:start], -1) for g in gradient.values()]
    return torch.cat(parts, start).double().numpy()


def scores(t, G):
    """<G_i, t_i> for each direction, (n, d)."""
    return (t.double() * G.double()).reshape(*t.shape[:2], -1).sum(2).T.numpy()


def assert_close(got, want, dtype):
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE[dtype] * np.abs(want).max())


@each_dtype
@each_net
def test_pullback_is_the_sum_of_the_loop(name, dtype):
    net, X, y = make(name, dtype)
    assert_close(flat(pullback(*batch_of(net, X, y))), loop_gradients(net, X, y).sum(0), dtype)


@each_dtype
@each_net
def test_row_gradients_are_those_of_the_loop(name, dtype):
    net, X, y = make(name, dtype)
    assert_close(flat(row_gradients(*batch_of(net, X, y)), 1), loop_gradients(net, X, y), dtype)


@each_dtype
@pytest.mark.parametrize("engine", ["_forward_mode", "_forward_mode_one_by_one"])
@pytest.mark.parametrize("name", [name for name in MODULES if name not in NO_FORWARD_RULE])
def test_forward_mode_gives_the_inner_products_of_the_loop(name, engine, dtype):
    net, X, y = make(name, dtype)
    fnet, Xb, G = batch_of(net, X, y)
    U = random_directions(fnet, 3)
    _, t = getattr(gradients, engine)(fnet, Xb, U)
    assert_close(scores(t, G), loop_gradients(net, X, y) @ flat(U, 1).T, dtype)


@each_dtype
@each_net
def test_double_backward_gives_the_inner_products_of_the_loop(name, dtype):
    net, X, y = make(name, dtype)
    fnet, Xb, G = batch_of(net, X, y)
    U = random_directions(fnet, 3)
    _, t = gradients._double_backward(fnet, Xb, U)
    assert_close(scores(t, G), loop_gradients(net, X, y) @ flat(U, 1).T, dtype)


@pytest.mark.parametrize("parameters", ["*", "*weight"])
@pytest.mark.parametrize("name", [name for name in MODULES if name not in NO_FORWARD_RULE])
def test_members_in_one_pass_give_the_same_as_one_by_one(name, parameters):
    net, X, _ = make(name)
    fnet, X = FunctionalNet(net, parameters), torch.as_tensor(X)
    generator = torch.Generator().manual_seed(0)
    states = [
        {
            n: t if t.dtype == torch.int64 else t + 0.1 * torch.rand(t.shape, generator=generator)
            for n, t in net.module_.state_dict().items()
        }
        for _ in range(3)
    ]
    U = [random_directions(fnet, 2, seed) for seed in range(3)]
    every = {n: torch.stack([u[n] for u in U]) for n in fnet.params}
    f, t = pushforward_members(fnet, X, fnet.stacked(states), every)
    alone = [pushforward(fnet.at(state), X, u) for state, u in zip(states, U, strict=True)]
    torch.testing.assert_close(f, torch.stack([f for f, _ in alone]), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(t, torch.stack([t for _, t in alone]), rtol=1e-10, atol=1e-12)


@each_net
@pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning")
def test_several_directions_in_one_pass_give_the_same_as_one_by_one(name):
    net, X, y = make(name)
    fnet, Xb, _ = batch_of(net, X, y)
    U = random_directions(fnet, 3)
    _, t = pushforward(fnet, Xb, U)
    one_by_one = [pushforward(fnet, Xb, {n: u[k : k + 1] for n, u in U.items()}) for k in range(3)]
    torch.testing.assert_close(t, torch.cat([t for _, t in one_by_one]), rtol=1e-10, atol=1e-12)


@each_net
@pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning")
def test_pushforward_also_returns_the_outputs(name):
    net, X, y = make(name)
    fnet, Xb, _ = batch_of(net, X, y)
    f, _ = pushforward(fnet, Xb, random_directions(fnet, 2))
    torch.testing.assert_close(f, forward(fnet, Xb), rtol=1e-12, atol=1e-12)


def test_a_shared_embedding_with_padding_has_the_tangents_of_the_loop():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(11, 4, padding_idx=0), nn.Linear(4, 11)
            self.head.weight = self.embed.weight

        def forward(self, X):
            return self.head(torch.tanh(self.embed(X)).mean(1))

    X, y = rows_for("embedding")
    assert (X == 0).any()
    net = initialized(Shared())
    fnet, Xb, G = batch_of(net, X, y)
    U = random_directions(fnet, 2)
    _, t = pushforward(fnet, Xb, U)
    assert_close(scores(t, G), loop_gradients(net, X, y) @ flat(U, 1).T, torch.float64)


def test_with_scale_grad_by_freq_a_gradient_does_not_depend_on_its_batch():
    plain = nn.Sequential(nn.Embedding(11, 3), nn.Flatten(), nn.Linear(12, 3))
    scaled = nn.Sequential(
        nn.Embedding(11, 3, scale_grad_by_freq=True), nn.Flatten(), nn.Linear(12, 3)
    )
    scaled.load_state_dict(plain.state_dict())
    X, y = rows_for("embedding")
    want = loop_gradients(initialized(plain), X, y)
    assert_close(flat(pullback(*batch_of(initialized(scaled), X, y))), want.sum(0), torch.float64)


# Without a rule for forward mode --------------------------------------------------------------


class _Cube(torch.autograd.Function):
    """x³ with a backward that can be differentiated, and no forward-mode rule."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        return 3 * ctx.saved_tensors[0] ** 2 * grad


class Cubed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, X):
        return self.head(_Cube.apply(self.body(X)))


def without_rule(kind):
    if kind == "weight norm":
        return make(kind)
    X, y = rows_for("mlp")
    return initialized(Cubed()), X, y


each_gap = pytest.mark.parametrize("kind", ["weight norm", "autograd.Function"])


@each_gap
@pytest.mark.parametrize("number", [1, 3])
def test_without_a_forward_mode_rule_the_fallback_is_exact(kind, number):
    net, X, y = without_rule(kind)
    fnet, Xb, G = batch_of(net, X, y)
    U = random_directions(fnet, number)
    with pytest.warns(RuntimeWarning, match="no forward-mode derivative"):
        _, t = pushforward(fnet, Xb, U)
    assert_close(scores(t, G), loop_gradients(net, X, y) @ flat(U, 1).T, torch.float64)


@each_gap
def test_the_fallback_warns_once_per_net(kind, recwarn):
    net, X, y = without_rule(kind)
    fnet, Xb, _ = batch_of(net, X, y)
    U = random_directions(fnet, 2)
    with pytest.warns(RuntimeWarning, match="no forward-mode derivative"):
        pushforward(fnet, Xb, U)
    pushforward(fnet, Xb, U)
    pushforward(fnet.at(net.module_.state_dict()), Xb, U)
    assert not recwarn.list


@each_gap
def test_row_gradients_need_no_forward_mode_rule(kind):
    net, X, y = without_rule(kind)
    assert_close(
        flat(row_gradients(*batch_of(net, X, y)), 1), loop_gradients(net, X, y), torch.float64
    )


def test_row_gradients_allow_control_flow_that_depends_on_the_data():
    class Branches(nn.Linear):
        def forward(self, X):
            if not bool(torch.isfinite(X).all()):
                raise ValueError
            return super().forward(X)

    X, y = rows_for("mlp")
    net = initialized(Branches(5, 3))
    assert_close(
        flat(row_gradients(*batch_of(net, X, y)), 1), loop_gradients(net, X, y), torch.float64
    )


def test_an_error_of_the_module_itself_is_not_hidden_by_the_fallback():
    net, _, _ = make("mlp")
    fnet = FunctionalNet(net)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        pushforward(fnet, torch.zeros(2, 3, dtype=torch.float64), random_directions(fnet, 1))


# Curvature ------------------------------------------------------------------------------------


def dense_hessian(fnet, X, y):
    """Hessian of the mean loss by differentiating a flat vector of parameters twice."""
    names = list(fnet.params)
    sizes = [fnet.params[n].numel() for n in names]

    def mean_loss(theta):
        params = {
            n: part.view_as(fnet.params[n])
            for n, part in zip(names, theta.split(sizes), strict=True)
        }
        Xb, yb = torch.as_tensor(X), torch.as_tensor(y)
        return fnet.losses(fnet.outputs(params, Xb), Xb, yb).mean()

    theta = torch.cat([fnet.params[n].flatten() for n in names])
    return torch.autograd.functional.hessian(mean_loss, theta).numpy()


@pytest.mark.parametrize("batch_size", [3, 128])
@pytest.mark.parametrize("name", ["mlp", "batchnorm1d", "frozen first layer", "lstm", "tied"])
def test_hvp_is_the_dense_hessian_times_a_vector(name, batch_size):
    net, X, y = make(name, batch_size=batch_size)
    fnet = FunctionalNet(net)
    u = {n: v[0] for n, v in random_directions(fnet, 1).items()}
    got = hvp(fnet, fnet.batches(X, y), u)
    assert_close(flat(got), dense_hessian(fnet, X, y) @ flat(u), torch.float64)


def test_hvp_of_a_linear_loss_is_zero():
    class Total(nn.Module):
        def forward(self, y_pred, y_true):
            return y_pred.sum(1)

    X, y = rows_for("mlp")
    fnet = FunctionalNet(initialized(nn.Linear(5, 3), criterion=Total))
    u = {n: v[0] for n, v in random_directions(fnet, 1).items()}
    assert not flat(hvp(fnet, fnet.batches(X, y), u)).any()
