"""Work runs under a seed and a number of threads; the caller's own are restored afterwards."""

import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skinfluence._fitting.isolation import in_one_thread, seeded, threads_for
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
