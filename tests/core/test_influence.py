"""Directions and scores equal what autograd gives over all rows at once, whatever the batches."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch import NeuralNetRegressor
from torch import nn
from torch.utils.data import TensorDataset
from zoo import initialized, loop_gradients, make, rows_for

from skinfluence._core.directions import Objective, directions
from skinfluence._core.influence import (
    label_losses,
    label_scores,
    member_scores,
    predicted_outputs,
    predictions,
    row_losses,
    row_scores,
)
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import label_square_norms, self_influences
from skinfluence.targets import Utility

F = nn.functional
KINDS = ["mlp", "batchnorm1d", "residual batchnorm2d", "embedding", "lstm", "tied"]
LABELS = np.arange(3)

each_kind = pytest.mark.parametrize("name", KINDS)
each_batch_size = pytest.mark.parametrize("batch_size", [1, 3, 128])


def flat(U):
    """Directions as an array (d, p)."""
    return torch.cat([u.flatten(1) for u in U.values()], 1).numpy()


def assert_close(got, want):
    # float64: sums in another order
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-10 * np.abs(want).max())


def fnet_of(name, **params):
    net, X, y = make(name, **params)
    return FunctionalNet(net), X, y, net


def ask(fnet, target, X, y, **options):
    return directions(fnet, Objective(target, X, y, True), **options)


def autograd_of(net, target, X, y):
    """Gradient of target(outputs, y) over all rows at once, (p,)."""
    module = copy.deepcopy(net.module_).eval()
    parameters = [p for p in module.parameters() if p.requires_grad]
    value = target(module(torch.as_tensor(X)), torch.as_tensor(y))
    grads = torch.autograd.grad(value, parameters)
    return torch.cat([g.flatten() for g in grads]).numpy()


def gap(outputs, y):
    """Squared difference of two groups' mean outputs: no sum over rows."""
    p = outputs.softmax(1)[:, 1]
    return (p[y == 0].mean() - p[y > 0].mean()) ** 2


def worst(outputs, y):
    return torch.logsumexp(3 * F.cross_entropy(outputs, y, reduction="none"), 0)


# Directions -----------------------------------------------------------------------------------


@each_kind
@each_batch_size
def test_direction_of_the_utility_is_the_gradient_of_the_mean_loss(name, batch_size):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    assert_close(flat(ask(fnet, Utility(), X, y)), [autograd_of(net, F.cross_entropy, X, y)])


@each_kind
@each_batch_size
@pytest.mark.parametrize("target", [gap, worst])
def test_direction_of_a_target_that_is_no_sum_is_its_gradient_over_all_rows(
    target, name, batch_size
):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    assert_close(flat(ask(fnet, target, X, y)), [autograd_of(net, target, X, y)])


def test_direction_from_a_dataset_is_that_from_its_arrays():
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


def test_groups_may_have_any_numbers():
    fnet, X, y, _ = fnet_of("mlp")
    assert_close(
        flat(ask(fnet, Utility(), X, y, groups=y * 10 - 7)),
        flat(ask(fnet, Utility(), X, y, groups=y)),
    )


def test_normalized_direction_counts_only_the_rows_that_the_target_looks_at():
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


# Scores of rows -------------------------------------------------------------------------------


@each_kind
@each_batch_size
def test_row_scores_are_the_inner_products_of_the_loop(name, batch_size):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    rows = loop_gradients(net, X, y)
    assert_close(row_scores(fnet, ask(fnet, Utility(), X, y), X, y), rows @ rows.mean(0))


@each_kind
@each_batch_size
def test_normalized_row_scores_are_divided_by_the_norm_of_the_row(name, batch_size):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    rows = loop_gradients(net, X, y)
    got = row_scores(fnet, ask(fnet, Utility(), X, y), X, y, normalize=True)
    assert_close(got, rows @ rows.mean(0) / np.linalg.norm(rows, axis=1))


@pytest.mark.parametrize("n_groups", [2, 3, 7])
@each_batch_size
@each_kind
def test_several_directions_give_the_worst_of_their_scores(name, batch_size, n_groups):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    rows = loop_gradients(net, X, y)
    groups = np.arange(len(y)) % n_groups
    means = np.stack([rows[groups == k].mean(0) for k in range(n_groups)])
    U = ask(fnet, Utility(), X, y, groups=groups)
    assert_close(row_scores(fnet, U, X, y), (rows @ means.T).min(1))


@pytest.mark.parametrize("n_outputs", [1, 4])
def test_row_scores_of_a_regressor_are_those_of_the_loop(n_outputs):
    X, _ = rows_for("mlp")
    y = np.random.RandomState(1).randn(7, n_outputs)
    module = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, n_outputs))
    net = initialized(module, NeuralNetRegressor, criterion=nn.MSELoss)
    fnet = FunctionalNet(net)
    rows = loop_gradients(net, X, y, F.mse_loss)
    U = directions(fnet, Objective(Utility(), X, y, False))
    assert_close(row_scores(fnet, U, X, y), rows @ rows.mean(0))


def test_row_scores_are_float64_of_one_a_row():
    fnet, X, y, _ = fnet_of("mlp", dtype=torch.float32, batch_size=3)
    scores = row_scores(fnet, ask(fnet, Utility(), X, y), X, y)
    assert (scores.dtype, scores.shape) == (np.float64, (7,))


def test_progress_is_shown_every_batch():
    fnet, X, y, _ = fnet_of("mlp", batch_size=3)
    seen = []

    def watch(batches):
        for batch in batches:
            seen.append(len(batch[1]))
            yield batch

    row_scores(fnet, ask(fnet, Utility(), X, y), X, y, progress=watch)
    assert seen == [3, 3, 1]


@each_kind
def test_row_losses_are_those_of_the_criterion(name):
    fnet, X, y, net = fnet_of(name, batch_size=3)
    outputs = copy.deepcopy(net.module_).eval()(torch.as_tensor(X))
    want = F.cross_entropy(outputs, torch.as_tensor(y), reduction="none").detach().numpy()
    assert_close(row_losses(fnet, X, y), want)


# Several members, and single pairs -------------------------------------------------------------


def members_of(net, number=3):
    """The net's own state and others near it."""
    generator, states = torch.Generator().manual_seed(0), [{}]
    for _ in range(number - 1):
        module = copy.deepcopy(net.module_)
        with torch.no_grad():
            for t in module.parameters():
                t += 0.1 * torch.rand(t.shape, generator=generator).to(t)
        states.append(module.state_dict())
    return states


@each_kind
@pytest.mark.parametrize("classwise", [False, True])
def test_scores_of_members_together_are_those_of_each_alone(name, classwise):
    fnet, X, y, net = fnet_of(name, batch_size=3)
    states = members_of(net)
    groups = y if classwise else None
    U = [ask(fnet.at(state), Utility(), X, y, groups=groups) for state in states]
    alone = [row_scores(fnet.at(s), u, X, y) for s, u in zip(states, U, strict=True)]
    assert_close(member_scores(fnet, states, U, X, y), np.stack(alone))


@each_kind
def test_scores_of_members_are_those_of_a_loop_over_rows_at_each(name):
    fnet, X, y, net = fnet_of(name, batch_size=3)
    states, want = members_of(net), []
    for state in states:
        module = copy.deepcopy(net.module_)
        module.load_state_dict(net.module_.state_dict() | state)
        rows = loop_gradients(SimpleNamespace(module_=module), X, y)
        want.append(rows @ rows.mean(0))
    U = [ask(fnet.at(state), Utility(), X, y) for state in states]
    assert_close(member_scores(fnet, states, U, X, y), np.stack(want))


def test_members_that_cannot_be_done_together_are_none():
    fnet, X, y, net = fnet_of("weight norm")  # which has no forward-mode rule
    states = members_of(net)
    U = [ask(fnet.at(state), Utility(), X, y) for state in states]
    assert member_scores(fnet, states, U, X, y) is None


# Under every label ----------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("label", LABELS)
def test_a_column_of_label_scores_is_the_score_under_that_label(name, normalize, label):
    fnet, X, y, _ = fnet_of(name, batch_size=3)
    U = ask(fnet, Utility(), X, y, groups=y)
    column = label_scores(fnet, U, X, LABELS, normalize=normalize)[:, label]
    under = np.full(7, label)
    assert_close(column, row_scores(fnet, U, X, under, normalize=normalize))


@each_kind
def test_predictions_are_the_nets_own(name):
    fnet, X, _, net = fnet_of(name, batch_size=3, classes=[0, 1, 2])
    np.testing.assert_array_equal(predictions(fnet, X), net.predict_proba(X).argmax(1))


def test_predicted_probabilities_are_the_nets_own():
    fnet, X, _, net = fnet_of("mlp", batch_size=3)
    got = predicted_outputs(fnet, X, is_classification=True)
    np.testing.assert_allclose(got, net.predict_proba(X), rtol=1e-12)


# What is not finite ---------------------------------------------------------------------------


def broken(value):
    fnet, X, y, net = fnet_of("mlp", batch_size=3)
    U = ask(fnet, Utility(), X, y)
    with torch.no_grad():
        net.module_[2].bias[0] = value
    return fnet, U, X, y


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "function",
    [
        lambda fnet, U, X, y: row_scores(fnet, U, X, y),
        lambda fnet, U, X, y: label_scores(fnet, U, X, LABELS),
        lambda fnet, U, X, y: row_losses(fnet, X, y),
        lambda fnet, U, X, y: label_losses(fnet, X, LABELS),
        lambda fnet, U, X, y: self_influences(fnet, X, y),
        lambda fnet, U, X, y: label_square_norms(fnet, X, LABELS),
    ],
    ids=[
        "row_scores",
        "label_scores",
        "row_losses",
        "label_losses",
        "self_influences",
        "label_square_norms",
    ],
)
def test_scores_that_are_not_finite_raise(function, value):
    with pytest.raises(
        ValueError, match="7 of 7 rows have a NaN or infinite loss, gradient or score"
    ):
        function(*broken(value))


def test_a_target_that_is_not_finite_raises():
    fnet, _, X, y = broken(float("nan"))
    with pytest.raises(ValueError, match=r"target Utility\(\) is nan on the reference rows"):
        ask(fnet, Utility(), X, y)


class Hits(nn.Module):
    """A criterion without a gradient."""

    def forward(self, outputs, y):
        return (outputs.argmax(1) == y).double()


def test_a_criterion_without_a_gradient_is_named_by_the_direction_too():
    net, X, y = make("mlp", criterion=Hits)
    with pytest.raises(ValueError, match="criterion Hits returns a loss that does not depend"):
        directions(FunctionalNet(net), Objective(Utility(), X, y, True))
