"""A clone of the net is fitted, under a seed, on every row it is given."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import EarlyStopping, EpochScoring
from skorch.dataset import ValidSplit
from small_nets import MLP, REFERENCE, Diary, PressCtrlC, X, fitted, net_of, same, y
from torch import nn
from torch.utils.data import BatchSampler, RandomSampler, TensorDataset, WeightedRandomSampler
from zoo import make

from skinfluence._fitting.checkpoints import Snapshots
from skinfluence._fitting.fit import check_net, fit_net, peek
from skinfluence.nets import TabularClassifier

# Seeds


def test_the_same_seed_gives_the_same_weights():
    net = net_of(max_epochs=3, iterator_train__shuffle=True)
    assert same(fitted(net, seed=3)[1][0], fitted(net, seed=3)[1][0])


def test_another_seed_gives_other_weights():
    net = net_of(max_epochs=3)
    assert not same(fitted(net, seed=3)[1][0], fitted(net, seed=4)[1][0])


def test_the_callers_random_state_is_restored():
    before = torch.get_rng_state()
    fitted(net_of(max_epochs=2, iterator_train__shuffle=True))
    assert torch.equal(before, torch.get_rng_state())


# The user's net -------------------------------------------------------------------------------


def test_a_clone_is_fitted_and_the_net_stays_unfitted():
    net = net_of(max_epochs=1)
    assert fitted(net)[0] is not net
    assert not net.initialized_


def test_a_frozen_net_comes_back_as_it_is():
    net, _, _ = make("mlp")
    before = copy.deepcopy(net.module_.state_dict())
    found, states = fitted(FrozenEstimator(net))
    assert found is net
    assert len(states) == 1
    assert same(states[0], before)


def test_every_training_row_is_trained_on_though_the_net_has_a_split():
    net = net_of(max_epochs=1, train_split=ValidSplit(5, stratified=True))
    assert sum(b.get("train_batch_size", 0) for b in fitted(net)[0].history[0, "batches"]) == len(X)


def test_a_net_with_a_split_is_validated_on_the_reference_rows():
    net = net_of(max_epochs=1, train_split=ValidSplit(5, stratified=True))
    batches = fitted(net)[0].history[0, "batches"]
    assert sum(b.get("valid_batch_size", 0) for b in batches) == len(REFERENCE[0])


def test_a_net_without_a_split_is_not_validated():
    assert "valid_loss" not in fitted(net_of(max_epochs=1))[0].history[0]


def test_early_stopping_works_on_the_reference_rows():
    net = net_of(
        max_epochs=50,
        lr=0.0,  # never gets better
        train_split=ValidSplit(5, stratified=True),
        callbacks=[EarlyStopping(patience=2, sink=lambda text: None)],
    )
    assert len(fitted(net)[0].history) == 3


def test_the_ready_made_net_stops_early_on_the_reference_rows():
    net = TabularClassifier(max_epochs=2, early_stopping=True)
    batches = fitted(net)[0].history[0, "batches"]
    assert sum(b.get("valid_batch_size", 0) for b in batches) == len(REFERENCE[0])


def test_the_fitted_net_gets_its_split_back():
    net = net_of(max_epochs=1, train_split=ValidSplit(5, stratified=True))
    assert isinstance(fitted(net)[0].train_split, ValidSplit)


def test_a_pickle_of_the_fitted_net_holds_neither_reference_rows_nor_checkpoints():
    bare = len(pickle.dumps(net_of(max_epochs=1).fit(X, y)))
    split = ValidSplit(5, stratified=True)
    net = fit_net(
        net_of(max_epochs=1, train_split=split), X, y, (X[[0] * 9999], y[[0] * 9999]), 0, 9
    )
    assert len(pickle.dumps(net[0])) < bare + 5000


# Callbacks ------------------------------------------------------------------------------------


def test_the_users_callbacks_run_and_stay():
    net, _ = fitted(net_of(max_epochs=2, callbacks=[("diary", Diary())]))
    assert dict(net.callbacks_)["diary"].states_.keys() == {1, 2}
    assert [name for name, _ in net.callbacks] == ["diary"]


def test_the_default_callbacks_run_along_with_the_users():
    net, _ = fitted(net_of(max_epochs=1, callbacks=[Diary()]))
    assert "train_loss" in net.history[0]


def test_no_recorder_is_left_on_the_net():
    net, _ = fitted(net_of(max_epochs=1))
    assert not any(isinstance(cb, Snapshots) for _, cb in net.callbacks_)
    assert net.callbacks is None


def test_disabled_callbacks_stay_disabled():
    net, states = fitted(net_of(max_epochs=2, callbacks="disable"))
    assert net.callbacks_ == []
    assert "train_loss" not in net.history[-1]
    assert len(states) == 1


def test_a_net_with_disabled_callbacks_keeps_its_parameters():
    net = net_of(max_epochs=2, callbacks="disable")
    assert fitted(net)[0].get_params().keys() == net.get_params().keys()


def test_a_callback_switched_off_by_the_user_stays_off():
    net, _ = fitted(net_of(max_epochs=1, callbacks__train_loss=None))
    assert "train_loss" not in net.history[0]


def test_a_scoring_callback_sees_the_reference_rows():
    scoring = EpochScoring("accuracy", name="accuracy", lower_is_better=False)
    net, _ = fitted(
        net_of(max_epochs=1, train_split=ValidSplit(5, stratified=True), callbacks=[scoring])
    )
    assert net.history[0, "accuracy"] == pytest.approx(net.score(*REFERENCE))


def test_ctrl_c_during_the_training_is_raised_though_skorch_swallows_it():
    callback = PressCtrlC()
    assert len(net_of(max_epochs=9, callbacks=[callback]).fit(X, y).history) == 2  # swallowed
    with pytest.raises(KeyboardInterrupt, match="the training was interrupted"):
        fitted(net_of(max_epochs=9, callbacks=[callback]))


def test_a_callback_that_stops_the_training_early_is_not_taken_for_ctrl_c():
    assert len(fitted(net_of(max_epochs=9, callbacks=[Diary(stop_after=2)]))[0].history) == 2


# Errors and warnings --------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["net", 3, FrozenEstimator(3)], ids=str)
def test_objects_that_are_not_nets_are_refused(estimator):
    with pytest.raises(TypeError, match="expected a skorch net"):
        check_net(estimator)


@pytest.mark.parametrize("estimator", [nn.Linear(5, 3), nn.Linear], ids=["module", "class"])
def test_a_bare_module_is_told_to_be_wrapped(estimator):
    with pytest.raises(TypeError, match=r"Wrap the module: skorch\.NeuralNetClassifier"):
        check_net(estimator)


def test_a_frozen_module_is_told_to_be_wrapped_before_it_is_frozen():
    with pytest.raises(TypeError, match=r"Wrap the trained module.*NeuralNetClassifier\(module"):
        check_net(FrozenEstimator(nn.Linear(5, 3)))


def test_a_frozen_net_must_be_fitted():
    with pytest.raises(Exception, match=r"not initialized|not fitted"):
        check_net(FrozenEstimator(net_of()))


def test_a_trained_module_instance_gives_a_warning():
    net = net_of(module=MLP(), max_epochs=1).fit(X, y)
    with pytest.warns(UserWarning, match="an instance that has been trained already"):
        check_net(net)


@pytest.mark.parametrize(
    "estimator",
    [
        net_of(),
        net_of(module=MLP()),
        net_of(max_epochs=1).fit(X, y),
        FrozenEstimator(net_of(module=MLP(), max_epochs=1).fit(X, y)),
    ],
    ids=["class", "untrained instance", "trained class", "frozen instance"],
)
def test_any_other_net_gives_no_warning(estimator):
    assert check_net(estimator) is None


def test_integers_for_a_net_of_floats_are_explained():
    with pytest.raises(ValueError, match=r"X is of dtype int64 and the net's module wants floats"):
        fit_net(net_of(), np.zeros((6, 5), dtype=np.int64), y[:6], REFERENCE, 0)


@pytest.mark.parametrize("as_dataset", [False, True])
@pytest.mark.parametrize(("n", "batch_size"), [(1, 8), (9, 8), (3, 1)])
def test_a_batch_of_one_row_for_batchnorm_is_explained(n, batch_size, as_dataset):
    class Normed(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))

    net = net_of(module=Normed, batch_size=batch_size)
    rows = (TensorDataset(torch.as_tensor(X[:n]), torch.as_tensor(y[:n])), None)
    with pytest.raises(ValueError, match="BatchNorm needs at least two rows in each batch"):
        fit_net(net, *(rows if as_dataset else (X[:n], y[:n])), REFERENCE, 0)


@pytest.mark.parametrize("number", [39, 41])
@pytest.mark.parametrize("kind", ["weights", "rows", "batches"])
def test_a_sampler_made_for_other_rows_is_refused(kind, number):
    def params(n):
        sampler = (
            WeightedRandomSampler(np.ones(n), n) if kind != "rows" else RandomSampler(range(n))
        )
        if kind == "batches":
            return {"iterator_train__batch_sampler": BatchSampler(sampler, 8, False)}
        return {"iterator_train__sampler": sampler}

    if kind != "batches":  # skorch sets a batch size, which torch refuses beside a batch sampler
        fitted(net_of(max_epochs=1, **params(40)))
    with pytest.raises(ValueError, match=rf"made for {number} rows, but .* trained on 40 rows"):
        fitted(net_of(max_epochs=1, **params(number)))


# Peeking --------------------------------------------------------------------------------------


class Double(nn.Linear):
    def __init__(self):
        super().__init__(5, 3, dtype=torch.float64)


class Flat(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(5, 1), nn.Flatten(0))


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (MLP, (torch.float32, (2, 3))),
        (Double, (torch.float64, (2, 3))),
        (Flat, (torch.float32, (2,))),
    ],
)
def test_a_peek_returns_the_dtype_and_the_shape_of_the_outputs(module, found):
    dtype, outputs = peek(net_of(module=module), X[:2], 0)
    assert (dtype, outputs.shape) == found


def test_a_peek_at_a_frozen_net_looks_at_the_net_itself():
    net, rows, _ = make("mlp")
    dtype, outputs = peek(FrozenEstimator(net), rows[:2], 0)
    assert (dtype, outputs.shape) == (torch.float64, (2, 3))


def test_a_peek_at_a_net_that_learns_its_width_in_fit_returns_no_outputs():
    assert peek(TabularClassifier(), X[:2], 0) == (None, None)


def test_a_peek_leaves_the_net_uninitialized():
    net = net_of()
    peek(net, X[:2], 0)
    assert not net.initialized_


def test_a_peek_does_not_change_the_callers_random_state():
    before = torch.get_rng_state()
    peek(net_of(), X[:2], 0)
    assert torch.equal(before, torch.get_rng_state())
