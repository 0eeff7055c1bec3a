"""Tables without faults: no kind of issue finds any."""

from dataclasses import replace

import numpy as np
import pytest
from small_issues import clean_context, context_of

from skinfluence._audit.issues import KINDS, find_issues


@pytest.mark.parametrize("seed", range(20))
def test_a_clean_table_of_mixed_columns_has_no_issue(seed):
    context = clean_context(seed, n=300)
    assert context.probabilities is not None
    assert not find_issues(context)


def shapes(rng, n):
    """Features of several distributions."""
    yield rng.standard_normal((n, 1))
    yield rng.standard_normal((n, 2))
    yield rng.standard_normal((n, 20))
    yield rng.standard_normal((n, 5)) @ rng.standard_normal((5, 5))  # correlated
    yield rng.standard_normal((n, 3)).round(1)  # equal cells
    yield rng.integers(0, 5, (n, 3))  # equal rows by chance
    yield rng.exponential(size=(n, 4))
    yield np.cumsum(rng.standard_normal((n, 4)), axis=0)  # each row is near the one before
    holes = rng.standard_normal((n, 5))
    holes[rng.random((n, 5)) < 0.2] = np.nan
    yield holes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("number", range(9))
def test_random_labels_of_random_rows_have_no_issue(seed, number):
    rng, n = np.random.default_rng(seed), 300
    X = list(shapes(rng, n))[number]
    columns = {f"x{i}": ["" if np.isnan(v) else f"{v:.6g}" for v in x] for i, x in enumerate(X.T)}
    context = context_of({**columns, "y": rng.choice(["a", "b"], n, p=[0.7, 0.3])})
    context = replace(context, is_suspect=rng.random(n) < 0.1)
    assert not find_issues(context)


def test_every_kind_has_a_name_of_its_own_and_a_title():
    assert len({kind.name for kind in KINDS}) == len({kind.title for kind in KINDS}) == len(KINDS)
