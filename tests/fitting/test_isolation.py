"""Work runs under a seed, a number of threads, and Ctrl-C; the settings are restored afterwards."""

import contextlib
import signal
import threading

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skinfluence._fitting.isolation import in_one_thread, interruptible, seeded, threads_for
from skinfluence.nets import TabularClassifier

OWN = NeuralNetClassifier(nn.Linear, module__in_features=4, module__out_features=3)


def test_the_same_seed_gives_the_same_numbers():
    with seeded(3):
        first = torch.rand(4)
    with seeded(3):
        assert torch.equal(torch.rand(4), first)
    with seeded(4):
        assert not torch.equal(torch.rand(4), first)


def test_the_callers_random_state_is_restored():
    before = torch.get_rng_state()
    with seeded(0):
        torch.rand(3)
    assert torch.equal(before, torch.get_rng_state())


def test_the_callers_random_state_is_restored_after_an_exception():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(0):
        torch.rand(3) / (1 // 0)
    assert torch.equal(before, torch.get_rng_state())


def press_and_swallow():
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_that_the_work_swallowed_is_raised_afterwards():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible(), interruptible():
        press_and_swallow()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_keyboard_interrupt_outside_of_a_training_may_be_swallowed():
    with interruptible(), contextlib.suppress(KeyboardInterrupt):
        raise KeyboardInterrupt


class Stops(NeuralNetClassifier):
    """Raises an interrupt in a training loop of its own."""

    def fit_loop(self, *args, **kwargs):
        raise KeyboardInterrupt


STOPS = Stops(nn.Linear, module__in_features=4, module__out_features=3)


def train(net=OWN):
    clone(net).fit(np.zeros((6, 4), np.float32), np.arange(6) % 3)


def interrupting(name):
    """A net with a callback that raises an interrupt in one of its hooks."""
    return clone(OWN).set_params(verbose=0, train_split=None, callbacks=[RaisesIn(name)])


class RaisesIn(Callback):
    def __init__(self, name):
        self.name = name

    def on_batch_begin(self, net, **kwargs):
        self.interrupt("on_batch_begin")

    def on_batch_end(self, net, **kwargs):
        self.interrupt("on_batch_end")

    def on_epoch_begin(self, net, **kwargs):
        self.interrupt("on_epoch_begin")

    def on_epoch_end(self, net, **kwargs):
        self.interrupt("on_epoch_end")

    def interrupt(self, name):
        if name == self.name:
            raise KeyboardInterrupt


@pytest.mark.parametrize("net", [STOPS, interrupting("on_batch_begin")], ids=["loop", "callback"])
def test_an_interrupt_that_ends_a_training_loop_is_raised_afterwards(net):
    before = NeuralNet.fit_loop, Stops.fit_loop
    with pytest.raises(KeyboardInterrupt, match="training was interrupted"), interruptible():
        train(net)
    assert (NeuralNet.fit_loop, Stops.fit_loop) == before


@pytest.mark.parametrize(
    ("hook", "stops"),
    [("on_batch_begin", False), ("on_batch_end", False), ("on_epoch_end", True),
     ("on_epoch_begin", True)],
)  # fmt: skip
def test_a_callback_stops_a_training_early_only_between_epochs(hook, stops):
    expected = contextlib.nullcontext() if stops else pytest.raises(KeyboardInterrupt)
    with expected, interruptible():
        train(interrupting(hook))


def test_an_interrupt_of_another_thread_is_not_raised_here():
    thread = threading.Thread(target=train, args=(STOPS,))
    with interruptible():
        thread.start()
        thread.join()


def test_an_error_of_the_work_is_not_replaced_by_an_interrupt():
    def work():
        train(STOPS)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), interruptible():
        work()
    train(STOPS)  # nothing is noted outside


def test_a_handler_that_does_not_raise_is_called_and_interrupts_nothing():
    called = []
    before = signal.signal(signal.SIGINT, lambda *args: called.append(args))
    try:
        with interruptible():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(called) == 1


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_a_signal_without_a_handler_in_python_stays_without_one(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_may_run_interruptible_work():
    errors = []

    def work():
        try:
            with interruptible():
                pass
        except BaseException as error:  # what a thread raises would be lost
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("estimator", "number"),
    [(None, 1), (TabularClassifier(), 1), (OWN, 2)],
    ids=["default net", "small net", "own net"],
)
def test_only_a_small_ready_made_net_runs_in_one_thread(estimator, number, two_threads):
    class Counter:
        def __init__(self, estimator):
            self.estimator = estimator

        @in_one_thread
        def count(self):
            return torch.get_num_threads()

    with threads_for(estimator):
        assert torch.get_num_threads() == number
    assert Counter(estimator).count() == number
    assert torch.get_num_threads() == 2


def test_the_callers_threads_are_restored_after_an_exception(two_threads):
    with pytest.raises(ZeroDivisionError), threads_for(None):
        torch.rand(3) / (1 // 0)
    assert torch.get_num_threads() == 2
