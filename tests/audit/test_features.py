"""From text cells to the input of the net."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("skrub")

from skinfluence._audit import features  # noqa: E402
from skinfluence._audit.formats.delimited import table_from_columns  # noqa: E402
from skinfluence._audit.options import Options  # noqa: E402
from skinfluence._audit.table import AuditError  # noqa: E402

N = 12
LABEL = ["u", "v"] * (N // 2)


def table(**columns):
    return table_from_columns([*columns, "label"], [*columns.values(), LABEL])


def prepared(table, rows=None, **options):
    rows = np.arange(N) if rows is None else rows
    return features.prepare(table, len(table.names) - 1, rows, Options(embed="none", **options))


def test_columns_are_typed_and_named_by_their_position():
    found = prepared(
        table(
            key=[f"k-{i}" for i in range(N)],
            when=["1970-01-02", "1970-01-03"] * 6,
            size=["1,5", "2,0", "NA"] * 4,
            color=["red", " blue ", ""] * 4,
        )
    )
    assert found.kinds == {"1": "date", "2": "number", "3": "category"}
    assert found.left_out == {"a key": ["key"]}
    assert found.frame["1"][:2].tolist() == [86400, 172800]
    assert found.frame["2"][:2].tolist() == [1.5, 2.0]
    assert found.frame["3"][:3].tolist() == ["red", "blue", None]
    assert found.X.dtype == np.float32
    assert np.isfinite(found.X).all()


def test_only_the_chosen_rows_are_prepared():
    found = prepared(table(size=[str(i * i) for i in range(N)]), rows=np.array([2, 5, 7]))
    assert found.frame["0"].tolist() == [4, 25, 49]


def test_options_decide_about_columns():
    minute = [str(i) for i in range(1, N + 1)]
    given = table(minute=minute, code=["7", "8", "9"] * 4, name=minute, other=["a", "b"] * 6)
    assert prepared(given).left_out == {"a row number": ["minute", "name"]}
    found = prepared(
        given, numeric=("minute",), category=("code",), id=("name",), ignore=("other",)
    )
    assert found.kinds == {"0": "number", "1": "category"}
    assert found.left_out == {"as asked by --id": ["name"], "as asked": ["other"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ignore": ("size", "word")}, r"no column can be used .*: size .as asked., word"),
        ({"text": ("width",)}, "no column is called 'width'"),
        ({"numeric": ("label",)}, "column 'label' is the label"),
        ({"date": ("size",)}, "--date 'size': the column does not hold values of this kind"),
        ({"numeric": ("word",)}, "--numeric 'word': the column does not hold values of this kind"),
        ({"numeric": ("size",), "text": ("size",)}, "'size' is given as number and as text"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(AuditError, match=message):
        prepared(table(size=["1.5", "2", "4"] * 4, word=["a", "b", "c"] * 4), **options)


def test_columns_of_the_same_name_are_told_apart():
    given = table_from_columns(
        ["x", "x", "label"], [["1.5", "2", "4"] * 4, ["5", "7", "7"] * 4, LABEL]
    )
    assert prepared(given).kinds == {"0": "number", "1": "number"}
