"""Bad input is refused in one clear sentence: what was given, what was expected, what to do."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from small import (
    as_dict,
    binary_net,
    blobs,
    dict_net,
    line,
    linear_regressor,
    logits_net,
    own_net,
    quick,
    quick_regressor,
    scorer,
    selector,
)
from torch import nn
from torch.utils.data import IterableDataset, TensorDataset

from skinfluence import (
    FilteredEstimator,
    InfluenceSampleSelector,
    InfluenceScorer,
    NoisyLabelDetector,
)
from skinfluence._data.labels import check_labels
from skinfluence._data.reference import check_groups, check_groups_present, folds, hold_out
from skinfluence.rules import Budget

X, Y = blobs()


def with_value(value, X=X):
    X = X.copy()
    X[3, 1] = value
    return X


def with_label(value):
    y = Y.astype(object)
    y[3] = value
    return y


ESTIMATORS = {
    "scorer": lambda: scorer(),
    "detector": lambda: NoisyLabelDetector(quick(), cv=2, checkpoints=2, random_state=0),
    "selector": lambda: selector(),
    "filtered": lambda: FilteredEstimator(LogisticRegression(), selector()),
}
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)

BAD_DATA = {
    "NaN": (with_value(np.nan), Y, "Input X contains NaN"),
    "infinity": (with_value(np.inf), Y, "Input X contains infinity"),
    "NaN in a tensor": (torch.as_tensor(with_value(np.nan)), Y, "X contains NaN"),
    "NaN in a dict": (as_dict(with_value(np.nan)), Y, r"X\['rest'\] contains NaN"),
    "beyond float32": (with_value(1e300), Y, "beyond the range of float32.*StandardScaler"),
    "one class": (X, np.zeros(90, int), r"one class only \(0\); at least two"),
    "fewer labels": (X, Y[:80], "inconsistent numbers of samples: 90 rows, but y has 80"),
    "more labels": (X[:80], Y, "inconsistent numbers of samples: 80 rows, but y has 90"),
    "no rows": (X[:0], Y[:0], "0 sample"),
    "no rows in a dict": (as_dict(X[:0]), Y[:0], "0 sample"),
    "empty dict": ({}, Y, "X is a dict without entries"),
    "unequal dict": (
        as_dict(X) | {"first": X[:80, 0]},
        Y,
        r"dict whose entries differ in their rows: \{'first': 80, 'rest': 90\}",
    ),
    "NaN label": (X, np.where(Y == 0, np.nan, Y), "y contains NaN or infinity in 30 of 90 rows"),
    "None label": (X, with_label(None), "y contains NaN or infinity in 1 of 90 rows"),
    "NA label": (
        X,
        pd.Series(["a", "b", pd.NA] * 30, dtype="string"),
        "y contains NaN or infinity in 30 of 90 rows",
    ),
    "mixed labels": (X, with_label("oak"), "y mixes text and numbers"),
    "no labels": (X, None, "requires y to be passed"),
    "one axis": (X[:, 0], Y, "Expected 2D array"),
    "one axis in a tensor": (torch.as_tensor(X[:, 0]), Y, r"Expected 2D array, got X of shape"),
    "no array": (None, Y, "Expected 2D array"),
}


@pytest.mark.parametrize("kind", BAD_DATA)
@every_estimator
def test_bad_data_is_refused(name, kind):
    rows, labels, message = BAD_DATA[kind]
    with pytest.raises(ValueError, match=message):
        ESTIMATORS[name]().fit(rows, labels)


@pytest.mark.parametrize("form", ["csr", "coo", "dok"])
@every_estimator
def test_sparse_rows_are_refused(name, form):
    with pytest.raises(TypeError, match=r"Sparse data was passed.*dense data is required"):
        ESTIMATORS[name]().fit(sp.csr_matrix(X).asformat(form), Y)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


@every_estimator
def test_a_dataset_without_order_is_refused(name):
    with pytest.raises(TypeError, match="Stream, which has no length and no order to index"):
        ESTIMATORS[name]().fit(Stream(), Y)


@pytest.mark.parametrize("name", ["scorer", "detector", "selector"])
def test_text_columns_are_refused(name):
    with pytest.raises(ValueError, match=r"(?i)numeric|could not convert string"):
        ESTIMATORS[name]().fit(np.array([["a", "b"]] * 90), Y)


@pytest.mark.parametrize("name", ["scorer", "detector"])
def test_a_dataset_of_triples_without_y_is_refused(name):
    three = TensorDataset(torch.zeros(9, 4), torch.zeros(9), torch.zeros(9))
    with pytest.raises(ValueError, match=r"items are no \(x, y\) pairs"):
        ESTIMATORS[name]().fit(three)


BAD_REFERENCE = {
    "y_val alone": (None, Y, "y_val was provided, but X_val was not: give both"),
    "X_val alone": (X, None, "X_val was provided, but y_val was not: give both"),
    "unseen label": (X, Y + 1, "y_val contains labels that the net was not fitted on: 3; it knows"),
    "text for numbers": (X, np.array(list("abc"))[Y], "y_val contains labels.*a, b, c"),
    "mismatch": (X, Y[:5], "inconsistent numbers of samples: 90 rows, but y_val has 5"),
    "fewer rows than classes": (X[:2], Y[:2], "2 reference rows for 3 classes"),
    "no rows": (X[:0], Y[:0], "X_val: .*0 sample"),
    "NaN": (with_value(np.nan), Y, "X_val: .*contains NaN"),
    "NaN label": (X, with_label(None), "y_val contains NaN or infinity in 1 of 90 rows"),
    "other width": (X[:, :3], Y, "X_val: .*3 features.*expecting 4 features"),
}


@pytest.mark.parametrize("kind", BAD_REFERENCE)
@every_estimator
def test_bad_reference_rows_are_refused(name, kind):
    X_val, y_val, message = BAD_REFERENCE[kind]
    with pytest.raises(ValueError, match=message):
        ESTIMATORS[name]().fit(X, Y, X_val=X_val, y_val=y_val)


def test_too_small_a_validation_fraction_is_refused():
    y = np.arange(90) % 10
    y[:20] = np.arange(20) + 100  # 20 classes of one row, which cannot be split off
    with pytest.raises(ValueError, match=r"10 reference rows for 30 classes.*X_val"):
        scorer(validation_fraction=0.1).fit(X, y)


def test_rows_that_cannot_be_split_are_refused():
    with pytest.raises(ValueError, match=r"no reference rows can be split off 3 rows.*X_val"):
        scorer().fit(X[:3], Y[:3])


@pytest.mark.parametrize("contamination", [0, 0.0, 0.51, -0.1, 1, "all", None, float("nan")])
def test_contamination_outside_its_interval_is_refused(contamination):
    with pytest.raises(ValueError, match=r"contamination=.*share of the rows in \(0, 0.5\]"):
        NoisyLabelDetector(quick(), contamination=contamination).fit(X, Y)


@pytest.mark.parametrize("fraction", [0, 1, 1.5, -0.1, "some", None])
def test_validation_fraction_outside_its_interval_is_refused(fraction):
    with pytest.raises(ValueError, match=r"validation_fraction=.*number between 0 and 1"):
        scorer(validation_fraction=fraction).fit(X, Y)


@pytest.mark.parametrize("cv", [1, 0, 2.0, None, "3"])
@pytest.mark.parametrize(
    "make", [lambda cv: NoisyLabelDetector(quick(), cv=cv), lambda cv: selector(cv=cv)]
)
def test_fewer_than_two_folds_are_refused(make, cv):
    with pytest.raises(ValueError, match=r"cv=.*expected an integer, 2 or more"):
        make(cv).fit(X, Y)


@pytest.mark.parametrize(
    "make", [lambda: NoisyLabelDetector(quick(), cv=7), lambda: selector(cv=7)]
)
def test_more_folds_than_rows_are_refused(make):
    with pytest.raises(ValueError, match=r"cv=7 needs at least 7 rows.*n_samples=6"):
        make().fit(X[:6], Y[:6])


@pytest.mark.parametrize("checkpoints", [0, -1, 1.5, None])
def test_checkpoints_below_one_are_refused(checkpoints):
    with pytest.raises(ValueError, match=r"checkpoints=.*expected an integer, 1 or more"):
        NoisyLabelDetector(quick(), checkpoints=checkpoints).fit(X, Y)


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"method='magic': expected one of .*'auto'.*'loss'"):
        NoisyLabelDetector(quick(), method="magic").fit(X, Y)


def test_an_unknown_normalize_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="normalize='l2': expected None, 'rows', 'reference'"):
        scorer(normalize="l2").fit(X, Y)


def test_an_unknown_action_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="action='delete': expected 'drop' or 'relabel'"):
        selector(Budget(0.1, action="delete")).fit(X, Y)


@pytest.mark.parametrize("target", ["utility", 3, nn.MSELoss])
def test_a_target_that_cannot_be_called_is_refused(target):
    with pytest.raises(TypeError, match=r"target=.*expected an instance from skinfluence.targets"):
        scorer(target=target).fit(X, Y)


@pytest.mark.parametrize("parameters", ["hed.*", ["hed.*", "nothing"]])
@pytest.mark.parametrize(
    "make",
    [lambda p: scorer(parameters=p), lambda p: NoisyLabelDetector(quick(), parameters=p, cv=2)],
)
def test_a_glob_that_matches_nothing_is_refused_with_the_names(make, parameters):
    with pytest.raises(ValueError, match=r"matches no trainable parameter.*has: .*head.weight"):
        make(parameters).fit(X, Y)


NO_NETS = {
    "scikit-learn estimator": LogisticRegression(),
    "module class": nn.Linear,
    "module": nn.Linear(4, 3),
    "net class": NeuralNetClassifier,
    "frozen scikit-learn estimator": FrozenEstimator(Ridge()),
    "string": "mlp",
}


@pytest.mark.parametrize("kind", NO_NETS)
@pytest.mark.parametrize("cls", [InfluenceScorer, NoisyLabelDetector])
def test_an_estimator_that_is_no_skorch_net_is_refused(cls, kind):
    with pytest.raises(TypeError, match=r"estimator=.*expected a skorch net"):
        cls(NO_NETS[kind]).fit(X, Y)


@pytest.mark.parametrize("kind", ["module class", "module"])
@pytest.mark.parametrize("cls", [InfluenceScorer, NoisyLabelDetector])
def test_an_unwrapped_module_is_refused_with_the_way_to_wrap_it(cls, kind):
    with pytest.raises(TypeError, match=r"Wrap the module: skorch.NeuralNetClassifier\(Module"):
        cls(NO_NETS[kind]).fit(X, Y)


@pytest.mark.parametrize("wrong", [quick(), LogisticRegression(), "scorer", InfluenceScorer])
def test_a_scorer_that_is_none_is_refused(wrong):
    with pytest.raises(TypeError, match=r"(?s)scorer=.*expected an InfluenceScorer"):
        InfluenceSampleSelector(wrong).fit(X, Y)


@pytest.mark.parametrize("wrong", [quick(), scorer()])
def test_a_selector_that_is_none_is_refused(wrong):
    with pytest.raises(TypeError, match=r"(?s)selector=.*expected an InfluenceSampleSelector"):
        FilteredEstimator(LogisticRegression(), wrong).fit(X, Y)


def test_a_filtered_estimator_that_is_none_is_refused():
    with pytest.raises(TypeError, match="estimator='forest': expected a classifier or a regressor"):
        FilteredEstimator("forest").fit(X, Y)


@pytest.mark.parametrize(
    ("estimator", "method"),
    [
        (scorer(), "score_samples"),
        (scorer(), "transform"),
        (NoisyLabelDetector(), "score_samples"),
        (NoisyLabelDetector(), "score_labels"),
        (NoisyLabelDetector(), "decision_function"),
        (FilteredEstimator(), "predict"),
    ],
)
def test_before_fit_methods_say_so(estimator, method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(estimator, method)(X)


def test_before_fit_feature_names_say_so():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        scorer().get_feature_names_out()


def test_before_fit_the_support_says_so():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        selector().get_support()


def test_before_fit_the_table_of_issues_says_so():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        _ = NoisyLabelDetector().issues_


FITTED = ["scorer", "detector"]


@pytest.mark.parametrize("rows", [X[:, :3], torch.as_tensor(X[:, :3])])
@pytest.mark.parametrize("name", FITTED)
def test_another_width_is_refused_when_scoring(name, rows):
    fitted = ESTIMATORS[name]().fit(X, Y)
    with pytest.raises(ValueError, match=r"3 features, but .* is expecting 4 features"):
        fitted.score_samples(rows)


@pytest.mark.parametrize("columns", [list("bacd"), list("abce")])
@pytest.mark.parametrize("name", FITTED)
def test_other_column_names_are_refused_when_scoring(name, columns):
    fitted = ESTIMATORS[name]().fit(pd.DataFrame(X, columns=list("abcd")), Y)
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.score_samples(pd.DataFrame(X, columns=columns), Y)


@pytest.mark.parametrize("name", FITTED)
def test_an_unseen_label_is_refused_when_scoring(name):
    fitted = ESTIMATORS[name]().fit(X, Y)
    with pytest.raises(ValueError, match="labels that the net was not fitted on: 7; it knows 0, 1"):
        fitted.score_samples(X[:2], [0, 7])


@pytest.mark.parametrize("name", FITTED)
def test_nan_is_refused_when_scoring(name):
    fitted = ESTIMATORS[name]().fit(X, Y)
    with pytest.raises(ValueError, match="contains NaN"):
        fitted.score_samples(with_value(np.nan))


def test_unequal_dict_entries_are_refused_when_scoring():
    fitted = scorer(estimator=dict_net()).fit(as_dict(X), Y)
    with pytest.raises(ValueError, match="dict whose entries differ"):
        fitted.transform(as_dict(X) | {"first": np.zeros(3)})


@pytest.mark.parametrize("rows", [X.astype(int), torch.as_tensor(X.astype(int))])
@pytest.mark.parametrize("net", [logits_net(), linear_regressor()])
def test_whole_numbers_for_a_module_of_floats_are_refused_with_the_cure(net, rows):
    with pytest.raises(ValueError, match=r"dtype int64.*wants floats.*astype\('float32'\)"):
        scorer(estimator=net).fit(rows, Y)


def test_three_classes_are_refused_by_a_binary_net():
    with pytest.raises(ValueError, match="NeuralNetBinaryClassifier needs two classes, y has 3"):
        scorer(estimator=binary_net()).fit(X, Y)


def test_text_is_refused_by_a_regressor():
    with pytest.raises(ValueError, match="regressor needs numbers"):
        scorer(estimator=quick_regressor()).fit(X, np.array(list("abc"))[Y])


def test_continuous_labels_are_refused_by_a_classifier():
    with pytest.raises(ValueError, match="Unknown label type"):
        scorer().fit(*line())


def test_several_columns_of_labels_are_refused_by_a_classifier():
    with pytest.raises(ValueError, match="1d array"):
        scorer().fit(X, np.stack([Y, Y], 1))


@pytest.mark.parametrize(
    "rows", [X.reshape(90, 2, 2), {"a": X}, TensorDataset(torch.as_tensor(X), torch.as_tensor(Y))]
)
def test_what_is_no_table_is_refused_by_the_ready_made_nets(rows):
    with pytest.raises(ValueError, match=r"ready-made nets take a table.*a net of your own"):
        scorer().fit(rows, Y)


def test_a_net_that_diverged_is_named():
    with pytest.raises(ValueError, match="training diverged"):
        scorer(estimator=linear_regressor(lr=1e6, max_epochs=50)).fit(*line())


# Groups


TEN = ["b", "a"] * 5


@pytest.mark.parametrize(
    ("groups", "kind"),
    [
        (TEN, "U"),
        (tuple(TEN), "U"),
        (np.array(TEN), "U"),
        (np.array(TEN, dtype=object), "U"),
        (pd.Series(TEN), "U"),
        (pd.Series(TEN, dtype="string"), "U"),
        (pd.Series(TEN, dtype="category"), "U"),
        (pd.DataFrame({"g": TEN}), "U"),
        (pl.Series("g", TEN), "U"),
        (pl.DataFrame({"g": TEN}), "U"),
        ([1, 0] * 5, "i"),
        (torch.tensor([1, 0] * 5), "i"),
        (pd.Series([1, 0] * 5, dtype="Int64"), "i"),
        ([True, False] * 5, "b"),
        (pd.Series([True, False] * 5, dtype="boolean"), "b"),
        ([1.5, 0.5] * 5, "f"),
        (pd.cut([2.0, 1.0] * 5, 2), "U"),
        (np.array([1, 0] * 5).reshape(-1, 1), "i"),
    ],
    ids=lambda v: f"{type(v).__name__}-{getattr(v, 'dtype', '')}" if not isinstance(v, str) else v,
)
def test_groups_of_any_kind_are_one_label_a_row(groups, kind):
    found, _ = check_groups(groups, None, 10, None)
    assert (found.shape, found.dtype.kind) == ((10,), kind)
    names, position = np.unique(found, return_inverse=True)
    assert len(names) == 2
    assert position.tolist() == [1, 0] * 5


def test_several_columns_of_groups_are_crossed():
    sex, region = np.array(["f", "m"] * 4), np.repeat([0, 1], 4)
    found, _ = check_groups(pd.DataFrame({"sex": sex, "region": region}), None, 8, None)
    assert found.tolist() == ["f & 0", "m & 0"] * 2 + ["f & 1", "m & 1"] * 2


def test_crossed_groups_are_told_apart_whatever_their_names():
    columns = np.array([["a & b", "c"], ["a", "b & c"], ["a && b", "c"]])
    found, _ = check_groups(columns, None, 3, None)
    assert len(set(found)) == 3


@pytest.mark.parametrize(
    "groups",
    [
        ["a", None] * 5,
        ["a", float("nan")] * 5,
        ("a", float("nan")) * 5,
        np.array(["a", None] * 5, dtype=object),
        [1.0, float("nan")] * 5,
        np.array([1.0, np.inf] * 5),
        pd.Series(["a", None] * 5, dtype="string"),
        pd.Series(["a", None] * 5, dtype="category"),
        pd.Series([1, None] * 5, dtype="Int64"),
        pl.Series("g", ["a", None] * 5),
        pd.DataFrame({"a": ["a", None] * 5, "b": range(10)}),
        [["a", "b"], ["a", None]] * 5,
    ],
    ids=lambda v: f"{type(v).__name__}-{getattr(v, 'dtype', '')}",
)
def test_missing_groups_are_refused(groups):
    words = "sensitive_features has 5 missing entries; give those rows a group of their own"
    with pytest.raises(ValueError, match=words):
        check_groups(groups, None, 10, None)


@pytest.mark.parametrize(
    "groups",
    ["abcdefghij", ["a"] * 9, np.zeros((2, 10)), np.zeros((10, 2, 2)), 3, {"a": 1}],
    ids=["text", "too few", "transposed", "three axes", "number", "dict"],
)
def test_groups_of_another_shape_are_refused(groups):
    words = r"sensitive_features has shape .*; expected one entry .* for each of 10 rows"
    with pytest.raises(ValueError, match=words):
        check_groups(groups, None, 10, None)


def test_groups_of_text_and_numbers_are_refused():
    with pytest.raises(ValueError, match="sensitive_features mixes text and numbers"):
        check_groups(["a", 1] * 5, None, 10, None)


REFERENCE = (np.zeros((4, 2)), np.zeros(4))


@pytest.mark.parametrize("form", [lambda g: g, lambda g: (g,)], ids=["plain", "1-tuple"])
def test_groups_of_the_reference_rows_are_checked_against_those(form):
    rows, reference = check_groups(TEN, form(["a", "b"] * 2), 10, REFERENCE)
    assert (rows.tolist(), reference.tolist()) == (TEN, ["a", "b"] * 2)


def test_groups_of_the_reference_rows_alone_are_enough():
    rows, reference = check_groups(None, ["a", "b"] * 2, 10, REFERENCE)
    assert rows is None
    assert reference.tolist() == ["a", "b"] * 2


def test_too_few_groups_of_the_reference_rows_are_refused_by_their_name():
    with pytest.raises(ValueError, match=r"sensitive_features_val has shape \(3,\).* 4 rows"):
        check_groups(None, ["a", "b", "a"], 10, REFERENCE)


def test_groups_of_reference_rows_that_were_not_given_are_refused():
    with pytest.raises(ValueError, match="sensitive_features_val was provided, but X_val was not"):
        check_groups(TEN, ["a"] * 4, 10, None)


def test_groups_of_the_wrong_rows_are_refused():
    with pytest.raises(ValueError, match="give their groups as sensitive_features_val"):
        check_groups(TEN, None, 10, REFERENCE)


def test_groups_not_given_are_none():
    assert check_groups(None, None, 10, REFERENCE) == (None, None)


@pytest.mark.parametrize(
    ("rows", "name"), [(["a", "b", "b"], "'b'"), ([1, 2, 2], "2")], ids=["text", "numbers"]
)
def test_a_group_without_a_reference_row_is_named(rows, name):
    rows = np.array(rows)
    with pytest.raises(ValueError, match=f"group {name} of sensitive_features has 2 rows, but no"):
        check_groups_present(rows[:1], rows)


def test_a_group_of_the_reference_rows_alone_is_no_error():
    check_groups_present(np.array(["a", "b"]), np.array(["a", "a"]))


STRATA = [(True, True), (True, False), (False, True), (False, False)]
each_strata = pytest.mark.parametrize(
    ("stratify", "grouped"), STRATA, ids=["classes in groups", "classes", "groups", "neither"]
)


def strata(n=120, seed=0):
    rng = np.random.RandomState(seed)
    return rng.choice(3, n, p=[0.6, 0.3, 0.1]), rng.choice(["a", "b"], n, p=[0.8, 0.2])


@each_strata
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_the_split_takes_its_share_of_each_stratum(stratify, grouped, fraction):
    y, groups = strata()
    rng, options = np.random.RandomState(1), {"stratify": stratify}
    held = hold_out(y, fraction, rng, groups=groups if grouped else None, **options)
    cells = list(zip(y if stratify else y * 0, groups if grouped else groups[:1].repeat(120)))  # noqa: B905
    for cell in set(cells):
        size = sum(c == cell for c in cells)
        share = sum(cells[i] == cell for i in held)
        assert share == min(max(1, round(fraction * size)), size - 1)


def test_the_split_is_sorted_and_takes_no_row_twice():
    y, groups = strata()
    held = hold_out(y, 0.3, np.random.RandomState(0), stratify=True, groups=groups)
    assert (np.diff(held) > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_split_keeps_every_group_on_both_sides(seed):
    rng = np.random.RandomState(seed)
    y, groups = rng.randint(0, 2, 60), rng.choice(list("abcde"), 60)
    held = hold_out(y, 0.1, rng, stratify=True, groups=groups)
    rest = np.setdiff1d(np.arange(60), held)
    assert set(groups[held]) == set(groups[rest]) == set("abcde")


def test_a_row_that_is_alone_in_its_class_and_group_is_not_held():
    y, groups = np.array([0, 0, 0, 1, 1, 1]), np.array(["a", "a", "b", "a", "a", "a"])
    held = hold_out(y, 0.5, np.random.RandomState(0), stratify=True, groups=groups)
    assert 2 not in held


@each_strata
@pytest.mark.parametrize("number", [2, 5])
def test_folds_share_each_stratum_out_evenly(stratify, grouped, number):
    y, groups = strata()
    rng, options = np.random.RandomState(1), {"stratify": stratify}
    fold = folds(y, number, rng, groups=groups if grouped else None, **options)
    cells = np.array([f"{c if stratify else ''}{g if grouped else ''}" for c, g in zip(y, groups)])  # noqa: B905
    for cell in np.unique(cells):
        counts = np.bincount(fold[cells == cell], minlength=number)
        assert counts.max() - counts.min() <= 1


def test_without_groups_folds_are_as_they_were():
    y, _ = strata()
    fold = folds(y, 3, np.random.RandomState(0), stratify=True)
    again = folds(y, 3, np.random.RandomState(0), stratify=True, groups=np.zeros(120))
    np.testing.assert_array_equal(fold, again)


# What to do about it


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


def test_a_frozen_net_that_does_not_know_its_classes_is_told_how():
    net = own_net(lambda: nn.Linear(4, 3)).initialize()
    with pytest.raises(ValueError, match=r"net\.classes = \[0, 1\]"):
        scorer(estimator=FrozenEstimator(net)).fit(X, Y)
    net.classes = [0, 1, 2]
    assert scorer(estimator=FrozenEstimator(net)).fit(X, Y).scores_.shape == (90,)


def test_other_names_for_the_classes_of_a_frozen_net():
    names = np.array(["ash", "beech", "cedar"])[Y]
    trained = scorer().fit(X, names)
    frozen = scorer(estimator=FrozenEstimator(trained.estimator_))
    with pytest.raises(ValueError, match=r"net\.classes = \['ash', 'beech', 'cedar'\]"):
        frozen.fit(X, names)
    trained.estimator_.classes = ["ash", "beech", "cedar"]
    np.testing.assert_allclose(
        frozen.fit(X, names).transform(X),
        scorer(estimator=FrozenEstimator(trained.estimator_)).fit(X, names).transform(X),
    )


@pytest.mark.parametrize("names", [[1, 2, 3], [3, 5, 7], ["c", "a", "b"], [2.0, 1.0, 3.0]], ids=str)
def test_names_of_a_frozen_nets_classes_are_in_the_order_of_its_outputs(names):
    trained = scorer().fit(X, Y)  # on 0, 1, 2
    want = trained.score_samples(X, Y)
    trained.estimator_.classes = names
    y = np.array(names)[Y]
    frozen = FrozenEstimator(trained.estimator_)
    known = {"X_val": X[trained.reference_indices_], "y_val": y[trained.reference_indices_]}
    renamed = scorer(estimator=frozen).fit(X, y, **known)
    np.testing.assert_allclose(renamed.scores_, want, rtol=1e-5, atol=1e-6)
    assert renamed.classes_.tolist() == sorted(names)
    by_label = renamed.transform(X)[np.arange(len(y)), np.searchsorted(renamed.classes_, y)]
    np.testing.assert_allclose(by_label, want, rtol=1e-4, atol=1e-5)


def test_numbers_that_a_frozen_net_was_trained_on_stay_its_outputs():
    net = own_net(lambda: nn.Linear(4, 8)).fit(X.astype(np.float32), 2 * Y + 3)
    for classes in (None, [3, 5, 7]):
        net.classes = classes
        labels = scorer(estimator=FrozenEstimator(net)).fit(X, 2 * Y + 3)._labels
        assert labels.codes_.tolist() == [3, 5, 7]


def test_names_for_the_two_classes_of_a_binary_net():
    names = np.array(["yes", "no"])
    net = NeuralNetBinaryClassifier(nn.Linear, module__in_features=4, module__out_features=1)
    net.set_params(train_split=None, verbose=0).fit(X.astype(np.float32), np.float32(Y == 1))
    net.classes = ["yes", "no"]
    made = scorer(estimator=FrozenEstimator(net)).fit(X, names[(Y == 1) * 1])
    assert made.classes_.tolist() == ["no", "yes"]
    assert made._labels.codes_.tolist() == [1, 0]


def test_reversed_rows_and_bfloat16_labels_are_taken():
    backwards = X.astype(np.float32)[::-1]
    made = scorer().fit(backwards, Y[::-1])
    assert made.score_samples(backwards, Y[::-1]).shape == (90,)
    half = torch.tensor(Y, dtype=torch.bfloat16)
    assert check_labels(half, 90).tolist() == Y.tolist()


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 3), (4, 1)])
def test_a_module_that_does_not_fit_the_rows(inputs, outputs):
    net = own_net(nn.Linear, module__in_features=inputs, module__out_features=outputs)
    with pytest.raises(ValueError, match=r"module does not fit these rows.*X has shape \(72, 4\)"):
        scorer(estimator=net).fit(X.astype(np.float32), Y)


def test_a_pipeline_or_a_model_in_place_of_a_net():
    with pytest.raises(TypeError, match=r"got Pipeline\. Put the steps in front"):
        scorer(estimator=make_pipeline(StandardScaler(), quick())).fit(X, Y)
    with pytest.raises(TypeError, match=r"got Ridge.*FilteredEstimator"):
        scorer(estimator=Ridge()).fit(X, Y)
