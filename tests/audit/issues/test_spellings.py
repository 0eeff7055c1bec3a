"""Labels and categories that are spelled in several ways."""

import numpy as np
import pytest
from small_issues import context_of

from skinfluence._audit.issues.spellings import Spellings
from skinfluence._audit.spelling_key import spelling_key


@pytest.mark.parametrize(
    ("first", "second"),
    [("Yes", "YES "), ("e-mail", "E Mail"), ("<=50K", "<=50K."), ("new_york", "New York"),
     ("U.S.A.", "usa"), ("don't", "dont"), ("yes!", "yes")],
)  # fmt: skip
def test_spellings_have_one_key(first, second):
    assert spelling_key(first) == spelling_key(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [("A+", "A-"), ("A-", "A"), ("1.5", "15"), ("-1", "1"), ("C", "C#"), (".5", "5"),
     ("1-2", "12"), ("<=50K", ">50K"), ("1 2", "12")],
)  # fmt: skip
def test_different_values_have_different_keys(first, second):
    assert spelling_key(first) != spelling_key(second)


def test_labels_and_categories_are_reported_with_counts_and_rows():
    y = ["Yes"] * 40 + ["yes "] * 20 + ["YES"] * 20 + ["no"] * 40
    color = np.array(["red", "blue"] * 60, dtype=object)
    color[[7, 9]] = "Blue"
    issue = Spellings().find(context_of({"x": np.arange(120) % 7, "color": color, "y": y}))
    lines = issue.details[["column", "most_frequent", "spelling", "count"]].to_numpy().tolist()
    assert lines == [
        ["y", "Yes", "Yes", 40],
        ["y", "Yes", '"yes "', 20],
        ["y", "Yes", "YES", 20],
        ["color", "blue", "blue", 58],
        ["color", "blue", "Blue", 2],
    ]
    assert issue.rows.tolist() == [7, 9, *range(40, 80)]
    assert issue.summary == "2 values with 5 spellings, 42 rows to change"


def test_numbers_and_clean_categories_are_not_reported():
    rng = np.random.default_rng(0)
    columns = {"x": rng.choice(["1.0", "1"], 60), "c": rng.choice(["a+", "a-", "a"], 60)}
    assert Spellings().find(context_of({**columns, "y": ["u", "v"] * 30})) is None
