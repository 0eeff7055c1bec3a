"""FunctionalNet has the losses and probabilities of the skorch net."""

import numpy as np
import pytest
import torch
from core_cases import losses_of
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from zoo import initialized, make, rows_for

from skinfluence._core.gradients import forward
from skinfluence._core.net import FunctionalNet

F = nn.functional


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_of_each_row_at_any_reduction(reduction):
    net, X, y = make("mlp", criterion__reduction=reduction)
    logits = net.module_(torch.as_tensor(X))
    want = F.cross_entropy(logits, torch.as_tensor(y), reduction="none").detach()
    np.testing.assert_allclose(losses_of(net, X, y), want, rtol=1e-12)


def test_class_weights_multiply_the_losses_of_their_rows():
    weight = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    net, X, y = make("mlp", criterion__weight=weight)
    logits = net.module_(torch.as_tensor(X))
    plain = F.cross_entropy(logits, torch.as_tensor(y), reduction="none").detach()
    np.testing.assert_allclose(losses_of(net, X, y), plain * weight[y], rtol=1e-12)


def test_nll_loss_takes_probabilities_as_in_the_classifier():
    module = nn.Sequential(nn.Linear(5, 3), nn.Softmax(dim=1))
    X, y = rows_for("mlp")
    net = initialized(module, criterion=nn.NLLLoss)
    probabilities = net.module_(torch.as_tensor(X)).detach()
    eps = torch.finfo(torch.float64).eps  # skorch adds it before the log
    want = -torch.log(probabilities[range(7), y] + eps)
    np.testing.assert_allclose(losses_of(net, X, y), want, rtol=1e-12)


def test_binary_classifier_takes_one_logit_per_row():
    X, y = rows_for("mlp")
    y = (y > 0).astype(float)
    module = nn.Sequential(nn.Linear(5, 1), nn.Flatten(0))
    net = initialized(module, NeuralNetBinaryClassifier, criterion=nn.BCEWithLogitsLoss)
    logits = net.module_(torch.as_tensor(X))
    want = F.binary_cross_entropy_with_logits(logits, torch.as_tensor(y), reduction="none")
    np.testing.assert_allclose(losses_of(net, X, y), want.detach(), rtol=1e-12)


@pytest.mark.parametrize("n_outputs", [1, 4])
@pytest.mark.parametrize(
    ("reduction", "over"), [("mean", "mean"), ("none", "mean"), ("sum", "sum")]
)
def test_squared_loss_of_a_row_reduces_its_outputs_like_the_criterion(n_outputs, reduction, over):
    X, _ = rows_for("mlp")
    y = np.random.RandomState(1).randn(7, n_outputs)
    net = initialized(
        nn.Linear(5, n_outputs),
        NeuralNetRegressor,
        criterion=nn.MSELoss,
        criterion__reduction=reduction,
    )
    squares = (net.module_(torch.as_tensor(X)).detach().numpy() - y) ** 2
    np.testing.assert_allclose(losses_of(net, X, y), getattr(squares, over)(1), rtol=1e-12)


class ReducesItself(NeuralNetClassifier):
    """A get_loss that some users write: a scalar whatever the reduction of the criterion."""

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return F.cross_entropy(y_pred, y_true) * 3


def test_a_get_loss_that_reduces_by_itself_is_called_row_by_row():
    net, X, y = make("mlp", net_class=ReducesItself)
    logits = net.module_(torch.as_tensor(X))
    want = 3 * F.cross_entropy(logits, torch.as_tensor(y), reduction="none").detach()
    np.testing.assert_allclose(losses_of(net, X, y), want, rtol=1e-12)


def test_cotangents_are_the_gradients_of_the_losses_by_the_outputs():
    net, X, y = make("mlp")
    fnet = FunctionalNet(net)
    Xb, yb = next(fnet.batches(X, y))
    f = forward(fnet, Xb)
    want = F.softmax(f, dim=1) - F.one_hot(yb, 3)
    torch.testing.assert_close(fnet.cotangents(f, Xb, yb), want, rtol=1e-12, atol=1e-12)


def test_a_regressor_with_a_column_against_flat_targets_is_refused():
    X, _ = rows_for("mlp")
    net = initialized(nn.Linear(5, 1), NeuralNetRegressor, criterion=nn.MSELoss)
    fnet = FunctionalNet(net)
    Xb, yb = next(fnet.batches(X, np.zeros(7)))
    f = forward(fnet, Xb)
    message = (
        r"MSELoss turned outputs of shape \(7, 1\) and y of shape \(7,\) into losses of shape "
        r"\(7, 7\), but one loss per row was expected"
    )
    with (
        pytest.warns(UserWarning, match="different to the input size"),  # torch's own
        pytest.raises(ValueError, match=message),
    ):
        fnet.losses(f, Xb, yb)


def test_a_criterion_without_a_gradient_is_refused():
    class Accuracy(nn.Module):
        def forward(self, y_pred, y_true):
            return (y_pred.argmax(1) != y_true).double()

    net, X, y = make("mlp", criterion=Accuracy)
    fnet = FunctionalNet(net)
    Xb, yb = next(fnet.batches(X, y))
    with pytest.raises(ValueError, match="criterion Accuracy returns a loss that does not depend"):
        fnet.cotangents(forward(fnet, Xb), Xb, yb)


class Hinge(nn.MultiMarginLoss):
    """A loss on logits that skorch does not know."""


def net_of_outputs(last, criterion=Hinge, **params):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, 3), last).double()
    return initialized(
        module, NeuralNetClassifier, criterion=criterion, classes=[0, 1, 2], **params
    )


ROWS = torch.randn(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


each_logits = pytest.mark.parametrize(
    "last", [nn.Identity(), nn.LogSoftmax(1), nn.Softplus(), nn.Sigmoid()], ids=repr
)


@each_logits
def test_outputs_that_are_not_probabilities_are_taken_as_logits(last):
    fnet = FunctionalNet(net_of_outputs(last))
    f = fnet.outputs(fnet.params, ROWS).detach()
    with pytest.warns(UserWarning, match=r"criterion Hinge.*predict_nonlinearity="):
        p = fnet.probabilities(f)
    torch.testing.assert_close(p, f.softmax(1))
    with pytest.warns(UserWarning, match="predict_nonlinearity="):
        drawn = fnet.sampled_labels(f, f, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) <= {0, 1, 2}


def test_a_net_that_returned_logits_once_returns_logits_for_every_batch():
    fnet = FunctionalNet(net_of_outputs(nn.Identity()))
    like_probabilities = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64)
    with pytest.warns(UserWarning, match="predict_nonlinearity="):
        fnet.probabilities(torch.tensor([[-1.0, 2.0, 0.0]], dtype=torch.float64))
    with pytest.warns(UserWarning, match="predict_nonlinearity="):
        p = fnet.at({}).probabilities(like_probabilities)
    torch.testing.assert_close(p, like_probabilities.softmax(1))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "net",
    [
        lambda: net_of_outputs(nn.Softmax(1)),
        lambda: net_of_outputs(nn.Softmax(1), nn.NLLLoss),
        lambda: net_of_outputs(nn.Identity(), nn.CrossEntropyLoss),
        lambda: net_of_outputs(nn.Identity(), predict_nonlinearity=nn.Softmax(1)),
        lambda: net_of_outputs(nn.Identity(), predict_nonlinearity=nn.Sigmoid()),
    ],
    ids=["softmax", "NLLLoss", "CrossEntropyLoss", "Softmax given", "Sigmoid given"],
)
def test_probabilities_are_those_of_the_net_without_a_warning(net):
    net = net()
    fnet = FunctionalNet(net)
    got = fnet.probabilities(fnet.outputs(fnet.params, ROWS)).detach().numpy()
    np.testing.assert_allclose(got, net.predict_proba(ROWS), rtol=1e-12)


@pytest.mark.parametrize("shape", [(5,), (5, 1)], ids=str)
def test_one_number_per_row_of_an_unknown_meaning_is_an_error(shape):
    fnet = FunctionalNet(net_of_outputs(nn.Identity()))
    with pytest.raises(ValueError, match=r"one number per row.*predict_nonlinearity="):
        fnet.probabilities(torch.full(shape, 0.4, dtype=torch.float64))
