"""Duplicates, near duplicates, and contradicting labels."""

from itertools import combinations

import numpy as np
import pytest
from small_issues import clean_columns, context_of

from skinfluence._audit.issues.context import describe_cells
from skinfluence._audit.issues.duplicates import Contradictions, Duplicates, NearDuplicates


@pytest.fixture
def columns():
    """A table in which rows 5 and 6 occur again as 200 and 201, the latter with another label."""
    columns = {k: np.array(v, dtype=object) for k, v in clean_columns(0, 300).items()}
    for cells in columns.values():
        cells[[200, 201]] = cells[[5, 6]]
    columns["y"][201] = {"yes": "no", "no": "yes"}[columns["y"][6]]
    return columns


def test_equal_rows_are_told_apart_by_their_labels(columns):
    context = context_of(columns)
    wrong, same = Contradictions().find(context), Duplicates().find(context)
    assert wrong.rows.tolist() == [6, 201]
    assert same.rows.tolist() == [5, 200]
    assert wrong.details["row"].tolist() == [7, 202]
    assert set(wrong.details["label"]) == {"yes", "no"}
    assert wrong.summary == "2 rows in 1 group"
    assert NearDuplicates().find(context) is None


def test_nearly_equal_rows_are_told_apart_by_their_labels(columns):
    for row in (200, 201):
        columns["other"][row] += 1e-3
    context = context_of(columns)
    assert Duplicates().find(context) is None
    wrong = Contradictions().find(context)
    assert wrong.rows.tolist() == [6, 201]
    assert wrong.details["match"].tolist() == ["near", "near"]
    assert NearDuplicates().find(context).rows.tolist() == [5, 200]


def test_a_row_number_does_not_hide_duplicates(columns):
    columns["id"] = [str(i) for i in range(300)]
    assert Duplicates().find(context_of(columns)).rows.tolist() == [5, 200]


def test_spellings_of_one_label_do_not_contradict(columns):
    columns["y"][200] = columns["y"][5].upper()
    assert Contradictions().find(context_of(columns)).rows.tolist() == [6, 201]


def test_a_label_of_a_class_of_few_rows_contradicts(columns):
    columns["y"][200] = "rare"
    assert Contradictions().find(context_of(columns)).rows.tolist() == [5, 6, 200, 201]


def test_a_missing_label_does_not_contradict(columns):
    columns["y"][201] = ""
    assert Contradictions().find(context_of(columns)) is None
    assert Duplicates().find(context_of(columns)).rows.tolist() == [5, 6, 200, 201]


def test_numbers_contradict_if_they_differ_by_half_a_standard_deviation():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 4)), rng.standard_normal(200)
    X[[100, 101]] = X[[5, 6]]
    y[[100, 101]] = [y[5] + 0.1, y[6] + 2]
    context = context_of({**{f"x{i}": x for i, x in enumerate(X.T)}, "y": y})
    assert context.is_regression
    assert Contradictions().find(context).rows.tolist() == [6, 101]
    assert Duplicates().find(context).rows.tolist() == [5, 100]


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_those_of_a_comparison_of_all_pairs(seed):
    rng = np.random.default_rng(seed)
    cells = rng.standard_normal((80, 3)).round(4).astype(str)
    cells[60:] = cells[rng.integers(0, 60, 20)]
    y = rng.choice(["a", "b"], 80)
    context = context_of({**{f"x{i}": x for i, x in enumerate(cells.T)}, "y": y})
    slow_wrong, slow_any = set(), set()
    for i, j in combinations(range(80), 2):
        if (cells[i] == cells[j]).all():
            slow_any |= {i, j}
            slow_wrong |= {i, j} if y[i] != y[j] else set()
    # a third row of a contradicting group belongs to it
    slow_wrong |= {i for i in slow_any for j in slow_wrong if (cells[i] == cells[j]).all()}
    assert set(Contradictions().find(context).rows) == slow_wrong
    assert set(Duplicates().find(context).rows) == slow_any - slow_wrong


def test_long_numbers_are_rounded_and_names_are_shown():
    assert describe_cells(["a", "b"], ["0.12345678901234567", " x "]) == "a: 0.12345679; b: x"
