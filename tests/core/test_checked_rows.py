"""The rows that the self-check looks at come from the whole table."""

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from skinfluence._core.checked_rows import rarest_row, rows_to_check


def table(n=1000):
    rng = np.random.RandomState(0)
    return rng.uniform(size=(n, 4)), rng.randint(0, 2, n)


@pytest.mark.parametrize("n", [1, 2, 5, 16, 17, 1000])
def test_the_rows_are_distinct_and_as_many_as_asked_for(n):
    rows = rows_to_check(*table(n), 16)
    assert len(set(rows.tolist())) == len(rows) <= min(n, 16)
    assert len(rows) >= min(n, 16) - 1
    assert rows.min() >= 0
    assert rows.max() < n


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, lambda X: {"a": X}])
@pytest.mark.parametrize("value", [-9.0, 9.0])
def test_the_first_the_last_and_the_most_extreme_row_are_among_them(kind, value):
    X, y = table()
    X[437, 1] = value
    assert {0, 999, 437} <= set(rows_to_check(kind(X), y, 16).tolist())


def test_a_rare_label_is_among_them():
    X, y = table()
    y[611] = 7
    assert 611 in rows_to_check(X, y, 16)


def test_rows_of_a_dataset_are_spread():
    X, y = (torch.as_tensor(a) for a in table())
    rows = rows_to_check(TensorDataset(X, y), None, 16)
    assert {0, 999} <= set(rows.tolist())
    assert (rows > 100).sum() > 8


def test_texts_and_missing_values_are_allowed():
    X, y = table()
    X[3] = np.nan
    assert len(rows_to_check(X, y, 16)) == 16
    assert len(rows_to_check(np.array(["a", "b"] * 9, dtype=object), np.arange(18), 16)) == 16


def test_the_rarest_row_has_the_largest_deviation():
    X = np.random.RandomState(0).randn(50, 3)
    X[31, 2] = -40.0
    for rows in (X, torch.as_tensor(X), {"a": X}):
        assert rarest_row(rows) == 31
    assert rarest_row(np.array(["a", "b"], dtype=object)) == 0
