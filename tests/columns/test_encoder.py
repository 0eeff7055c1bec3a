"""ColumnEncoder as a transformer."""

import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

pd = pytest.importorskip("pandas")

from skinfluence.columns import ColumnEncoder  # noqa: E402

N = 60


@pytest.fixture
def frame():
    rng = np.random.RandomState(0)
    return pd.DataFrame(
        {
            "id": [f"A-{i}" for i in rng.permutation(N)],
            "price": [None if i % 7 == 0 else f"${1000 + 37 * i:,}" for i in range(N)],
            "color": [["red", "blue", None, "green"][i % 4] for i in range(N)],
            "when": pd.date_range("2020-01-01", periods=N, freq="36h"),
            "name": [
                f"{['Ann', 'Bob', 'Cleo'][i % 3]} {chr(97 + i % 26) * 4}{i}" for i in range(N)
            ],
            "size": rng.randn(N),
        },
        index=range(100, 100 + N),
    )


@pytest.fixture(autouse=True)
def _skrub():
    pytest.importorskip("skrub")


def test_a_mixed_frame_becomes_finite_numbers(frame):
    encoder = ColumnEncoder()
    before = frame.copy(deep=True)
    X = encoder.fit_transform(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert X.dtype == np.float32
    assert np.isfinite(X).all()
    assert encoder.kinds_ == {
        "price": "number",
        "color": "category",
        "when": "date",
        "name": "text",
        "size": "number",
    }
    assert encoder.left_out_ == {"id": "a key"}
    names = encoder.get_feature_names_out().tolist()
    assert len(names) == len(set(names)) == X.shape[1]
    assert names[0] == "price"
    assert {"price is missing", "when_year", "color_red", "name_0", "size"} <= set(names)
    np.testing.assert_allclose(encoder.transform(frame), X, atol=1e-5)
    np.testing.assert_array_equal(clone(encoder).fit_transform(frame), X)


def test_new_rows_are_encoded_one_by_one_as_together(frame):
    encoder = ColumnEncoder().fit(frame[:40])
    new = frame[40:].assign(color="a new color")
    together = encoder.transform(new[frame.columns[::-1]])  # any order of columns
    for i in range(5):
        np.testing.assert_allclose(encoder.transform(new[i : i + 1])[0], together[i], atol=1e-5)


def test_polars_gives_the_same_numbers(frame):
    pl = pytest.importorskip("polars")
    columns = {name: frame[name].astype(object).where(frame[name].notna(), None) for name in frame}
    columns["when"] = [value.to_pydatetime() for value in frame["when"]]
    other = pl.DataFrame({name: list(values) for name, values in columns.items()})
    np.testing.assert_allclose(
        ColumnEncoder().fit_transform(other), ColumnEncoder().fit_transform(frame), atol=1e-5
    )


def test_arrays_are_taken():
    X = np.array([["1", "a"], ["2,5", "b"], ["3", "a"]], dtype=object)
    encoder = ColumnEncoder().fit(X)
    assert encoder.kinds_ == {"x0": "number", "x1": "category"}
    assert encoder.transform(X).shape == (3, 2)


def test_kinds_can_be_given(frame):
    encoder = ColumnEncoder(category=["size"], text="id", ignore=["when", "color"]).fit(frame)
    assert encoder.kinds_ == {"id": "text", "price": "number", "name": "text", "size": "category"}
    assert encoder.left_out_ == {"when": "as asked", "color": "as asked"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"number": ["prize"]}, "number='prize' is not a column; the columns are 'id', 'price'"),
        ({"number": ["size"], "text": ["size"]}, "column 'size' is in number and in text"),
        ({"date": ["color"]}, "date='color': the column does not hold values of this kind"),
        (
            {"ignore": ["price", "color", "when", "name", "size"]},
            "no column can be used .id: a key",
        ),
    ],
)
def test_bad_parameters_are_refused(frame, parameters, message):
    with pytest.raises(ValueError, match=message):
        ColumnEncoder(**parameters).fit(frame)


def test_bad_tables_are_refused(frame):
    with pytest.raises(TypeError, match="expected a DataFrame of pandas or polars"):
        ColumnEncoder().fit([1, 2, 3])
    with pytest.raises(ValueError, match=r"columns of the same name: \['size'\]"):
        ColumnEncoder().fit(frame.rename(columns={"price": "size"}))
    with pytest.raises(ValueError, match="X has 0 sample"):
        ColumnEncoder().fit(frame[:0])
    with pytest.raises(ValueError, match="X lacks columns that were there in fit: 'name'"):
        ColumnEncoder().fit(frame).transform(frame.drop(columns="name"))


def test_an_encoder_that_is_not_fitted_is_refused(frame):
    encoder = ColumnEncoder()
    with pytest.raises(NotFittedError):
        encoder.transform(frame)
    encoder.fit(frame)
    with pytest.raises(ValueError, match="no column can be used"):
        encoder.fit(frame[["id"]])
    with pytest.raises(NotFittedError):  # the columns of a fit that failed are forgotten
        encoder.transform(frame)


def test_what_was_read_as_missing_is_said(frame):
    encoder = ColumnEncoder().fit(frame.assign(size=[*map(str, frame["size"][:-1]), "unknown"]))
    assert encoder.notes_ == [
        "size: cells that are not numbers and count as missing: 1 ('unknown')"
    ]


def test_rare_categories_share_one_input():
    X = ColumnEncoder(category="a").fit_transform(
        pd.DataFrame({"a": [f"c{i % 500}" for i in range(2000)]})
    )
    assert X.shape == (2000, 32)


def test_missing_numbers_get_an_indicator_and_missing_categories_an_input():
    frame = pd.DataFrame({"x": [1.0, np.nan, 3, 5, 5, 4], "c": ["a", "b", None, "a", "b", None]})
    encoder = ColumnEncoder()
    X = encoder.fit_transform(frame)
    assert encoder.get_feature_names_out().tolist() == [
        *("x", "x is missing"),
        *("c_(missing)", "c_a", "c_b"),
    ]
    np.testing.assert_array_equal(X[:, 1], [0, 1, 0, 0, 0, 0])


def test_names_of_outputs_stay_different():
    frame = pd.DataFrame({"a": pd.to_datetime(["2020-01-01", "2021-05-01"]), "a_year": [7.0, 3.0]})
    names = ColumnEncoder().fit(frame).get_feature_names_out().tolist()
    assert len(names) == len(set(names))


def test_sentences_also_go_through_the_given_encoder():
    class Length:
        def fit_transform(self, X, y=None):
            return self.transform(X)

        def transform(self, X):
            return np.array([[len(text)] for text in X])

        def fit(self, X, y=None):
            return self

        def get_params(self, deep=True):
            return {}

    texts = [f"this is the text number {i}" for i in range(45)]
    frame = pd.DataFrame(
        {"text": [*texts, None], "name": [text[-5:] + "x" for text in texts] + [None]}
    )
    encoder = ColumnEncoder(text_encoder=Length(), n_text_components=4)
    X = encoder.fit_transform(frame)
    assert encoder.kinds_ == {"text": "text", "name": "text"}
    assert X.shape == (46, 4 + 1 + 4)
    assert X[:, 4].tolist() == [*map(len, texts), 0]


def test_images_are_read_by_their_encoder():
    images = pytest.importorskip("skinfluence.images")
    torch = pytest.importorskip("torch")
    net = images.Backbone(torch.nn.Conv2d(3, 5, 3), size=8)
    pixels = [np.full((9, 9), value, dtype=np.uint8) for value in (0, 99, 200)]
    frame = pd.DataFrame({"image": pixels, "x": [1.0, 2.0, 4.0]})
    encoder = ColumnEncoder(image="image", image_encoder=images.ImageEmbedder(net))
    assert encoder.fit_transform(frame).shape == (3, 6)


def test_in_a_pipeline_with_cross_validation(frame):
    y = (np.arange(N) % 4 == 0).astype(int)
    model = make_pipeline(ColumnEncoder(), LogisticRegression(max_iter=1000))
    assert cross_val_score(model, frame, y, cv=3).mean() > 0.8


def test_without_skrub_the_error_says_what_to_install(frame, monkeypatch):
    monkeypatch.setitem(sys.modules, "skrub", None)
    with pytest.raises(ImportError, match=r"ColumnEncoder, for dates, needs skrub.*\[audit\]"):
        ColumnEncoder().fit(frame)
    assert ColumnEncoder().fit(frame[["price", "color", "size"]]).n_features_in_ == 3


def test_frequent_values_of_a_column_of_names_have_inputs():
    names = [f"name {i}" for i in range(60)] + ["Smith"] * 12 + ["Jones"] * 6 + [None] * 10
    encoder = ColumnEncoder()
    rows = encoder.fit_transform(pd.DataFrame({"who": names}))
    outputs = encoder.get_feature_names_out().tolist()
    assert outputs[-2:] == ["who=Smith", "who=Jones"]
    np.testing.assert_array_equal(rows[:, -2], [name == "Smith" for name in names])
    again = encoder.transform(pd.DataFrame({"who": ["Jones", "Nobody", None]}))
    np.testing.assert_array_equal(again[:, -2:], [[0, 1], [0, 0], [0, 0]])
