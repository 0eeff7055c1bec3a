import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import RandomUnderSampler
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier, is_regressor
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import LinearSVC
from sklearn.utils import get_tags
from skorch import NeuralNetClassifier
from small import (
    blobs,
    dict_net,
    line,
    logits_net,
    own_net,
    quick,
    quick_regressor,
    scorer,
    selector,
)
from torch import nn
from torch.utils.data import TensorDataset

from skinfluence import (
    FilteredEstimator,
    InfluenceSampleSelector,
    InfluenceScorer,
    NoisyLabelDetector,
)
from skinfluence.rules import Budget, Reweight
from skinfluence.targets import DemographicParity

X, Y = blobs()
NAMES = np.array(["ash", "beech", "cedar"])
W = np.linspace(1, 2, 90)


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps what it was fitted on, and predicts the first class."""

    def fit(self, X, y, sample_weight=None, other=None):
        self.X_, self.y_, self.sample_weight_, self.other_ = X, y, sample_weight, other
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def filtered(estimator=None, rule=None, **params):
    return FilteredEstimator(estimator or Recorder(), selector(rule or Budget(0.1)), **params)


# What the estimator is fitted on


def test_the_estimator_is_fitted_on_the_kept_rows():
    fitted = filtered().fit(X, Y)
    kept = fitted.selector_.sample_indices_
    assert len(kept) == 81
    assert_array_equal(fitted.estimator_.X_, X[kept])
    assert_array_equal(fitted.estimator_.y_, Y[kept])


def test_it_predicts_like_the_estimator_fitted_on_the_kept_rows():
    fitted = filtered(LogisticRegression()).fit(X, Y)
    kept = fitted.selector_.sample_indices_
    by_hand = LogisticRegression().fit(X[kept], Y[kept])
    assert_array_equal(fitted.predict_proba(X), by_hand.predict_proba(X))


def test_with_a_budget_of_zero_the_estimator_is_unchanged():
    fitted = filtered(LogisticRegression(), Budget(0)).fit(X, Y)
    assert_array_equal(fitted.estimator_.coef_, LogisticRegression().fit(X, Y).coef_)


def test_every_row_is_predicted():
    assert filtered(LogisticRegression()).fit(X, Y).predict(X).shape == (90,)


def test_the_score_uses_all_the_given_rows():
    fitted = filtered(LogisticRegression()).fit(X, Y)
    assert fitted.score(X, Y) == (fitted.predict(X) == Y).mean()


def test_new_labels_reach_the_estimator():
    fitted = filtered(rule=Budget(0.3, action="relabel")).fit(X, Y)
    changed = np.flatnonzero(fitted.estimator_.y_ != Y)
    assert 0 < len(changed) <= 27
    assert_array_equal(fitted.estimator_.y_[changed], fitted.selector_.suggested_labels_[changed])


def test_the_given_estimator_stays_unfitted():
    given = LogisticRegression()
    filtered(given).fit(X, Y)
    assert not hasattr(given, "coef_")


def test_the_given_selector_stays_unfitted():
    given = selector()
    FilteredEstimator(Recorder(), given).fit(X, Y)
    assert not hasattr(given, "scores_")


def test_without_a_selector_a_twentieth_is_dropped():
    fitted = FilteredEstimator(Recorder(), random_state=0).fit(X[:60], Y[:60])
    assert isinstance(fitted.selector_, InfluenceSampleSelector)
    assert len(fitted.estimator_.y_) == 57


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (Y, HistGradientBoostingClassifier),
        (NAMES[Y], HistGradientBoostingClassifier),
        (line(90)[1], HistGradientBoostingRegressor),
    ],
)
def test_without_an_estimator_y_decides_which_is_fitted(y, kind):
    scored = InfluenceSampleSelector(cv=2, random_state=0)
    assert type(FilteredEstimator(selector=scored).fit(X, y).estimator_) is kind


def test_the_seed_reaches_estimator_and_selector():
    fitted = FilteredEstimator(
        HistGradientBoostingClassifier(), selector(random_state=None), random_state=0
    ).fit(X, Y)
    assert isinstance(fitted.selector_.random_state, int)
    assert isinstance(fitted.estimator_.random_state, int)


def test_the_estimator_keeps_its_own_seed():
    fitted = filtered(HistGradientBoostingClassifier(random_state=7), random_state=0).fit(X, Y)
    assert fitted.estimator_.random_state == 7


def test_without_a_seed_the_estimator_gets_none():
    assert filtered(HistGradientBoostingClassifier()).fit(X, Y).estimator_.random_state is None


def test_numbers_are_filtered_for_a_regressor():
    scored = selector(Budget(0.1), scorer=scorer(estimator=quick_regressor()))
    fitted = FilteredEstimator(Ridge(), scored).fit(*line())
    assert len(fitted.selector_.sample_indices_) == 72
    assert fitted.predict(line()[0]).shape == (80,)


def test_trusted_rows_go_to_the_selector():
    fitted = filtered().fit(X, Y, X_val=X[:9], y_val=Y[:9])
    expected = selector().fit(X, Y, X_val=X[:9], y_val=Y[:9]).scores_
    assert_array_equal(fitted.selector_.scores_, expected)


# A scorer in place of a selector


def detector(**params):
    return NoisyLabelDetector(
        quick(), **{"cv": 2, "checkpoints": 2, "contamination": 0.2, "random_state": 0} | params
    )


@pytest.mark.parametrize("seed", [0, None], ids=["own seed", "seed of the outer estimator"])
@pytest.mark.parametrize("make", [detector, scorer])
@pytest.mark.parametrize("known", [{}, {"X_val": X[:9], "y_val": Y[:9]}], ids=["folds", "X_val"])
def test_a_scorer_is_wrapped_as_by_hand(make, seed, known):
    given = make(random_state=seed)
    wrapped = InfluenceSampleSelector(make(random_state=seed))
    short = FilteredEstimator(Recorder(), given, random_state=3).fit(X, Y, **known)
    by_hand = FilteredEstimator(Recorder(), wrapped, random_state=3).fit(X, Y, **known)
    assert isinstance(short.selector_, InfluenceSampleSelector)
    assert 0 < (~short.selector_.support_).sum() < 30
    assert_array_equal(short.selector_.scores_, by_hand.selector_.scores_)
    assert_array_equal(short.estimator_.X_, by_hand.estimator_.X_)
    assert_array_equal(short.estimator_.y_, by_hand.estimator_.y_)
    assert not hasattr(given, "scores_")


def test_parameters_of_a_wrapped_scorer_can_be_searched():
    outer = FilteredEstimator(LogisticRegression(), detector())
    outer.set_params(selector__contamination=0.4).fit(X, Y)
    assert (~outer.selector_.support_).sum() == 36


def test_with_routing_trusted_rows_go_to_a_wrapped_scorer():
    with sklearn.config_context(enable_metadata_routing=True):
        outer = FilteredEstimator(Recorder(), scorer()).fit(X, Y, X_val=X[:9], y_val=Y[:9])
    expected = scorer().fit(X, Y, X_val=X[:9], y_val=Y[:9]).scores_
    assert_array_equal(outer.selector_.scores_, expected)


# Rows without a label


def unlabeled(marker):
    """Labels whose first 20 rows have the number that the net's criterion ignores."""
    return np.where(np.arange(90) < 20, marker, Y)


def ignoring(marker, rule=None, **params):
    net = quick(criterion__ignore_index=marker)
    return selector(rule or Budget(0.1), scorer=scorer(estimator=net), **params)


@pytest.mark.parametrize("marker", [-1, -100, 255, 1.0])
def test_an_estimator_that_is_not_a_net_is_fitted_on_labeled_rows(marker):
    y = unlabeled(marker)
    fitted = FilteredEstimator(Recorder(), ignoring(int(marker))).fit(X, y, sample_weight=W)
    kept = fitted.selector_.sample_indices_
    kept = kept[y[kept] != marker]
    assert_array_equal(fitted.estimator_.X_, X[kept])
    assert_array_equal(fitted.estimator_.y_, y[kept])
    assert_array_equal(fitted.estimator_.sample_weight_, W[kept])


@pytest.mark.parametrize(
    "given",
    [
        None,
        InfluenceSampleSelector(cv=2),
        scorer(estimator=None),
        make_pipeline(StandardScaler(), scorer()),
    ],
    ids=["no selector", "no scorer", "no net", "pipeline"],
)
def test_the_default_net_ignores_minus_one_hundred(given):
    y = unlabeled(-100)
    fitted = FilteredEstimator(LogisticRegression(), given, random_state=0).fit(X, y)
    assert fitted.classes_.tolist() == [0, 1, 2]


def test_without_an_estimator_boosting_is_fitted_on_labeled_rows():
    fitted = FilteredEstimator(selector=ignoring(-1), random_state=0).fit(X, unlabeled(-1))
    assert fitted.classes_.tolist() == [0, 1, 2]


def test_weights_of_a_rule_are_cut_to_labeled_rows():
    y = unlabeled(-1)
    fitted = FilteredEstimator(Recorder(), ignoring(-1, Reweight())).fit(X, y, sample_weight=W)
    assert_array_equal(fitted.estimator_.y_, Y[20:])
    weight = W[20:] * fitted.selector_.sample_weight_[20:]
    assert_allclose(fitted.estimator_.sample_weight_, weight)


@pytest.mark.parametrize(
    "estimator",
    [
        SelfTrainingClassifier(LogisticRegression()),
        LabelSpreading(),
        logits_net(criterion__ignore_index=-1),
        make_pipeline(StandardScaler(), LabelSpreading()),
    ],
)
def test_an_estimator_that_knows_rows_without_a_label_gets_them(estimator, monkeypatch):
    rows, y = X.astype(np.float32), unlabeled(-1)
    seen, fit = [], type(estimator).fit

    def spy(self, X, y, **params):
        seen.append(y)
        return fit(self, X, y, **params)

    monkeypatch.setattr(type(estimator), "fit", spy)
    fitted = FilteredEstimator(estimator, ignoring(-1, Budget(0))).fit(rows, y)
    assert_array_equal(seen[-1], y)
    assert set(fitted.predict(rows)) <= {0, 1, 2}


def test_a_semi_supervised_estimator_gets_no_other_marker():
    fitted = FilteredEstimator(LabelSpreading(), ignoring(255)).fit(X, unlabeled(255))
    assert fitted.classes_.tolist() == [0, 1, 2]


def test_a_net_that_ignores_another_number_is_fitted_on_labeled_rows():
    fitted = FilteredEstimator(quick(), ignoring(-1)).fit(X, unlabeled(-1))
    assert fitted.classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize("marker", [-1, 255])
def test_items_of_a_dataset_without_a_label_are_left_out(marker):
    rows, y = X.astype(np.float32), unlabeled(marker)
    pairs = TensorDataset(torch.as_tensor(rows), torch.as_tensor(y))
    scored = selector(scorer=scorer(estimator=logits_net(criterion__ignore_index=marker)))
    net = own_net(nn.Linear, LabelRecordingNet, module__in_features=4, module__out_features=3)
    fitted = FilteredEstimator(net, scored).fit(pairs)
    assert set(fitted.estimator_.labels_) == {0, 1, 2}


# Weights and other metadata


def test_sample_weights_are_cut_to_the_kept_rows():
    fitted = filtered().fit(X, Y, sample_weight=W)
    assert_array_equal(fitted.estimator_.sample_weight_, W[fitted.selector_.sample_indices_])


def test_sample_weights_of_pandas_are_cut_to_the_kept_rows():
    fitted = filtered().fit(X, Y, sample_weight=pd.Series(W, index=np.arange(90)[::-1]))
    assert_array_equal(fitted.estimator_.sample_weight_, W[fitted.selector_.sample_indices_])


def test_other_metadata_with_one_entry_per_row_are_cut_too():
    fitted = filtered().fit(X, Y, other=[f"row {i}" for i in range(90)])
    assert fitted.estimator_.other_ == [f"row {i}" for i in fitted.selector_.sample_indices_]


@pytest.mark.parametrize("other", ["word" * 30, 3, {"a": 1}, [1, 2, 3]])
def test_metadata_without_one_entry_per_row_stay_unchanged(other):
    assert filtered().fit(X, Y, other=other).estimator_.other_ == other


def test_the_rules_weights_reach_the_estimator():
    fitted = filtered(rule=Reweight()).fit(X, Y)
    assert_array_equal(fitted.estimator_.sample_weight_, fitted.selector_.sample_weight_)


def test_the_rules_weights_multiply_the_given_ones():
    fitted = filtered(rule=Reweight()).fit(X, Y, sample_weight=W)
    assert_allclose(fitted.estimator_.sample_weight_, W * fitted.selector_.sample_weight_)


def test_a_rule_that_reweights_needs_an_estimator_that_takes_them():
    with pytest.raises(ValueError, match=r"KNeighborsClassifier.fit takes no sample_weight"):
        filtered(KNeighborsClassifier(), Reweight()).fit(X, Y)


def test_with_routing_sample_weights_go_where_they_are_requested():
    with sklearn.config_context(enable_metadata_routing=True):
        asking = Recorder().set_fit_request(sample_weight=True)
        fitted = filtered(asking).fit(X, Y, sample_weight=W)
    assert_array_equal(fitted.estimator_.sample_weight_, W[fitted.selector_.sample_indices_])


def test_with_routing_trusted_rows_go_to_the_selector_without_a_request():
    with sklearn.config_context(enable_metadata_routing=True):
        fitted = FilteredEstimator(Recorder(), selector()).fit(X, Y, X_val=X[:9], y_val=Y[:9])
    expected = selector().fit(X, Y, X_val=X[:9], y_val=Y[:9]).scores_
    assert_array_equal(fitted.selector_.scores_, expected)


def test_with_routing_metadata_without_a_request_are_refused():
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(ValueError, match="sample_weight"),
    ):
        filtered(LogisticRegression()).fit(X, Y, sample_weight=W)


def test_with_routing_score_weights_reach_the_estimators_score():
    with sklearn.config_context(enable_metadata_routing=True):
        asking = LogisticRegression().set_score_request(sample_weight=True)
        fitted = filtered(asking).fit(X, Y)
        weighted = fitted.score(X, Y, sample_weight=W)
    assert weighted == pytest.approx(np.average(fitted.predict(X) == Y, weights=W))


# Which methods and tags it has


@pytest.mark.parametrize(
    ("estimator", "method", "has"),
    [
        (LogisticRegression(), "predict_proba", True),
        (LogisticRegression(), "predict_log_proba", True),
        (LogisticRegression(), "decision_function", True),
        (LinearSVC(), "decision_function", True),
        (LinearSVC(), "predict_proba", False),
        (Ridge(), "predict", True),
        (Ridge(), "predict_proba", False),
        (Ridge(), "decision_function", False),
        (HistGradientBoostingClassifier(), "predict_log_proba", False),
    ],
)
def test_a_filtered_estimator_has_the_methods_of_its_estimator(estimator, method, has):
    assert hasattr(FilteredEstimator(estimator), method) is has


@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "predict_log_proba", "decision_function"]
)
def test_methods_return_what_the_fitted_estimator_returns(method):
    fitted = filtered(LogisticRegression()).fit(X, Y)
    expected = getattr(fitted.estimator_, method)(X)
    assert_array_equal(getattr(fitted, method)(X), expected)


def test_classes_are_those_of_the_estimator():
    assert filtered(LogisticRegression()).fit(X, NAMES[Y]).classes_.tolist() == NAMES.tolist()


def test_string_labels_are_predicted():
    assert set(filtered(LogisticRegression()).fit(X, NAMES[Y]).predict(X)) <= set(NAMES)


def test_a_regressor_has_no_classes():
    assert not hasattr(FilteredEstimator(Ridge()), "classes_")


@pytest.mark.parametrize(
    ("estimator", "of_classes", "of_numbers"),
    [
        (LogisticRegression(), True, False),
        (Ridge(), False, True),
        (None, False, False),  # not known before fit
        (logits_net(), True, False),
    ],
)
def test_a_filtered_classifier_is_a_classifier_and_a_regressor_a_regressor(
    estimator, of_classes, of_numbers
):
    outer = FilteredEstimator(estimator)
    assert (is_classifier(outer), is_regressor(outer)) == (of_classes, of_numbers)


def test_once_fitted_on_classes_it_is_a_classifier():
    outer = FilteredEstimator(selector=InfluenceSampleSelector(cv=2, random_state=0))
    assert is_classifier(outer.fit(X, Y))


def test_tags_of_the_classifier_are_passed_on():
    outer = FilteredEstimator(LogisticRegression())
    assert get_tags(outer).classifier_tags == get_tags(LogisticRegression()).classifier_tags


# Other resamplers and containers


def test_a_resampler_of_another_library_selects():
    y = np.r_[np.zeros(70, int), np.ones(20, int)]
    resampler = RandomUnderSampler(random_state=0)
    fitted = FilteredEstimator(Recorder(), resampler).fit(X, y, sample_weight=W)
    assert np.bincount(fitted.estimator_.y_).tolist() == [20, 20]
    assert_array_equal(fitted.estimator_.sample_weight_, W[fitted.selector_.sample_indices_])


def test_a_resampler_of_another_library_gets_the_seed():
    y = np.r_[np.zeros(70, int), np.ones(20, int)]
    made = [
        FilteredEstimator(Recorder(), RandomUnderSampler(), random_state=0).fit(X, y).estimator_.X_
        for _ in range(2)
    ]
    assert_array_equal(*made)


def test_pandas_rows_reach_the_estimator_as_pandas():
    frame = pd.DataFrame(X, columns=list("abcd"), index=[f"r{i}" for i in range(90)])
    fitted = filtered().fit(frame, pd.Series(NAMES[Y], index=frame.index))
    kept = fitted.selector_.sample_indices_
    pd.testing.assert_frame_equal(fitted.estimator_.X_, frame.iloc[kept])
    assert fitted.estimator_.y_.index.equals(frame.index[kept])


def test_column_names_are_remembered():
    fitted = filtered().fit(pd.DataFrame(X, columns=list("abcd")), Y)
    assert fitted.feature_names_in_.tolist() == list("abcd")


def test_polars_rows_reach_the_estimator_as_polars():
    fitted = filtered().fit(pl.DataFrame(X, schema=list("abcd")), pl.Series(NAMES[Y].tolist()))
    assert isinstance(fitted.estimator_.X_, pl.DataFrame)
    assert len(fitted.estimator_.X_) == 81


def test_dict_rows_reach_a_net():
    rows = {"first": X[:, 0].astype(np.float32), "rest": X[:, 1:].astype(np.float32)}
    scored = selector(Budget(0.1), scorer=scorer(estimator=dict_net()))
    fitted = FilteredEstimator(dict_net(), scored).fit(rows, Y)
    assert fitted.predict(rows).shape == (90,)


class LabelRecordingNet(NeuralNetClassifier):
    """Records the labels of the Dataset that it is trained on."""

    def fit(self, X, y=None, **params):
        self.labels_ = [int(label) for _, label in X]
        return super().fit(X, y, **params)


def test_a_dataset_reaches_a_net_with_its_new_labels():
    pairs = TensorDataset(torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(Y))
    scored = selector(Budget(0.3, action="relabel"), scorer=scorer(estimator=logits_net()))
    net = own_net(nn.Linear, LabelRecordingNet, module__in_features=4, module__out_features=3)
    fitted = FilteredEstimator(net, scored).fit(pairs)
    assert_array_equal(fitted.estimator_.labels_, fitted.selector_.labels_)
    assert (fitted.selector_.labels_ != Y).any()


def test_tensors_that_require_a_gradient_reach_the_estimator_without_it():
    rows = torch.tensor(X, requires_grad=True)
    for estimator in (LogisticRegression(), logits_net()):
        given = rows.float() if isinstance(estimator, NeuralNetClassifier) else rows
        fitted = FilteredEstimator(estimator, selector()).fit(given, torch.as_tensor(Y))
        assert fitted.predict(given).shape == (90,)


@pytest.mark.filterwarnings("ignore:A column-vector y")
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_labels_in_a_frame_of_one_column(frame):
    fitted = filtered(Recorder()).fit(X, frame({"label": NAMES[Y]}))
    assert type(fitted.estimator_.y_) is frame
    kept = fitted.selector_.sample_indices_
    assert fitted.estimator_.y_["label"].to_list() == NAMES[Y][kept].tolist()


def test_too_few_weights_are_refused():
    with pytest.raises(ValueError, match=r"sample_weight has shape \(89,\); expected \(90,\)"):
        filtered(LogisticRegression()).fit(X, Y, sample_weight=W[:-1])


@pytest.mark.parametrize("make", [pd.Categorical, pd.array, pd.Index])
@pytest.mark.parametrize("names", [NAMES, np.arange(3)])
def test_labels_in_an_array_of_pandas_stay_one(make, names):
    y = make(names[Y])
    fitted = filtered(rule=Budget(0.1, action="relabel")).fit(X, y)
    assert type(fitted.estimator_.y_) is type(y)
    assert_array_equal(np.asarray(fitted.estimator_.y_), fitted.selector_.labels_)


def test_a_resampler_that_makes_new_rows_is_refused():
    with pytest.raises(TypeError, match=r"SMOTE.* has no sample_indices_.*makes new rows"):
        FilteredEstimator(Recorder(), SMOTE()).fit(X, Y)


# Tables with strings, categories and missing entries


def mixed_table():
    """A table that the net cannot read: NaN, a category with a gap, and strings."""
    table = pd.DataFrame(X.copy(), columns=list("abcd"))  # older pandas writes into X
    table["kind"] = pd.Categorical(NAMES[Y])
    table["text"] = np.where(X[:, 0] > 0, "u", "v")
    table.loc[3, "a"] = np.nan
    table.loc[5, "kind"] = np.nan
    return table


ONE_HOT = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
NUMBERS = make_pipeline(SimpleImputer(), StandardScaler())
ENCODER = make_column_transformer((NUMBERS, list("abcd")), (ONE_HOT, ["kind", "text"]))
BOOSTING = HistGradientBoostingClassifier(max_iter=5)
READERS = {
    "pipeline": (make_pipeline(ENCODER, LogisticRegression()), mixed_table()),
    "categories": (BOOSTING, mixed_table().drop(columns="text")),
    "NaN": (BOOSTING, mixed_table()[list("abcd")]),
    "array with NaN": (BOOSTING, mixed_table()[list("abcd")].to_numpy()),
}


def encoder_of(table):
    if isinstance(table, np.ndarray):
        return NUMBERS
    names = [n for n in ("kind", "text") if n in table]
    return make_column_transformer((NUMBERS, list("abcd")), (ONE_HOT, names))


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("detects", [False, True])
def test_a_table_that_only_the_estimator_reads_is_encoded_for_the_scorer(kind, detects):
    estimator, table = READERS[kind]
    last = NoisyLabelDetector(quick(), cv=2, checkpoints=2) if detects else scorer()
    encoded = make_pipeline(encoder_of(table), last)
    fitted = FilteredEstimator(estimator, selector(Budget(0.1), scorer=encoded)).fit(table, Y)
    assert fitted.predict(table).shape == (90,)
    assert len(fitted.selector_.sample_indices_) == 81


def test_a_pipeline_that_ends_in_a_scorer_scores_what_its_encoder_makes():
    table = mixed_table()
    made = make_pipeline(ENCODER, scorer())
    val, y_val = table[:20], Y[:20]
    found = selector(scorer=made).fit(table[20:], Y[20:], X_val=val, y_val=y_val).scores_
    encoder = clone(ENCODER).fit(table[20:])
    want = scorer().fit(encoder.transform(table[20:]), Y[20:], X_val=encoder.transform(val),
                        y_val=y_val)  # fmt: skip
    assert_array_equal(found, want.scores_)


def test_the_encoder_is_fitted_without_the_fold_that_serves_as_reference():
    class Counts(StandardScaler):
        rows: list = []

        def fit(self, X, y=None):
            Counts.rows.append(len(X))
            return super().fit(X, y)

    selector(scorer=make_pipeline(Counts(), scorer())).fit(X, Y)
    assert Counts.rows == [45, 45]


def test_a_scorer_given_as_a_pipeline_is_put_into_a_selector():
    fitted = FilteredEstimator(BOOSTING, make_pipeline(encoder_of(X), scorer()), random_state=0)
    assert len(fitted.fit(X, Y).selector_.sample_indices_) == 86


def test_labels_are_suggested_through_a_pipeline():
    relabeled = selector(Budget(0.1, action="relabel"), scorer=make_pipeline(ENCODER, scorer()))
    assert set(relabeled.fit(mixed_table(), Y).suggested_labels_) <= set(Y)


@pytest.mark.parametrize("kind", READERS)
def test_a_resampler_that_reads_the_table_gets_it_as_it_is(kind):
    estimator, table = READERS[kind]
    fitted = FilteredEstimator(estimator, RandomUnderSampler(random_state=0)).fit(table, Y)
    assert fitted.predict(table).shape == (90,)


@pytest.mark.parametrize("kind", READERS)
def test_a_scorer_without_an_encoder_says_where_to_put_one(kind):
    estimator, table = READERS[kind]
    with pytest.raises(
        ValueError, match=r"(encode them|impute) first.*make_pipeline\(encoder, Infl"
    ):
        FilteredEstimator(estimator, selector()).fit(table, Y)


def test_a_table_of_strings_without_column_names_says_where_to_put_an_encoder():
    with pytest.raises(ValueError, match=r"could not convert string.*make_pipeline\(encoder, Infl"):
        filtered().fit(mixed_table().drop(columns="kind").to_numpy(), Y)


@pytest.mark.parametrize("broken", ["width", "names"])
def test_rows_to_predict_must_have_the_columns_of_fit(broken):
    estimator, table = READERS["categories"]
    fitted = FilteredEstimator(estimator, RandomUnderSampler(random_state=0)).fit(table, Y)
    other = table.drop(columns="a") if broken == "width" else table.rename(columns={"a": "z"})
    with pytest.raises(ValueError, match="feature"):
        fitted.predict(other)


class DropsScores(InfluenceScorer):
    def fit(self, X, y=None, *, X_val=None, y_val=None):
        super().fit(X, y, X_val=X_val, y_val=y_val)
        self.scores_ = self.scores_[1:]
        return self


def test_a_scorer_that_scores_other_rows_is_refused():
    with pytest.raises(ValueError, match="gave 44 scores for 45 rows"):
        selector(scorer=DropsScores(quick())).fit(X, Y)


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Object])
def test_weights_that_are_no_numbers_are_refused_before_the_fit(dtype):
    class Unfitted(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            raise AssertionError("fitted")

    X, y = blobs()
    weight = pl.Series(["u", "v"] * 45, dtype=dtype)
    with pytest.raises(TypeError, match="sample_weight holds text; expected numbers"):
        FilteredEstimator(Unfitted(), selector(Reweight())).fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Object])
def test_groups_of_polars_are_groups(dtype):
    X, y = blobs()
    names = np.array(["u", "v"])[np.arange(90) % 2]
    found = [
        FilteredEstimator(
            LogisticRegression(), selector(scorer=scorer(target=DemographicParity(1)))
        ).fit(X, y, sensitive_features=groups)
        for groups in (names, pl.Series(names.tolist(), dtype=dtype))
    ]
    assert_array_equal(found[0].selector_.scores_, found[1].selector_.scores_)
