"""Parameters are checked, and seeds are passed to estimators that have none."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from small import blobs, quick, scorer, selector
from torch import nn

from skinfluence import (
    FilteredEstimator,
    InfluenceSampleSelector,
    InfluenceScorer,
    NoisyLabelDetector,
)
from skinfluence._data.params import check_count, check_int, pass_seed
from skinfluence.retraining import draw_subsets
from skinfluence.rules import AdaptiveGreedy, Budget

X, Y = blobs()

GOOD = [1, 5, np.int64(3), np.uint8(2), np.int32(5)]


@pytest.mark.parametrize("value", GOOD, ids=repr)
def test_an_integer_in_range_is_returned_as_int(value):
    found = check_int("k", value, 1, 5)
    assert type(found) is int
    assert found == value


@pytest.mark.parametrize(
    "value", [True, False, np.True_, 2.0, np.float64(2), "2", None, 0, 6, -1, [2], np.array([2])]
)
def test_anything_else_is_refused_with_what_was_given(value):
    with pytest.raises(ValueError, match=r"^k=") as refused:
        check_int("k", value, 1, 5)
    assert str(refused.value) == f"k={value!r}: expected an integer from 1 to 5."


def test_without_an_upper_end_any_larger_integer_is_in_range():
    assert check_int("k", 10**12, 2) == 10**12
    with pytest.raises(ValueError, match=r"^k=1: expected an integer, 2 or more\.$"):
        check_int("k", 1, 2)


def test_the_message_names_the_class_of_the_owner():
    with pytest.raises(ValueError, match=r"^Budget\(count=True\): expected an integer from 0 to 3"):
        check_int("count", True, 0, 3, owner=Budget())
    with pytest.raises(ValueError, match=r"^AdaptiveGreedy\(step=0\): expected an integer, 1 or"):
        check_count(AdaptiveGreedy(step=0), "step")


def test_a_hint_ends_the_message():
    with pytest.raises(ValueError, match=r"from 0 to 3, fewer than the 4 rows\.$"):
        Budget(count=4).decide(np.zeros(4), np.zeros(4))


def test_a_bool_is_not_a_number_of_subsets():
    with pytest.raises(ValueError, match="n_subsets=True: expected an integer"):
        draw_subsets(9, True)


def test_a_seed_goes_to_estimators_that_have_none():
    seedless, seeded = LogisticRegression(), LogisticRegression(random_state=7)
    pass_seed(0, seedless, seeded)
    assert isinstance(seedless.random_state, int)
    assert seeded.random_state == 7


def test_without_a_seed_nothing_is_passed():
    seedless = LogisticRegression()
    pass_seed(None, seedless)
    assert seedless.random_state is None


# Parameters of the estimators


@pytest.mark.parametrize("contamination", [0, 0.0, 0.51, -0.1, 1, "all", None, float("nan")])
def test_contamination_outside_its_interval_is_refused(contamination):
    with pytest.raises(ValueError, match=r"contamination=.*share of the rows in \(0, 0.5\]"):
        NoisyLabelDetector(quick(), contamination=contamination).fit(X, Y)


@pytest.mark.parametrize("cv", [1, 0, 2.0, None, "3"])
@pytest.mark.parametrize(
    "make", [lambda cv: NoisyLabelDetector(quick(), cv=cv), lambda cv: selector(cv=cv)]
)
def test_fewer_than_two_folds_are_refused(make, cv):
    with pytest.raises(ValueError, match=r"cv=.*expected an integer, 2 or more"):
        make(cv).fit(X, Y)


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


@pytest.mark.parametrize("wrong", [quick(), LogisticRegression(), "scorer", InfluenceScorer])
def test_objects_that_are_not_scorers_are_refused(wrong):
    with pytest.raises(TypeError, match=r"(?s)scorer=.*expected an InfluenceScorer"):
        InfluenceSampleSelector(wrong).fit(X, Y)


@pytest.mark.parametrize("wrong", [quick(), LogisticRegression()])
def test_objects_that_are_not_selectors_are_refused(wrong):
    with pytest.raises(TypeError, match=r"(?s)selector=.*expected an InfluenceSampleSelector"):
        FilteredEstimator(LogisticRegression(), wrong).fit(X, Y)


def test_a_filtered_object_that_is_not_an_estimator_is_refused():
    with pytest.raises(TypeError, match="estimator='forest': expected a classifier or a regressor"):
        FilteredEstimator("forest").fit(X, Y)
    with pytest.raises(TypeError, match=r"classifier or a regressor\. Wrap the module: skorch"):
        FilteredEstimator(nn.Linear(4, 3)).fit(X, Y)


# Methods before fit


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
def test_methods_before_fit_are_refused(estimator, method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(estimator, method)(X)


def test_feature_names_before_fit_are_refused():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        scorer().get_feature_names_out()


def test_the_support_before_fit_is_refused():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        selector().get_support()


def test_the_table_of_issues_before_fit_is_refused():
    with pytest.raises(NotFittedError, match="not fitted yet"):
        _ = NoisyLabelDetector().issues_
