"""Whatever a forward does, scores are those of plain autograd row by row, or an error says why."""

import numpy as np
import pytest
import torch
from core_cases import flat, random_directions
from torch import nn
from zoo import assert_close, initialized, loop_gradients, rows_for

from skinfluence._core.gradients import forward, row_gradients
from skinfluence._core.influence import member_scores, row_scores
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
