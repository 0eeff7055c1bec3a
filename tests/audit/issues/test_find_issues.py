"""All kinds together."""

import numpy as np
import pandas as pd
import pytest
from small_issues import clean_columns, context_of

from skinfluence._audit.issues import KINDS, as_frame, chosen_kinds, find_issues
from skinfluence._audit.table import AuditError


@pytest.fixture
def context():
    """A table with a copy of the label, and a pair of equal rows."""
    columns = {k: np.array(v, dtype=object) for k, v in clean_columns(0, 300).items()}
    columns["copy"] = np.array([y.upper() for y in columns["y"]], dtype=object)
    for cells in columns.values():
        cells[200] = cells[5]
    return context_of(columns)


def test_only_and_skip_choose_kinds(context):
    names = [issue.kind for issue in find_issues(context)]
    assert names == ["leakage", "duplicates"]
    assert [i.kind for i in find_issues(context, only=["duplicates"])] == ["duplicates"]
    assert [i.kind for i in find_issues(context, skip=["duplicates"])] == ["leakage"]


def test_names_may_be_separated_by_commas():
    chosen = chosen_kinds(only=["groups, outliers", "overlap"], skip="overlap,")
    assert [kind.name for kind in chosen] == ["groups", "outliers"]


@pytest.mark.parametrize("option", ["only", "skip"])
def test_an_unknown_kind_is_refused_with_the_list(option):
    with pytest.raises(AuditError, match=f"--{option} 'dups' is not a kind.*duplicates, near"):
        chosen_kinds(**{option: ["dups"]})


def test_the_frame_has_a_line_for_each_detail(context):
    frame = as_frame(find_issues(context))
    assert frame.columns[:2].tolist() == ["kind", "row"]
    assert frame["kind"].tolist() == ["leakage", "duplicates", "duplicates"]
    assert frame["row"].isna().tolist() == [True, False, False]
    assert frame["row"].dropna().tolist() == [6, 201]
    assert frame["group"].dropna().astype(str).tolist() == ["1", "1"]
    assert isinstance(as_frame([]), pd.DataFrame)


def test_every_row_of_an_issue_is_in_the_table(context):
    for issue in find_issues(context):
        assert (np.diff(issue.rows) > 0).all()
        assert set(issue.rows) <= set(range(300))


def test_kinds_of_labels_come_first():
    assert KINDS[0].name == "contradictions"
