"""Threads take turns at torch's global random state, and leave it as it was."""

import time

import joblib
import pytest
import torch
from joblib import Parallel, delayed

from skinfluence._core.random_state import forked_random_state, turn_at_random_state


def draw(seed, number=20):
    """Draw numbers one by one, and let other threads run after each."""
    with forked_random_state():
        torch.manual_seed(seed)
        return torch.stack([_draw_one() for _ in range(number)])


def _draw_one():
    time.sleep(1e-4)
    return torch.rand(())


@pytest.mark.parametrize("seeds", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_threads_draw_what_one_thread_draws(seeds):
    before = torch.get_rng_state()
    found = Parallel(4, backend="threading")(delayed(draw)(seed) for seed in seeds)
    assert all(torch.equal(f, draw(s)) for f, s in zip(found, seeds, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_random_state_is_restored_after_an_exception():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), forked_random_state():
        torch.rand(3) / (1 // 0)
    assert torch.equal(torch.get_rng_state(), before)


def nested(seed):
    """Fit in parallel, inside a turn, something that takes turns itself."""
    with turn_at_random_state():
        return Parallel(2)(delayed(draw)(seed + i, 3) for i in range(2))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_nested_threads_do_not_wait_for_their_parent(n_jobs):
    with joblib.parallel_config(backend="threading"):
        found = Parallel(n_jobs)(delayed(nested)(seed) for seed in range(3))
    for seed, pair in enumerate(found):
        assert all(torch.equal(f, draw(seed + i, 3)) for i, f in enumerate(pair))


def test_processes_may_be_nested_in_a_turn():
    with turn_at_random_state():
        assert not getattr(joblib.parallel.get_active_backend()[0], "uses_threads", False)
