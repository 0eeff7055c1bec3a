"""A gate is one factor per unit, the same for all rows, at the place of dropout."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from zoo import MODULES, initialized, loop_gradients, make

from skinfluence._core.directions import Objective, directions
from skinfluence._core.gates import gate_of, gate_places
from skinfluence._core.gradients import forward
from skinfluence._core.influence import row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import pair_blocks, reference_pairs
from skinfluence.targets import Utility


class Times(nn.Module):
    """A fixed mask as a layer: the slow, obvious equivalent of a gate."""

    def __init__(self, mask, axis):
        super().__init__()
        self.mask, self.axis = mask, axis

    def forward(self, input):
        return input * (self.mask if self.axis == -1 else self.mask.reshape(-1, 1, 1))


def masked(module, masks):
    """A copy of the module with masks as layers: in place of dropout layers, or before others."""
    module = copy.deepcopy(module)
    every = list(module.named_modules(remove_duplicate=False))
    for name, mask in masks.items():
        old = module.get_submodule(name)
        new = Times(mask, 1 if isinstance(old, nn.Conv2d) else -1)
        if not isinstance(old, nn.Dropout):
            new = nn.Sequential(new, old)
        for path in (n for n, m in every if m is old):
            parent, _, last = path.rpartition(".")
            setattr(module.get_submodule(parent), last, new)
    return module


class Positions(nn.Module):
    """A net whose root module has a matrix in addition to its layers."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 5))
        self.a, self.b = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, X):
        return self.b(torch.relu(self.a(X + self.positions)))


class Grid(nn.Module):
    """Linear layers on the last of four axes."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, X):
        return self.b(torch.relu(self.a(X[:, None, None].expand(-1, 2, 3, -1)))).mean((1, 2))


class ByKeyword(nn.Module):
    """A net that names the inputs of its layers."""

    def __init__(self, drop=0.0):
        super().__init__()
        self.a, self.b = nn.Linear(5, 8), nn.Linear(8, 3)
        self.drop = nn.Dropout(drop) if drop else nn.ReLU()

    def forward(self, X):
        return self.b(input=self.drop(input=self.a(input=X)))


OWN = {
    "by keyword": ByKeyword,
    "dropout by keyword": lambda: ByKeyword(0.1),
    "only linear": lambda: nn.Linear(5, 3),
    "two dropouts": lambda: nn.Sequential(
        nn.Dropout(0.1), nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3)
    ),
    "one dropout for two widths": lambda: (
        lambda drop: nn.Sequential(nn.Linear(5, 8), drop, nn.Linear(8, 6), drop, nn.Linear(6, 3))
    )(nn.Dropout(0.1)),
    "one dropout for one width": lambda: (
        lambda drop: nn.Sequential(nn.Linear(5, 8), drop, nn.Linear(8, 8), drop, nn.Linear(8, 3))
    )(nn.Dropout(0.1)),
    "norm first": lambda: nn.Sequential(
        nn.BatchNorm1d(5), nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)
    ),
    "weight norm without bias": lambda: nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(5, 8, bias=False)), nn.Linear(8, 3)
    ),
    "matrix in the root": Positions,
    "four axes": Grid,
    "not called": lambda: nn.ModuleDict({"used": nn.Linear(5, 3), "idle": nn.Linear(3, 3)}),
}


def make_own(name, **params):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = OWN[name]()
    rng = np.random.RandomState(0)
    return initialized(module, **params), rng.randn(7, 5), rng.randint(0, 3, 7)


def made(name, **params):
    return make(name, **params) if name in MODULES else make_own(name, **params)


def gates_of(name):
    net, X, _ = made(name)
    fnet = FunctionalNet(net)
    return gate_places(fnet.shell, lambda: forward(fnet, torch.as_tensor(X)))


def random_masks(places):
    """Masks that drop some units and scale each other unit differently."""
    rng = np.random.RandomState(1)
    return {
        name: torch.as_tensor(rng.uniform(0.5, 2, width) * (rng.uniform(size=width) > 0.2))
        for name, width in places.items()
    }


def state_of(masks):
    return {gate_of(name): mask for name, mask in masks.items()}


def assert_close(got, want):
    got, want = (v.detach().numpy() if isinstance(v, torch.Tensor) else v for v in (got, want))
    # float64: the same terms, summed in another order
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-10 * np.abs(want).max())


# Where gates go


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("mlp", {"2": 8}),
        ("frozen first layer", {"2": 8}),
        ("weight norm", {"2": 8}),
        ("weight norm without bias", {"1": 8}),
        ("norm first", {"3": 8}),
        ("matrix in the root", {"b": 8}),
        ("by keyword", {"b": 8}),
        ("four axes", {"b": 6}),
        ("conv2d", {"4": 24}),
        ("residual batchnorm2d", {"0.conv2": 4, "2.conv1": 4, "2.conv2": 4, "5": 16}),
        ("conv1d", {"4": 12}),
        ("embedding", {"head": 6}),
        ("lstm", {"head": 5}),
        ("gru", {"head": 10}),
        ("attention", {"head": 6}),
        ("tied", {"mix": 6, "head": 6}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_net_without_dropout_is_gated_before_each_layer_except_the_first(name, places):
    assert gates_of(name) == places


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("dropout", {"1": 8}),
        ("two dropouts", {"0": 5, "3": 8}),
        ("one dropout for one width", {"1": 8}),
        ("dropout by keyword", {"drop": 8}),
        (
            "transformer encoder",
            {f"layer.layers.{k}.{d}": w for k in (0, 1)
             for d, w in [("dropout", 12), ("dropout1", 6), ("dropout2", 6)]},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_net_with_dropout_is_gated_at_its_dropout_layers(name, places):
    assert gates_of(name) == places


def test_a_dropout_layer_that_is_called_at_two_widths_is_not_gated():
    assert gates_of("one dropout for two widths") == {"2": 8, "4": 6}


def test_a_linear_model_is_not_gated():
    assert gates_of("only linear") == {}


def test_the_search_for_places_leaves_no_hook():
    net, X, _ = make("mlp")
    fnet = FunctionalNet(net)
    gate_places(fnet.shell, lambda: forward(fnet, torch.as_tensor(X)))
    assert not any(m._forward_pre_hooks for m in fnet.shell.modules())


def test_a_call_that_fails_leaves_no_hook():
    net, _, _ = make("mlp")
    fnet = FunctionalNet(net)

    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        gate_places(fnet.shell, fail)
    assert not any(m._forward_pre_hooks for m in fnet.shell.modules())


# What a gate does

GATED = [
    "mlp",
    "dropout",
    "two dropouts",
    "one dropout for one width",
    "inplace relu",
    "batchnorm1d",
    "weight norm",
    "matrix in the root",
    "by keyword",
    "dropout by keyword",
    "four axes",
    "conv2d",
    "residual batchnorm2d",
    "conv1d",
    "embedding",
    "linear over time",
    "lstm",
    "attention",
    "transformer encoder",
    "tied",
]


@pytest.mark.parametrize("name", GATED)
def test_outputs_at_gates_are_those_of_masks_as_layers(name):
    net, X, _ = made(name)
    masks = random_masks(gates_of(name))
    got = forward(FunctionalNet(net).at(state_of(masks)), torch.as_tensor(X))
    assert_close(got, masked(net.module_, masks).eval()(torch.as_tensor(X)))


# weight_norm has no rule for forward mode, which raises a warning
@pytest.mark.parametrize("name", [name for name in GATED if name != "weight norm"])
def test_scores_at_gates_are_those_of_a_loop_over_rows_at_the_same_masks(name):
    net, X, y = made(name, batch_size=3)
    masks = random_masks(gates_of(name))
    at = FunctionalNet(net).at(state_of(masks))
    rows = loop_gradients(SimpleNamespace(module_=masked(net.module_, masks)), X, y)
    U = directions(at, Objective(Utility(), X, y, True))
    assert_close(row_scores(at, U, X, y), rows @ rows.mean(0))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", GATED)
def test_pairs_at_gates_are_those_of_a_loop_over_rows_at_the_same_masks(name, normalize):
    net, X, y = made(name, batch_size=3)
    masks = random_masks(gates_of(name))
    at = FunctionalNet(net).at(state_of(masks))
    rows = loop_gradients(SimpleNamespace(module_=masked(net.module_, masks)), X, y)
    pairs = reference_pairs(at, Objective(Utility(), X[:4], y[:4], True))
    blocks = pair_blocks(at, pairs, X, y, normalize=normalize)
    got = np.concatenate([block for _, _, block in blocks])
    want = rows @ rows[:4].T / 4
    assert_close(got, want / np.linalg.norm(rows, axis=1, keepdims=True) if normalize else want)


@pytest.mark.parametrize("name", ["mlp", "dropout", "conv2d", "lstm"])
def test_open_gates_change_nothing(name):
    net, X, _ = make(name)
    fnet, X = FunctionalNet(net), torch.as_tensor(X)
    before = forward(fnet, X)
    ones = {n: torch.ones(w) for n, w in gates_of(name).items()}
    assert torch.equal(forward(fnet.at(state_of(ones)), X), before)


@pytest.mark.parametrize("name", ["mlp", "dropout"])
def test_one_state_does_not_gate_another(name):
    net, X, _ = make(name)
    fnet, X = FunctionalNet(net), torch.as_tensor(X)
    before, plain = forward(fnet, X), fnet.at({})
    masks = random_masks(gates_of(name))
    assert not torch.equal(forward(fnet.at(state_of(masks)), X), before)
    assert torch.equal(forward(fnet, X), before)
    assert torch.equal(forward(plain, X), before)
    assert torch.equal(forward(fnet.at({}), X), before)


def test_gates_of_the_same_layer_do_not_add_up():
    net, X, _ = make("mlp")
    fnet, X = FunctionalNet(net), torch.as_tensor(X)
    gate = {gate_of("2"): torch.arange(8.0)}
    once = forward(fnet.at(gate), X)
    fnet.at({gate_of("2"): torch.zeros(8)})
    assert torch.equal(forward(fnet.at(gate), X), once)


def test_a_gated_net_keeps_its_gates_after_another_state_is_derived_from_it():
    net, X, _ = make("mlp")
    fnet, X = FunctionalNet(net), torch.as_tensor(X)
    at = fnet.at({gate_of("2"): torch.arange(8.0)})
    before = forward(at, X)
    at.at({gate_of("2"): torch.zeros(8)})
    assert torch.equal(forward(at, X), before)


def test_a_module_that_is_a_single_layer_can_be_gated():
    net, X, _ = make_own("only linear")
    fnet, X = FunctionalNet(net), torch.as_tensor(X)
    masks = random_masks({"": 5})
    want = net.module_(X * masks[""])
    assert_close(forward(fnet.at(state_of(masks)), X), want)


@pytest.mark.parametrize("name", ["mlp", "dropout"])
def test_the_users_module_gets_neither_buffer_nor_hook(name):
    net, X, _ = make(name)
    before = {n: t.clone() for n, t in net.module_.state_dict().items()}
    fnet = FunctionalNet(net)
    forward(fnet.at(state_of(random_masks(gates_of(name)))), torch.as_tensor(X))
    after = net.module_.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[n], before[n]) for n in before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.module_.modules())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["mlp", "dropout"])
def test_a_gate_keeps_the_dtype_of_the_net(name, dtype):
    net, X, _ = make(name)
    net.module_.to(dtype)
    at = FunctionalNet(net).at({gate_of(n): torch.ones(8) for n in gates_of(name)})
    assert forward(at, torch.as_tensor(X).to(dtype)).dtype == dtype
