"""FunctionalNet has the outputs, losses and batches of the skorch net."""

import copy

import numpy as np
import pytest
import torch
from core_cases import losses_of
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.dataset import Dataset as SkorchDataset
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from zoo import MODULES, initialized, loop_gradients, make, rows_for

from skinfluence._core import net as net_module
from skinfluence._core.gradients import forward, row_gradients
from skinfluence._core.net import FunctionalNet

F = nn.functional


def gathered(fnet, X, y=None):
    """Rows and labels of all batches joined, and the sizes of the batches."""
    batches = list(fnet.batches(X, y))
    return (
        torch.cat([b[0] for b in batches]).numpy(),
        torch.cat([b[1] for b in batches]).numpy(),
        [len(b[0]) for b in batches],
    )


def moved(net, seed):
    """A state of the net with other weights and statistics."""
    generator, module = torch.Generator().manual_seed(seed), copy.deepcopy(net.module_)
    with torch.no_grad():
        for t in [*module.parameters(), *module.buffers()]:  # tied weights move together
            if t.is_floating_point():
                t += 0.1 * torch.rand(t.shape, generator=generator).to(t)
    return module.state_dict()


def loaded(net, state):
    module = copy.deepcopy(net.module_)
    module.load_state_dict(state)
    return module.eval()


def test_a_data_loader_does_not_advance_the_random_state_of_torch():
    net, X, y = make("mlp")
    before = torch.get_rng_state()
    list(FunctionalNet(net).batches(TensorDataset(torch.tensor(X), torch.tensor(y))))
    assert torch.equal(before, torch.get_rng_state())


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


def test_a_module_that_returns_a_tuple_is_refused():
    class Pair(nn.Linear):
        def forward(self, X):
            return super().forward(X), X

    net = initialized(Pair(5, 3))
    fnet = FunctionalNet(net)
    with pytest.raises(TypeError, match="returns a tuple, but a single tensor was expected"):
        forward(fnet, torch.zeros(2, 5, dtype=torch.float64))


# Batches --------------------------------------------------------------------------------------


class Squared(SkorchDataset):
    """A custom way to read rows."""

    def transform(self, X, y):
        return super().transform(X**2, y)


def own_collate(rows):
    X, y = zip(*rows, strict=True)
    return torch.as_tensor(np.stack(X)) + 1, torch.as_tensor(np.stack(y))


ORDERED = {
    "sliced": {},
    "sliced in small batches": {"batch_size": 3},
    "batch size of the validation iterator": {"iterator_valid__batch_size": 2},
    "all in one batch": {"batch_size": -1},
    "shuffle": {"batch_size": 3, "iterator_valid__shuffle": True},
    "drop_last": {"batch_size": 3, "iterator_valid__drop_last": True},
    "loader": {"batch_size": 3, "dataset": Squared},
    "loader, shuffle": {"batch_size": 3, "dataset": Squared, "iterator_valid__shuffle": True},
    "loader, drop_last": {"batch_size": 3, "dataset": Squared, "iterator_valid__drop_last": True},
    "own collate": {"batch_size": 3, "iterator_valid__collate_fn": own_collate},
}


# skorch warns about a shuffled validation iterator. Here it must do no harm.
@pytest.mark.filterwarnings("ignore:You set iterator_valid__shuffle=True:UserWarning")
@pytest.mark.parametrize("how", ORDERED)
def test_batches_keep_every_row_in_its_place(how):
    net, X, y = make("mlp", **ORDERED[how])
    rows, labels, _ = gathered(FunctionalNet(net), X, y)
    want = X**2 if "loader" in how else X + 1 if "collate" in how else X
    np.testing.assert_array_equal(rows, want)
    np.testing.assert_array_equal(labels, y)


@pytest.mark.parametrize(
    ("params", "sizes"),
    [
        ({}, [7]),
        ({"batch_size": 3}, [3, 3, 1]),
        ({"batch_size": 3, "iterator_valid__batch_size": 5}, [5, 2]),
        ({"batch_size": -1}, [7]),
        ({"batch_size": 3, "dataset": Squared}, [3, 3, 1]),
    ],
)
def test_batches_have_the_size_that_the_net_predicts_with(params, sizes):
    net, X, y = make("mlp", **params)
    assert gathered(FunctionalNet(net), X, y)[2] == sizes


def unbatched(**params):
    """A net with a batch size for training only."""
    net, X, y = make("mlp", **params)
    net.set_params(batch_size=2)
    return net, np.tile(X, (200, 1)), np.tile(y, 200)


def test_the_batch_size_of_training_is_not_used_for_scoring():
    net, X, y = unbatched()
    assert gathered(FunctionalNet(net), X, y)[2] == [512, 512, 376]


def test_rows_that_need_much_memory_come_in_smaller_batches(monkeypatch):
    sizes = {}
    for memory in (1, 10**4, 10**5, 10**9):
        monkeypatch.setitem(net_module._BATCH_LIMITS, "cpu", (512, memory))
        fnet = FunctionalNet(unbatched()[0])
        sizes[memory] = fnet.batch_size(unbatched()[1])
        assert fnet.n_batches(unbatched()[1]) == -(-1400 // sizes[memory])
    assert sizes[1] == 1
    assert sizes[10**9] == 512
    assert 1 < sizes[10**4] < sizes[10**5] < 512
    assert sizes[10**5] == pytest.approx(10 * sizes[10**4], abs=10)


def test_the_batch_size_depends_on_the_length_of_the_rows():
    class Long(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(1, 3)

        def forward(self, X):
            return self.linear(X.unsqueeze(2)).mean(1)

    net = initialized(Long(), dtype=torch.float32)
    fnet = FunctionalNet(net)
    short, long = (fnet.batch_size(np.zeros((5, width), np.float32)) for width in (10, 10**5))
    assert long < short == 512


def test_a_dataset_gives_the_same_batches_as_its_arrays():
    net, X, y = make("mlp", batch_size=3)
    fnet = FunctionalNet(net)
    rows, labels, sizes = gathered(fnet, TensorDataset(torch.tensor(X), torch.tensor(y)))
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_array_equal(labels, y)
    assert sizes == gathered(fnet, X, y)[2]


def test_a_custom_dataset_is_read_item_by_item():
    class Halves(Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return np.full(5, i / 2), i % 3

    net, _, _ = make("mlp", batch_size=2)
    rows, labels, _ = gathered(FunctionalNet(net), Halves())
    np.testing.assert_array_equal(rows[:, 0], np.arange(5) / 2)
    np.testing.assert_array_equal(labels, np.arange(5) % 3)


def test_read_only_arrays_raise_no_warning():
    net, X, y = make("mlp")
    X.flags.writeable = y.flags.writeable = False
    rows, labels, _ = gathered(FunctionalNet(net), X, y)
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_array_equal(labels, y)


@pytest.mark.parametrize(
    ("params", "dtype", "wanted"),
    [
        ({"dtype": torch.float64}, np.float32, torch.float64),
        ({"dtype": torch.float32}, np.float64, torch.float32),
    ],
)
def test_floats_get_the_dtype_of_the_parameters(params, dtype, wanted):
    net, X, y = make("mlp", **params)
    assert next(FunctionalNet(net).batches(X.astype(dtype), y))[0].dtype is wanted


def test_integers_stay_integers():
    net, X, y = make("embedding")
    assert [t.dtype for t in next(FunctionalNet(net).batches(X, y))] == [torch.int64] * 2


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(5, 3), nn.Linear(2, 3)

    def forward(self, left, right):
        return self.left(left) + self.right(right)


@pytest.mark.parametrize("params", [{"batch_size": 3}, {"batch_size": 3, "dataset": Squared}])
def test_dict_rows_keep_their_keys_aligned(params):
    X, y = rows_for("mlp")
    if "dataset" in params:

        class Plain(SkorchDataset):
            def transform(self, X, y):
                return super().transform(X, y)

        params = params | {"dataset": Plain}
    net = initialized(TwoInputs(), **params)
    batches = list(FunctionalNet(net).batches({"left": X, "right": X[:, :2]}, y))
    assert [len(b[0]["left"]) for b in batches] == [3, 3, 1]
    for Xb, _ in batches:
        torch.testing.assert_close(Xb["left"][:, :2], Xb["right"])


def test_dict_rows_have_the_gradients_of_the_loop():
    X, y = rows_for("mlp")
    net = initialized(TwoInputs())
    fnet = FunctionalNet(net)
    Xb, yb = next(fnet.batches({"left": X, "right": X[:, :2]}, y))
    grads = row_gradients(fnet, Xb, fnet.cotangents(forward(fnet, Xb), Xb, yb))
    one = initialized(nn.Linear(5, 3))
    with torch.no_grad():  # the same function, of the left rows alone
        one.module_.weight.copy_(net.module_.left.weight)
        one.module_.weight[:, :2] += net.module_.right.weight
        one.module_.bias.copy_(net.module_.left.bias + net.module_.right.bias)
    want = loop_gradients(one, X, y)[:, :15].reshape(7, 3, 5)
    np.testing.assert_allclose(grads["left.weight"], want, atol=1e-12)


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
