"""Integers are checked in one place, and seeds are passed to estimators that have none."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skinfluence._data.params import check_count, check_int, pass_seed
from skinfluence.retraining import draw_subsets
from skinfluence.rules import AdaptiveGreedy, Budget

GOOD = [1, 5, np.int64(3), np.uint8(2), np.int32(5)]


@pytest.mark.parametrize("value", GOOD, ids=repr)
def test_an_integer_in_range_is_returned_as_int(value):
    found = check_int("k", value, 1, 5)
    assert type(found) is int
    assert found == value


@pytest.mark.parametrize(
    "value", [True, False, np.True_, 2.0, np.float64(2), "2", None, 0, 6, -1, [2], np.array([2])]
)
def test_anything_else_is_refused_with_what_was_given(value):
    with pytest.raises(ValueError, match=r"^k=") as refused:
        check_int("k", value, 1, 5)
    assert str(refused.value) == f"k={value!r}: expected an integer from 1 to 5."


def test_without_an_upper_end_any_larger_integer_is_in_range():
    assert check_int("k", 10**12, 2) == 10**12
    with pytest.raises(ValueError, match=r"^k=1: expected an integer, 2 or more\.$"):
        check_int("k", 1, 2)


def test_the_message_names_the_class_of_the_owner():
    with pytest.raises(ValueError, match=r"^Budget\(count=True\): expected an integer from 0 to 3"):
        check_int("count", True, 0, 3, owner=Budget())
    with pytest.raises(ValueError, match=r"^AdaptiveGreedy\(step=0\): expected an integer, 1 or"):
        check_count(AdaptiveGreedy(step=0), "step")


def test_a_hint_ends_the_message():
    with pytest.raises(ValueError, match=r"from 0 to 3, fewer than the 4 rows\.$"):
        Budget(count=4).decide(np.zeros(4), np.zeros(4))


def test_a_bool_is_not_a_number_of_subsets():
    with pytest.raises(ValueError, match="n_subsets=True: expected an integer"):
        draw_subsets(9, True)


def test_a_seed_goes_to_estimators_that_have_none():
    seedless, seeded = LogisticRegression(), LogisticRegression(random_state=7)
    pass_seed(0, seedless, seeded)
    assert isinstance(seedless.random_state, int)
    assert seeded.random_state == 7


def test_without_a_seed_nothing_is_passed():
    seedless = LogisticRegression()
    pass_seed(None, seedless)
    assert seedless.random_state is None
