"""Reference rows and groups are checked if given, and drawn from the rows if not."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from small import blobs, quick, scorer, selector

from skinfluence import NoisyLabelDetector
from skinfluence._data.reference import check_groups, check_groups_present, folds, hold_out

X, Y = blobs()


BAD_REFERENCE = {
    "y_val alone": (None, Y, "y_val was provided, but X_val was not: give both"),
    "X_val alone": (X, None, "X_val was provided, but y_val was not: give both"),
    "unseen label": (X, Y + 1, "y_val contains labels that the net was not fitted on: 3; it knows"),
    "text for numbers": (X, np.array(list("abc"))[Y], "y_val contains labels.*a, b, c"),
    "mismatch": (X, Y[:5], "inconsistent numbers of samples: 90 rows, but y_val has 5"),
    "fewer rows than classes": (X[:2], Y[:2], "2 reference rows for 3 classes"),
    "no rows": (X[:0], Y[:0], "X_val: .*0 sample"),
    "NaN": (np.where(X[3, 1] == X, np.nan, X), Y, "X_val: .*contains NaN"),
    "NaN label": (X, [None, *Y[1:]], "y_val contains NaN or infinity in 1 of 90 rows"),
    "other width": (X[:, :3], Y, "X_val: .*3 features.*expecting 4 features"),
}


@pytest.mark.parametrize("kind", BAD_REFERENCE)
def test_bad_reference_rows_are_refused(make_estimator, kind):
    X_val, y_val, message = BAD_REFERENCE[kind]
    with pytest.raises(ValueError, match=message):
        make_estimator().fit(X, Y, X_val=X_val, y_val=y_val)


def test_too_small_a_validation_fraction_is_refused():
    y = np.arange(90) % 10
    y[:20] = np.arange(20) + 100  # 20 classes of one row, which cannot be split off
    with pytest.raises(ValueError, match=r"10 reference rows for 30 classes.*X_val"):
        scorer(validation_fraction=0.1).fit(X, y)


def test_rows_that_cannot_be_split_are_refused():
    with pytest.raises(ValueError, match=r"no reference rows can be split off 3 rows.*X_val"):
        scorer().fit(X[:3], Y[:3])


@pytest.mark.parametrize("fraction", [0, 1, 1.5, -0.1, "some", None])
def test_validation_fraction_outside_its_interval_is_refused(fraction):
    with pytest.raises(ValueError, match=r"validation_fraction=.*number between 0 and 1"):
        scorer(validation_fraction=fraction).fit(X, Y)


@pytest.mark.parametrize(
    "make", [lambda: NoisyLabelDetector(quick(), cv=7), lambda: selector(cv=7)]
)
def test_more_folds_than_rows_are_refused(make):
    with pytest.raises(ValueError, match=r"cv=7 needs at least 7 rows.*n_samples=6"):
        make().fit(X[:6], Y[:6])


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
def test_groups_of_any_kind_become_one_label_per_row(groups, kind):
    found, _ = check_groups(groups, None, 10, None)
    assert (found.shape, found.dtype.kind) == ((10,), kind)
    names, position = np.unique(found, return_inverse=True)
    assert len(names) == 2
    assert position.tolist() == [1, 0] * 5


def test_several_columns_of_groups_are_crossed():
    sex, region = np.array(["f", "m"] * 4), np.repeat([0, 1], 4)
    found, _ = check_groups(pd.DataFrame({"sex": sex, "region": region}), None, 8, None)
    assert found.tolist() == ["f & 0", "m & 0"] * 2 + ["f & 1", "m & 1"] * 2


def test_crossed_groups_stay_distinct_whatever_their_names():
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
    words = "sensitive_features has 5 missing entries; put those rows into a separate group"
    with pytest.raises(ValueError, match=words):
        check_groups(groups, None, 10, None)


@pytest.mark.parametrize(
    "groups",
    [["a"] * 9, np.zeros((2, 10)), np.zeros((10, 2, 2)), 3],
    ids=["too few", "transposed", "three axes", "number"],
)
def test_groups_of_another_shape_are_refused(groups):
    words = r"sensitive_features has shape .*; expected one entry .* for each of 10 rows"
    with pytest.raises(ValueError, match=words):
        check_groups(groups, None, 10, None)


@pytest.mark.parametrize(
    "groups", ["abcdefghij", {"a": 1}, {"a", "b"}], ids=["text", "dict", "set"]
)
def test_groups_without_an_order_are_refused(groups):
    with pytest.raises(TypeError, match=r"sensitive_features is of type .*; expected an array"):
        check_groups(groups, None, 10, None)


def test_groups_in_a_tensor_that_requires_a_gradient_are_read():
    groups = torch.tensor([0.0, 1.0, 1.0], requires_grad=True)
    assert check_groups(groups, None, 3, None)[0].tolist() == [0, 1, 1]


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


def test_too_few_groups_of_the_reference_rows_are_refused():
    with pytest.raises(ValueError, match=r"sensitive_features_val has shape \(3,\).* 4 rows"):
        check_groups(None, ["a", "b", "a"], 10, REFERENCE)


def test_groups_of_reference_rows_that_were_not_given_are_refused():
    with pytest.raises(ValueError, match="sensitive_features_val was provided, but X_val was not"):
        check_groups(TEN, ["a"] * 4, 10, None)


def test_groups_of_the_wrong_rows_are_refused():
    with pytest.raises(ValueError, match="give the groups of X_val as sensitive_features_val"):
        check_groups(TEN, None, 10, REFERENCE)


def test_groups_that_are_not_given_are_none():
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


# Splits and folds


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


def test_a_row_that_is_alone_in_its_class_and_group_is_not_held_out():
    y, groups = np.array([0, 0, 0, 1, 1, 1]), np.array(["a", "a", "b", "a", "a", "a"])
    held = hold_out(y, 0.5, np.random.RandomState(0), stratify=True, groups=groups)
    assert 2 not in held


@each_strata
@pytest.mark.parametrize("number", [2, 5])
def test_folds_divide_each_stratum_evenly(stratify, grouped, number):
    y, groups = strata()
    rng, options = np.random.RandomState(1), {"stratify": stratify}
    fold = folds(y, number, rng, groups=groups if grouped else None, **options)
    cells = np.array([f"{c if stratify else ''}{g if grouped else ''}" for c, g in zip(y, groups)])  # noqa: B905
    for cell in np.unique(cells):
        counts = np.bincount(fold[cells == cell], minlength=number)
        assert counts.max() - counts.min() <= 1


def test_a_single_group_does_not_change_the_folds():
    y, _ = strata()
    fold = folds(y, 3, np.random.RandomState(0), stratify=True)
    again = folds(y, 3, np.random.RandomState(0), stratify=True, groups=np.zeros(120))
    np.testing.assert_array_equal(fold, again)
