"""Rows far from all others."""

import numpy as np
import pytest
from small_issues import clean_columns, context_of

from skinfluence._audit.issues import outliers
from skinfluence._audit.issues.outliers import Outliers, excess


def planted(**cells):
    columns = {k: np.array(v, dtype=object) for k, v in clean_columns(0, 400).items()}
    for name, value in cells.items():
        columns[name][17] = value
    return context_of(columns)


@pytest.mark.parametrize(
    ("name", "value"), [("normal", 15.0), ("other", -300.0), ("skewed", 1e5), ("count", 999.0)]
)
def test_a_number_far_from_its_column_is_found(name, value):
    issue = Outliers().find(planted(**{name: value}))
    assert issue.rows.tolist() == [17]
    assert issue.details["row"][0] == 18
    assert f"{name} = {value:.6g}, median" in issue.details["reason"][0]


def test_a_row_of_usual_numbers_in_an_unusual_combination_is_found():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 2)) @ rng.standard_normal((2, 8))
    X += 0.05 * rng.standard_normal(X.shape)
    X[3] = np.where(np.arange(8) % 2, 1, -1) * 1.5 * X.std(axis=0)
    context = context_of({**{f"x{i}": x for i, x in enumerate(X.T)}, "y": ["a", "b"] * 250})
    issue = Outliers().find(context)
    assert issue.rows.tolist() == [3]
    assert "do not go together" in issue.details["reason"][0]


def test_a_row_that_is_far_as_a_whole_is_found():
    Z = np.random.default_rng(0).standard_normal((500, 6))
    Z[3] = 6
    assert outliers._far_rows(Z)["row"].tolist() == [3]


def test_dates_are_shown_as_they_are_written():
    days = np.datetime64("2020-01-01") + np.random.default_rng(0).integers(0, 300, 400)
    dates = days.astype(str).astype(object)
    dates[17] = "1900-01-01"
    context = context_of({**clean_columns(0, 400), "when": dates, "y": ["a", "b"] * 200})
    assert "when = 1900-01-01" in set(
        Outliers().find(context).details["reason"].str.partition(",")[0]
    )


@pytest.mark.parametrize("seed", range(5))
def test_distances_to_a_sample_find_no_more_rows(seed, monkeypatch):
    monkeypatch.setattr(outliers, "SAMPLED", 200)
    Z = np.random.default_rng(seed).standard_normal((2000, 5))
    assert not len(outliers._far_rows(Z))
    Z[1234] = 12
    assert outliers._far_rows(Z)["row"].tolist() == [1234]


def test_excess_of_an_exponential_sample_is_as_documented():
    rng = np.random.default_rng(0)
    largest = np.array([excess(rng.exponential(size=1000)).max() for _ in range(400)])
    assert np.mean(largest > 1) == pytest.approx(0.05, abs=0.04)


def test_excess_of_equal_values_is_zero():
    assert not excess(np.ones(50)).any()


def test_few_rows_have_no_outliers():
    columns = {k: v[:60] for k, v in clean_columns(0).items()}
    columns["normal"][5] = 99.0
    assert Outliers().find(context_of(columns)) is None
