"""DataFrames as tables of text."""

import pytest

pd = pytest.importorskip("pandas")

from skinfluence._audit.formats.frames import table_of  # noqa: E402


def test_missing_values_are_empty_and_numbers_keep_their_digits():
    frame = pd.DataFrame(
        {
            "a": [0.1, None],
            "b": pd.array([1, None], dtype="Int64"),
            "c": pd.to_datetime(["2020-01-02", None]),
            5: ["x", None],
        },
        index=["u", "v"],
    )
    table, index = table_of(frame)
    assert table.names == ["a", "b", "c", "5"]
    assert list(table.cells) == [["0.1", "1", "2020-01-02 00:00:00", "x"], ["", "", "", ""]]
    assert index == ["u", "v"]


def test_two_columns_may_have_one_name():
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert list(table_of(frame)[0].cells) == [["1", "2"]]
