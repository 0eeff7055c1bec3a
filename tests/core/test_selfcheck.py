"""The self-check refuses exactly the nets whose scores would be wrong."""

import numpy as np
import pytest
import torch
from core_cases import random_directions
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.utils.data import TensorDataset
from zoo import MODULES, initialized, loop_gradients, make, rows_for

from skinfluence._core.influence import member_scores, row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.selfcheck import check_gradients

F = nn.functional


def check(net, X, y):
    check_gradients(FunctionalNet(net), X, y)


def check_module(module, **params):
    check(initialized(module, **params), *rows_for("mlp", n=12))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning")
def test_every_net_of_the_zoo_passes(name, dtype):
    check(*make(name, dtype))


def test_one_row_passes():
    net, X, y = make("mlp")
    check(net, X[:1], y[:1])


# Outputs --------------------------------------------------------------------------------------

ANOTHER_EACH_TIME = "gives another output for the same rows each time"
OTHER_ROWS = "a row's output depends on the other rows of its batch"


def test_dropout_that_ignores_eval_mode_is_refused():
    class AlwaysDrops(nn.Linear):
        def forward(self, X):
            return F.dropout(super().forward(X), 0.5)

    with pytest.raises(ValueError, match=ANOTHER_EACH_TIME):
        check_module(AlwaysDrops(5, 3))


def test_a_forward_that_changes_a_buffer_is_refused():
    class Counts(nn.Linear):
        def __init__(self):
            super().__init__(5, 3)
            self.register_buffer("calls", torch.zeros((), dtype=torch.float64))

        def forward(self, X):
            self.calls.add_(1)
            return super().forward(X) * self.calls

    with pytest.raises(ValueError, match=ANOTHER_EACH_TIME):
        check_module(Counts())


@pytest.mark.parametrize("as_dataset", [False, True])
@pytest.mark.parametrize(("n", "batch_size"), [(1, 128), (2, 128), (6, 128), (7, 128), (7, 1)])
def test_batchnorm_without_running_statistics_is_refused(n, batch_size, as_dataset):
    norm = nn.BatchNorm1d(4, track_running_stats=False)
    module = nn.Sequential(nn.Linear(5, 4), norm, nn.Linear(4, 3)).double()
    params = {"criterion": nn.CrossEntropyLoss, "iterator_valid__batch_size": batch_size}
    net = NeuralNetClassifier(module, train_split=None, **params).initialize()
    X, y = rows_for("mlp", n=n)
    if as_dataset:
        X, y = TensorDataset(torch.as_tensor(X), torch.as_tensor(y)), None
    with pytest.raises(ValueError, match=OTHER_ROWS):
        check(net, X, y)


@pytest.mark.parametrize(
    "mix",
    [
        lambda f: f.softmax(0),
        lambda f: f - f.mean(0),
        lambda f: f.flip(0),
        lambda f: f.cumsum(0),
    ],
    ids=["softmax", "mean", "flip", "cumsum"],
)
def test_an_operation_across_the_batch_is_refused(mix):
    class Mixes(nn.Linear):
        def forward(self, X):
            return mix(super().forward(X))

    with pytest.raises(ValueError, match=OTHER_ROWS):
        check_module(Mixes(5, 3))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_are_refused(value):
    net, X, y = make("mlp")
    with torch.no_grad():
        net.module_[2].bias[1] = value
    with pytest.raises(ValueError, match="outputs are NaN or infinite: training diverged"):
        check(net, X, y)


class Branches(nn.Linear):
    """Treats batches of more than `limit` rows in another way."""

    def __init__(self, limit):
        super().__init__(5, 3)
        self.limit = limit

    def forward(self, X):
        return super().forward(X) * (1 if len(X) <= self.limit else 1.5)


class Centers(nn.Linear):
    """Subtracts the mean of the batch from the inputs."""

    def forward(self, X):
        return super().forward(X - X.mean(0))


class ShiftsRare(nn.Linear):
    """Adds 1 to the outputs of a batch if an input is large."""

    def forward(self, X):
        return super().forward(X) + (X > 50).any()


def in_the_middle(X, value):
    """Rows of which only one in the middle has a value that the others do not have."""
    X = X.copy()
    X[len(X) // 2, 2] = value
    return X


@pytest.mark.parametrize("limit", [1, 3, 6, 10])
def test_a_module_that_branches_on_the_size_of_the_batch_is_refused(limit):
    with pytest.raises(ValueError, match=OTHER_ROWS):
        check(initialized(Branches(limit)), *rows_for("mlp", n=100))


def test_a_module_that_centers_by_the_batch_is_refused_if_the_first_rows_are_alike():
    X, y = rows_for("mlp", n=100)
    X[:40] = X[0]
    with pytest.raises(ValueError, match=OTHER_ROWS):
        check(initialized(Centers(5, 3)), X, y)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_a_batch_that_changes_with_a_single_rare_row_is_refused(kind):
    X, y = rows_for("mlp", n=900)
    X = in_the_middle(X, 60.0)
    with pytest.raises(ValueError, match=OTHER_ROWS):
        check(initialized(ShiftsRare(5, 3)), kind(X), kind(y))


def test_rows_of_a_dataset_are_drawn_over_the_whole_table():
    X, y = rows_for("mlp", n=100)
    X[:40] = X[0]
    data = TensorDataset(torch.as_tensor(X), torch.as_tensor(y))
    with pytest.raises(ValueError, match=OTHER_ROWS):
        check(initialized(Centers(5, 3)), data, None)


# Losses ---------------------------------------------------------------------------------------

NOT_PER_ROW = "loss is not a function of single rows"


class Contrastive(nn.Module):
    """Compares each row with all others of its batch."""

    def forward(self, y_pred, y_true):
        return F.cross_entropy(y_pred @ y_pred.T, torch.arange(len(y_pred)))


class ContrastivePerRow(Contrastive):
    """The same with one number per row."""

    reduction = "mean"

    def forward(self, y_pred, y_true):
        losses = F.cross_entropy(y_pred @ y_pred.T, torch.arange(len(y_pred)), reduction="none")
        return losses if self.reduction == "none" else losses.mean()


class WeightedByHand(nn.Module):
    def forward(self, y_pred, y_true):
        weight = torch.tensor([1.0, 2.0, 5.0], dtype=y_pred.dtype)[y_true]
        losses = F.cross_entropy(y_pred, y_true, reduction="none")
        return (weight * losses).sum() / weight.sum()


class LargestLoss(nn.Module):
    def forward(self, y_pred, y_true):
        return F.cross_entropy(y_pred, y_true, reduction="none").max()


@pytest.mark.parametrize("criterion", [Contrastive, ContrastivePerRow, WeightedByHand, LargestLoss])
def test_a_loss_of_the_batch_is_refused(criterion):
    with pytest.raises(ValueError, match=NOT_PER_ROW):
        check_module(nn.Linear(5, 3), criterion=criterion)


class MeanByHand(nn.Module):
    def forward(self, y_pred, y_true):
        return F.cross_entropy(y_pred, y_true)


class SumByHand(nn.Module):
    def forward(self, y_pred, y_true):
        return F.cross_entropy(y_pred, y_true, reduction="sum")


@pytest.mark.parametrize(
    "params",
    [
        {"criterion": MeanByHand},
        {"criterion": SumByHand},
        {"criterion__reduction": "sum"},
        {"criterion__reduction": "none"},
        {"criterion__weight": torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)},
        {"criterion__label_smoothing": 0.1},
        {"criterion__ignore_index": 1},
    ],
    ids=str,
)
def test_a_loss_of_single_rows_passes(params):
    check_module(nn.Linear(5, 3), **params)


class WithPenalty(NeuralNetClassifier):
    """Adds a penalty as in skorch's documentation."""

    def get_loss(self, *args, **kwargs):
        penalty = sum(w.abs().sum() for w in self.module_.parameters())
        return super().get_loss(*args, **kwargs) + penalty


def test_a_penalty_on_the_weights_passes():
    check_module(nn.Linear(5, 3), net_class=WithPenalty)


class LooksInside(NeuralNetClassifier):
    """A loss that uses more of the module than its outputs."""

    def get_loss(self, y_pred, y_true, X, *args, **kwargs):
        own = super().get_loss(y_pred, y_true, X, *args, **kwargs)
        return own + self.module_(X).square().mean(1)


def test_a_loss_that_bypasses_the_outputs_is_refused():
    with pytest.raises(ValueError, match="depends on the parameters other than through"):
        check_module(nn.Linear(5, 3), net_class=LooksInside)


# Derivatives ----------------------------------------------------------------------------------

DIFFER = "differ from plain autograd"


class KeepsInList(nn.Module):
    """Uses a parameter that it stored in a list in __init__."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(5, 4), nn.Linear(4, 3)
        self.double()
        self.kept = [self.head.weight]

    def forward(self, X):
        return self.head(torch.tanh(self.body(X))) + X[:, :4] @ self.kept[0].T


class KeepsView(nn.Module):
    """Uses a view of a parameter that it stored in __init__."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(5, 4), nn.Linear(4, 3)
        self.double()
        self.transposed = self.head.weight.T

    def forward(self, X):
        return self.head(torch.tanh(self.body(X))) + X[:, :4] @ self.transposed


@pytest.mark.parametrize("module", [KeepsInList, KeepsView])
def test_a_parameter_that_was_stored_in_init_is_refused(module):
    with pytest.raises(ValueError, match=DIFFER):
        check_module(module())


class KeepsForRare(KeepsInList):
    """Uses the stored parameter for rare rows only."""

    def forward(self, X):
        hidden = torch.tanh(self.body(X))
        rare = (X > 2.5).any(1, keepdim=True)
        return torch.where(rare, hidden @ self.kept[0].T, self.head(hidden))


@pytest.mark.parametrize("place", [0, 7, 300, 899])
def test_a_stored_parameter_that_only_a_rare_row_uses_is_refused(place):
    X, y = rows_for("mlp", n=900)
    X = X.clip(-2, 2)
    X[place, 3] = 3.0
    with pytest.raises(ValueError, match=DIFFER):
        check(initialized(KeepsForRare()), X, y)


def scores_after_check(net, X, y, in_one_pass=False, **options):
    fnet = FunctionalNet(net)
    check_gradients(fnet, X, y)
    U, states = random_directions(fnet, 1), [net.module_.state_dict()] * 2
    if in_one_pass:
        return member_scores(fnet, states, [U, U], X, y)[0]
    return row_scores(fnet.at(states[0]), U, X, y, **options)


HOW = [{}, {"normalize": True}, {"in_one_pass": True}]


@pytest.mark.parametrize("how", HOW, ids=str)
def test_scores_of_batches_larger_than_those_of_the_check_are_compared_again(how):
    with pytest.raises(ValueError, match=DIFFER):
        scores_after_check(initialized(Branches(100)), *rows_for("mlp", n=300), **how)


@pytest.mark.parametrize("how", HOW, ids=str)
@pytest.mark.parametrize("name", ["mlp", "batchnorm1d", "lstm"])
def test_right_scores_pass_when_they_are_compared_again(name, how):
    X, y = rows_for(name, n=30)
    scores = scores_after_check(make(name)[0], X, y, **how)
    net = make(name)[0]
    U = random_directions(FunctionalNet(net), 1)
    G = loop_gradients(net, X, y)
    want = G @ torch.cat([u.flatten() for u in U.values()]).numpy()
    if "normalize" in how:
        want = want / np.linalg.norm(G, axis=1)
    np.testing.assert_allclose(scores, want, rtol=0, atol=1e-9 * np.abs(want).max())


def test_a_constant_copy_of_a_weight_passes():
    class KeepsCopy(nn.Linear):
        def __init__(self):
            super().__init__(5, 3)
            self.copy = self.weight.detach().clone().double()

        def forward(self, X):
            return super().forward(X) + X @ self.copy.T

    check_module(KeepsCopy())


class _WrongTangent(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad

    @staticmethod
    def jvp(ctx, tangent):
        return 3 * tangent


def test_an_autograd_function_whose_derivatives_disagree_is_refused():
    class Uses(nn.Linear):
        def forward(self, X):
            return _WrongTangent.apply(super().forward(X))

    with pytest.raises(ValueError, match=DIFFER):
        check_module(Uses(5, 3))


class Kink(nn.Module):
    """A ReLU whose input is 0 up to rounding, and rounds differently in a batch than alone."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        with torch.no_grad():
            self.linear.bias.zero_()

    def forward(self, X):
        side = 1e-9 if len(X) > 1 else -1e-9
        hidden = self.linear(X)
        hidden = hidden - torch.where(X[:, :1] == 1.0, hidden.detach() - side, 0.0)
        return hidden.relu()


def test_rows_on_the_kink_of_a_relu_pass():
    torch.manual_seed(0)
    X = torch.randn(6, 3).numpy()
    X[0, 0] = 1.0  # the kink is exactly there, not nearby
    check(initialized(Kink()), X, torch.tensor([0, 1, 0, 1, 0, 1]).numpy())


class Squares(nn.Module):
    """A mean of squares by hand, which is called row by row."""

    def forward(self, y_pred, y_true):
        return ((y_pred - y_true) ** 2).mean()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("n", [3, 40, 700])
@pytest.mark.parametrize("criterion", [nn.MSELoss, Squares])
def test_a_perfect_fit_passes(criterion, n, dtype):
    module = nn.Sequential(nn.Linear(5, 64), nn.Tanh(), nn.Linear(64, 4))
    net = initialized(module, NeuralNetRegressor, dtype, criterion=criterion)
    X = torch.as_tensor(rows_for("mlp", n=n)[0]).to(dtype)
    y = net.module_(X).detach()
    scores_after_check(net, X, y.numpy())
    scores_after_check(net, X.numpy(), np.nextafter(y.numpy(), 9))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("factor", [10.0, 30.0, 1e3])
def test_a_classifier_that_is_certain_passes(factor, dtype):
    net = initialized(nn.Linear(5, 3), dtype=dtype)
    with torch.no_grad():
        for p in net.module_.parameters():
            p *= factor
    X = torch.as_tensor(rows_for("mlp", n=50)[0]).to(dtype)
    scores_after_check(net, X, net.module_(X).argmax(1).numpy())


def test_logits_in_place_of_probabilities_raise_a_warning():
    X, y = rows_for("mlp", n=12)
    module = nn.Sequential(nn.Linear(X.shape[1], 3), nn.Softplus())
    net = NeuralNetClassifier(module.double(), verbose=0, classes=[0, 1, 2]).initialize()
    with pytest.warns(UserWarning, match=r"NLLLoss.*do not sum to 1"):
        check(net, X, y)
