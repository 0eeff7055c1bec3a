"""The folder of embeddings is never wrong, whatever happens to its files."""

import os

import numpy as np
import pytest

from skinfluence._data.embedding_cache import EmbeddingCache

ROW = np.array([1.5, -2.0, 3e-9], dtype=np.float32)


@pytest.fixture
def cache(tmp_path):
    return EmbeddingCache(tmp_path / "new" / "folder", b"network")


def files(cache):
    return [path for path in cache.folder.rglob("*") if path.is_file()]


def test_what_was_stored_is_returned(cache):
    key = cache.key(b"image")
    assert cache.get(key) is None
    cache.put(key, ROW)
    np.testing.assert_array_equal(cache.get(key), ROW)
    assert cache.get(key).dtype == np.float32


def test_other_images_and_networks_have_other_keys(cache):
    other = EmbeddingCache(cache.folder, b"another")
    assert len({cache.key(b"a"), cache.key(b"b"), other.key(b"a"), other.key(b"b")}) == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: data[:-4],
        lambda data: data + b"\0\0\0\0",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: bytes([data[0] ^ 1]) + data[1:],
    ],
)
def test_a_damaged_file_counts_as_missing_and_is_replaced(cache, damage):
    key = cache.key(b"image")
    cache.put(key, ROW)
    (file,) = files(cache)
    file.write_bytes(damage(file.read_bytes()))
    assert cache.get(key) is None
    cache.put(key, ROW)
    np.testing.assert_array_equal(cache.get(key), ROW)


def test_a_file_under_another_name_counts_as_missing(cache):
    key, other = cache.key(b"image"), cache.key(b"other")
    cache.put(key, ROW)
    cache.put(other, 2 * ROW)
    os.replace(cache._path(key), cache._path(other))
    assert cache.get(other) is None


def test_a_write_that_fails_leaves_nothing(cache, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        cache.put(cache.key(b"image"), ROW)
    assert files(cache) == []


def test_the_folder_must_not_be_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="expected a folder"):
        EmbeddingCache(tmp_path / "file", b"network")
