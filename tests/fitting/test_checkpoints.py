"""Checkpoints of a training: at which epochs, where they are kept, and what is in them."""

import copy
import errno
import gc
import os
import pickle
import shutil
from types import SimpleNamespace

import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from small_nets import MLP, Diary, X, epochs_of, fitted, net_of, same, y

from skinfluence._core.states import SavedState, read_state
from skinfluence._fitting import checkpoints
from skinfluence._fitting.checkpoints import Snapshots, checkpoints_of


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
def test_checkpoints_are_spaced_geometrically_and_end_with_the_last_epoch(
    number, max_epochs, epochs
):
    net, states = fitted(net_of(max_epochs=max_epochs, callbacks=[Diary()]), checkpoints=number)
    assert epochs_of(net, states) == epochs


@pytest.mark.parametrize(
    ("number", "stop_after", "epochs"),
    [(3, 2, [1, 2]), (3, 4, [1, 4]), (3, 5, [1, 4, 5]), (1, 3, [3]), (3, 1, [1])],
)
def test_training_that_stops_early_keeps_its_checkpoints_and_its_last_epoch(
    number, stop_after, epochs
):
    net = net_of(max_epochs=16, callbacks=[Diary(stop_after)])
    assert epochs_of(*fitted(net, checkpoints=number)) == epochs


@pytest.mark.parametrize("checkpoints", [1, 4])
def test_the_last_checkpoint_is_the_fitted_net(checkpoints):
    net, states = fitted(net_of(max_epochs=5), checkpoints=checkpoints)
    assert same(states[-1], net.module_.state_dict())


def test_checkpoints_are_copies():
    net, states = fitted(net_of(max_epochs=2))
    before = copy.deepcopy(states[-1])
    with torch.no_grad():
        for value in net.module_.state_dict().values():
            value.add_(1)
    assert same(states[-1], before)


def test_checkpoints_hold_the_batchnorm_statistics():
    _, states = fitted(net_of(max_epochs=4), checkpoints=2)
    assert not torch.equal(states[0]["1.running_mean"], states[1]["1.running_mean"])


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch.compile
def test_checkpoints_of_a_compiled_net_have_the_names_of_its_module():
    net = net_of(max_epochs=1, compile=True, compile__backend="eager")
    _, states = fitted(net)
    assert set(states[0]) == set(MLP().state_dict())


def recorded(number=4, dirname=None, **params):
    """The callback after a training."""
    recorder = Snapshots(number, dirname)
    fitted(net_of(**{"max_epochs": 8, "lr": 0.5} | params), checkpoints=recorder)
    return recorder


class WatchRates(Callback):
    """Records the learning rate of the steps in each epoch."""

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
def test_a_checkpoints_learning_rate_is_the_one_of_its_epoch(schedule):
    recorder = Snapshots(4)  # epochs 1, 2, 4, 8
    net = net_of(max_epochs=8, lr=0.5, callbacks=[*schedule, ("watch", WatchRates())])
    rates = dict(fitted(net, checkpoints=recorder)[0].callbacks_)["watch"].rates_
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
    assert epochs_of(*fitted(net, checkpoints=2)) == [1, 2]


def test_checkpoints_in_a_directory_are_those_in_memory(tmp_path):
    on_disk, in_memory = recorded(dirname=tmp_path), recorded()
    assert all(isinstance(s, SavedState) for s in on_disk.states_)
    pairs = zip(on_disk.states_, in_memory.states_, strict=True)
    assert all(same(read_state(a), b) for a, b in pairs)


def test_a_directory_has_one_file_per_epoch(tmp_path):
    recorded(dirname=tmp_path / "made" / "for it")
    names = sorted(os.listdir(tmp_path / "made" / "for it"))
    assert names == [f"epoch-0000{epoch}.pt" for epoch in (1, 2, 4, 8)]


def test_a_relative_directory_does_not_move_with_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorder = recorded(dirname="kept")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len([read_state(state) for state in recorder.states_]) == 4


FULL = OSError(errno.ENOSPC, "No space left on device")
HIDDEN = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 640 vs 534")
DENIED = PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(
    ("error", "free", "code", "why"),
    [
        (FULL, 0, errno.ENOSPC, "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 10**9, errno.EDQUOT, "the disk is full"),
        (HIDDEN, 0, errno.ENOSPC, "the disk is full"),
        (HIDDEN, 10**9, errno.EIO, "unexpected pos 640 vs 534"),
        (DENIED, 10**9, errno.EACCES, "Permission denied"),
    ],
    ids=["full", "quota", "hidden by torch", "hidden for another reason", "denied"],
)
def test_a_checkpoint_that_cannot_be_written_says_where_and_why(
    error, free, code, why, tmp_path, monkeypatch
):
    def half(state, file):
        file.write(b"half of it")
        raise error

    monkeypatch.setattr(torch, "save", half)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    with pytest.raises(OSError, match=rf"epoch-00001\.pt of [\d,]+ bytes .*{why}") as found:
        recorded(dirname=tmp_path)
    assert found.value.errno == code
    assert str(tmp_path) in str(found.value)
    assert os.listdir(tmp_path) == (["epoch-00001.pt"] if error is DENIED else [])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_really_full_disk_is_named(tmp_path):
    (tmp_path / "epoch-00001.pt").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"epoch-00001\.pt .*the disk is full"):
        recorded(dirname=tmp_path)


def test_a_file_that_would_run_code_is_not_read(tmp_path):
    class Run:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was run"),)

    torch.save(Run(), tmp_path / "epoch.pt")
    with pytest.raises(pickle.UnpicklingError, match="weights_only"):
        SavedState(tmp_path / "epoch.pt").read()
    assert not (tmp_path / "was run").exists()


def test_a_checkpoint_that_was_overwritten_is_refused(tmp_path):
    states = recorded(dirname=tmp_path).states_
    later = os.stat(states[0].path).st_mtime_ns + 10**9
    recorded(dirname=tmp_path)
    os.utime(states[0].path, ns=(later, later))  # even if the file system's clock is coarse
    with pytest.raises(ValueError, match=r"epoch-00001\.pt was overwritten, by a later training"):
        states[0].read()


@pytest.mark.parametrize(
    "copied",
    [lambda o: pickle.loads(pickle.dumps(o)), copy.deepcopy],
    ids=["pickle", "deepcopy"],
)
def test_copied_checkpoints_outlive_their_directory(copied, tmp_path):
    recorder = recorded(dirname=tmp_path / "kept")
    before = [read_state(state) for state in recorder.states_]
    again = copied(recorder)
    shutil.rmtree(tmp_path / "kept")
    assert all(same(a, b) for a, b in zip(again.states_, before, strict=True))
    assert again.learning_rates_ == recorder.learning_rates_


def test_large_checkpoints_go_to_a_directory_that_is_removed_with_them(monkeypatch):
    monkeypatch.setattr(checkpoints, "_IN_MEMORY", 0)
    states = recorded().states_
    gc.collect()  # the callback is gone by now
    directory = os.path.dirname(states[0].path)
    assert [set(read_state(state)) for state in states] == [set(MLP().state_dict())] * 4
    del states
    gc.collect()
    assert not os.path.exists(directory)


def test_small_checkpoints_stay_in_memory():
    assert not any(isinstance(state, SavedState) for state in recorded().states_)


@pytest.mark.parametrize("name", ["checkpoints", "own"])
def test_a_net_may_have_its_own_checkpoints_under_any_name(name):
    net, states = fitted(net_of(max_epochs=4, callbacks=[(name, Snapshots(2))]), checkpoints=3)
    assert len(states) == 3
    assert len(checkpoints_of(net).states_) == 2


def test_a_second_training_forgets_the_first():
    recorder = Snapshots(3)
    net = net_of(max_epochs=4, callbacks=[recorder]).fit(X, y)
    first = recorder.states_
    net.fit(X, y)
    assert len(recorder.states_) == 3
    assert not same(first[0], recorder.states_[0])


def test_without_the_callback_there_are_no_checkpoints():
    assert checkpoints_of(net_of(max_epochs=1).fit(X, y)) is None


def test_without_epochs_the_initial_state_is_the_checkpoint():
    net, states = fitted(net_of(max_epochs=0), checkpoints=3)
    assert len(states) == 1
    assert same(states[0], net.module_.state_dict())
