"""Rows of a second table that also stand in the first."""

import numpy as np
import pytest
from small_issues import clean_columns, context_of, table_of

from skinfluence._audit.issues import check_against
from skinfluence._audit.issues.overlap import Overlap
from skinfluence._audit.table import AuditError


def tables(n=300):
    first = {k: np.array(v, dtype=object) for k, v in clean_columns(0, n).items()}
    second = {k: np.array(v, dtype=object) for k, v in clean_columns(99, 50).items()}
    for name, cells in second.items():
        cells[10:14] = first[name][20:24]
    return first, second


def flip(label):
    return {"yes": "no", "no": "yes"}[label]


def test_equal_and_near_rows_are_found_with_both_labels():
    first, second = tables()
    second["y"][11] = flip(second["y"][11])
    second["other"][12] += 1e-3
    second["color"][13] = f" {second['color'][13]} "
    issue = Overlap().find(context_of(first, against=second))
    assert issue.rows.tolist() == [20, 21, 22, 23]
    assert issue.details["row_in_second"].tolist() == [11, 12, 13, 14]
    assert issue.details["match"].tolist() == ["equal", "equal", "near", "equal"]
    assert issue.summary == "4 rows also in the second table, 1 with a different label"


def test_the_order_of_columns_does_not_matter_and_the_label_may_be_missing():
    first, second = tables()
    del second["y"]
    second = dict(reversed(second.items()))
    issue = Overlap().find(context_of(first, against=second))
    assert issue.rows.tolist() == [20, 21, 22, 23]
    assert issue.summary == "4 rows also in the second table"


def test_a_table_that_lacks_columns_is_compared_by_the_others():
    first, second = tables()
    del second["skewed"], second["size"]
    assert Overlap().find(context_of(first, against=second)).rows.tolist() == [20, 21, 22, 23]


def test_cells_of_another_kind_are_missing():
    first, second = tables()
    second["count"][5] = "none at all"
    second["color"][6] = "unknown color"
    assert Overlap().find(context_of(first, against=second)).rows.tolist() == [20, 21, 22, 23]


@pytest.mark.parametrize("seed", range(5))
def test_other_rows_of_the_same_kind_do_not_overlap(seed):
    first, second = clean_columns(seed, 300), clean_columns(seed + 100, 300)
    assert Overlap().find(context_of(first, against=second)) is None


def test_no_second_table_is_no_issue():
    assert Overlap().find(context_of(clean_columns(0))) is None


def test_a_table_without_common_columns_is_refused():
    first, second = table_of(clean_columns(0, 20)), table_of({"u": ["1"], "y": ["yes"]})
    with pytest.raises(AuditError, match="no column of the first table"):
        check_against(first, first.find_column("y"), second)
