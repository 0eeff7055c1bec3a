"""Arrays are checked as arguments: type, shape and values, before anything is computed."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from skinfluence._data.arrays import (
    as_array,
    check_classes,
    check_mask,
    check_numbers,
    packed,
)
from skinfluence._data.times import holds_times

NUMBERS = [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "given",
    [
        NUMBERS,
        tuple(NUMBERS),
        range(3),
        np.array(NUMBERS, dtype=object),
        pd.Series(NUMBERS, dtype="Float64"),
        pl.Series(NUMBERS),
        pa.array(NUMBERS),
        torch.tensor(NUMBERS, requires_grad=True),
        torch.tensor(NUMBERS, dtype=torch.bfloat16),
        [torch.tensor(v, requires_grad=True) for v in NUMBERS],
        np.array(NUMBERS)[:, None],
    ],
    ids=lambda v: type(v).__name__,
)
def test_numbers_of_any_container_become_float64(given):
    found = check_numbers("scores", given, (3,))
    assert found.dtype == np.float64
    assert found.tolist() == NUMBERS


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (None, TypeError, "of type NoneType; expected an array"),
        ("abc", TypeError, "of type str; expected an array"),
        ({1.0, 2.0, 3.0}, TypeError, "of type set; expected an array"),
        ({"a": 1}, TypeError, "of type dict; expected an array"),
        ((v for v in NUMBERS), TypeError, "of type generator; expected an array"),
        ({0: 1.0}.values(), TypeError, "of type dict_values; expected an array"),
        (1.0, ValueError, r"has shape \(\); expected \(3,\), one per row"),
        ([1.0, 2.0], ValueError, r"has shape \(2,\); expected \(3,\), one per row"),
        (np.zeros((3, 2)), ValueError, r"has shape \(3, 2\); expected \(3,\)"),
        ([[1.0], [2.0, 3.0], []], ValueError, "is not an array .* rows of equal size"),
        ([0.0, np.nan, np.inf], ValueError, "holds 2 NaN or infinite values"),
        (["1", "2", "3"], TypeError, "holds text; expected numbers"),
        (np.array(["1", "2", "3"]), TypeError, "has dtype <U1; expected numbers"),
        (np.ones(3) * 1j, TypeError, "has dtype complex128; expected numbers"),
        (np.arange(3).astype("M8[D]"), TypeError, "has dtype datetime64.*; expected numbers"),
        ([None, object(), 1], TypeError, "holds values that are not numbers"),
        (np.ma.masked_array(NUMBERS, [0, 1, 0]), ValueError, "masked array, and 1 of its entries"),
        (torch.zeros(3, device="meta"), ValueError, "device 'meta', which holds no values"),
    ],
    ids=lambda v: None if isinstance(v, str) else type(v).__name__,
)
def test_anything_else_is_refused_by_name(given, error, words):
    with pytest.raises(error, match=f"^scores .*{words}|^scores {words}"):
        check_numbers("scores", given, (3,), "one per row")


@pytest.mark.parametrize("given", [[True, False], [0, 1], np.array([True, False], dtype=object)])
def test_a_mask_may_hold_zero_and_one(given):
    assert check_mask("kept", given).dtype == bool


@pytest.mark.parametrize("given", [[0, 2], ["a", "b"], [np.nan, 1.0], [None, True]])
def test_a_mask_of_other_values_is_refused(given):
    with pytest.raises(ValueError, match=r"^kept must hold True and False only; it holds"):
        check_mask("kept", given)


def test_classes_of_mixed_types_or_with_gaps_are_refused():
    with pytest.raises(ValueError, match="labels mixes text and numbers"):
        check_classes("labels", ["a", 1])
    with pytest.raises(ValueError, match="labels has 1 missing entries"):
        check_classes("labels", ["a", np.nan])
    with pytest.raises(TypeError, match="labels has dtype complex128"):
        check_classes("labels", np.ones(2) * 1j)


def test_strings_that_end_with_nul_stay_apart():
    assert packed(["a", "b"]).dtype.kind == "U"
    assert packed(["a", "a\0"]).dtype.kind == "O"
    assert len(np.unique(as_array("y", ["a", "a\0"]))) == 2


DAY = datetime.date(2024, 1, 1)


@pytest.mark.parametrize(
    "given",
    [
        np.array(["2024-01-01"], "M8[D]"),
        np.array([3], "m8[s]"),
        np.array([DAY], dtype=object),
        [DAY],
        [[1.0, datetime.timedelta(1)]],
        pd.Series([pd.Timestamp("2024", tz="UTC")]),
        pl.Series([DAY]),
        pl.Series([datetime.time(3)]),
    ],
    ids=lambda v: str(getattr(v, "dtype", type(v).__name__)),
)
def test_times_are_found_in_every_container(given):
    assert holds_times(given)


@pytest.mark.parametrize("given", [[1.0], np.zeros(3), np.array(["a"], object), pl.Series([1])])
def test_numbers_and_text_are_no_times(given):
    assert not holds_times(given)
