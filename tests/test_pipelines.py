"""Pipelines, searches and cross-validation: rows are dropped in fit, never when predicting."""

import imblearn.pipeline
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from small import CountingScorer, blobs, quick, scorer, selector

from skinfluence import FilteredEstimator, NoisyLabelDetector
from skinfluence.rules import Budget

X, Y = blobs()
NAMES = np.array(["ash", "beech", "cedar"])
FRACTION = "filteredestimator__selector__rule__fraction"
GRID = {FRACTION: [0, 0.02, 0.05, 0.1]}


def pipeline(estimator=None, **params):
    estimator = estimator or LogisticRegression()
    return make_pipeline(
        StandardScaler(), FilteredEstimator(estimator, selector(Budget(0.1), **params))
    )


def table(n=90):
    rows, y = blobs(n)
    frame = pd.DataFrame(rows, columns=list("abcd"), index=[f"r{i}" for i in range(n)])
    frame["color"] = np.array(["red", "green"])[(rows[:, 0] > 0).astype(int)]
    return frame, NAMES[y]


# imbalanced-learn


def test_the_selector_is_a_step_of_an_imbalanced_learn_pipeline():
    steps = StandardScaler(), selector(Budget(0.1)), KNeighborsClassifier()
    fitted = imblearn.pipeline.make_pipeline(*steps).fit(X, NAMES[Y])
    assert fitted[-1].n_samples_fit_ == 81


def test_an_imbalanced_learn_pipeline_predicts_every_row():
    steps = StandardScaler(), selector(Budget(0.1)), LogisticRegression()
    fitted = imblearn.pipeline.make_pipeline(*steps).fit(X, NAMES[Y])
    assert fitted.predict(X).shape == (90,)


def test_an_imbalanced_learn_pipeline_and_a_filtered_estimator_agree():
    steps = StandardScaler(), selector(Budget(0.1)), LogisticRegression()
    theirs = imblearn.pipeline.make_pipeline(*steps).fit(X, Y)
    assert_array_equal(theirs.predict_proba(X), pipeline().fit(X, Y).predict_proba(X))


def test_a_grid_search_over_an_imbalanced_learn_pipeline_reaches_the_rule():
    steps = StandardScaler(), selector(Budget(0.1)), LogisticRegression()
    grid = {"influencesampleselector__rule__fraction": [0, 0.1]}
    search = GridSearchCV(imblearn.pipeline.make_pipeline(*steps), grid, cv=2).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# scikit-learn's Pipeline


def test_mixed_columns_go_through_preprocessing_into_a_filtered_forest():
    frame, y = table()
    prep = make_column_transformer((OneHotEncoder(), ["color"]), remainder=StandardScaler())
    forest = HistGradientBoostingClassifier(max_iter=5)
    pipe = make_pipeline(prep, FilteredEstimator(forest, selector(Budget(0.1)))).fit(frame, y)
    assert len(pipe[-1].selector_.sample_indices_) == 81
    assert pipe.score(frame, y) > 0.8  # 0.96 measured


def test_frames_between_the_steps_keep_their_index():
    frame, y = table()
    prep = make_column_transformer((StandardScaler(), list("abcd"))).set_output(transform="pandas")
    pipe = make_pipeline(prep, FilteredEstimator(LogisticRegression(), selector())).fit(frame, y)
    assert pipe[-1].estimator_.feature_names_in_[0] == "standardscaler__a"


def test_a_detector_is_the_last_step_of_a_pipeline():
    detector = NoisyLabelDetector(quick(), cv=2, checkpoints=2, contamination=0.1, random_state=0)
    flags = make_pipeline(StandardScaler(), detector).fit_predict(X, Y)
    assert (flags == -1).sum() == 9


def test_a_filtered_estimator_is_one_of_an_ensembles():
    members = [("a", FilteredEstimator(LogisticRegression(), selector())), ("b", pipeline())]
    assert VotingClassifier(members).fit(X, NAMES[Y]).predict(X).shape == (90,)


# Searches


@pytest.fixture(scope="module")
def search():
    return GridSearchCV(pipeline(), GRID, cv=StratifiedKFold(3)).fit(X, NAMES[Y])


def test_a_grid_search_reaches_the_fraction(search):
    assert search.cv_results_[f"param_{FRACTION}"].tolist() == [0, 0.02, 0.05, 0.1]


def test_the_best_estimator_of_a_search_is_filtered_by_the_best_fraction(search):
    kept = search.best_estimator_[-1].selector_.sample_indices_
    assert len(kept) == 90 - round(90 * search.best_params_[FRACTION])


def test_a_fraction_of_nothing_scores_like_no_filter_at_all(search):
    plain = make_pipeline(StandardScaler(), LogisticRegression())
    expected = cross_val_score(plain, X, NAMES[Y], cv=StratifiedKFold(3))
    at_zero = [search.cv_results_[f"split{k}_test_score"][0] for k in range(3)]
    assert_allclose(at_zero, expected)


def test_test_folds_are_never_filtered():
    sizes = []

    def score(estimator, X_test, y_test):
        sizes.append(len(estimator.predict(X_test)))
        return estimator.score(X_test, y_test)

    GridSearchCV(pipeline(), GRID, cv=3, scoring=score, refit=False).fit(X, Y)
    assert sizes == [30] * 12


def test_the_selector_sees_the_rows_of_the_training_fold_only():
    found = cross_validate(pipeline(), X, Y, cv=3, return_estimator=True)
    assert [len(fitted[-1].selector_.scores_) for fitted in found["estimator"]] == [60] * 3


def test_every_row_gets_a_cross_validated_prediction():
    predicted = cross_val_predict(pipeline(), X, NAMES[Y], cv=3)
    assert predicted.shape == (90,)


def test_cross_validated_probabilities_sum_to_one():
    p = cross_val_predict(pipeline(), X, Y, cv=3, method="predict_proba")
    assert_allclose(p.sum(1), 1)


@pytest.mark.parametrize("scoring", ["roc_auc", "neg_log_loss", "balanced_accuracy"])
@pytest.mark.parametrize("estimator", [LogisticRegression(), HistGradientBoostingClassifier()])
def test_scikit_learns_scorers_are_finite(scoring, estimator):
    found = cross_val_score(pipeline(estimator), X, Y > 0, cv=2, scoring=scoring)
    assert np.isfinite(found).all()


def test_roc_auc_of_the_default_estimator_is_of_its_probabilities():
    default = FilteredEstimator(selector=selector(Budget(0)), random_state=0).fit(X, Y > 0)
    rank = sklearn.metrics.get_scorer("roc_auc")
    p = default.predict_proba(X[:60])[:, 1]
    wrong = np.where(np.arange(60) % 4 == 0, Y[:60] == 0, Y[:60] > 0)
    assert rank(default, X[:60], wrong) == sklearn.metrics.roc_auc_score(wrong, p)


def test_a_search_with_memory_fits_the_scorer_once_per_split(tmp_path):
    CountingScorer.fits = 0
    given = CountingScorer(quick(max_epochs=1), random_state=0)
    pipe = pipeline(scorer=given, memory=str(tmp_path))
    GridSearchCV(pipe, GRID, cv=2).fit(X, Y)
    # Two folds of the selector, for each of two splits of the search and the refit.
    assert CountingScorer.fits == 2 * (2 + 1)


def test_a_parallel_search_finds_what_a_serial_one_does():
    parallel, serial = (
        GridSearchCV(pipeline(), {FRACTION: [0.1]}, cv=2, n_jobs=n, refit=False).fit(X, NAMES[Y])
        for n in (2, None)
    )
    found, expected = (s.cv_results_["mean_test_score"] for s in (parallel, serial))
    assert_allclose(found, expected, atol=0.02)  # one of 90 rows may be rounded to the other class


# Leakage


@pytest.fixture(scope="module")
def pure_noise():
    rng = np.random.RandomState(0)
    return rng.randn(300, 4), rng.randint(2, size=300)


def noise_filter():
    net = quick(max_epochs=15, module__hidden=())
    return selector(Budget(0.3), scorer=NoisyLabelDetector(net, checkpoints=1, random_state=0))


def test_labels_of_pure_noise_stay_unpredictable_with_filtering_inside(pure_noise):
    accuracy = cross_val_score(
        FilteredEstimator(LogisticRegression(), noise_filter()), *pure_noise, cv=5
    ).mean()
    assert abs(accuracy - 0.5) < 0.08  # 0.49 to 0.54 measured over seeds


def test_labels_of_pure_noise_become_predictable_with_filtering_before(pure_noise):
    # The reason for FilteredEstimator, and a check that the test above can fail.
    kept = noise_filter().fit_resample(*pure_noise)
    assert cross_val_score(LogisticRegression(), *kept, cv=5).mean() > 0.62  # 0.68 to 0.76


# Metadata routing


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def routed_pipeline():
    filtered = FilteredEstimator(LogisticRegression(), selector(Budget(0.1)))
    steps = [("prep", StandardScaler()), ("clf", filtered)]
    return Pipeline(steps, transform_input=["X_val"])


X_TRUSTED, Y_TRUSTED = blobs(30, seed=1)


def by_hand(reference):
    """Scores of a selector whose reference rows are scaled like the rows."""
    prep = StandardScaler().fit(X)
    scaled = {"X_val": prep.transform(reference), "y_val": Y_TRUSTED}
    return selector(Budget(0.1)).fit(prep.transform(X), Y, **scaled).scores_


@pytest.mark.usefixtures("routing")
def test_trusted_rows_are_transformed_like_the_rows():
    pipe = routed_pipeline().fit(X, Y, X_val=X_TRUSTED, y_val=Y_TRUSTED)
    assert_allclose(pipe[-1].selector_.scores_, by_hand(X_TRUSTED), rtol=1e-6)


@pytest.mark.usefixtures("routing")
def test_one_tuples_go_through_a_pipeline_where_nothing_transforms_them():
    fitted = FilteredEstimator(LogisticRegression(), selector(Budget(0.1)))
    fitted.fit(X, Y, X_val=(X_TRUSTED,), y_val=(Y_TRUSTED,))
    expected = selector(Budget(0.1)).fit(X, Y, X_val=X_TRUSTED, y_val=Y_TRUSTED).scores_
    assert_array_equal(fitted.selector_.scores_, expected)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("n", [30, 90], ids=["of another length", "of the rows' length"])
def test_a_grid_search_passes_one_tuples_on_whole_and_transformed(n):
    X_val, y_val = blobs(n, seed=1)
    grid = {"clf__selector__rule__fraction": [0, 0.1]}
    search = GridSearchCV(routed_pipeline(), grid, cv=2)
    search.fit(X, Y, X_val=(X_val,), y_val=(y_val,))
    prep = StandardScaler().fit(X)
    scaled = {"X_val": prep.transform(X_val), "y_val": y_val}
    expected = selector(Budget(0.1)).fit(prep.transform(X), Y, **scaled).scores_
    assert_allclose(search.best_estimator_[-1].selector_.scores_, expected, rtol=1e-6)


@pytest.mark.usefixtures("routing")
def test_a_detector_gets_trusted_rows_through_a_pipeline():
    detector = NoisyLabelDetector(quick(), checkpoints=2, random_state=0)
    steps = [("prep", StandardScaler()), ("detector", detector)]
    pipe = Pipeline(steps, transform_input=["X_val"])
    pipe.fit(X, Y, X_val=X_TRUSTED, y_val=Y_TRUSTED)
    references = [len(fold_net.reference.y) for fold_net in pipe[-1]._label_scores.fold_nets]
    assert references == [len(Y_TRUSTED)] * 5


@pytest.mark.usefixtures("routing")
def test_trusted_rows_without_a_request_of_the_selector_are_refused():
    refusing = selector().set_fit_request(X_val=False, y_val=False)
    pipe = make_pipeline(StandardScaler(), FilteredEstimator(LogisticRegression(), refusing))
    with pytest.raises(TypeError, match="X_val"):
        pipe.fit(X, Y, X_val=X_TRUSTED, y_val=Y_TRUSTED)


def test_routing_is_off_for_the_other_tests():
    assert sklearn.get_config()["enable_metadata_routing"] is False


# The scorer as a transformer


def test_influence_columns_are_joined_to_the_features():
    union = make_union(FunctionTransformer(), scorer())
    pipe = make_pipeline(StandardScaler(), union, LogisticRegression()).fit(X, NAMES[Y])
    assert pipe[-1].n_features_in_ == 4 + 3


def test_influence_columns_joined_to_the_features_have_names():
    frame = table()[0][list("abcd")]
    union = make_union(StandardScaler(), scorer()).set_output(transform="pandas").fit(frame, Y)
    assert union.transform(frame).columns.tolist()[3:] == [
        "standardscaler__d",
        "influencescorer__influence_0",
        "influencescorer__influence_1",
        "influencescorer__influence_2",
    ]


def test_a_transformer_in_a_search_is_fitted_in_each_fold():
    pipe = make_pipeline(StandardScaler(), scorer(), LogisticRegression())
    grid = {"influencescorer__normalize": [None, "rows"]}
    search = GridSearchCV(pipe, grid, cv=2).fit(X, NAMES[Y])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
