"""From text cells to the input of the net."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from skinfluence._audit import features  # noqa: E402


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", " 2.5", "?", ""], [1, 2.5, np.nan, np.nan]),
        (["007", "1e3", "NA"], [7, 1000, np.nan]),
        (["1,5", "2,0", "3"], [1.5, 2, 3]),
        (["1970-01-02", "1970-01-03T12:00", "null"], [1, 2.5, np.nan]),
        (["1", "inf"], [1, np.nan]),
        (["True", "False", ""], ["True", "False", None]),
        (["1", "two"], ["1", "two"]),
        (["", "NA"], [None, None]),
    ],
)
def test_type_of_a_column_follows_from_its_cells(cells, expected):
    values = features.typed_column(cells)
    if isinstance(expected[0], (int, float)):
        np.testing.assert_array_equal(values, expected)
    else:
        assert [None if pd.isna(value) else value for value in values] == expected


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["794", "3,281", "1,843"], [794, 3281, 1843]),  # grouped thousands
        (["1,234,567", "2,000.5"], [1234567, 2000.5]),
        (["1,843.50", "2,000.25"], [1843.5, 2000.25]),
        (["0,715", "3,281", "2"], [0.715, 3.281, 2]),  # decimal commas
        (["1,250", "2,125"], [1.25, 2.125]),  # may be either
    ],
)
def test_commas_are_decimal_points_or_group_thousands(cells, values):
    assert features.parse_numbers(pd.Series(cells, dtype=object)).tolist() == values


def test_a_row_number_is_left_out():
    assert features.reason_to_drop(pd.Series([5.0, 6.0, 7.0])) == "a row number"
    assert features.reason_to_drop(pd.Series([5.0, 6.0, 8.0])) is None


def test_rare_categories_share_one_input():
    frame = pd.DataFrame({"0": pd.Series([f"c{i % 500}" for i in range(2000)], dtype=object)})
    assert features.make_preprocessor(frame).fit_transform(frame).shape == (2000, 32)


def test_missing_numbers_get_an_indicator_and_missing_categories_an_input():
    frame = pd.DataFrame(
        {
            "0": [1.0, np.nan, 3.0, 5.0, 5.0, 4.0],
            "1": pd.Series(["a", "b", None, "a", "b", None], dtype=object),
        }
    )
    X = features.make_preprocessor(frame).fit_transform(frame)
    np.testing.assert_array_equal(X[:, 1], [0, 1, 0, 0, 0, 0])
    assert X.shape == (6, 2 + 3)
    assert np.isfinite(X).all()
