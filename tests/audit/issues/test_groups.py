"""Groups of rows with many suspects."""

import numpy as np
import pytest
from scipy.stats import binomtest
from small_issues import clean_columns, context_of

from skinfluence._audit.issues.groups import Groups, holm


def with_suspects(chosen, **columns):
    rng = np.random.default_rng(0)
    everything = {**clean_columns(0, 600), **columns}
    is_suspect = (chosen(everything) & (rng.random(600) < 0.6)) | (rng.random(600) < 0.05)
    suspects = np.flatnonzero(is_suspect)
    return context_of(everything, suspects=suspects), suspects


def test_a_category_is_found_and_its_p_value_is_that_of_a_binomial_test():
    context, suspects = with_suspects(lambda c: c["size"] == "XL")
    issue = Groups().find(context)
    line = issue.details.iloc[0]
    assert (line["column"], line["value"]) == ("size", "XL")
    plain = binomtest(line["suspects"], line["rows"], len(suspects) / 600, alternative="greater")
    assert plain.pvalue <= line["p_value"] <= 100 * plain.pvalue
    sizes = clean_columns(0, 600)["size"]
    assert set(issue.rows) == {row for row in suspects if sizes[row] == "XL"}


def test_a_range_of_numbers_is_found():
    context, _ = with_suspects(lambda c: c["even"] > 0.9)
    details = Groups().find(context).details
    assert set(details["column"]) == {"even"}
    low, high = map(float, details["value"][0].split(" to "))
    assert low == pytest.approx(0.9, abs=0.03)
    assert high == pytest.approx(1.0, abs=0.03)


def test_missing_cells_are_a_group():
    gaps = ["" if i % 6 == 0 else f"{i % 17}.5" for i in range(600)]
    context, _ = with_suspects(lambda c: np.array(c["gaps"]) == "", gaps=gaps)
    details = Groups().find(context).details
    assert details[["column", "value"]].to_numpy().tolist() == [["gaps", "(missing)"]]


def test_dates_are_ranges_of_dates():
    days = np.datetime64("2020-01-01") + np.random.default_rng(1).integers(0, 1000, 600)
    context, _ = with_suspects(lambda c: c["when"] < "2020-04-01", when=days.astype(str))
    details = Groups().find(context).details
    assert details["column"].tolist() == ["when"]
    assert details["value"][0].startswith("2020-01-")


@pytest.mark.parametrize("suspects", [[], range(600)])
def test_no_suspects_or_only_suspects_are_no_group(suspects):
    assert Groups().find(context_of(clean_columns(0, 600), suspects=suspects)) is None


@pytest.mark.parametrize("seed", range(3))
def test_holm_follows_its_definition(seed):
    p = np.random.default_rng(seed).random(8) ** 3
    slow = np.empty(8)
    for i in range(8):
        smaller = sorted(q for q in p if q <= p[i])
        slow[i] = min(1, max((8 - k) * q for k, q in enumerate(smaller)))
    assert holm(p) == pytest.approx(slow)
