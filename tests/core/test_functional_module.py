"""Outputs are those of the user's module, at each state."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from core_cases import ask, flat, random_directions
from number_types import COMPLEX_MODULES, as_vectors, complex_net, inner_products, loop_of
from torch import nn
from zoo import MODULES, assert_close, initialized, make

from skinfluence._core import gradients
from skinfluence._core.directions import Objective
from skinfluence._core.gradients import forward
from skinfluence._core.influence import member_scores, row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import gradient_rows, pair_blocks, reference_pairs, self_influences
from skinfluence._core.projection import flat_rows
from skinfluence._core.selfcheck import check_gradients
from skinfluence.targets import Utility


def moved(net, seed):
    """A state of the net with other weights and statistics."""
    generator, module = torch.Generator().manual_seed(seed), copy.deepcopy(net.module_)
    with torch.no_grad():
        for t in [*module.parameters(), *module.buffers()]:  # tied weights move together
            if t.is_floating_point():
                t += 0.1 * torch.rand(t.shape, generator=generator).to(t)
            elif t.is_complex():
                t += 0.1 * torch.rand(t.shape, generator=generator, dtype=t.dtype)
    return module.state_dict()


def loaded(net, state):
    module = copy.deepcopy(net.module_)
    module.load_state_dict(state)
    return module.eval()


@pytest.mark.parametrize("name", MODULES)
def test_outputs_are_those_of_the_module_in_eval_mode(name):
    net, X, _ = make(name)
    with torch.no_grad():
        want = copy.deepcopy(net.module_).eval()(torch.as_tensor(X))
    fnet = FunctionalNet(net)
    torch.testing.assert_close(forward(fnet, torch.as_tensor(X)), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["mlp", "batchnorm1d", "residual batchnorm2d", "tied"])
def test_a_checkpoint_gives_the_outputs_at_its_time(name):
    net, X, _ = make(name)
    X = torch.as_tensor(X)
    state = {n: t.clone() for n, t in net.module_.state_dict().items()}
    want = forward(FunctionalNet(net), X)
    with torch.no_grad():
        for value in [*net.module_.parameters(), *net.module_.buffers()]:
            value.mul_(2)
    fnet = FunctionalNet(net)
    assert not torch.allclose(forward(fnet, X), want)
    torch.testing.assert_close(forward(fnet.at(state), X), want, rtol=1e-12, atol=1e-12)


def test_a_checkpoint_includes_its_batchnorm_statistics():
    net, _, _ = make("batchnorm1d")
    state = {n: t.clone() for n, t in net.module_.state_dict().items()}
    state["1.running_mean"] += 1
    X = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    fnet = FunctionalNet(net)
    changed = copy.deepcopy(net.module_).eval()
    changed.load_state_dict(state)
    torch.testing.assert_close(
        forward(fnet.at(state), X), changed(X).detach(), rtol=1e-12, atol=1e-12
    )


# Losses ---------------------------------------------------------------------------------------


def test_a_module_that_returns_a_tuple_is_refused():
    class Pair(nn.Linear):
        def forward(self, X):
            return super().forward(X), X

    net = initialized(Pair(5, 3))
    fnet = FunctionalNet(net)
    with pytest.raises(TypeError, match="returns a tuple, but a single tensor was expected"):
        forward(fnet, torch.zeros(2, 5, dtype=torch.float64))


# Batches --------------------------------------------------------------------------------------


# Other states ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_outputs_at_a_state_are_those_of_a_module_that_loaded_it(name):
    net, X, _ = make(name)
    state = moved(net, 1)
    with torch.no_grad():
        want = loaded(net, state)(torch.as_tensor(X))
    got = forward(FunctionalNet(net).at(state), torch.as_tensor(X))
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_a_state_of_some_weights_leaves_the_others():
    net, X, _ = make("mlp")
    at = FunctionalNet(net).at({"2.bias": torch.ones(3, dtype=torch.float64)})
    state = net.module_.state_dict() | {"2.bias": torch.ones(3, dtype=torch.float64)}
    with torch.no_grad():
        want = loaded(net, state)(torch.as_tensor(X))
    torch.testing.assert_close(forward(at, torch.as_tensor(X)), want, rtol=1e-12, atol=1e-12)


def test_the_chosen_parameters_have_the_values_of_the_state():
    net, *_ = make("mlp")
    state = moved(net, 1)
    at = FunctionalNet(net, "2.*").at(state)
    assert list(at.params) == ["2.weight", "2.bias"]
    assert all(torch.equal(at.params[name], state[name]) for name in at.params)


@pytest.mark.parametrize("name", ["batchnorm1d", "tied", "weight norm"])
def test_at_changes_neither_the_net_nor_the_state(name):
    net, X, _ = make(name)
    fnet, state = FunctionalNet(net), moved(net, 1)
    before, given = copy.deepcopy(net.module_.state_dict()), copy.deepcopy(state)
    own = forward(fnet, torch.as_tensor(X))
    forward(fnet.at(state), torch.as_tensor(X))
    assert torch.equal(forward(fnet, torch.as_tensor(X)), own)
    assert all(torch.equal(before[n], t) for n, t in net.module_.state_dict().items())
    assert all(torch.equal(given[n], t) for n, t in state.items())


@pytest.mark.parametrize("name", ["mlp", "batchnorm1d", "tied"])
def test_stacked_states_hold_the_values_of_each_state(name):
    net, *_ = make(name)
    fnet, states = FunctionalNet(net), [moved(net, seed) for seed in (1, 2, 3)]
    stacked = fnet.stacked(states)
    assert set(fnet.params) <= set(stacked)
    for n, value in stacked.items():
        assert torch.equal(value, torch.stack([state[n] for state in states]))


def test_stacked_states_hold_only_names_of_some_state():
    net, *_ = make("mlp")
    assert set(FunctionalNet(net).stacked([{}, {"2.bias": torch.ones(3)}])) == {"2.bias"}


def test_an_empty_state_is_stacked_as_the_net_itself():
    net, *_ = make("mlp")
    own = net.module_.state_dict()["2.bias"]
    other = own + 1
    stacked = FunctionalNet(net).stacked([{}, {"2.bias": other}])
    assert torch.equal(stacked["2.bias"], torch.stack([own, other]))


def test_stacked_states_without_gates_have_them_open():
    net, *_ = make("mlp")
    gate = {"2.influence_gate": torch.arange(8.0)}
    stacked = FunctionalNet(net).stacked([{}, gate])["2.influence_gate"]
    assert torch.equal(stacked, torch.stack([torch.ones(8), torch.arange(8.0)]))


# Outputs that are not probabilities ------------------------------------------------------------


# Complex parameters: every inner product of gradients is Re(conj(g) · h)


each_complex = pytest.mark.parametrize("kind", COMPLEX_MODULES)


@each_complex
def test_complex_parameters_appear_as_real_and_imaginary_parts(kind):
    net, X, _ = complex_net(kind)
    fnet = FunctionalNet(net)
    assert not any(p.is_complex() for p in fnet.params.values())
    with torch.no_grad():
        want = copy.deepcopy(net.module_).eval()(torch.as_tensor(X))
    torch.testing.assert_close(forward(fnet, torch.as_tensor(X)), want, rtol=0, atol=1e-12)


@each_complex
@pytest.mark.parametrize("normalize", [False, True])
def test_scores_of_a_complex_net_are_those_of_the_loop(kind, normalize):
    net, X, y = complex_net(kind)
    fnet = FunctionalNet(net)
    rows = loop_of(net, X, y)
    want = inner_products(rows, rows)
    if normalize:
        want /= np.sqrt(np.diag(want))[:, None]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Casting complex values")
        check_gradients(fnet, X, y)
        U = ask(fnet, Utility(), X[:4], y[:4])
        got = row_scores(fnet, U, X, y, normalize=normalize)
    assert_close(got, want[:, :4].mean(1))


@each_complex
def test_products_of_pairs_of_rows_of_a_complex_net_are_those_of_the_loop(kind):
    net, X, y = complex_net(kind)
    fnet = FunctionalNet(net)
    rows = loop_of(net, X, y)
    want = inner_products(rows, rows)
    pairs = reference_pairs(fnet, Objective(Utility(), X, y, True))
    ((_, _, got),) = pair_blocks(fnet, pairs, X, y)
    assert_close(got * len(y), want)
    assert_close(self_influences(fnet, X, y), np.diag(want))
    (found,) = gradient_rows(fnet, X, y)
    assert_close(flat_rows(found).numpy(), as_vectors(rows))


@each_complex
@pytest.mark.parametrize(
    "engine", ["_forward_mode", "_forward_mode_one_by_one", "_double_backward"]
)
def test_each_engine_differentiates_complex_parameters(kind, engine):
    net, X, y = complex_net(kind)
    fnet = FunctionalNet(net)
    Xb, yb = next(fnet.batches(X, y))
    G = fnet.cotangents(forward(fnet, Xb), Xb, yb)
    U = random_directions(fnet, 3)
    _, t = getattr(gradients, engine)(fnet, Xb, U)
    rows = as_vectors(loop_of(net, X, y))
    assert_close((t * G).sum(2).T.numpy(), rows @ flat(U).T)


@each_complex
def test_members_with_complex_parameters_are_scored_at_their_states(kind):
    net, X, y = complex_net(kind)
    fnet = FunctionalNet(net)
    states = [net.module_.state_dict(), moved(net, 1)]
    U = [ask(fnet.at(state), Utility(), X, y) for state in states]
    want = []
    for state in states:
        other = copy.deepcopy(net)
        other.module_.load_state_dict(state)
        rows = loop_of(other, X, y)
        want.append(inner_products(rows, rows).mean(1))
    assert_close(member_scores(fnet, states, U, X, y), np.array(want))
    for state, scores, u in zip(states, want, U, strict=True):
        check_gradients(fnet.at(state), X, y)
        assert_close(row_scores(fnet.at(state), u, X, y), scores)


@each_complex
def test_a_pickled_complex_net_has_the_same_outputs(kind):
    net, X, _ = complex_net(kind)
    fnet = FunctionalNet(net)
    fnet = fnet.at(moved(net, 1))
    again = pickle.loads(pickle.dumps(fnet))
    X = torch.as_tensor(X)
    assert torch.equal(forward(again, X), forward(fnet, X))


def test_complex_outputs_are_refused_with_advice():
    class Complex(nn.Linear):
        def forward(self, X):
            return torch.fft.fft(super().forward(X))

    net = initialized(Complex(5, 3))
    with pytest.raises(TypeError, match=r"returns complex numbers \(torch.complex128\)"):
        forward(FunctionalNet(net), torch.zeros(2, 5, dtype=torch.float64))
