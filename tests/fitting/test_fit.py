"""A net is fitted as a clone, under a seed, on every row; its snapshots are those asked for."""

import copy
import gc
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, LRScheduler
from skorch.dataset import ValidSplit
from torch import nn
from zoo import make

from skinfluence._core.states import SavedState, read_state
from skinfluence._fitting import checkpoints
from skinfluence._fitting.checkpoints import Snapshots, snapshots_of
from skinfluence._fitting.fit import check_net, fit_net, peek
from skinfluence._fitting.isolation import seeded
from skinfluence.nets import TabularClassifier

rng = np.random.RandomState(0)
X, y = rng.randn(40, 5).astype(np.float32), np.arange(40) % 3
REFERENCE = rng.randn(9, 5).astype(np.float32), np.arange(9) % 3


class MLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 3))


class Diary(Callback):
    """Keeps the state of every epoch, and can stop the training."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after

    def on_train_begin(self, net, **kwargs):
        self.states_ = {}

    def on_epoch_end(self, net, **kwargs):
        self.states_[len(net.history)] = copy.deepcopy(net.module_.state_dict())
        if len(net.history) == self.stop_after:
            raise KeyboardInterrupt  # as EarlyStopping does


def net_of(**params):
    params = {"criterion": nn.CrossEntropyLoss, "train_split": None, "verbose": 0} | params
    return NeuralNetClassifier(params.pop("module", MLP), **params)


def fitted(net, seed=0, snapshots=1):
    return fit_net(net, X, y, REFERENCE, seed, snapshots)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def epochs_of(net, states):
    """The epoch of each state, told by the diary."""
    (diary,) = (cb for _, cb in net.callbacks_ if isinstance(cb, Diary))
    return [next((e for e, kept in diary.states_.items() if same(s, kept)), None) for s in states]


# Snapshots ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "max_epochs", "epochs"),
    [
        (1, 10, [10]),
        (2, 10, [1, 10]),
        (3, 16, [1, 4, 16]),
        (6, 30, [1, 2, 4, 8, 15, 30]),
        (6, 3, [1, 2, 3]),
        (4, 1, [1]),
    ],
)
def test_snapshots_are_spaced_geometrically_and_end_with_the_last_epoch(number, max_epochs, epochs):
    net, states = fitted(net_of(max_epochs=max_epochs, callbacks=[Diary()]), snapshots=number)
    assert epochs_of(net, states) == epochs


@pytest.mark.parametrize(
    ("number", "stop_after", "epochs"),
    [(3, 2, [1, 2]), (3, 4, [1, 4]), (3, 5, [1, 4, 5]), (1, 3, [3]), (3, 1, [1])],
)
def test_training_that_stops_early_keeps_its_snapshots_and_its_last_epoch(
    number, stop_after, epochs
):
    net = net_of(max_epochs=16, callbacks=[Diary(stop_after)])
    assert epochs_of(*fitted(net, snapshots=number)) == epochs


@pytest.mark.parametrize("snapshots", [1, 4])
def test_the_last_snapshot_is_the_fitted_net(snapshots):
    net, states = fitted(net_of(max_epochs=5), snapshots=snapshots)
    assert same(states[-1], net.module_.state_dict())


def test_snapshots_are_copies():
    net, states = fitted(net_of(max_epochs=2))
    before = copy.deepcopy(states[-1])
    with torch.no_grad():
        for value in net.module_.state_dict().values():
            value.add_(1)
    assert same(states[-1], before)


def test_snapshots_hold_the_batchnorm_statistics():
    _, states = fitted(net_of(max_epochs=4), snapshots=2)
    assert not torch.equal(states[0]["1.running_mean"], states[1]["1.running_mean"])


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch.compile's own
def test_snapshots_of_a_compiled_net_have_the_names_of_its_module():
    net = net_of(max_epochs=1, compile=True, compile__backend="eager")
    _, states = fitted(net)
    assert set(states[0]) == set(MLP().state_dict())


def recorded(number=4, dirname=None, **params):
    """The callback after a training that it watched."""
    recorder = Snapshots(number, dirname)
    fitted(net_of(**{"max_epochs": 8, "lr": 0.5} | params), snapshots=recorder)
    return recorder


class WatchRates(Callback):
    """The learning rate that each epoch's steps were taken with."""

    def on_train_begin(self, net, **kwargs):
        self.rates_ = []

    def on_batch_end(self, net, training, **kwargs):
        rate = net.optimizer_.param_groups[0]["lr"]
        if training and len(self.rates_) < len(net.history):
            self.rates_.append(rate)


@pytest.mark.parametrize(
    "schedule",
    [[], [LRScheduler("StepLR", step_size=2, gamma=0.1)]],
    ids=["constant", "steps"],
)
def test_a_snapshots_learning_rate_is_the_one_of_its_epoch(schedule):
    recorder = Snapshots(4)  # epochs 1, 2, 4, 8
    net = net_of(max_epochs=8, lr=0.5, callbacks=[*schedule, ("watch", WatchRates())])
    rates = dict(fitted(net, snapshots=recorder)[0].callbacks_)["watch"].rates_
    assert recorder.learning_rates_ == [rates[epoch - 1] for epoch in (1, 2, 4, 8)]


def test_a_schedulers_learning_rates_differ():
    rates = recorded(callbacks=[LRScheduler("StepLR", step_size=2, gamma=0.1)]).learning_rates_
    assert rates == pytest.approx([0.5, 0.5, 0.05, 0.0005], rel=1e-12)


def test_a_net_stopped_early_with_its_best_weights_ends_with_those():
    class Worse(Callback):
        """The second epoch is the best."""

        def on_epoch_end(self, net, **kwargs):
            net.history.record("badness", abs(len(net.history) - 2))

    stop = EarlyStopping("badness", patience=2, load_best=True)
    net = net_of(max_epochs=9, callbacks=[Diary(), Worse(), stop])
    assert epochs_of(*fitted(net, snapshots=2)) == [1, 2]


def test_snapshots_in_a_directory_are_those_in_memory(tmp_path):
    on_disk, in_memory = recorded(dirname=tmp_path), recorded()
    assert all(isinstance(s, SavedState) for s in on_disk.states_)
    pairs = zip(on_disk.states_, in_memory.states_, strict=True)
    assert all(same(read_state(a), b) for a, b in pairs)


def test_a_directory_has_a_file_an_epoch(tmp_path):
    recorded(dirname=tmp_path / "made" / "for it")
    names = sorted(os.listdir(tmp_path / "made" / "for it"))
    assert names == [f"epoch-0000{epoch}.pt" for epoch in (1, 2, 4, 8)]


def test_a_relative_directory_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorder = recorded(dirname="kept")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len([read_state(state) for state in recorder.states_]) == 4


def test_a_file_that_would_run_code_is_not_read(tmp_path):
    class Run:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was run"),)

    torch.save(Run(), tmp_path / "epoch.pt")
    with pytest.raises(pickle.UnpicklingError, match="weights_only"):
        SavedState(tmp_path / "epoch.pt").read()
    assert not (tmp_path / "was run").exists()


def test_a_snapshot_that_was_overwritten_is_refused(tmp_path):
    states = recorded(dirname=tmp_path).states_
    later = os.stat(states[0].path).st_mtime_ns + 10**9
    recorded(dirname=tmp_path)
    os.utime(states[0].path, ns=(later, later))  # no matter how coarse the file system's clock is
    with pytest.raises(ValueError, match=r"epoch-00001\.pt was overwritten, by a later training"):
        states[0].read()


@pytest.mark.parametrize(
    "copied",
    [lambda o: pickle.loads(pickle.dumps(o)), copy.deepcopy],
    ids=["pickle", "deepcopy"],
)
def test_copied_snapshots_outlive_their_directory(copied, tmp_path):
    recorder = recorded(dirname=tmp_path / "kept")
    before = [read_state(state) for state in recorder.states_]
    again = copied(recorder)
    shutil.rmtree(tmp_path / "kept")
    assert all(same(a, b) for a, b in zip(again.states_, before, strict=True))
    assert again.learning_rates_ == recorder.learning_rates_


def test_large_snapshots_go_to_a_directory_that_lives_as_long_as_they(monkeypatch):
    monkeypatch.setattr(checkpoints, "_IN_MEMORY", 0)
    states = recorded().states_
    gc.collect()  # the callback is gone by now
    directory = os.path.dirname(states[0].path)
    assert [set(read_state(state)) for state in states] == [set(MLP().state_dict())] * 4
    del states
    gc.collect()
    assert not os.path.exists(directory)


def test_small_snapshots_stay_in_memory():
    assert not any(isinstance(state, SavedState) for state in recorded().states_)


@pytest.mark.parametrize("name", ["snapshots", "own"])
def test_a_net_may_have_snapshots_of_its_own_under_any_name(name):
    net, states = fitted(net_of(max_epochs=4, callbacks=[(name, Snapshots(2))]), snapshots=3)
    assert len(states) == 3
    assert len(snapshots_of(net).states_) == 2


def test_a_second_training_forgets_the_first():
    recorder = Snapshots(3)
    net = net_of(max_epochs=4, callbacks=[recorder]).fit(X, y)
    first = recorder.states_
    net.fit(X, y)
    assert len(recorder.states_) == 3
    assert not same(first[0], recorder.states_[0])


def test_a_net_without_snapshots_has_none():
    assert snapshots_of(net_of(max_epochs=1).fit(X, y)) is None


def test_no_epochs_leave_the_initial_state():
    net, states = fitted(net_of(max_epochs=0), snapshots=3)
    assert len(states) == 1
    assert same(states[0], net.module_.state_dict())


# Seeds ----------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights():
    net = net_of(max_epochs=3, iterator_train__shuffle=True)
    assert same(fitted(net, seed=3)[1][0], fitted(net, seed=3)[1][0])


def test_another_seed_gives_other_weights():
    net = net_of(max_epochs=3)
    assert not same(fitted(net, seed=3)[1][0], fitted(net, seed=4)[1][0])


def test_the_callers_random_state_is_put_back():
    before = torch.get_rng_state()
    fitted(net_of(max_epochs=2, iterator_train__shuffle=True))
    assert torch.equal(before, torch.get_rng_state())


def test_the_callers_random_state_is_put_back_after_an_exception():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(0):
        torch.rand(3) / (1 // 0)
    assert torch.equal(before, torch.get_rng_state())


# What becomes of the user's net ----------------------------------------------------------------


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


def test_a_net_with_a_split_watches_the_reference_rows():
    net = net_of(max_epochs=1, train_split=ValidSplit(5, stratified=True))
    batches = fitted(net)[0].history[0, "batches"]
    assert sum(b.get("valid_batch_size", 0) for b in batches) == len(REFERENCE[0])


def test_a_net_without_a_split_watches_nothing():
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


def test_the_fitted_net_carries_neither_reference_rows_nor_snapshots_into_a_pickle():
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


def test_the_default_callbacks_run_beside_the_users():
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


# What is refused, and what is said -------------------------------------------------------------


@pytest.mark.parametrize("estimator", ["net", 3, FrozenEstimator(3)], ids=str)
def test_what_is_no_net_is_refused(estimator):
    with pytest.raises(TypeError, match="expected a skorch net"):
        check_net(estimator)


@pytest.mark.parametrize("estimator", [nn.Linear(5, 3), nn.Linear], ids=["module", "class"])
def test_a_bare_module_is_told_to_be_wrapped(estimator):
    with pytest.raises(TypeError, match=r"Wrap the module: skorch\.NeuralNetClassifier"):
        check_net(estimator)


def test_a_frozen_net_must_be_fitted():
    with pytest.raises(Exception, match=r"not initialized|not fitted"):
        check_net(FrozenEstimator(net_of()))


def test_a_trained_module_instance_is_warned_of():
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
def test_any_other_net_passes_in_silence(estimator):
    assert check_net(estimator) is None


def test_integers_for_a_net_of_floats_are_explained():
    with pytest.raises(ValueError, match=r"X is of dtype int64 and the net's module wants floats"):
        fit_net(net_of(), np.zeros((6, 5), dtype=np.int64), y[:6], REFERENCE, 0)


# Peeking --------------------------------------------------------------------------------------


class Double(nn.Linear):
    def __init__(self):
        super().__init__(5, 3, dtype=torch.float64)


class Flat(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(5, 1), nn.Flatten(0))


@pytest.mark.parametrize(
    ("module", "found"),
    [(MLP, (torch.float32, 2)), (Double, (torch.float64, 2)), (Flat, (torch.float32, 1))],
)
def test_a_peek_tells_the_dtype_and_the_axes_of_the_outputs(module, found):
    assert peek(net_of(module=module), X[:2], 0) == found


def test_a_peek_at_a_frozen_net_looks_at_the_net_itself():
    net, rows, _ = make("mlp")
    assert peek(FrozenEstimator(net), rows[:2], 0) == (torch.float64, 2)


def test_a_peek_at_a_net_that_learns_its_width_at_fit_knows_no_axes():
    assert peek(TabularClassifier(), X[:2], 0) == (torch.float32, None)


def test_a_peek_leaves_the_net_uninitialized():
    net = net_of()
    peek(net, X[:2], 0)
    assert not net.initialized_


def test_a_peek_leaves_the_callers_random_state():
    before = torch.get_rng_state()
    peek(net_of(), X[:2], 0)
    assert torch.equal(before, torch.get_rng_state())
