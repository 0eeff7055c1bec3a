"""Rows whose cells are equal."""

import numpy as np
import pytest
import small_issues  # noqa: F401  skips these tests without the extra `audit`

from skinfluence._audit.issues.equal_rows import column_codes, equal_rows


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_those_of_the_rows_as_tuples(seed):
    rng = np.random.default_rng(seed)
    columns = [rng.choice(["a", " a", "b"], 60), rng.choice(["1", "2", "3 "], 60)]
    rows = [tuple(cell.strip() for cell in row) for row in zip(*columns, strict=True)]
    group = equal_rows(columns, 60).group
    slow = np.array([rows.index(row) for row in rows])
    assert ((group[:, None] == group) == (slow[:, None] == slow)).all()


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_are_equal_by_chance_are_not_reported(seed):
    rng = np.random.default_rng(seed)
    columns = [rng.choice(list("abcd"), 300) for _ in range(3)]
    assert not equal_rows(columns, 300).is_repeated.any()


@pytest.mark.parametrize("n_columns", [2, 10])
def test_copies_are_reported(n_columns):
    rng = np.random.default_rng(0)
    cells = rng.standard_normal((100, n_columns)).astype(str)
    cells[70:73] = cells[[5, 5, 9]]
    found = equal_rows(list(cells.T), 100).is_repeated
    assert np.flatnonzero(found).tolist() == [5, 9, 70, 71, 72]


def test_copies_among_rows_of_few_values_are_reported_if_there_are_many_columns():
    rng = np.random.default_rng(0)
    cells = rng.choice(list("abc"), (200, 25))
    cells[150] = cells[3]
    assert np.flatnonzero(equal_rows(list(cells.T), 200).is_repeated).tolist() == [3, 150]


def test_codes_ignore_blanks_around_cells():
    codes, n = column_codes(["x", " x", "y", "x "], 4)
    assert codes.tolist() == [0, 0, 1, 0]
    assert n == 2


def test_a_table_without_rows_has_no_groups():
    assert not len(equal_rows([[]], 0).group)
