"""Directions are the gradients that autograd gives over all reference rows at once."""

import copy

import numpy as np
import pytest
import torch
from core_cases import ask, broken, each_batch_size, each_kind, flat, fnet_of, gap
from torch import nn
from torch.utils.data import TensorDataset
from zoo import assert_close, loop_gradients, make

from skinfluence._core.directions import Objective, directions
from skinfluence._core.influence import predictions
from skinfluence._core.net import FunctionalNet
from skinfluence.targets import Utility

F = nn.functional


def autograd_of(net, target, X, y):
    """Gradient of target(outputs, y) over all rows at once, (p,)."""
    module = copy.deepcopy(net.module_).eval()
    parameters = [p for p in module.parameters() if p.requires_grad]
    value = target(module(torch.as_tensor(X)), torch.as_tensor(y))
    grads = torch.autograd.grad(value, parameters)
    return torch.cat([g.flatten() for g in grads]).numpy()


def worst(outputs, y):
    return torch.logsumexp(3 * F.cross_entropy(outputs, y, reduction="none"), 0)


@each_kind
@each_batch_size
def test_direction_of_the_utility_is_the_gradient_of_the_mean_loss(name, batch_size):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    assert_close(flat(ask(fnet, Utility(), X, y)), [autograd_of(net, F.cross_entropy, X, y)])


@each_kind
@each_batch_size
@pytest.mark.parametrize("target", [gap, worst])
def test_direction_of_a_target_that_is_not_a_sum_over_rows_is_its_gradient(
    target, name, batch_size
):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    assert_close(flat(ask(fnet, target, X, y)), [autograd_of(net, target, X, y)])


def test_a_dataset_has_the_same_direction_as_its_arrays():
    fnet, X, y, _ = fnet_of("mlp", batch_size=3)
    rows = TensorDataset(torch.tensor(X), torch.tensor(y))
    assert_close(flat(ask(fnet, gap, rows, None)), flat(ask(fnet, gap, X, y)))


@each_kind
@each_batch_size
def test_normalized_direction_is_the_mean_of_the_unit_gradients(name, batch_size):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    rows = loop_gradients(net, X, y)
    want = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(0)
    assert_close(flat(ask(fnet, Utility(), X, y, normalize=True)), [want])


@each_kind
@each_batch_size
def test_grouped_directions_are_the_means_of_the_groups(name, batch_size):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    rows = loop_gradients(net, X, y)
    want = [rows[y == c].mean(0) for c in np.unique(y)]
    assert_close(flat(ask(fnet, Utility(), X, y, groups=y)), want)


@each_batch_size
def test_normalized_groups_are_the_means_of_their_unit_gradients(batch_size):
    fnet, X, y, net = fnet_of("mlp", batch_size=batch_size)
    rows = loop_gradients(net, X, y)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    want = [rows[y == c].mean(0) for c in np.unique(y)]
    assert_close(flat(ask(fnet, Utility(), X, y, groups=y, normalize=True)), want)


def test_groups_may_be_any_integers():
    fnet, X, y, _ = fnet_of("mlp")
    assert_close(
        flat(ask(fnet, Utility(), X, y, groups=y * 10 - 7)),
        flat(ask(fnet, Utility(), X, y, groups=y)),
    )


def test_normalized_direction_averages_only_the_rows_that_the_target_uses():
    fnet, X, y, net = fnet_of("mlp", batch_size=3)
    correct = predictions(fnet, X) == y
    assert 0 < correct.sum() < len(y)
    rows = loop_gradients(net, X, y)[correct]
    want = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(0)
    assert_close(flat(ask(fnet, Utility(rows="correct"), X, y, normalize=True)), [want])


def test_rows_without_a_gradient_do_not_spoil_a_normalized_direction():
    fnet, X, y, net = fnet_of("mlp")
    rows = loop_gradients(net, X, y)[:1]

    def first(outputs, y):
        return F.cross_entropy(outputs[:1], y[:1])

    assert_close(flat(ask(fnet, first, X, y, normalize=True)), rows / np.linalg.norm(rows))


def test_metadata_reaches_a_callable_target():
    fnet, X, y, net = fnet_of("mlp", batch_size=3)
    group = torch.arange(7) % 2

    def by_group(outputs, y, sensitive_features):
        return gap(outputs, sensitive_features)

    got = directions(fnet, Objective(by_group, X, y, True, sensitive_features=group))
    assert_close(flat(got), [autograd_of(net, lambda f, _: gap(f, group), X, y)])


def test_a_target_that_is_not_finite_raises():
    fnet, _, X, y = broken(float("nan"))
    with pytest.raises(ValueError, match=r"target Utility\(\) is nan on the reference rows"):
        ask(fnet, Utility(), X, y)


class Accuracy(nn.Module):
    """A criterion without a gradient."""

    def forward(self, outputs, y):
        return (outputs.argmax(1) == y).double()


def test_a_criterion_without_a_gradient_is_named_in_the_error():
    net, X, y = make("mlp", criterion=Accuracy)
    with pytest.raises(ValueError, match="criterion Accuracy returns a loss that does not depend"):
        directions(FunctionalNet(net), Objective(Utility(), X, y, True))
