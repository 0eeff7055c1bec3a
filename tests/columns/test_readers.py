"""What columns hold, and which are left out."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from skinfluence.columns._readers import (  # noqa: E402
    READERS,
    cells_of,
    frame_of,
    reason_to_leave_out,
)


def kind_of(values):
    cells = cells_of(pd.Series(values))
    return next(r.kind for r in (find(cells) for find in READERS.values()) if r is not None)


def reason(values, name="x"):
    return reason_to_leave_out(name, cells_of(pd.Series(values)))


def test_cells_are_the_distinct_present_values():
    cells = cells_of(pd.Series([" a", "a", "", None, "NA", "b "], dtype=object))
    assert cells.distinct.tolist() == ["a", "b"]
    assert cells.codes.tolist() == [0, 0, -1, -1, -1, 1]
    assert cells.counts.tolist() == [2, 1]
    assert cells.strings().tolist() == ["a", "a", None, None, None, "b"]


@pytest.mark.parametrize("dtype", ["int64", "float32", "Int64", "bool", "object"])
def test_numbers_of_any_dtype_are_numbers(dtype):
    values = pd.Series([1, 0, 1, 0] if dtype == "bool" else [3, 1, 2, 1], dtype=dtype)
    assert kind_of(values) == "number"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1/9/2019 5:09", "6/13/2019 17:08", "2/16/2019 23:15"], "date"),
        (["28.10.2019", "03.10.2019"], "date"),
        (["2019-10-01T10:00", "2019-10-02T10:00"], "date"),
        (pd.to_datetime(["2020-01-01", "2021-01-01"]), "date"),
        (["(40.7, -73.9)", "(41.2,-74.0)"], "point"),
        (["red", "blue", "red"], "category"),
        (pd.Categorical(["u", "v", "u"]), "category"),
        (["True", "False"], "category"),
        ([f"name {i}" for i in range(41)], "text"),
        (["it is very good", "i do not like it", "what a waste of money"], "text"),
    ],
)
def test_the_kind_follows_from_the_values(values, kind):
    if kind in ("date", "text"):
        pytest.importorskip("skrub")
    assert kind_of(values) == kind


def test_texts_of_which_one_occurs_twice_are_texts():
    texts = [f"review number {i} is long" for i in range(60)]
    assert kind_of([*texts, texts[0]]) == "text"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["", None, "NA"], "empty"),
        (["c", "c", "c "], "the same value in every row"),
        (["c", "c", None], None),  # that it is missing may tell something
        ([5, 6, 7, 8], "a row number"),
        (["8", "7", "6"], "a row number"),
        ([5, 6, 8, 9], None),
        (["row-17", "row-2", "row-5"], "a key"),
        (["ID0017", "ID0020", "ID0004"], "a key"),
        ([f"{i:032x}" for i in range(7, 7_000_000, 900_001)], "a key"),
        (["Ann", "Bob", "Cid"], None),
        (["https://a.org/1", "https://a.org/2", "https://a.org/7"], None),
        (["(40.7, -73.9)", "(41.2, -74.0)", "(40.1, -73.0)"], None),
        (["21 Main St", "3 Oak Ave", "7 Main St"], None),
    ],
)
def test_only_keys_row_numbers_and_constant_columns_are_left_out(values, expected):
    assert (
        reason(pd.Series(values, dtype=None if isinstance(values[0], int) else object)) == expected
    )


@pytest.mark.parametrize("name", ["id", "user_id", "customerID", "PassengerId", "Key"])
def test_whole_numbers_that_all_differ_are_a_key_if_the_name_says_so(name):
    numbers = [17, 4, 23, 99]
    assert reason(numbers, name) == "a key"
    assert reason(numbers, "paid") is None
    assert reason([17.5, 4.0, 23.0], name) is None
    assert reason([17, 17, 23], name) is None


def test_dates_become_parts():
    pytest.importorskip("skrub")
    cells = cells_of(pd.Series(["28.10.2019", "03.10.2020", None], dtype=object))
    read = READERS["date"](cells).read(cells)
    assert read["_year"].tolist()[:2] == [2019, 2020]
    assert read["_day"].tolist()[:2] == [28, 3]
    assert np.isnan(read["_month"][2])


def test_a_stray_cell_of_dates_is_missing_and_is_said():
    pytest.importorskip("skrub")
    values = [f"{day}/1/2020" for day in range(1, 13)] * 2 + ["soon"]
    cells = cells_of(pd.Series(values, dtype=object))
    reader = READERS["date"](cells)
    assert reader.note == "cells that are not dates and count as missing: 1"
    assert np.isnan(reader.read(cells)["_year"][-1])


def test_strings_of_a_frame_stay_objects():
    frame = frame_of({"a": np.array(["x", None], dtype=object)})
    assert frame["a"].tolist() == ["x", None]
