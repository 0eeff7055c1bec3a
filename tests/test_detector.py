import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from skorch import NeuralNetRegressor
from small import (
    Flat,
    OwnCrossEntropy,
    RecordingNet,
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
)
from torch import nn

from skinfluence import NoisyLabelDetector
from skinfluence._label_noise.fold_net import FoldNet
from skinfluence.datasets import flip_labels
from skinfluence.methods import (
    InnerProduct,
    LayerAware,
    Loss,
    Margin,
    OutlierGradients,
    SelfInfluence,
)
from skinfluence.nets import TabularClassifier, TabularRegressor

X, Y = blobs()
NAMES = np.array(["ash", "beech", "cedar"])
CLASSWISE = InnerProduct(normalize="reference", classwise=True)
WITHOUT_WARNING = [None, CLASSWISE, Loss(), SelfInfluence(), Margin(), OutlierGradients()]
METHODS = [*WITHOUT_WARNING, InnerProduct(), LayerAware()]


def detector(**params):
    return NoisyLabelDetector(
        **{"estimator": quick(), "cv": 2, "checkpoints": 2, "random_state": 0} | params
    )


# Planted wrong labels in real data

LOADERS = {
    "breast cancer": load_breast_cancer,
    "wine": load_wine,
    "digits": load_digits,
}


def planted(name, fraction=0.15, n=500):
    rows, y = LOADERS[name](return_X_y=True)
    rows, y = rows[:n], y[:n]
    return rows, y, *flip_labels(y, fraction, random_state=0)


@pytest.fixture(scope="module", params=LOADERS)
def found(request):
    rows, y, noisy, is_noisy = planted(request.param)
    net = TabularClassifier(max_epochs=15)
    fitted = NoisyLabelDetector(net, cv=3, checkpoints=4, contamination=0.15, random_state=0)
    return fitted.fit(rows, noisy), y, is_noisy


def test_planted_wrong_labels_have_low_scores(found):
    fitted, _, is_noisy = found
    assert roc_auc_score(is_noisy, -fitted.scores_) > 0.95  # 0.988 to 0.998 measured over seeds


def test_most_suspects_have_planted_labels(found):
    fitted, _, is_noisy = found
    precision = is_noisy[~fitted.inlier_mask_].mean()
    assert precision > 0.75  # 0.88 to 0.96 measured over seeds; 0.15 by chance


def test_most_planted_rows_get_their_true_label_suggested(found):
    fitted, y, is_noisy = found
    is_true = fitted.suggested_labels_ == y
    assert is_true[is_noisy].mean() > 0.7  # 0.85 to 0.99 measured over seeds


@pytest.mark.parametrize(
    ("method", "least"),  # measured over seeds:
    [
        (None, 0.95),  # 0.986 to 0.994
        (CLASSWISE, 0.95),  # 0.983 to 0.994
        (Loss(), 0.95),  # 0.987 to 0.992
        (SelfInfluence(), 0.9),  # 0.966 to 0.979
        (InnerProduct(), 0.7),  # 0.81 to 0.85
    ],
)
def test_every_method_finds_planted_labels_given_trusted_rows(method, least):
    rows, y, noisy, is_noisy = planted("breast cancer")
    train, trusted = np.arange(400), np.arange(400, 500)
    net = TabularClassifier(max_epochs=10)
    fitted = NoisyLabelDetector(net, method=method, checkpoints=3, random_state=0)
    fitted.fit(rows[train], noisy[train], X_val=rows[trusted], y_val=y[trusted])
    auc = roc_auc_score(is_noisy[train], -fitted.scores_)
    assert auc > least


@pytest.mark.parametrize("method", WITHOUT_WARNING)
def test_robust_methods_find_planted_labels_without_trusted_rows(method):
    rows, _, noisy, is_noisy = planted("wine")
    net = TabularClassifier(max_epochs=15)
    fitted = NoisyLabelDetector(net, method=method, cv=3, checkpoints=3, random_state=0)
    auc = roc_auc_score(is_noisy, -fitted.fit(rows, noisy).scores_)
    assert auc > 0.93  # 0.98 to 0.998 measured over seeds


def test_wrong_numbers_in_diabetes_are_found():
    rows, y = load_diabetes(return_X_y=True)
    rng = np.random.RandomState(0)
    is_noisy = rng.rand(len(y)) < 0.1
    wrong = np.where(is_noisy, y + rng.choice([-300, 300], len(y)), y)
    net = TabularRegressor(max_epochs=10, module__hidden=(16,))
    fitted = NoisyLabelDetector(net, cv=3, checkpoints=3, random_state=0).fit(rows, wrong)
    assert roc_auc_score(is_noisy, -fitted.scores_) > 0.95  # 0.995 to 0.999 measured over seeds


def test_suggested_numbers_are_closer_to_the_truth_than_wrong_ones():
    rows, y = load_diabetes(return_X_y=True)
    wrong = y.copy()
    wrong[:40] += 300
    net = TabularRegressor(max_epochs=10, module__hidden=(16,))
    fitted = NoisyLabelDetector(net, cv=3, checkpoints=3, random_state=0).fit(rows, wrong)
    error = np.abs(fitted.suggested_labels_ - y)[:40].mean()
    assert error < 120  # 66 to 77 measured; 300 was added


# Conventions


@pytest.fixture(scope="module")
def fitted():
    return detector(contamination=0.2).fit(X, Y)


def test_fit_predict_returns_plus_one_and_minus_one():
    flags = detector(contamination=0.2).fit_predict(X, Y)
    assert set(flags.tolist()) == {1, -1}
    assert flags.dtype.kind == "i"


def test_fit_predict_returns_minus_one_outside_the_inlier_mask(fitted):
    flags = detector(contamination=0.2).fit_predict(X, Y)
    assert_array_equal(flags == -1, ~fitted.inlier_mask_)


def test_rows_below_the_offset_are_the_suspects(fitted):
    assert_array_equal(fitted.scores_ < fitted.offset_, ~fitted.inlier_mask_)


@pytest.mark.parametrize(("contamination", "number"), [(0.1, 9), (0.2, 18), (0.5, 45), (0.3, 27)])
def test_contamination_is_the_exact_share_of_suspects(contamination, number):
    flags = detector(contamination=contamination).fit_predict(X, Y)
    assert (flags == -1).sum() == number


def test_contamination_may_be_a_numpy_number():
    assert (detector(contamination=np.float32(0.2)).fit_predict(X, Y) == -1).sum() == 18


def test_decision_function_is_the_score_minus_the_offset(fitted):
    assert_array_equal(fitted.decision_function(X, Y), fitted.score_samples(X, Y) - fitted.offset_)


@pytest.mark.parametrize("method", [m for m in WITHOUT_WARNING if m is not None])
def test_scores_of_a_single_method_are_mean_ranks(method):
    scores = detector(method=method).fit(X, Y).scores_
    assert (scores > 0).all()
    assert (scores < 1).all()
    assert abs(scores.mean() - 0.5) < 0.02


def test_most_log_odds_favor_the_given_label(fitted):
    assert (fitted.scores_ > 0).mean() > 0.7  # 0.88 to 0.96 measured over seeds


def test_the_detector_has_no_predict():
    # as in LocalOutlierFactor(novelty=False)
    assert not hasattr(NoisyLabelDetector(), "predict")


def test_classes_are_the_users_labels():
    assert detector().fit(X, NAMES[Y]).classes_.tolist() == ["ash", "beech", "cedar"]


def test_signals_of_a_classifier_are_distributions_over_the_classes(fitted):
    signals = fitted.signals_
    assert list(signals) == ["in_sample", "out_of_sample", "influence"]
    for signal in signals.values():
        assert signal.shape == (90, 3)
        assert_allclose(signal.sum(1), 1, rtol=1e-6)
    best = fitted.classes_[signals["out_of_sample"].argmax(1)]
    assert_array_equal(best, fitted.suggested_labels_)


def test_signals_of_a_regressor_are_predictions_in_the_shape_of_y():
    rows, y = line()
    found = detector(estimator=quick_regressor()).fit(rows, y)
    assert list(found.signals_) == ["in_sample", "out_of_sample"]
    assert_array_equal(found.signals_["out_of_sample"], found.suggested_labels_)
    assert found.signals_["in_sample"].shape == found.predict_out_of_sample(rows).shape == y.shape


def test_new_rows_are_predicted_by_the_mean_of_the_nets(fitted):
    predicted = fitted.predict_out_of_sample(X)
    assert predicted.shape == (90, 3)
    # In two folds, each row is out of sample for one net and in sample for the other.
    signals = fitted.signals_
    assert_allclose(predicted, (signals["in_sample"] + signals["out_of_sample"]) / 2)


def test_string_labels_are_scored_like_numbers(fitted):
    assert_array_equal(detector(contamination=0.2).fit(X, NAMES[Y]).scores_, fitted.scores_)


def test_suggested_labels_are_the_users_own(fitted):
    suggested = detector(contamination=0.2).fit(X, NAMES[Y]).suggested_labels_
    assert_array_equal(suggested, NAMES[fitted.suggested_labels_])


def test_verbose_shows_a_progress_bar(capsys):
    detector(verbose=1).fit(X, Y)
    assert "folds" in capsys.readouterr().err


def test_nothing_is_printed_by_default(capsys):
    detector().fit(X, Y)
    assert capsys.readouterr() == ("", "")


# Table of issues


def test_issues_have_one_line_per_row(fitted):
    assert fitted.issues_.columns.tolist() == [
        "row",
        "given_label",
        "suggested_label",
        "score",
        "is_suspect",
    ]
    assert fitted.issues_["row"].tolist() == list(range(90))


def test_issues_match_the_fitted_attributes(fitted):
    issues = fitted.issues_
    assert issues["given_label"].tolist() == Y.tolist()
    assert_array_equal(issues["suggested_label"], fitted.suggested_labels_)
    assert_array_equal(issues["score"], fitted.scores_)
    assert_array_equal(issues["is_suspect"], ~fitted.inlier_mask_)


def test_issues_keep_the_pandas_index():
    frame = pd.DataFrame(X, columns=list("abcd"), index=[f"r{i}" for i in range(90)])
    assert detector().fit(frame, Y).issues_.index.equals(frame.index)


def test_issues_hold_all_targets_of_a_row_in_one_entry():
    rows, y = line(outputs=2)
    issues = detector(estimator=quick_regressor()).fit(rows, y).issues_
    assert issues["given_label"].iloc[3].tolist() == pytest.approx(y[3].tolist())


# The share of suspects


def test_the_share_of_suspects_is_estimated_by_default():
    rows, _, noisy, is_noisy = planted("wine", fraction=0.2)
    fitted = NoisyLabelDetector(TabularClassifier(max_epochs=15), cv=3, random_state=0)
    fitted.fit(rows, noisy)
    assert abs(fitted.contamination_ - is_noisy.mean()) < 0.08  # 0.00 to 0.04 over seeds
    assert (~fitted.inlier_mask_).mean() == pytest.approx(fitted.contamination_, abs=0.01)


def test_contamination_is_stored_as_given(fitted):
    assert fitted.contamination_ == 0.2


def test_no_row_is_suspect_if_the_classes_are_far_apart():
    rows, y = blobs(60)
    rows = rows + 100 * np.eye(4)[y]
    fitted = detector(estimator=quick(max_epochs=30), contamination="auto").fit(rows, y)
    assert fitted.contamination_ == 0
    assert fitted.inlier_mask_.all()


def test_the_default_share_of_suspects_of_a_regressor_is_a_tenth():
    fitted = detector(estimator=quick_regressor()).fit(*line())
    assert fitted.contamination_ == 0.1


def test_no_more_than_half_the_rows_are_suspect_by_default():
    y = np.random.RandomState(0).permutation(Y)
    assert detector(contamination="auto").fit(X, y).contamination_ <= 0.5


# Cross-fitting


@pytest.fixture
def recorded():
    """Fit a detector to rows that hold their own index; return it and each net's training rows."""
    RecordingNet.trained_on = []
    rows = np.arange(90.0)[:, None]
    fitted = detector(estimator=RecordingNet(max_epochs=1, module__hidden=(4,)), cv=3)
    fitted.fit(rows, Y)
    return fitted, [trained[:, 0].astype(int) for trained, _ in RecordingNet.trained_on]


def references(fitted):
    return [fold_net.reference.X[:, 0].astype(int) for fold_net in fitted._label_scores.fold_nets]


def test_each_fold_model_is_trained_on_the_rows_outside_its_reference(recorded):
    fitted, trained = recorded
    for rows, reference in zip(trained, references(fitted), strict=True):
        assert_array_equal(np.sort(np.r_[rows, reference]), np.arange(90))


def test_each_row_is_a_reference_row_once(recorded):
    fitted, _ = recorded
    assert_array_equal(np.sort(np.concatenate(references(fitted))), np.arange(90))


def test_reference_rows_keep_the_class_proportions(recorded):
    fitted, _ = recorded
    assert [
        np.bincount(fold_net.reference.y).tolist() for fold_net in fitted._label_scores.fold_nets
    ] == [[10, 10, 10]] * 3


@pytest.mark.parametrize(
    ("method", "spied"), [(None, "calibrate"), (Loss(), "means")], ids=["default", "loss"]
)
def test_each_row_is_scored_by_every_fold_model_trained_on_it(monkeypatch, method, spied):
    scored = []
    original = getattr(FoldNet, spied)

    def spy(self, *args):
        rows = args[0] if spied == "calibrate" else args[1]
        own = set(self.reference.X[:, 0].tolist())
        scored.extend(int(r) for r in rows[:, 0])
        assert not own & set(rows[:, 0].tolist())
        return original(self, *args)

    monkeypatch.setattr(FoldNet, spied, spy)
    detector(cv=3, method=method).fit(np.arange(90.0)[:, None], Y)
    assert np.bincount(scored).tolist() == [2] * 90


@pytest.mark.parametrize("method", [None, Loss()], ids=["default", "loss"])
def test_suggested_labels_are_out_of_sample_predictions(method):
    fitted = detector(cv=3, method=method).fit(X, Y)
    for fold_net in fitted._label_scores.fold_nets:
        rows = np.flatnonzero((X[:, None] == fold_net.reference.X).all(2).any(1))
        expected = fold_net.predict(X[rows]).argmax(1)
        assert_array_equal(fitted.suggested_labels_[rows], expected)


def test_every_row_is_scored(recorded):
    fitted, _ = recorded
    assert np.isfinite(fitted.scores_).all()


@pytest.mark.parametrize("cv", [2, 4])
def test_each_fold_trains_one_net(cv):
    assert len(detector(cv=cv).fit(X, Y).estimators_) == cv


def test_the_only_row_of_a_class_gets_a_score_and_a_suggested_label():
    y = Y.copy()
    y[5] = 9
    fitted = detector(cv=3).fit(X, y)
    assert np.isfinite(fitted.scores_[5])
    assert fitted.suggested_labels_[5] in fitted.classes_


def test_the_only_row_of_a_class_is_in_every_training_set():
    RecordingNet.trained_on = []
    y = Y.copy()
    y[5] = 9
    detector(estimator=RecordingNet(max_epochs=1), cv=3).fit(np.arange(90.0)[:, None], y)
    assert [5 in trained[:, 0] for trained, _ in RecordingNet.trained_on] == [True] * 3


def test_a_single_method_trains_one_net_on_every_row_given_trusted_rows():
    RecordingNet.trained_on = []
    net = RecordingNet(max_epochs=1)
    detector(estimator=net, method=Loss()).fit(X, Y, X_val=X[:9], y_val=Y[:9])
    [(rows, _)] = RecordingNet.trained_on
    assert_array_equal(rows, X)


def test_the_default_is_cross_fitted_with_trusted_rows_as_its_reference():
    fitted = detector(cv=3).fit(X, Y, X_val=X[:9], y_val=Y[:9])
    assert len(fitted.estimators_) == 3
    for fold_net in fitted._label_scores.fold_nets:
        assert_array_equal(fold_net.reference.X, X[:9])


def test_trusted_rows_may_come_in_one_tuples():
    plain = detector().fit(X, Y, X_val=X[:9], y_val=Y[:9])
    tuples = detector().fit(X, Y, X_val=(X[:9],), y_val=(Y[:9],))
    assert_array_equal(tuples.scores_, plain.scores_)


@pytest.mark.parametrize("method", [None, Loss()], ids=["default", "loss"])
def test_scores_of_fit_are_those_of_score_samples_with_one_fold_model(method):
    net = FrozenEstimator(logits_net().fit(X.astype(np.float32), Y))
    fitted = detector(estimator=net, method=method).fit(X, Y, X_val=X[:9], y_val=Y[:9])
    assert_allclose(fitted.score_samples(X, Y), fitted.scores_, atol=1e-12)


# Methods and checkpoints


CASES = [("classes", m) for m in WITHOUT_WARNING]
CASES += [("numbers", m) for m in WITHOUT_WARNING if not isinstance(m, Margin)]


@pytest.mark.parametrize(("data", "method"), CASES)
def test_every_method_scores_every_row(method, data):
    net, rows, y = (quick(), X, Y) if data == "classes" else (quick_regressor(), *line())
    fitted = detector(estimator=net, method=method).fit(rows, y)
    assert fitted.scores_.shape == (len(rows),)
    assert np.isfinite(fitted.scores_).all()


@pytest.mark.parametrize("method", METHODS)
def test_columns_of_score_labels_are_score_samples(method):
    fitted = detector(method=method).fit(X, NAMES[Y], X_val=X[:30], y_val=NAMES[Y[:30]])
    table = fitted.score_labels(X)
    columns = [fitted.score_samples(X, np.full(90, name)) for name in NAMES]
    assert_allclose(table, np.stack(columns, 1), atol=1e-4)  # ranks jump where losses nearly tie


def test_score_labels_needs_classes():
    fitted = detector(estimator=quick_regressor()).fit(*line())
    with pytest.raises(ValueError, match="score_labels needs classes"):
        fitted.score_labels(line()[0])


def test_the_default_for_numbers_is_the_mean_of_the_ranks_of_two_methods():
    default, *of_parts = (
        detector(estimator=quick_regressor(), method=m).fit(*line()).scores_
        for m in (None, Loss(), SelfInfluence())
    )
    assert_allclose(default, np.mean(of_parts, axis=0), atol=1e-12)


def test_inner_product_without_trusted_rows_warns():
    with pytest.warns(UserWarning, match=r"InnerProduct\(\) without X_val.*worse than chance"):
        detector(method=InnerProduct()).fit(X, Y)


def test_a_frozen_net_without_trusted_rows_warns():
    net = FrozenEstimator(logits_net().fit(X.astype(np.float32), Y))
    with pytest.warns(UserWarning, match="frozen net may have been fitted on these rows"):
        detector(estimator=net).fit(X, Y)


def test_a_frozen_net_with_trusted_rows_is_not_trained_again():
    net = logits_net().fit(X.astype(np.float32), Y)
    fitted = detector(estimator=FrozenEstimator(net)).fit(X, Y, X_val=X[:9], y_val=Y[:9])
    assert fitted.estimators_ == [net]
    assert len(net.history) == 5


@pytest.mark.parametrize(("checkpoints", "kept"), [(1, 1), (2, 2), (3, 3), (50, 5)])
def test_the_number_of_checkpoints_is_at_most_the_number_of_epochs(checkpoints, kept):
    fitted = detector(checkpoints=checkpoints).fit(X, Y)
    assert {len(fold_net.states) for fold_net in fitted._label_scores.fold_nets} == {kept}


def test_the_last_checkpoint_is_the_last_epoch():
    [first, _] = detector(checkpoints=3).fit(X, Y)._label_scores.fold_nets
    weights = first.net.module_.state_dict()
    assert_array_equal(first.states[-1]["head.weight"], weights["head.weight"])


def test_loss_at_a_single_checkpoint_ranks_the_probabilities_of_the_labels():
    reference = {"X_val": X[:9], "y_val": Y[:9]}
    fitted = detector(method=Loss(), checkpoints=1).fit(X, Y, **reference)
    [net] = fitted.estimators_
    p = net.predict_proba(X.astype(np.float32))[np.arange(90), Y]
    expected = (np.argsort(np.argsort(p)) + 0.5) / 90
    assert_allclose(fitted.scores_, expected, atol=1e-12)


# New rows, custom nets


def test_new_rows_are_scored(fitted):
    rows, y = blobs(30, seed=1)
    scores = fitted.score_samples(rows, y)
    assert scores.shape == (30,)
    assert np.isfinite(scores).all()


def test_wrong_labels_of_new_rows_score_lower(fitted):
    rows, y = blobs(60, seed=1)
    right, wrong = (fitted.score_samples(rows, labels) for labels in (y, (y + 1) % 3))
    assert (right > wrong).mean() > 0.75  # 0.87 to 0.97 measured over seeds


def test_score_samples_without_y_scores_the_predicted_labels(fitted):
    rows = blobs(30, seed=1)[0]
    assert fitted.score_samples(rows).mean() > fitted.score_samples(rows, np.zeros(30, int)).mean()


@pytest.mark.parametrize("outputs", [None, 2])
def test_a_regressor_scores_new_rows_without_y(outputs):
    fitted = detector(estimator=quick_regressor()).fit(*line(outputs=outputs))
    assert fitted.score_samples(line(n=7, seed=1)[0]).shape == (7,)


@pytest.mark.parametrize(
    ("net", "rows", "y"),
    [
        (logits_net(), X, Y),
        (binary_net(), X, Y > 0),
        (dict_net(), as_dict(X), Y),
        (linear_regressor(), *line()),
        (linear_regressor(outputs=2), *line(outputs=2)),
        (own_net(Flat, NeuralNetRegressor), *line()),
    ],
    ids=["logits", "binary", "dict", "regressor", "two outputs", "flat outputs"],
)
def test_custom_nets_are_accepted(net, rows, y):
    fitted = detector(estimator=net).fit(rows, y)
    assert fitted.suggested_labels_.shape == np.shape(y)
    assert np.isfinite(fitted.scores_).all()


def test_parameters_restrict_the_gradients():
    by_head = detector(method=SelfInfluence(), parameters="head.*").fit(X, Y)
    by_body = detector(method=SelfInfluence(), parameters="body.*").fit(X, Y)
    assert not np.allclose(by_head.scores_, by_body.scores_)


def test_issues_of_lists_are_indexed_by_row_number():
    fitted = detector().fit(X.tolist(), Y.tolist())
    assert fitted.issues_.index.tolist() == list(range(90))


# Nets whose criterion skorch does not know


def test_logits_of_an_unknown_criterion_are_scored_like_those_of_a_known_one():
    want = detector(estimator=logits_net()).fit(X, Y)
    found = detector(estimator=logits_net(criterion=OwnCrossEntropy))
    with pytest.warns(UserWarning, match=r"criterion OwnCrossEntropy.*predict_nonlinearity="):
        found.fit(X, Y)
    assert_allclose(found.scores_, want.scores_)
    assert_array_equal(found.suggested_labels_, want.suggested_labels_)


def test_a_given_nonlinearity_is_used_without_a_warning(recwarn):
    net = logits_net(criterion=OwnCrossEntropy, predict_nonlinearity=nn.Softmax(1))
    want = detector(estimator=logits_net()).fit(X, Y)
    assert_allclose(detector(estimator=net).fit(X, Y).scores_, want.scores_)
    assert not [w for w in recwarn if "predict_nonlinearity" in str(w.message)]
