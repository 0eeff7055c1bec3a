"""A target is one scalar; its direction is its derivative."""

import pytest
import torch
from sklearn.base import clone
from torch import nn
from zoo import make

from skinfluence._core.directions import Objective, directions
from skinfluence._core.influence import row_losses
from skinfluence._core.net import FunctionalNet
from skinfluence.attacks import FGSM
from skinfluence.targets import (
    Reference,
    Robustness,
    Target,
    Utility,
    WeightedSum,
    check_target,
    evaluate,
)

F = nn.functional


class Squared(Utility):
    """A subclass of Utility that is not a mean of losses."""

    def __call__(self, reference):
        return super().__call__(reference) ** 2


def reference(outputs=None, y=(0, 1, 2, 0), is_classification=True, **metadata):
    """Make reference rows whose outputs are logits; two of the four are predicted correctly."""
    if outputs is None:
        outputs = [[2.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 3.0], [0.0, 0.5, 0.0]]
    outputs = torch.tensor(outputs, dtype=torch.float64, requires_grad=True)
    y = torch.tensor(y)
    losses = F.cross_entropy(outputs, y, reduction="none")
    return Reference(outputs, y, losses, lambda f: f.softmax(1), is_classification, metadata)


def test_correct_marks_the_rows_that_the_net_predicts_correctly():
    assert reference().correct.tolist() == [True, False, True, False]


def test_probabilities_are_made_from_the_outputs():
    rows = reference()
    torch.testing.assert_close(rows.probabilities, rows.outputs.softmax(1))


def test_utility_is_the_mean_loss():
    rows = reference()
    assert Utility()(rows).item() == pytest.approx(rows.losses.mean().item(), rel=1e-12)


def test_utility_of_the_correct_rows_is_their_mean_loss():
    rows = reference()
    want = (rows.losses[0] + rows.losses[2]) / 2
    assert Utility(rows="correct")(rows).item() == pytest.approx(want.item(), rel=1e-12)


def test_utility_of_the_correct_rows_has_zero_gradient_at_the_other_rows():
    rows = reference()
    (G,) = torch.autograd.grad(Utility(rows="correct")(rows), rows.outputs)
    assert G.abs().sum(1).bool().tolist() == [True, False, True, False]


def margin(outputs, y):
    """Minus the log-odds of the given label: a target that is not the loss."""
    p = outputs.softmax(1)[range(len(y)), y]
    return -(p / (1 - p)).log().mean()


def gap(outputs, y):
    return (outputs[y == 0].mean(0) - outputs[y > 0].mean(0)).square().sum()


class LargestLoss(Target):
    def __call__(self, reference):
        return reference.losses.max()


@pytest.mark.parametrize("name", ["mlp", "batchnorm1d", "conv1d", "lstm"])
@pytest.mark.parametrize(
    "target",
    [Utility(), Utility(rows="correct"), margin, gap, LargestLoss()],
    ids=["all rows", "correct rows", "margin", "gap", "largest loss"],
)
def test_the_direction_of_a_target_matches_finite_differences(target, name):
    net, X, y = make(name)
    fnet = FunctionalNet(net)
    v = directions(fnet, Objective(target, X, y, True))
    Xb, yb = next(fnet.batches(X, y))
    generator = torch.Generator().manual_seed(0)
    d = {
        n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in fnet.params.items()
    }

    def value(step):
        moved = {n: (p + step * d[n]).requires_grad_() for n, p in fnet.params.items()}
        f = fnet.outputs(moved, Xb)
        rows = Reference(f, yb, fnet.losses(f, Xb, yb), fnet.probabilities, True)
        return evaluate(target, rows).item()

    step = 1e-5  # truncation ~ step² and rounding ~ 1e-16 / step are both about 1e-10
    slope = (value(step) - value(-step)) / (2 * step)
    inner = sum((v[n][0] * d[n]).sum().item() for n in v)
    assert inner == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_a_plain_callable_gets_outputs_labels_and_metadata():
    got = {}

    def target(outputs, y, sensitive_features, weight):
        got.update(outputs=outputs, y=y, sensitive_features=sensitive_features, weight=weight)
        return outputs.sum()

    rows = reference(sensitive_features="s", weight="w")
    evaluate(target, rows)
    assert got["outputs"] is rows.outputs
    assert got["y"] is rows.y
    assert (got["sensitive_features"], got["weight"]) == ("s", "w")


def test_a_target_may_return_a_tensor_of_one_element():
    assert evaluate(lambda f, y: f.sum().reshape(1, 1), reference()).shape == ()


def test_target_none_means_utility():
    assert check_target(None).get_params() == {"rows": "all"}


@pytest.mark.parametrize("target", [Utility(rows="correct"), margin])
def test_targets_and_callables_are_used_as_given(target):
    assert check_target(target) is target


def test_targets_can_be_cloned():
    assert clone(Utility(rows="correct")).rows == "correct"


@pytest.mark.parametrize("target", ["loss", 3, Utility])
def test_an_object_that_is_not_a_target_is_refused(target):
    with pytest.raises(TypeError, match=r"expected an instance from skinfluence\.targets"):
        check_target(target)


def test_utility_of_unknown_rows_is_refused():
    with pytest.raises(ValueError, match=r"Utility\(rows='wrong'\): expected 'all' or 'correct'"):
        Utility(rows="wrong")(reference())


def test_utility_of_the_correct_rows_needs_a_correct_row():
    rows = reference([[0.0, 1.0, 0.0]] * 2, y=(0, 2))
    with pytest.raises(ValueError, match="predicts none of the reference rows correctly"):
        Utility(rows="correct")(rows)


def test_a_regressor_has_no_probabilities():
    with pytest.raises(ValueError, match="class probabilities, which a regressor does not have"):
        Utility(rows="correct")(reference(is_classification=False))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (lambda f, y: f.sum(1), r"returned a tensor of shape \(4,\); expected a scalar tensor"),
        (lambda f, y: 1.0, r"returned 1\.0 of type float; expected a scalar tensor"),
        (lambda f, y: None, r"returned None of type NoneType"),
    ],
)
def test_a_target_must_return_a_scalar_tensor(target, words):
    with pytest.raises(TypeError, match=words):
        evaluate(target, reference())


@pytest.mark.parametrize(
    "target", [lambda f, y: f.detach().sum(), lambda f, y: (f.argmax(1) == y).double().mean()]
)
def test_a_target_must_depend_differentiably_on_the_outputs(target):
    with pytest.raises(ValueError, match="is not differentiable with respect to the net's outputs"):
        evaluate(target, reference())


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_target_must_be_finite(factor):
    with pytest.raises(ValueError, match=r"reference rows\. Either the net's outputs are not"):
        evaluate(lambda f, y: f.sum() * factor, reference())


def test_errors_name_the_target():
    def squares(outputs, y):
        return outputs**2

    with pytest.raises(TypeError, match=r"target <function .*squares"):
        evaluate(squares, reference())


# Several targets at once ----------------------------------------------------------------------


def test_a_weighted_sum_is_the_sum_of_its_parts():
    rows = reference()
    both = WeightedSum([Utility(), margin], weights=[2, 0.5])(rows)
    want = 2 * rows.losses.mean() + 0.5 * margin(rows.outputs, rows.y)
    torch.testing.assert_close(both, want, rtol=1e-12, atol=0)


def test_a_weighted_sum_without_weights_gives_each_target_weight_one():
    rows = reference()
    assert WeightedSum([Utility(), Utility()])(rows).item() == pytest.approx(
        2 * rows.losses.mean().item(), rel=1e-12
    )


def test_the_direction_of_a_weighted_sum_is_the_sum_of_the_directions():
    net, X, y = make("mlp")
    fnet = FunctionalNet(net)
    v, w, both = (
        directions(fnet, Objective(target, X, y, True))
        for target in (Utility(), margin, WeightedSum([Utility(), margin], weights=[1, 3]))
    )
    for name, value in both.items():
        torch.testing.assert_close(value, v[name] + 3 * w[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("targets", "weights"), [([Utility()], [1, 2]), ([], None)], ids=["too many weights", "none"]
)
def test_a_weighted_sum_needs_one_weight_per_target(targets, weights):
    with pytest.raises(ValueError, match="one weight per target"):
        WeightedSum(targets, weights)(reference())


@pytest.mark.parametrize("attack", [None, FGSM(0.1)], ids=["default attack", "FGSM"])
def test_a_weighted_sum_refuses_targets_that_change_the_reference_rows(attack):
    with pytest.raises(ValueError, match="changes its reference rows"):
        WeightedSum([Utility(), Robustness(attack)])(reference())


def test_a_weighted_sum_refuses_an_object_that_is_not_a_target():
    with pytest.raises(TypeError, match="expected an instance"):
        WeightedSum(["demographic parity"])(reference())


def test_cloning_a_weighted_sum_clones_its_targets():
    both = WeightedSum([Utility(rows="correct")], weights=[2])
    copy = clone(both)
    assert copy.targets[0] is not both.targets[0]
    assert copy.targets[0].rows == "correct"


@pytest.mark.parametrize(
    ("target", "expected"),
    [(Utility(), True), (Utility(rows="correct"), False), (Squared(), False)],
    ids=repr,
)
def test_is_mean_loss_holds_only_for_utility_of_all_rows(target, expected):
    assert target.is_mean_loss is expected


def test_a_subclass_of_utility_has_the_direction_of_its_own_formula():
    net, X, y = make("mlp", batch_size=3)
    fnet = FunctionalNet(net)
    plain, squared = (directions(fnet, Objective(t, X, y, True)) for t in (Utility(), Squared()))
    for name, value in squared.items():
        torch.testing.assert_close(value, 2 * row_losses(fnet, X, y).mean() * plain[name])
