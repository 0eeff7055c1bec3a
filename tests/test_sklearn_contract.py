"""Scikit-learn's conventions, for every public estimator."""

import io
import pickle

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils import estimator_html_repr
from sklearn.utils.estimator_checks import parametrize_with_checks
from small import blobs, quick, scorer, selector

from skinfluence import (
    FilteredEstimator,
    InfluenceSampleSelector,
    InfluenceScorer,
    NoisyLabelDetector,
)
from skinfluence.nets import TabularClassifier
from skinfluence.rules import Budget, Reweight, Threshold
from skinfluence.targets import Utility


def expected_failures(estimator):
    if isinstance(estimator, InfluenceScorer | NoisyLabelDetector):
        return {
            "check_methods_subset_invariance": "float32 batched matmul rounds differently with "
            "the batch size; the check allows 1e-7"
        }
    return {}


@parametrize_with_checks(
    [
        InfluenceScorer(),
        NoisyLabelDetector(cv=2, checkpoints=2),
        InfluenceSampleSelector(cv=2),
        FilteredEstimator(selector=InfluenceSampleSelector(cv=2)),
        FilteredEstimator(LogisticRegression(), InfluenceSampleSelector(cv=2)),
        FilteredEstimator(Ridge(), InfluenceSampleSelector(cv=2)),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_checks_pass(estimator, check):
    check(estimator)


ESTIMATORS = {
    "scorer": lambda seed=0: scorer(random_state=seed),
    "detector": lambda seed=0: NoisyLabelDetector(quick(), cv=2, checkpoints=2, random_state=seed),
    "selector": lambda seed=0: selector(scorer=scorer(random_state=None), random_state=seed),
    "filtered": lambda seed=0: FilteredEstimator(
        LogisticRegression(),
        selector(scorer=scorer(random_state=None), random_state=None),
        random_state=seed,
    ),
}
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def numbers(estimator):
    """The scores of a fitted estimator."""
    return getattr(estimator, "selector_", estimator).scores_


def plain_parameters(estimator):
    """All parameters, also nested ones, that compare by value (the repr of a net holds sets)."""
    plain = (int, float, str, tuple, type, type(None))
    return {k: v for k, v in estimator.get_params().items() if isinstance(v, plain)}


@every_estimator
def test_a_clone_has_the_same_parameters_and_is_unfitted(name):
    fitted = ESTIMATORS[name]().fit(*blobs())
    copy = clone(fitted)
    assert plain_parameters(copy) == plain_parameters(fitted)
    assert not [a for a in vars(copy) if a.endswith("_")]


@every_estimator
def test_pickle_keeps_the_scores(name):
    fitted = ESTIMATORS[name]().fit(*blobs())
    assert_array_equal(numbers(pickle.loads(pickle.dumps(fitted))), numbers(fitted))


@every_estimator
def test_joblib_dump_and_load_keep_the_scores(name):
    fitted, file = ESTIMATORS[name]().fit(*blobs()), io.BytesIO()
    joblib.dump(fitted, file)
    file.seek(0)
    assert_array_equal(numbers(joblib.load(file)), numbers(fitted))


@pytest.mark.parametrize("name", ["scorer", "detector"])
def test_an_unpickled_estimator_scores_new_rows_alike(name):
    fitted = ESTIMATORS[name]().fit(*blobs())
    X, y = blobs(seed=1)
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.score_samples(X, y), fitted.score_samples(X, y))


@every_estimator
def test_set_params_accepts_what_get_params_returns(name):
    estimator = ESTIMATORS[name]()
    params = estimator.get_params(deep=False)
    assert estimator.set_params(**params).get_params(deep=False) == params


@pytest.mark.parametrize(
    ("estimator", "param"),
    [
        (scorer(), "estimator__lr"),
        (scorer(), "estimator__module__hidden"),
        (InfluenceScorer(target=Utility()), "target__rows"),
        (selector(Budget()), "rule__fraction"),
        (selector(), "scorer__estimator__max_epochs"),
        (FilteredEstimator(selector=selector(Budget())), "selector__rule__fraction"),
    ],
)
def test_nested_parameters_are_reached(estimator, param):
    value = object()
    assert estimator.set_params(**{param: value}).get_params()[param] is value


@every_estimator
def test_repr_names_the_class(name):
    estimator = ESTIMATORS[name]()
    assert repr(estimator).startswith(type(estimator).__name__ + "(")


@every_estimator
def test_html_names_the_class(name):
    estimator = ESTIMATORS[name]()
    assert type(estimator).__name__ in estimator_html_repr(estimator)


@every_estimator
def test_html_of_a_fitted_estimator_names_the_class(name):
    estimator = ESTIMATORS[name]().fit(*blobs())
    assert type(estimator).__name__ in estimator_html_repr(estimator)


@pytest.mark.parametrize("rule", [Budget(0.1), Threshold(1.0), Reweight(2.0)])
def test_rules_are_cloned_with_their_parameters(rule):
    assert clone(rule).get_params() == rule.get_params()


@pytest.mark.parametrize(
    "cls",
    [InfluenceScorer, NoisyLabelDetector, InfluenceSampleSelector, FilteredEstimator],
)
def test_every_constructor_works_with_no_arguments(cls):
    assert repr(cls()) == f"{cls.__name__}()"


@every_estimator
def test_the_same_seed_gives_the_same_numbers(name):
    once, twice = (numbers(ESTIMATORS[name](seed=3).fit(*blobs())) for _ in range(2))
    assert_array_equal(once, twice)


@every_estimator
def test_another_seed_gives_other_numbers(name):
    one, other = (numbers(ESTIMATORS[name](seed=s).fit(*blobs())) for s in (3, 4))
    assert not np.array_equal(one, other)


@every_estimator
@pytest.mark.parametrize("make_seed", [int, np.int64, np.random.RandomState])
def test_equal_random_states_of_a_type_give_the_same_numbers(name, make_seed):
    once, twice = (numbers(ESTIMATORS[name](seed=make_seed(3)).fit(*blobs())) for _ in range(2))
    assert_array_equal(once, twice)


@every_estimator
def test_a_numpy_integer_seeds_like_an_int(name):
    one, other = (numbers(ESTIMATORS[name](seed=s).fit(*blobs())) for s in (3, np.int64(3)))
    assert_array_equal(one, other)


@every_estimator
def test_without_a_seed_numpys_global_one_decides(name):
    found = []
    for _ in range(2):
        np.random.seed(5)  # noqa: NPY002
        found.append(numbers(ESTIMATORS[name](seed=None).fit(*blobs())))
    assert_array_equal(*found)


@every_estimator
def test_fit_with_an_int_seed_does_not_change_numpys_global_state(name):
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002
    ESTIMATORS[name]().fit(*blobs())
    assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002


@every_estimator
def test_fit_with_an_int_seed_does_not_change_torchs_global_state(name):
    before = torch.get_rng_state()
    ESTIMATORS[name]().fit(*blobs())
    assert torch.equal(torch.get_rng_state(), before)


@every_estimator
def test_fit_leaves_the_given_net_unfitted(name):
    net = TabularClassifier(max_epochs=1, module__hidden=(4,))
    estimator = ESTIMATORS[name]()
    path = {"filtered": "selector__scorer__", "selector": "scorer__"}.get(name, "")
    estimator.set_params(**{f"{path}estimator": net}).fit(*blobs())
    assert not net.initialized_


@every_estimator
def test_fit_does_not_change_its_arrays(name):
    X, y = blobs()
    X_before, y_before = X.copy(), y.copy()
    ESTIMATORS[name]().fit(X, y)
    assert_array_equal(X, X_before)
    assert_array_equal(y, y_before)


@every_estimator
def test_read_only_arrays_are_accepted(name):
    X, y = blobs()
    X.flags.writeable = y.flags.writeable = False
    assert np.isfinite(numbers(ESTIMATORS[name]().fit(X, y))).all()
