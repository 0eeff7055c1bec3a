"""Several spellings of one value."""

import numpy as np
from small_issues import clean_columns, context_of

from skinfluence._audit.issues.spellings import Spellings


def find(columns, **others):
    return Spellings().find(context_of(columns, **others))


def test_rare_spellings_of_labels_and_categories_are_found():
    columns = {name: list(values) for name, values in clean_columns(0, 80).items()}
    columns["color"] = ["red", "green", "blue", "green"] * 20
    columns["color"][3] = "Green "
    columns["y"] = ["yes", "no", "no", "yes"] * 20
    for row in range(0, 60, 4):
        columns["y"][row] = "Yes"
    issue = find(columns)
    assert issue.rows.tolist() == sorted([3, *range(0, 60, 4)])
    assert issue.summary == "2 values with 4 spellings, 16 rows to change"
    assert issue.details.to_dict("list") == {
        "column": ["y", "y", "color", "color"],
        "most_frequent": ["yes", "yes", "green", "green"],
        "spelling": ["yes", "Yes", "green", '"Green "'],
        "count": [25, 15, 39, 1],
    }
    assert "one spelling" in issue.advice


def test_values_that_punctuation_tells_apart_are_not_spellings():
    columns = clean_columns(0, 80)
    columns["color"] = ["A+", "A-", "1.5 m", "15 m"] * 20
    assert find(columns) is None


def test_different_words_for_a_missing_value_are_not_spellings():
    columns = {name: list(values) for name, values in clean_columns(0, 80).items()}
    columns["color"][::5], columns["color"][1::5] = ["NA"] * 16, ["N/A"] * 16
    assert find(columns) is None


def test_the_numbers_of_a_regression_are_not_looked_at():
    columns = {name: list(values) for name, values in clean_columns(0, 80).items()}
    columns["y"] = [f"{value}" for value in np.arange(80)]
    columns["y"][4] = " 5"
    assert find(columns) is None
    columns["size"][7] = "xl "
    assert find(columns).rows.tolist() == [7]


def test_rows_without_a_label_are_looked_at_as_well():
    columns = {name: list(values) for name, values in clean_columns(3, 80).items()}
    columns["y"][7], columns["size"][7] = "", "xl"
    assert find(columns).rows.tolist() == [7]
