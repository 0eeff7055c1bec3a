"""Rows that cannot be used are refused; the message says what was given and what to do."""

import datetime
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression
from small import (
    TwoInputs,
    as_dict,
    blobs,
    dict_net,
    line,
    logits_net,
    own_net,
    quick_regressor,
    scorer,
    selector,
)
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from skinfluence import FilteredEstimator, NoisyLabelDetector
from skinfluence._data.labels import check_labels
from skinfluence.rules import Budget

X, Y = blobs()


def with_value(value, X=X):
    X = X.copy()
    X[3, 1] = value
    return X


BAD_ROWS = {
    "NaN": (with_value(np.nan), Y, "Input X contains NaN"),
    "infinity": (with_value(np.inf), Y, "Input X contains infinity"),
    "NaN in a tensor": (torch.as_tensor(with_value(np.nan)), Y, "X contains NaN"),
    "NaN in a dict": (as_dict(with_value(np.nan)), Y, r"X\['rest'\] contains NaN"),
    "beyond float32": (with_value(1e300), Y, "beyond the range of float32.*StandardScaler"),
    "no rows": (X[:0], Y[:0], "0 sample"),
    "no rows in a dict": (as_dict(X[:0]), Y[:0], "0 sample"),
    "empty dict": ({}, Y, "X is a dict without entries"),
    "unequal dict": (
        as_dict(X) | {"first": X[:80, 0]},
        Y,
        r"dict whose entries differ in their rows: \{'first': 80, 'rest': 90\}",
    ),
    "one axis": (X[:, 0], Y, "Expected 2D array"),
    "one axis in a tensor": (torch.as_tensor(X[:, 0]), Y, r"Expected 2D array, got X of shape"),
    "no array": (None, Y, "Expected 2D array"),
}


WITH_OWN_NET = {
    "scorer": lambda: scorer(estimator=logits_net()),
    "detector": lambda: NoisyLabelDetector(logits_net()),
    "selector": lambda: selector(scorer=scorer(estimator=logits_net())),
    "filtered": lambda: FilteredEstimator(
        LogisticRegression(), selector(scorer=scorer(estimator=logits_net()))
    ),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_bad_rows_are_refused(make_estimator, kind):
    rows, labels, message = BAD_ROWS[kind]
    with pytest.raises(ValueError, match=message):
        make_estimator().fit(rows, labels)


@pytest.mark.parametrize("form", ["csr", "coo", "dok"])
@pytest.mark.parametrize("make", WITH_OWN_NET)
def test_sparse_rows_are_refused_for_a_net_that_is_not_ready_made(make, form):
    with pytest.raises(TypeError, match=r"Sparse data was passed.*dense data is required"):
        WITH_OWN_NET[make]().fit(sp.csr_matrix(X).asformat(form), Y)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


def test_a_dataset_without_order_is_refused(make_estimator):
    with pytest.raises(TypeError, match="Stream, which has no length and no order to index"):
        make_estimator().fit(Stream(), Y)


@pytest.mark.parametrize("where", ["X", "X_val"])
def test_a_data_loader_is_refused_with_the_way_to_its_rows(make_estimator, where):
    loader = DataLoader(TensorDataset(torch.as_tensor(X), torch.as_tensor(Y)), batch_size=8)
    rows, known = (loader, {}) if where == "X" else (X, {"X_val": loader})
    labels = None if where == "X" else Y
    with pytest.raises(TypeError, match=rf"{where} is a DataLoader.*Pass its dataset, loader.data"):
        make_estimator().fit(rows, labels, **known)


def test_text_columns_are_refused(make_estimator):
    with pytest.raises(ValueError, match=r"(?i)numeric|could not convert string"):
        make_estimator().fit(np.array([["a", "b"]] * 90), Y)


def test_missing_values_are_counted_by_column():
    table = pd.DataFrame(X.copy(), columns=list("pqrs"))
    table.iloc[3:8, 1] = np.nan
    with pytest.raises(ValueError, match=r"contains NaN \(5 in q\): impute first") as raised:
        scorer().fit(table, Y)
    assert "HistGradientBoosting" not in str(raised.value)
    with pytest.raises(ValueError, match=r"X_val: Input X contains NaN.*impute first"):
        scorer().fit(table.fillna(0), Y, X_val=table, y_val=Y)


@pytest.mark.parametrize(
    "values", ["clerk", pd.Timestamp("2020-01-01"), pd.Categorical(["a"] * 90)], ids=repr
)
def test_columns_that_hold_no_numbers_are_named(values):
    table = pd.DataFrame(X, columns=list("pqrs")).assign(job=values)
    with pytest.raises((TypeError, ValueError), match="hold no numbers: job; encode them first"):
        scorer().fit(table, Y)


@pytest.mark.parametrize("rows", [X[:, :3], torch.as_tensor(X[:, :3])])
def test_another_width_is_refused_when_scoring(make_scorer, rows):
    fitted = make_scorer().fit(X, Y)
    with pytest.raises(ValueError, match=r"3 features, but .* is expecting 4 features"):
        fitted.score_samples(rows)


@pytest.mark.parametrize("columns", [list("bacd"), list("abce")])
def test_other_column_names_are_refused_when_scoring(make_scorer, columns):
    fitted = make_scorer().fit(pd.DataFrame(X, columns=list("abcd")), Y)
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.score_samples(pd.DataFrame(X, columns=columns), Y)


def test_nan_is_refused_when_scoring(make_scorer):
    fitted = make_scorer().fit(X, Y)
    with pytest.raises(ValueError, match="contains NaN"):
        fitted.score_samples(with_value(np.nan))


def test_unequal_dict_entries_are_refused_when_scoring():
    fitted = scorer(estimator=dict_net()).fit(as_dict(X), Y)
    with pytest.raises(ValueError, match="dict whose entries differ"):
        fitted.transform(as_dict(X) | {"first": np.zeros(3)})


def test_reversed_rows_and_bfloat16_labels_are_accepted():
    backwards = X.astype(np.float32)[::-1]
    made = scorer().fit(backwards, Y[::-1])
    assert made.score_samples(backwards, Y[::-1]).shape == (90,)
    half = torch.tensor(Y, dtype=torch.bfloat16)
    assert check_labels(half, 90).tolist() == Y.tolist()


# Differences that are lost in float32

STAMPS = X + [0, 1.7e9, 0, 0]  # a column of seconds since 1970


class Linear(nn.Linear):
    """A linear layer whose input is called "input"; the tests hardly train it."""

    def __init__(self):
        super().__init__(4, 3)


class Items(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i], Y[i]


FORMS = {
    "array": np.asarray,
    "tensor": torch.tensor,
    "dict": lambda rows: {"input": rows},
    "Dataset": Items,
    "Dataset of tensors": lambda rows: Items(torch.tensor(rows)),
    "one outlier": lambda rows: np.r_[[[0, 0, 0, 0]], rows[1:]],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_net_that_loses_the_differences_of_a_column_in_float32_causes_a_warning(form):
    with pytest.warns(UserWarning, match=r"loses these differences in 1 of 4 columns \(1\)"):
        scorer(estimator=own_net(Linear, lr=1e-20)).fit(FORMS[form](STAMPS), Y)


@pytest.mark.parametrize(
    "rows",
    [
        X,
        X + [0, 1000, 0, 0],
        STAMPS.astype(np.float32),
        np.where([True, False, True, True], X, 1.7e9 + 0.3),
        np.c_[X[:, :3], np.where(Y == 0, 0.1 + 0.2, 0.3)],
    ],
    ids=["centered", "small offset", "float32", "constant", "constant but for rounding"],
)
def test_a_column_without_a_loss_in_float32_causes_no_warning(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer(estimator=logits_net(lr=1e-20)).fit(rows, Y)


def test_a_net_in_float64_causes_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer(estimator=logits_net(lr=1e-20, module__dtype=torch.float64)).fit(STAMPS, Y)


def test_targets_that_lose_their_differences_cause_a_warning():
    rows, y = line()
    with pytest.warns(UserWarning, match="y has values that are large compared"):
        scorer(estimator=quick_regressor(lr=1e-20)).fit(rows, y + 1.7e9)


def test_ids_beyond_float64_cause_a_warning():
    ids = 2**62 + np.arange(90)[:, None]
    with pytest.warns(UserWarning, match=r"X has integers beyond 2\*\*53"):
        scorer().fit(ids, Y)


def test_categories_of_polars_are_refused_with_the_column():
    rows = pl.DataFrame({"a": X[:, 0], "c": pl.Series(["u", "v"] * 45, dtype=pl.Categorical)})
    with pytest.raises(ValueError, match="X has columns that hold no numbers: c; encode them"):
        scorer().fit(rows, Y)


# Dates and durations

DAYS = np.datetime64("2020-01-01") + np.arange(360).reshape(90, 4)
TIMES = {
    "dates": DAYS,
    "durations": DAYS - DAYS[0, 0],
    "frame of dates": pd.DataFrame(DAYS),
    "column of dates": pd.DataFrame({"a": X[:, 0], "t": DAYS[:, 0]}),
    "column of durations": pd.DataFrame({"a": X[:, 0], "t": DAYS[:, 0] - DAYS[0, 0]}),
    "dates with a time zone": pd.DataFrame({"t": pd.date_range("2020", periods=90, tz="UTC")}),
    "dict": {"first": DAYS[:, 0], "rest": X[:, 1:]},
    "objects": np.array([[1.0, datetime.datetime(2020, 1, 1)]] * 90, dtype=object),
    "list": [[1.0, datetime.date(2020, 1, 1)]] * 90,
    "dates of polars": pl.DataFrame({"t": DAYS[:, 0]}),
    "times of polars": pl.DataFrame({"a": X[:, 0], "t": [datetime.time(1)] * 90}),
    "durations of polars": pl.DataFrame({"a": X[:, 0], "t": [datetime.timedelta(1)] * 90}),
    "objects of polars": pl.DataFrame(
        {"a": X[:, 0], "t": pl.Series([datetime.date(2020, 1, 1)] * 90, dtype=pl.Object)}
    ),
    "table of pyarrow": pa.table({"a": X[:, 0], "t": [datetime.date(2020, 1, 1)] * 90}),
}


@pytest.mark.parametrize("form", TIMES)
def test_dates_and_durations_are_refused_with_the_cure(make_estimator, form):
    with pytest.raises(
        TypeError, match=r"X.* has .*encode them first, dates and durations as days"
    ):
        make_estimator().fit(TIMES[form], Y)


@pytest.mark.parametrize("labels", [DAYS[:3, 0], DAYS[:3, 0] - DAYS[0, 0]])
def test_a_label_that_is_not_a_time_is_missing(make_estimator, labels):
    y = labels[Y]
    y[3] = "NaT"
    for given in (y, pd.Series(y)):
        with pytest.raises(ValueError, match=r"y contains NaN.* in 1 of 90 rows"):
            make_estimator().fit(X, given)


# Several inputs in a tuple


class OneArgument(TwoInputs):
    """Takes both inputs in one argument, as skorch passes a tuple."""

    def forward(self, inputs):
        assert isinstance(inputs, list)
        return super().forward(*inputs)


def as_tuple(X):
    return tuple(as_dict(X).values())


def made_with(make_estimator, module):
    estimator = make_estimator()
    names = [n for n in estimator.get_params() if n.split("__")[-1] == "estimator"]
    nets = {n: own_net(module, max_epochs=2) for n in names if n != "scorer__estimator__estimator"}
    return estimator.set_params(**nets)


def results_of(estimator, rows):
    torch.manual_seed(0)  # FilteredEstimator does not seed the net
    fitted = estimator.fit(rows, Y)
    scores = getattr(fitted, "selector_", fitted).scores_
    again = getattr(fitted, "predict", getattr(fitted, "score_samples", None))
    return scores, None if again is None else again(rows)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_inputs_in_a_tuple_give_the_results_of_a_dict(make_estimator, kind):
    inputs = tuple(kind(value) for value in as_tuple(X))
    got = results_of(made_with(make_estimator, OneArgument), inputs)
    want = results_of(made_with(make_estimator, TwoInputs), as_dict(X))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_list_of_inputs_of_different_shapes_is_read_as_inputs():
    got = scorer(estimator=own_net(OneArgument)).fit(list(as_tuple(X)), Y).scores_
    np.testing.assert_array_equal(
        got, scorer(estimator=own_net(TwoInputs)).fit(as_dict(X), Y).scores_
    )


def test_reference_rows_may_be_inputs_in_a_tuple():
    net, inputs = own_net(OneArgument), as_tuple(X)
    val, y_val = as_tuple(X[:20]), Y[:20]
    plain = scorer(estimator=net).fit(inputs, Y, X_val=val, y_val=y_val).scores_
    wrapped = scorer(estimator=net).fit(inputs, Y, X_val=(val,), y_val=(y_val,)).scores_
    np.testing.assert_array_equal(plain, wrapped)


def test_the_selector_returns_the_kept_rows_of_each_input():
    made = selector(Budget(0.1), scorer=scorer(estimator=own_net(OneArgument, max_epochs=2)))
    first, rest = made.fit_resample(as_tuple(X), Y)[0]
    np.testing.assert_array_equal(first, as_tuple(X)[0][made.sample_indices_])
    np.testing.assert_array_equal(rest, as_tuple(X)[1][made.sample_indices_])


def test_a_tuple_for_a_forward_with_two_arguments_says_to_give_a_dict():
    with pytest.raises(TypeError, match=r"tuple of 2 inputs.*one argument.*Give a dict"):
        scorer(estimator=dict_net()).fit(as_tuple(X), Y)


def test_inputs_of_unequal_length_are_refused():
    first, rest = as_tuple(X)
    with pytest.raises(ValueError, match="tuple whose entries differ in their rows"):
        scorer(estimator=own_net(OneArgument)).fit((first[:80], rest), Y)


def test_a_list_of_equal_arrays_is_a_list_of_rows():
    with pytest.raises(ValueError, match=r"2 rows, but y has 90.*as a tuple or a dict"):
        scorer(estimator=own_net(OneArgument)).fit([X, X], Y)
