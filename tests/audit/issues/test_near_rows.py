"""Pairs of nearly equal rows."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from small_issues import pd

from skinfluence._audit.issues import near_rows as module
from skinfluence._audit.issues.near_rows import near_rows


def search(X, kinds=None):
    frame = pd.DataFrame(X, columns=[str(i) for i in range(X.shape[1])])
    kinds = kinds or dict.fromkeys(frame, "number")
    return near_rows(X, np.arange(len(X)), frame, kinds)


def pairs(near):
    return sorted(zip(near.first.tolist(), near.second.tolist(), strict=True))


@pytest.mark.parametrize("n_columns", [5, 12])
def test_planted_pairs_and_triples_are_found(n_columns):
    X = np.random.default_rng(0).standard_normal((400, n_columns))
    X[300:302] = X[[7, 7]] + [[1e-3], [-1e-3]]
    X[399] = X[20]
    X[399, 0] += 1e-3
    near = search(X)
    assert pairs(near) == [(7, 300), (7, 301), (20, 399), (300, 301)]
    assert near.is_complete
    distances = cdist(X, X)
    nearest = np.sort(distances, axis=1)[:, 1]
    assert near.distance == pytest.approx(distances[near.first, near.second] / np.median(nearest))


def test_two_columns_agree_by_chance():
    X = np.random.default_rng(0).standard_normal((400, 2))
    X[300] = X[7] + 1e-3
    assert not len(search(X).first)


def test_different_categories_are_never_near():
    X = np.random.default_rng(0).standard_normal((400, 6))
    X[300] = X[7] + 1e-4
    frame = pd.DataFrame(X, columns=list("abcdef"))
    frame["g"] = "same"
    kinds = {**dict.fromkeys("abcdef", "number"), "g": "category"}
    assert len(near_rows(X, np.arange(400), frame, kinds).first) == 1
    frame.loc[300, "g"] = frame.loc[301, "g"] = "other"
    assert not len(near_rows(X, np.arange(400), frame, kinds).first)


def test_texts_are_compared_by_their_encoding_alone():
    X = np.random.default_rng(0).standard_normal((300, 10))
    X[200] = X[7] + 1e-3
    frame = pd.DataFrame({"0": [f"text {i}" for i in range(300)]})
    near = near_rows(X, np.arange(300), frame, {"0": "text"})
    assert pairs(near) == [(7, 200)]


def test_blocks_find_what_a_full_search_finds(monkeypatch):
    X = np.random.default_rng(0).standard_normal((2000, 8))
    copies = np.arange(0, 1000, 25)
    X[copies + 1000] = X[copies] + 1e-3
    full = pairs(search(X))
    assert full == [(i, i + 1000) for i in copies]
    monkeypatch.setattr(module, "ALL_COMPARED", 500)
    monkeypatch.setattr(module, "BLOCK", 200)
    near = search(X)
    assert not near.is_complete
    assert len(near.first) >= 0.95 * len(copies)
    assert set(pairs(near)) <= set(full)


def test_missing_numbers_agree_with_missing_ones():
    X = np.random.default_rng(0).standard_normal((300, 8))
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    X[200] = X[7] + 1e-4
    frame.loc[200] = X[200]
    frame.loc[[7, 200, 201], "a"] = np.nan
    near = near_rows(X, np.arange(300), frame, dict.fromkeys(frame, "number"))
    assert pairs(near) == [(7, 200)]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_rows_have_no_pairs(n):
    assert not len(search(np.zeros((n, 2))).first)


@pytest.mark.parametrize("seed", range(3))
def test_share_within_counts_numbers_as_close(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, 40).astype(float)
    share = module._share_within(values[:5], values[5:10], values)
    for i in range(5):
        a, gap = values[i], abs(values[i] - values[5 + i])
        assert share[i] == pytest.approx((np.sum(np.abs(values - a) <= gap) - 1) / 39)
