"""The space of a memmap is reserved before anything is computed."""

import errno
import os

import numpy as np
import pytest
from small import blobs, scorer

from skinfluence.pairwise import influence_matrix
from skinfluence.stream import score_stream
from skinfluence.stream._output import reserve

X, Y = blobs()

needs_fallocate = pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="this system cannot reserve space"
)


@pytest.fixture
def mapped(tmp_path):
    return np.memmap(tmp_path / "out", np.float64, "w+", offset=64, shape=(2**16, 4))


def failing(number):
    def posix_fallocate(*args):
        raise OSError(number, os.strerror(number))

    return posix_fallocate


@needs_fallocate
@pytest.mark.parametrize("view", [lambda a: a, lambda a: a[::2, 1], lambda a: np.asarray(a)[:5]])
def test_a_memmap_gets_its_space_and_keeps_its_numbers(view, mapped):
    mapped[3] = 5
    mapped.flush()
    assert os.stat(mapped.filename).st_blocks * 512 < mapped.nbytes
    reserve(view(mapped))
    assert os.stat(mapped.filename).st_blocks * 512 >= mapped.nbytes
    assert os.path.getsize(mapped.filename) == 64 + mapped.nbytes
    assert mapped.sum() == 20


@needs_fallocate
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_error_before_the_work(number, mapped, monkeypatch):
    fitted = scorer().fit(X, Y)
    n_reference = len(fitted.reference_indices_)
    monkeypatch.setattr(os, "posix_fallocate", failing(number))
    monkeypatch.setattr(type(fitted), "score_samples", None)  # is not called
    with pytest.raises(OSError, match=r"out is a memmap of .* bytes, and the disk") as found:
        score_stream(fitted, X, Y, out=mapped[:90, 0])
    assert found.value.errno == number
    out = mapped.reshape(-1)[: 90 * n_reference].reshape(90, n_reference)
    with pytest.raises(OSError, match=r"Free some space, or put the file on another disk"):
        influence_matrix(fitted, X, Y, out=out)
    assert not mapped.any()


def test_other_arrays_and_file_systems_that_cannot_reserve_are_left_alone(mapped, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.EOPNOTSUPP), raising=False)
    reserve(mapped)
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC), raising=False)
    for mode in ("r", "c"):  # changes go to memory, or are not possible
        reserve(np.memmap(mapped.filename, np.float64, mode, shape=(5,)))
    for other in (np.zeros(3), None, [1.0]):
        reserve(other)
    os.unlink(mapped.filename)
    reserve(mapped)


def test_without_posix_fallocate_nothing_is_reserved(mapped, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    reserve(mapped)
