"""Results of parallel work come in order, from every backend of joblib."""

import joblib
import numpy as np
import pytest
from joblib._parallel_backends import SequentialBackend, ThreadingBackend
from sklearn.utils.parallel import delayed

from skinfluence._parallel import run_in_order


class WholeLists(ThreadingBackend):
    """Returns results in whole lists only, like Ray's backend."""

    supports_return_generator = False


class WholeListsInTurn(SequentialBackend):
    supports_return_generator = False


@pytest.fixture(autouse=True)
def registered():
    joblib.register_parallel_backend("whole-lists", WholeLists)
    joblib.register_parallel_backend("whole-lists-in-turn", WholeListsInTurn)


def squares(n, asked):
    for i in range(n):
        asked.append(i)
        yield delayed(pow)(i, 2)


@pytest.mark.parametrize("backend", ["threading", "loky", "whole-lists", "whole-lists-in-turn"])
@pytest.mark.parametrize("n", [0, 1, 8, 21])
def test_results_come_in_order(backend, n):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert list(run_in_order(squares(n, []), None)) == [i**2 for i in range(n)]


def test_a_backend_of_whole_lists_gets_a_few_calls_at_a_time():
    asked = []
    with joblib.parallel_config(backend="whole-lists", n_jobs=2):
        results = run_in_order(squares(100, asked), None)
        assert next(results) == 0
        assert len(asked) == 8


def test_an_error_of_joblib_is_raised():
    with pytest.raises(ValueError, match="n_jobs == 0"):
        list(run_in_order(squares(3, []), 0))


def test_arrays_can_be_written_to():
    """`mmap_mode` reaches joblib: arrays that it maps into memory are copied on write."""
    big = np.zeros(2**18)  # 2 MB; joblib maps arrays of more than 1 MB
    calls = [delayed(_written)(big), delayed(_written)(big)]
    assert list(run_in_order(calls, 2, mmap_mode="c")) == [1.0, 1.0]
    assert big[0] == 0


def _written(array):
    array[0] += 1
    return array[0]
