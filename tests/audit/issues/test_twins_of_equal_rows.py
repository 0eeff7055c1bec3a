"""Groups of equal rows, and whether chance explains them."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from small_issues import clean_columns

from skinfluence._audit.issues.equal_rows import CHANCE, column_codes, equal_rows


def obvious(columns):
    """Repeated rows by tuples, and the expected number of equal rows by one product per row."""
    rows = [tuple(cell.strip() for cell in row) for row in zip(*columns, strict=True)]
    n, counts = len(rows), Counter(rows)
    expected = []
    for row in rows:
        product = n - 1.0
        for j, cell in enumerate(row):
            product *= (sum(other[j] == cell for other in rows) - 1) / (n - 1)
        expected.append(product)
    by_chance = found = limit = 0.0
    for i in sorted(range(n), key=lambda i: expected[i]):
        by_chance += expected[i]
        found += counts[rows[i]] - 1
        limit = expected[i] if by_chance <= CHANCE * found else limit
    repeated = [
        counts[row] > 1 and value <= limit * (1 + 1e-9)
        for row, value in zip(rows, expected, strict=True)
    ]
    return rows, repeated


@pytest.mark.parametrize("seed", range(8))
def test_groups_agree_with_tuples(seed):
    rng = np.random.default_rng(seed)
    n = 60
    columns = [[f"{v}" for v in rng.integers(m, size=n)] for m in (3, 12, 40)]
    for column in columns:
        column[-2:] = column[:2]
        column[5] = f" {column[5]} "
    rows, repeated = obvious(columns)
    equal = equal_rows(columns, n)
    for i, j in combinations(range(n), 2):
        assert (equal.group[i] == equal.group[j]) == (rows[i] == rows[j])
    np.testing.assert_array_equal(equal.is_repeated, repeated)


def test_one_pair_is_found_in_a_small_table():
    columns = [list(map(str, column)) for column in clean_columns(0, n=80).values()]
    for column in columns:
        column[70] = column[7]
    assert np.flatnonzero(equal_rows(columns, 80).is_repeated).tolist() == [7, 70]


def test_rows_of_few_values_are_equal_by_chance():
    rng = np.random.default_rng(0)
    columns = [rng.choice(["a", "b", "c"], 300).tolist() for _ in range(3)]
    equal = equal_rows(columns, 300)
    assert not equal.is_repeated.any()
    assert equal.group.max() == 26


@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiny_tables(n):
    equal = equal_rows([["a"] * n, ["b"] * n], n)
    assert len(equal.group) == len(equal.is_repeated) == n
    assert not equal.is_repeated.any()


def test_codes_ignore_blanks_around_cells_only():
    codes, n_codes = column_codes(["a", " a", "a b", "A", "", "  ", "ab"], 7)
    assert codes.tolist() == [0, 0, 1, 2, 3, 3, 4]
    assert n_codes == 5
