"""Numbers that are written as text."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from skinfluence.columns._numbers import find_style  # noqa: E402


def read(texts, counts=None):
    texts = pd.Series(texts, dtype=object)
    style = find_style(texts, np.ones(len(texts), dtype=int) if counts is None else counts)
    return None if style is None else style.read(texts).tolist()


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1", "-2.5", "+3", "1e3", "007", ".5", "2."], [1, -2.5, 3, 1000, 7, 0.5, 2]),
        (["794", "3,281", "1,843"], [794, 3281, 1843]),  # grouped thousands
        (["1,234,567", "2,000.5"], [1234567, 2000.5]),
        (["1,843.50", "2,000.25"], [1843.5, 2000.25]),
        (["0,715", "3,281", "2"], [0.715, 3.281, 2]),  # decimal commas
        (["1,250", "2,125"], [1.25, 2.125]),  # may be either
        (["1.234.567", "2.000"], [1234567, 2000]),
        (["1 234,5", "2\u202f000,1", "3\u00a0000"], [1234.5, 2000.1, 3000]),
        (["1'234.5", "2'000"], [1234.5, 2000]),
        (["$1,601", "$4,865.50"], [1601, 4865.5]),
        (["$1,601", "$4,865"], [1601, 4865]),  # money has no three decimals
        (["1.029,79 €", "4.781,09 €"], [1029.79, 4781.09]),
        (["EUR 5", "EUR 6,5"], [5, 6.5]),
        (["-$5", "$6", "($7)"], [-5, 6, -7]),
        (["50%", "62.5 %"], [50, 62.5]),
        (["6 kg", "4.5kg", "3"], [6, 4.5, 3]),
        (["12.5 km/h", "3 km/h"], [12.5, 3]),
        (["2 pounds", "1 pound", "3 Pounds"], [2, 1, 3]),
        (["21°C", "-3 °C"], [21, -3]),
    ],
)
def test_a_number_is_read_as_people_write_it(texts, numbers):
    assert read(texts) == numbers


@pytest.mark.parametrize(
    "texts",
    [
        ["28.10.2019", "03.10.2019"],  # dates
        ["3.11.2", "3.12.1"],  # versions
        ["5 kg", "6 lb", "7 kg"],  # two units
        ["12:30", "1:20"],
        ["A1", "B2"],
        ["1/2", "3/4"],
        ["+49 123 45", "+49 12 3"],
        ["1,23,4", "5,6"],
        ["one", "two"],
    ],
)
def test_what_is_no_number_is_not_read(texts):
    assert read(texts) is None


def test_one_cell_in_twenty_may_be_no_number():
    assert read(["7", "8", "unknown"], np.array([15, 4, 1])) == pytest.approx(
        [7, 8, np.nan], nan_ok=True
    )
    assert read(["7", "8", "unknown"], np.array([14, 4, 2])) is None


def test_infinite_numbers_are_missing():
    assert read(["1", "inf", "-inf"]) == pytest.approx([1, np.nan, np.nan], nan_ok=True)
