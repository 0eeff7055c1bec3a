"""Whatever a forward does, scores are those of plain autograd row by row, or an error says why."""

import warnings

import numpy as np
import pytest
import torch
from core_cases import flat, random_directions
from torch import nn
from torch.utils.checkpoint import checkpoint
from zoo import assert_close, initialized, loop_gradients, rows_for

from skinfluence._core.gradients import forward, ggnvp, hvp, row_gradients
from skinfluence._core.influence import label_scores, member_scores, row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import self_influences
from skinfluence._core.selfcheck import check_gradients

F = nn.functional


class Own(nn.Module):
    """Layers, and a function of them and of the rows."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        self.a, self.b, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.scale = nn.Parameter(torch.rand(5))
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, X):
        return self.function(self, X)


def net_of(function, **layers):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return initialized(Own(function, **layers))


def assert_scores_of_the_loop(net, X, y):
    """Every engine gives the numbers of one backward pass per row, and X is not changed."""
    before = X.copy()
    g = loop_gradients(net, X.copy(), y)
    check_gradients(FunctionalNet(net), X, y)
    for number in (1, 3):
        fnet = FunctionalNet(net)
        U = random_directions(fnet, number)
        products = (g @ flat(U).T).min(1)
        assert_close(row_scores(fnet, U, X, y), products)
        norms = np.linalg.norm(g, axis=1)
        assert_close(row_scores(fnet, U, X, y, normalize=True), products / norms)
    fnet = FunctionalNet(net)
    assert_close(self_influences(fnet, X, y), (g**2).sum(1))
    Xb, yb = next(fnet.batches(X, y))
    G = fnet.cotangents(forward(fnet, Xb), Xb, yb)
    assert_close(flat(row_gradients(fnet, Xb, G)), g)
    U = [random_directions(fnet, 1, seed) for seed in (0, 1)]
    members = member_scores(fnet, [net.module_.state_dict()] * 2, U, X, y)
    if members is not None:
        assert_close(members, np.stack([g @ flat(u)[0] for u in U]))
    np.testing.assert_array_equal(X, before)


# In-place changes -----------------------------------------------------------------------------


def adds(self, X):
    h = self.a(X)
    h += 1
    h.relu_()
    return self.head(h)


def masks(self, X):
    h = self.a(X)
    h.mul_(X > 0)
    h[:, 0] = 0
    return self.head(h)


def scales(self, X):
    h = self.a(X)
    h *= self.scale
    h[:, 1] += self.scale[0]
    return self.head(h)


def fills(self, X):
    out = torch.zeros_like(X)
    for i in range(5):
        out[:, i] = self.a(X)[:, i] * self.scale[i]
    return self.head(out.clamp_(min=-1))


def through_a_view(self, X):
    h = self.a(X)
    h.view(-1).tanh_()
    return self.head(h)


def zeroes_after_use(self, X):
    h = self.a(X)
    out = self.b(h + 0) + h
    h.zero_()
    return self.head(out)


def detaches(self, X):
    h = self.a(X)
    h.data.clamp_(-0.5, 0.5)
    return self.head(h)


def rounds_without_a_gradient(self, X):
    h = self.a(X)
    with torch.no_grad():
        h.round_()
    return self.head(h)


def divides_by_a_constant(self, X):
    h = self.a(X)
    with torch.no_grad():
        length = self.b(h).norm(dim=1, keepdim=True)
    return self.head(h / (1 + length))


def writes_into_the_rows(self, X):
    X += 1
    X.relu_()
    return self.head(self.a(X))


def convolution(self, X):
    h = self.layer(X)
    h += 1
    h[:, :, 0] = 0
    return self.head(h.relu_().mean(2))


def recurrent(self, X):
    h, (last, _) = self.layer(X)
    h.mul_(2)
    last += 1
    return self.head(h.mean(1) + last.relu_()[-1])


def embedded(self, X):
    h = self.layer(X)
    h.mul_((X != 3).unsqueeze(2))
    h += self.positions
    return self.head(h.relu_().mean(1))


IN_PLACE = {
    function.__name__: (function, "mlp", {})
    for function in (
        adds,
        masks,
        scales,
        fills,
        through_a_view,
        zeroes_after_use,
        detaches,
        rounds_without_a_gradient,
        divides_by_a_constant,
        writes_into_the_rows,
    )
} | {
    "frozen": (adds, "mlp", {"a": nn.Linear(5, 5).requires_grad_(False)}),
    "convolution": (convolution, "conv1d", {"layer": nn.Conv1d(4, 5, 3)}),
    "recurrent": (recurrent, "lstm", {"layer": nn.LSTM(6, 5, batch_first=True)}),
    "embedded": (
        embedded,
        "embedding",
        {
            "layer": nn.Embedding(11, 5, padding_idx=0),
            "positions": nn.Parameter(torch.linspace(-1, 1, 20).reshape(4, 5)),
        },
    ),
}


@pytest.mark.parametrize("case", IN_PLACE)
def test_changes_in_place(case):
    function, rows, layers = IN_PLACE[case]
    assert_scores_of_the_loop(net_of(function, **layers), *rows_for(rows))


def test_activations_in_place():
    module = nn.Sequential(
        nn.ReLU(inplace=True),
        nn.Linear(5, 5),
        nn.SiLU(inplace=True),
        nn.Dropout(0.5, inplace=True),
        nn.Linear(5, 3),
        nn.LeakyReLU(inplace=True),
    )
    assert_scores_of_the_loop(initialized(module), *rows_for("mlp"))


# Lookups without a layer ----------------------------------------------------------------------


def table(function):
    return lambda self, X: self.head(function(X, self.table).flatten(1))


LOOKUPS = {
    "padding": table(lambda X, table: F.embedding(X, table, padding_idx=3)),
    "from the end": table(lambda X, table: F.embedding(X, table, padding_idx=-8)),
    "by keyword": table(lambda X, table: F.embedding(input=X, weight=table, padding_idx=3)),
    "of torch": table(lambda X, table: torch.embedding(table, X, 3)),
    "of torch by keyword": table(lambda X, table: torch.embedding(table, X, padding_idx=3)),
    "without padding": table(lambda X, table: torch.embedding(table, X)),
    "bags": lambda self, X: self.bags(F.embedding_bag(X, self.table, padding_idx=3)),
}


@pytest.mark.parametrize("case", LOOKUPS)
def test_functional_lookups(case):
    weight = nn.Parameter(torch.linspace(-1, 1, 44).sin().reshape(11, 4))
    net = net_of(LOOKUPS[case], table=weight, head=nn.Linear(16, 3), bags=nn.Linear(4, 3))
    assert_scores_of_the_loop(net, *rows_for("embedding"))


# Derivatives and checkpoints inside forward ---------------------------------------------------


def differentiates(self, X):
    with torch.enable_grad():
        X = X.detach().requires_grad_()
        u = self.b(torch.tanh(self.a(X)))
        slopes = torch.autograd.grad(u.sum(), X, create_graph=True)[0]
    return self.head(slopes + u)


def differentiates_twice(self, X):
    X.requires_grad_()
    u = self.b(torch.tanh(self.a(X)))
    slopes = torch.autograd.grad(u, X, torch.ones_like(u), create_graph=True)[0]
    curvatures = torch.autograd.grad(slopes[:, 0].sum(), X, create_graph=True)[0]
    return self.head(slopes * curvatures)


def jacobian(self, X):
    J = torch.vmap(torch.func.jacrev(lambda x: torch.tanh(self.a(x))))(X)
    return self.head(J.sum(2))


def checkpoints(self, X):
    return self.head(checkpoint(lambda h: torch.tanh(self.b(h)), self.a(X), use_reentrant=False))


@pytest.mark.parametrize("function", [differentiates, differentiates_twice, jacobian, checkpoints])
def test_derivatives_inside_forward(function):
    assert_scores_of_the_loop(net_of(function), *rows_for("mlp"))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
@pytest.mark.parametrize("first", [lambda self, X: self.a(X), lambda self, X: X.requires_grad_()])
def test_reentrant_checkpoints_are_refused(first):
    def reenters(self, X):
        return self.head(checkpoint(self.b, first(self, X), use_reentrant=True))

    with pytest.raises(ValueError, match=r"use_reentrant=True.* Pass use_reentrant=False"):
        check_gradients(FunctionalNet(net_of(reenters)), *rows_for("mlp"))


# Operations without some derivative -----------------------------------------------------------


def distances(self, X):
    return -torch.cdist(self.a(X), self.centers)


def distances_of_weights(self, X):
    return self.head(self.b(X)[:, :3] @ torch.cdist(self.centers, self.centers + 1) @ self.centers)


def between_columns(self, X):
    points = torch.tanh(self.a(X)).reshape(-1, 5, 1)
    return self.head(torch.stack([F.pdist(row)[:5] for row in points]))


def segments(self, X):
    h = self.a(X)
    one = torch.ones(len(X), dtype=torch.long)
    return self.head(torch.segment_reduce(h, "sum", lengths=one))


def samples_a_grid(self, X):
    h = torch.tanh(self.a(X))
    places = torch.stack([h, h], 2).unsqueeze(1)
    return self.head(F.grid_sample(X[:, None, None], places, align_corners=False).flatten(1))


@pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:torch has neither:RuntimeWarning")
@pytest.mark.parametrize(
    "function", [distances, distances_of_weights, between_columns, segments, samples_a_grid]
)
def test_operations_without_a_forward_mode_or_second_derivative(function):
    centers = nn.Parameter(torch.linspace(-2, 2, 15).sin().reshape(3, 5))
    assert_scores_of_the_loop(net_of(function, centers=centers), *rows_for("mlp"))


def test_the_warning_names_the_operation_and_comes_once(recwarn):
    warnings.simplefilter("always")
    net, (X, y) = net_of(between_columns), rows_for("mlp")
    check_gradients(FunctionalNet(net), X, y)
    row_scores(FunctionalNet(net), random_directions(FunctionalNet(net), 1), X, y)
    (warning,) = recwarn
    assert "neither a forward-mode nor a second derivative" in str(warning.message)
    assert "_pdist_backward" in str(warning.message)


@pytest.mark.filterwarnings("ignore:torch has neither:RuntimeWarning")
def test_label_scores_need_no_second_derivative():
    net, (X, y) = net_of(between_columns), rows_for("mlp")
    fnet = FunctionalNet(net)
    U = random_directions(fnet, 2)
    want = [(loop_gradients(net, X, np.full(len(y), c)) @ flat(U).T).min(1) for c in range(3)]
    assert_close(label_scores(fnet, U, X, np.arange(3)), np.stack(want, 1))


@pytest.mark.filterwarnings("ignore:torch has neither:RuntimeWarning")
def test_a_curvature_without_second_derivatives_is_refused_or_right():
    net, (X, y) = net_of(between_columns), rows_for("mlp")
    fnet = FunctionalNet(net)
    u = {name: value[0] for name, value in random_directions(fnet, 1).items()}
    with pytest.raises(ValueError, match=r"needs second derivatives, but .*_pdist_backward"):
        hvp(fnet, fnet.batches(X, y), u)
    got = ggnvp(fnet, fnet.batches(X, y), u)
    v, want = flat({name: value.unsqueeze(0) for name, value in u.items()})[0], 0
    for i in range(len(y)):
        J = np.stack([_gradient_of_output(net, X[i : i + 1], k) for k in range(3)])
        p = torch.softmax(forward(fnet, torch.as_tensor(X[i : i + 1])), 1)[0].numpy()
        want = want + J.T @ ((np.diag(p) - np.outer(p, p)) @ (J @ v)) / len(y)
    assert_close(flat({name: value.unsqueeze(0) for name, value in got.items()})[0], want)


def _gradient_of_output(net, x, k):
    return loop_gradients(net, x, np.zeros(1, int), loss=lambda f, y: f[0, k])[0]
