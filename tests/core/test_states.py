"""A state in a file is read at each use, and pickled as its tensors."""

import os
import pickle

import pytest
import torch

from skinfluence._core.states import SavedState, read_state

STATE = {"weight": torch.tensor([1.0, 2.0]), "bias": torch.zeros(1)}


@pytest.fixture
def path(tmp_path):
    torch.save(STATE, tmp_path / "state.pt")
    return tmp_path / "state.pt"


def assert_same(got):
    assert got.keys() == STATE.keys()
    assert all(torch.equal(got[name], value) for name, value in STATE.items())


def test_a_state_in_memory_is_returned_as_it_is():
    assert read_state(STATE) is STATE


def test_a_state_in_a_file_is_read(path):
    assert_same(read_state(SavedState(path)))


def test_a_pickle_holds_the_tensors_and_not_the_path(path):
    pickled = pickle.dumps(SavedState(path))
    path.unlink()
    assert_same(pickle.loads(pickled))


def test_an_overwritten_file_is_refused(path):
    state = SavedState(path)
    later = os.stat(path).st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))
    with pytest.raises(ValueError, match=r"state\.pt was overwritten, by a later training"):
        read_state(state)
