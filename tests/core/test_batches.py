"""Batches have the rows, labels and sizes of the net's own DataLoader."""

import numpy as np
import pytest
import torch
from skorch.dataset import Dataset as SkorchDataset
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from zoo import initialized, loop_gradients, make, rows_for

from skinfluence._core import batches as batches_module
from skinfluence._core.gradients import forward, row_gradients
from skinfluence._core.net import FunctionalNet


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
