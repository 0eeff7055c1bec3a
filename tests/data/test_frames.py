"""Which DataFrames need an encoder."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skinfluence._data.frames import FrameRows, is_mixed

NUMBERS = {
    "floats": [1.0, 2.0],
    "booleans": [True, False],
    "infinity": [1.0, np.inf],
    "numbers as objects": pd.Series([1, 2.5], dtype=object),
    "a category of numbers": pd.Categorical([1, 2]),
}
OTHERS = {
    "texts": ["a", "b"],
    "a gap": [1.0, None],
    "a gap among integers": pd.array([1, None], dtype="Int64"),
    "dates": pd.to_datetime(["2020-01-01", "2020-01-02"]),
    "dates as objects": pd.Series([datetime.date(2020, 1, 1)] * 2, dtype=object),
    "categories": pd.Categorical(["a", "b"]),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_columns_of_numbers_need_no_encoder(kind):
    assert not is_mixed(pd.DataFrame({"x": [1, 2], "y": NUMBERS[kind]}))


@pytest.mark.parametrize("kind", OTHERS)
def test_words_dates_and_gaps_need_an_encoder(kind):
    assert is_mixed(pd.DataFrame({"x": [1, 2], "y": OTHERS[kind]}))


def test_the_same_holds_for_polars():
    assert not is_mixed(pl.DataFrame({"x": [1, 2], "y": [1.5, 2.5]}))
    for column in (["a", "b"], [1, None], [datetime.date(2020, 1, 1)] * 2):
        assert is_mixed(pl.DataFrame({"x": [1, 2], "y": column}))


def test_what_is_not_a_frame_needs_none():
    assert not is_mixed(np.array([["a"]]))
    assert not is_mixed(pd.Series(["a"]))


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_rows_are_cut_by_position(make):
    rows = FrameRows(make({"x": list("abc")}))
    part = rows[np.array([2, 0])]
    assert (len(rows), rows.shape, list(part.frame["x"])) == (3, (3, 1), ["c", "a"])
