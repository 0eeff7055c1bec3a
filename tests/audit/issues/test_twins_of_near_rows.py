"""Pairs of rows that are much nearer to each other than other rows are."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from small_issues import clean_columns, context_of

from skinfluence._audit.issues import near_rows as module
from skinfluence._audit.issues.near_rows import NEAR, _is_unlikely, _share_within, near_rows


def planted(seed, n=200):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 5))
    for row in (150, 151):
        X[row] = X[row - 100] + 1e-4
    return X


def search(X, rows=None):
    frame = pd.DataFrame(X, columns=list("01234"))
    rows = np.arange(len(X)) if rows is None else rows
    return near_rows(X, rows, frame, dict.fromkeys("01234", "number"))


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_found_with_their_distances(seed):
    X = planted(seed)
    near = search(X)
    assert near.is_complete
    assert list(zip(near.first, near.second, strict=True)) == [(50, 150), (51, 151)]
    distances = np.linalg.norm(X[:, None] - X, axis=2)
    np.fill_diagonal(distances, np.inf)
    scale = np.median(distances.min(1))
    np.testing.assert_allclose(near.distance, distances[[50, 51], [150, 151]] / scale, rtol=1e-5)
    close = {(i, j) for i, j in combinations(range(200), 2) if distances[i, j] <= NEAR * scale}
    assert {(50, 150), (51, 151)} <= close


def test_only_the_chosen_rows_are_compared():
    near = search(planted(0), np.delete(np.arange(200), [3, 150]))
    assert list(zip(near.first, near.second, strict=True)) == [(51, 151)]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_rows_have_no_near_pairs(n):
    near = search(planted(0), np.arange(n))
    assert len(near.first) == len(near.second) == len(near.distance) == 0
    assert near.is_complete


def test_large_tables_are_compared_in_blocks(monkeypatch):
    monkeypatch.setattr(module, "ALL_COMPARED", 100)
    monkeypatch.setattr(module, "BLOCK", 40)
    near = search(planted(1))
    assert not near.is_complete
    assert list(zip(near.first, near.second, strict=True)) == [(50, 150), (51, 151)]


def test_blocks_hold_each_row_once(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 30)
    X = planted(2)
    blocks = list(module._blocks(X, np.arange(200), np.arange(200), np.random.default_rng(0)))
    assert max(map(len, blocks)) <= 30
    assert sorted(np.concatenate(blocks)) == list(range(200))


def test_a_category_that_differs_is_no_near_duplicate():
    columns = {name: list(values) for name, values in clean_columns(0, 200).items()}
    for values in columns.values():
        values[150] = values[50]
    columns["even"][150] += 1e-6
    assert context_of(columns).near.first.tolist() == [50]
    columns["color"][50], columns["color"][150] = "red", "green"
    assert context_of(columns).near.first.tolist() == []


@pytest.mark.parametrize("seed", range(4))
def test_share_within_agrees_with_a_loop(seed):
    values = np.random.default_rng(seed).integers(20, size=40).astype(float)
    values[::9] = np.nan
    a, b = values[:30], values[10:]
    shares = _share_within(a, b, values)
    for first, second, share in zip(a, b, shares, strict=True):
        if np.isnan(first) and np.isnan(second):
            expected = max(sum(np.isnan(values)) - 1, 1) / 39
        elif np.isnan(first) or np.isnan(second):
            expected = 1.0
        else:
            near = [v for v in values if abs(v - first) <= abs(second - first)]
            expected = max(len(near) - 1, 1) / 39
        assert share == pytest.approx(expected)


def test_neighbors_of_random_points_are_not_unlikely():
    for seed in range(10):
        X = np.random.default_rng(seed).random((150, 3))
        distances = np.sort(np.linalg.norm(X[:, None] - X, axis=2), axis=1)[:, 1:11]
        assert not _is_unlikely(distances).any()
