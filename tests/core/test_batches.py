"""Batches have the rows, labels and sizes of the net's own DataLoader."""

import copy

import numpy as np
import pytest
import torch
from core_cases import ask
from number_types import (
    MIXED_MODULES,
    DoubleBuffer,
    DoubleHead,
    Float16,
    Half,
    HalfBody,
    LogScale,
    as_vectors,
    loop_of,
    mixed_net,
)
from skorch import NeuralNetRegressor
from skorch.dataset import Dataset as SkorchDataset
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from zoo import initialized, loop_gradients, make, rows_for

from skinfluence._core import batches as batches_module
from skinfluence._core.gradients import forward, row_gradients
from skinfluence._core.influence import row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import self_influences
from skinfluence._core.selfcheck import check_gradients
from skinfluence.targets import Utility


def gathered(fnet, X, y=None):
    """Rows and labels of all batches joined, and the sizes of the batches."""
    batches = list(fnet.batches(X, y))
    return (
        torch.cat([b[0] for b in batches]).numpy(),
        torch.cat([b[1] for b in batches]).numpy(),
        [len(b[0]) for b in batches],
    )


def test_a_data_loader_does_not_advance_the_random_state_of_torch():
    net, X, y = make("mlp")
    before = torch.get_rng_state()
    list(FunctionalNet(net).batches(TensorDataset(torch.tensor(X), torch.tensor(y))))
    assert torch.equal(before, torch.get_rng_state())


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
        monkeypatch.setitem(batches_module._BATCH_LIMITS, "cpu", (512, memory))
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


# The dtype of the rows: the one that the net takes, whatever its first parameter is

each_mixed = pytest.mark.parametrize("kind", MIXED_MODULES)


@each_mixed
def test_rows_that_the_net_takes_are_not_cast(kind):
    net, X, y = mixed_net(kind)
    Xb, _ = next(FunctionalNet(net).batches(X, y))
    assert torch.equal(Xb, X)
    assert Xb.dtype is X.dtype
    assert FunctionalNet(net).input_dtype(X) is X.dtype
    with torch.no_grad():
        want = copy.deepcopy(net.module_).eval()(X)
    got = forward(FunctionalNet(net), Xb)
    assert torch.equal(got, want)
    assert got.dtype is want.dtype


@pytest.mark.parametrize("kind", [LogScale, HalfBody, DoubleHead, DoubleBuffer, Half, Float16])
@pytest.mark.parametrize("form", ["array", "dict", "dataset"])
def test_rows_in_double_precision_are_cast_to_a_dtype_that_the_net_takes(kind, form):
    net, X, y = mixed_net(kind)
    X = X.double()
    name = "input" if isinstance(net.module_, nn.Sequential) else "X"
    items = TensorDataset(X, torch.tensor(y))
    rows = {"array": X.numpy(), "dict": {name: X.numpy()}, "dataset": items}
    fnet = FunctionalNet(net)
    Xb, _ = next(fnet.batches(rows[form], y))
    assert (Xb[name] if form == "dict" else Xb).dtype is kind.rows
    assert fnet.input_dtype(rows[form]) is kind.rows


@each_mixed
@pytest.mark.parametrize("parameters", ["*", "head.*"])
@pytest.mark.parametrize("normalize", [False, True])
def test_scores_of_a_net_of_several_dtypes_are_those_of_the_loop(kind, parameters, normalize):
    net, X, y = mixed_net(kind)
    if parameters != "*" and not hasattr(net.module_, "head"):
        parameters = ["*.2.*", "2.*"]
    fnet = FunctionalNet(net, parameters)
    check_gradients(fnet, X, y)
    rows = as_vectors({name: g for name, g in loop_of(net, X, y).items() if name in fnet.params})
    want = rows @ rows[:4].mean(0)
    scale = np.linalg.norm(rows, axis=1)
    got = row_scores(fnet, ask(fnet, Utility(), X[:4], y[:4]), X, y, normalize=normalize)
    error = np.abs(got - (want / scale if normalize else want))
    assert error.max() <= kind.precision * np.linalg.norm(rows[:4].mean(0)) * (
        1 if normalize else scale.max()
    )
    norms = self_influences(fnet, X, y)
    np.testing.assert_allclose(norms, scale**2, rtol=2 * kind.precision)


@pytest.mark.parametrize("kind", [DoubleHead, LogScale, HalfBody, Half])
def test_labels_are_not_rounded_to_the_dtype_of_the_first_parameter(kind):
    net, X, _ = mixed_net(kind, net_class=NeuralNetRegressor, criterion=nn.MSELoss)
    fnet = FunctionalNet(net)
    outputs = forward(fnet, X)
    y = (outputs.double() + 1 / 3).numpy()
    Xb, yb = next(fnet.batches(X, y))
    assert yb.dtype is torch.float64
    losses = fnet.losses(outputs, Xb, yb)
    np.testing.assert_allclose(losses, np.full(len(y), 1 / 9), rtol=1e-5)
    G = fnet.cotangents(outputs, Xb, yb).double()
    np.testing.assert_allclose(G, np.full(outputs.shape, -2 / 9), rtol=kind.precision)


def test_a_net_whose_forward_fails_raises_its_own_error():
    net, X, y = mixed_net(LogScale)
    fnet = FunctionalNet(net)
    assert fnet.accepted(X[:, :5]).dtype is torch.float32
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        next(fnet.batches(X[:, :5], y))
