"""Without a net of the user, estimators take DataFrames of mixed columns, and sparse matrices."""

import builtins
import pickle
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from small import blobs, logits_net, quick, quick_regressor

from skinfluence import (
    FilteredEstimator,
    InfluenceSampleSelector,
    InfluenceScorer,
    NoisyLabelDetector,
)
from skinfluence.columns import ColumnEncoder
from skinfluence.nets import TabularClassifier
from skinfluence.pairwise import influence_matrix
from skinfluence.rules import Budget


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    """The ready-made net trains for three epochs."""
    from skinfluence._fitting import training_data

    def net_for(y):
        return quick_regressor(max_epochs=3) if y.dtype.kind == "f" else quick(max_epochs=3)

    monkeypatch.setattr(training_data, "_net_for", net_for)


def mixed(n=60, seed=0):
    """A frame with a row number, prices, categories, dates and gaps, and labels that follow."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    price = [f"${value:,}" for value in 1000 + 900 * y + rng.integers(0, 300, n)]
    frame = pd.DataFrame(
        {
            "row": np.arange(n),
            "price": pd.Series(price, dtype=object),
            "color": pd.Series(rng.choice(["red", "blue", None], n), dtype=object),
            "size": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
            "when": pd.date_range("2020-01-01", periods=n).where(rng.random(n) > 0.2),
        }
    )
    return frame.set_axis([f"r{i}" for i in range(n)]), y


X, Y = mixed()
DETECTOR = NoisyLabelDetector(cv=2, checkpoints=2, random_state=0)
SCORER = InfluenceScorer(random_state=0)


def test_a_detector_keeps_names_and_index_and_scores_new_rows():
    detector = clone(DETECTOR).fit(X, Y)
    assert list(detector.feature_names_in_) == list(X.columns)
    assert list(detector.issues_.index) == list(X.index)
    scores = detector.score_samples(X[:5], Y[:5])
    again = pickle.loads(pickle.dumps(detector)).score_samples(X[:5], Y[:5])
    np.testing.assert_array_equal(scores, again)
    assert detector.score_labels(X[:5]).shape == (5, 2)
    assert detector.predict_out_of_sample(X[:5]).shape == (5, 2)


def test_each_fold_has_its_own_encoder_and_the_row_number_is_left_out():
    detector = clone(DETECTOR).fit(X, Y)
    first, second = detector.encoders_
    assert first.left_out_ == {"row": "a row number"}
    assert first.kinds_ == {
        "price": "number",
        "color": "category",
        "size": "number",
        "when": "date",
    }
    # Fitted on different rows.
    assert not np.array_equal(first.transform(X), second.transform(X))


def test_an_encoder_never_sees_the_rows_that_are_held_out(monkeypatch):
    seen = []
    fit = ColumnEncoder.fit

    def recorded(self, frame, y=None):
        seen.append(set(frame.index))
        return fit(self, frame, y)

    monkeypatch.setattr(ColumnEncoder, "fit", recorded)
    clone(DETECTOR).fit(X, Y)
    assert not seen[0] & seen[1]  # with two folds, each net learns from the other half
    scorer = clone(SCORER).fit(X, Y)
    assert not seen[2] & set(X.index[scorer.reference_indices_])


def test_polars_gives_the_same_scores_as_pandas():
    table = pl.from_pandas(X.reset_index(drop=True))
    np.testing.assert_allclose(
        clone(DETECTOR).fit(table, Y).scores_, clone(DETECTOR).fit(X, Y).scores_, rtol=1e-6
    )


def test_a_scorer_scores_new_rows_pairs_of_rows_and_other_reference_rows():
    scorer = clone(SCORER).fit(X, Y)
    np.testing.assert_allclose(scorer.score_samples(X, Y), scorer.scores_, rtol=1e-4)
    assert scorer.transform(X[:3]).shape == (3, 2)
    assert influence_matrix(scorer, X[:4], Y[:4], X[4:7], Y[4:7]).shape == (4, 3)
    assert len(scorer.retarget(None, X, Y, X_val=X[:9], y_val=Y[:9]).scores_) == len(X)
    with_reference = clone(SCORER).fit(X[:40], Y[:40], X_val=X[40:], y_val=Y[40:])
    assert len(with_reference.scores_) == 40


def test_a_regression_takes_mixed_columns_as_well():
    y = Y + np.linspace(0, 0.5, len(Y))
    detector = clone(DETECTOR).fit(X, y)
    assert len(detector.score_samples(X[:3], y[:3])) == 3


@pytest.mark.parametrize("make", [lambda X: X, lambda X: pl.from_pandas(X.reset_index(drop=True))])
def test_a_selector_keeps_rows_of_the_frame_and_filters_for_an_estimator(make):
    table = make(X)
    kept, labels = InfluenceSampleSelector(rule=Budget(0.1), cv=2, random_state=0).fit_resample(
        table, Y
    )
    assert type(kept) is type(table)
    assert len(kept) == len(labels) == 54
    selector = InfluenceSampleSelector(rule=Budget(0.1), cv=2, random_state=0)
    assert FilteredEstimator(selector=selector).fit(table, Y).score(table, Y) > 0.8


def test_a_column_of_texts_is_taken_in_a_frame():
    texts = [f"{'good' if y else 'bad'} thing no {i}" for i, y in enumerate(Y)]
    assert len(clone(DETECTOR).fit(pd.DataFrame({"review": texts}), Y).scores_) == len(Y)


def test_numbers_without_gaps_need_no_encoder():
    rows, y = blobs()
    detector = clone(DETECTOR).fit(pd.DataFrame(rows, columns=list("abcd")), y)
    assert detector.encoders_ == [None, None]
    np.testing.assert_array_equal(detector.scores_, clone(DETECTOR).fit(rows, y).scores_)


@pytest.mark.parametrize("estimator", [DETECTOR, SCORER], ids=["detector", "scorer"])
def test_other_columns_are_refused_when_scoring(estimator):
    fitted = clone(estimator).fit(X, Y)
    with pytest.raises(TypeError, match="`fit` was given a DataFrame of mixed columns"):
        fitted.score_samples(np.zeros((2, 5)), Y[:2])
    with pytest.raises(ValueError, match="missing:\n- color"):
        fitted.score_samples(X.drop(columns="color"), Y)


def test_a_frame_after_numbers_is_read_anew():
    rows, y = blobs()
    scorer = clone(SCORER).fit(X, Y).fit(rows, y)
    assert scorer.encoder_ is None
    assert len(scorer.score_samples(rows, y)) == len(y)


def test_a_net_of_the_user_gets_no_encoder():
    with pytest.raises((TypeError, ValueError), match="hold no numbers"):
        NoisyLabelDetector(quick()).fit(X, Y)


def test_without_skrub_one_line_says_what_to_do(monkeypatch):
    importing = builtins.__import__

    def without_skrub(name, *args, **kwargs):
        if name.partition(".")[0] == "skrub":
            raise ModuleNotFoundError("No module named 'skrub'", name="skrub")
        return importing(name, *args, **kwargs)

    monkeypatch.setitem(sys.modules, "skrub", None)
    monkeypatch.setattr(builtins, "__import__", without_skrub)
    with pytest.raises(ImportError, match=r"needs skrub.*skinfluence\[audit\]") as raised:
        clone(DETECTOR).fit(X, Y)
    assert "in front" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(clone(DETECTOR).fit(X[["price", "color", "size"]], Y).scores_) == len(Y)


# Sparse matrices


def sparse_rows(n=60, columns=30):
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((n, columns)) < 0.2, rng.normal(size=(n, columns)), 0)
    dense[:, 0] += Y[:n]
    return dense, Y[:n]


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csr_array, sp.coo_matrix])
@pytest.mark.parametrize("estimator", [DETECTOR, SCORER], ids=["detector", "scorer"])
def test_a_sparse_matrix_has_the_scores_of_a_dense_one(estimator, form):
    dense, y = sparse_rows()
    fitted, other = clone(estimator).fit(form(dense), y), clone(estimator).fit(dense, y)
    np.testing.assert_allclose(fitted.scores_, other.scores_, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(
        fitted.score_samples(form(dense), y), other.score_samples(dense, y), rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_ready_made_net_takes_a_sparse_matrix(early_stopping):
    dense, y = sparse_rows()
    net = TabularClassifier(max_epochs=2, early_stopping=early_stopping)
    few = clone(DETECTOR).set_params(estimator=net).fit(sp.csr_matrix(dense), y)
    same = clone(DETECTOR).set_params(estimator=net).fit(dense, y)
    np.testing.assert_allclose(few.scores_, same.scores_, rtol=1e-4)
    assert net.fit(sp.csr_matrix(dense), y).predict(sp.csr_matrix(dense)).shape == y.shape


def test_a_selector_keeps_rows_of_a_sparse_matrix():
    dense, y = sparse_rows()
    kept, _ = InfluenceSampleSelector(rule=Budget(0.1), cv=2, random_state=0).fit_resample(
        sp.csr_matrix(dense), y
    )
    assert sp.issparse(kept)
    assert kept.shape == (54, 30)


def test_a_wide_sparse_matrix_never_becomes_dense_as_a_whole(monkeypatch):
    rows, densest = sp.random(400, 3000, density=0.002, format="csr", random_state=0), []
    toarray = sp.csr_matrix.toarray

    def recorded(self, *args, **kwargs):
        densest.append(self.shape[0])
        return toarray(self, *args, **kwargs)

    monkeypatch.setattr(sp.csr_matrix, "toarray", recorded)
    net = quick(iterator_valid__batch_size=64, max_epochs=1)
    clone(SCORER).set_params(estimator=net).fit(sp.csr_matrix(rows), np.arange(400) % 2)
    assert densest
    assert max(densest) <= 64


def test_a_net_of_the_user_says_what_to_do_with_a_sparse_matrix():
    with pytest.raises(TypeError, match=r"dense data is required.*X\.toarray\(\).*TruncatedSVD"):
        InfluenceScorer(logits_net()).fit(sp.csr_matrix(blobs()[0]), blobs()[1])
