import functools

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import DataConversionWarning
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit
from small import (
    Flat,
    RecordingNet,
    as_dict,
    binary_net,
    blobs,
    dict_net,
    line,
    linear_regressor,
    logits_net,
    own_net,
    probabilities_net,
    quick,
    quick_regressor,
    scorer,
)
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from skinfluence import InfluenceScorer, NoisyLabelDetector
from skinfluence.active import influence_query_scores
from skinfluence.nets import TabularClassifier
from skinfluence.targets import Utility

X, Y = blobs()
X32 = X.astype(np.float32)
NAMES = np.array(["ash", "beech", "cedar"])

CLASSIFIERS = {
    "ready-made": (quick, Y),
    "cross-entropy on logits": (logits_net, Y),
    "nll on probabilities": (probabilities_net, Y),
    "binary": (binary_net, (Y > 0).astype(int)),
}
every_classifier = pytest.mark.parametrize("name", CLASSIFIERS)

REGRESSORS = {
    "ready-made": (quick_regressor, line()[1]),
    "column outputs": (linear_regressor, line()[1]),
    "flat outputs": (lambda: own_net(Flat, NeuralNetRegressor), line()[1]),
    "two outputs": (lambda: linear_regressor(outputs=2), line(outputs=2)[1]),
    "ready-made, two outputs": (quick_regressor, line(outputs=2)[1]),
}
every_regressor = pytest.mark.parametrize("name", REGRESSORS)


@functools.cache
def fitted_to_blobs(make=quick):
    """Return a scorer fitted to X and Y, shared by the tests that do not change it."""
    return scorer(estimator=make()).fit(X, Y)


@functools.cache
def fitted_classifier(name):
    """Return a scorer fitted with one of the CLASSIFIERS, shared likewise."""
    make, y = CLASSIFIERS[name]
    return InfluenceScorer(make(), random_state=0).fit(X, y)


def gradients(net, X, y, loss):
    """Compute per-row gradients, (n, p), with one backward pass per row."""
    rows = []
    for x, target in zip(torch.as_tensor(X), torch.as_tensor(y), strict=True):
        value = loss(net.module_.eval()(x[None]), target[None])
        grads = torch.autograd.grad(value, list(net.module_.parameters()))
        rows.append(torch.cat([g.reshape(-1) for g in grads]))
    return torch.stack(rows).double().numpy()


# Definition of a score


@pytest.mark.parametrize(
    ("make", "loss"),
    [
        (logits_net, nn.functional.cross_entropy),
        (probabilities_net, lambda p, y: nn.functional.nll_loss(torch.log(p), y)),
    ],
)
def test_a_score_is_the_inner_product_with_the_reference_gradient(make, loss):
    fitted = InfluenceScorer(make(), random_state=0).fit(X, Y)
    G = gradients(fitted.estimator_, X32, Y, loss)
    direction = G[fitted.reference_indices_].mean(0)
    assert_allclose(fitted.scores_, G @ direction, rtol=1e-4, atol=1e-6)


@every_classifier
def test_classifiers_score_every_row(name):
    fitted = fitted_classifier(name)
    assert fitted.scores_.shape == (90,)
    assert np.isfinite(fitted.scores_).all()


@every_classifier
def test_scores_of_fit_are_those_of_score_samples(name):
    fitted = fitted_classifier(name)
    assert_array_equal(fitted.score_samples(X, CLASSIFIERS[name][1]), fitted.scores_)


@every_classifier
@pytest.mark.parametrize("normalize", [None, "rows", "reference", "both"])
@pytest.mark.parametrize("classwise", [False, True])
def test_transform_returns_the_score_under_each_label(name, normalize, classwise):
    options = {"normalize": normalize, "classwise": classwise, "random_state": 0}
    fitted = InfluenceScorer(FrozenEstimator(fitted_classifier(name).estimator_), **options)
    table = fitted.fit(X, CLASSIFIERS[name][1]).transform(X)
    columns = [fitted.score_samples(X, np.full(len(X), label)) for label in fitted.classes_]
    assert_allclose(table, np.stack(columns, 1), rtol=1e-5, atol=1e-7)


@every_classifier
def test_score_samples_without_y_scores_the_predicted_labels(name):
    fitted = fitted_classifier(name)
    predicted = fitted.classes_[fitted.estimator_.predict(X32).astype(int)]
    assert_array_equal(fitted.score_samples(X), fitted.score_samples(X, predicted))


@pytest.mark.parametrize(
    "labels",
    [
        NAMES[Y],
        NAMES[Y].astype(object),
        NAMES[Y].tolist(),
        pd.Series(NAMES[Y], dtype="category"),
        pd.Series(NAMES[Y], dtype="string"),
        pl.Series("tree", NAMES[Y].tolist()),
        Y.astype(float),
        Y.astype(np.int8),
        Y * 10 - 3,
        pd.Series(Y, dtype="Int64"),
        torch.as_tensor(Y),
    ],
    ids=lambda labels: f"{type(labels).__name__} {getattr(labels, 'dtype', '')}",
)
def test_labels_of_any_kind_give_the_same_scores(labels):
    assert_array_equal(scorer().fit(X, labels).scores_, fitted_to_blobs().scores_)


@functools.cache
def two_class_scores(make):
    return scorer(estimator=make()).fit(X, (Y > 0).astype(int)).scores_


@pytest.mark.parametrize("labels", [Y > 0, np.where(Y > 0, "yes", "no"), (Y > 0).astype(float)])
@pytest.mark.parametrize("make", [quick, binary_net])
def test_two_labels_of_any_kind_give_the_same_scores(make, labels):
    assert_array_equal(scorer(estimator=make()).fit(X, labels).scores_, two_class_scores(make))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (NAMES[Y], ["ash", "beech", "cedar"]),
        (Y > 0, [False, True]),
        (Y - 1, [-1, 0, 1]),
        (pd.Series(Y, dtype="Int64"), [0, 1, 2]),
    ],
)
def test_classes_are_the_users_labels(labels, classes):
    fitted = scorer().fit(X, labels)
    assert fitted.classes_.tolist() == classes


def test_nullable_integer_labels_stay_integers():
    assert scorer().fit(X, pd.Series(Y, dtype="Int64")).classes_.dtype.kind == "i"


@every_regressor
def test_regressors_score_every_row(name):
    make, y = REGRESSORS[name]
    fitted = InfluenceScorer(make(), random_state=0).fit(line()[0], y)
    assert fitted.scores_.shape == (80,)
    assert np.isfinite(fitted.scores_).all()


@pytest.mark.parametrize("name", ["column outputs", "flat outputs"])
def test_a_regressors_score_is_the_inner_product_with_the_reference_gradient(name):
    make, y = REGRESSORS[name]
    rows = line()[0]
    fitted = InfluenceScorer(make(), random_state=0).fit(rows, y)
    net, target = fitted.estimator_, y.astype(np.float32)
    if name == "column outputs":
        target = target[:, None]
    G = gradients(net, rows.astype(np.float32), target, nn.functional.mse_loss)
    direction = G[fitted.reference_indices_].mean(0)
    assert_allclose(fitted.scores_, G @ direction, rtol=1e-4, atol=1e-5)


def test_a_column_of_numbers_warns_and_is_scored_like_a_vector():
    rows, y = line()
    with pytest.warns(DataConversionWarning, match="column-vector"):
        fitted = scorer(estimator=linear_regressor()).fit(rows, y[:, None])
    assert_array_equal(fitted.scores_, scorer(estimator=linear_regressor()).fit(rows, y).scores_)


def test_whole_number_targets_stay_flat_for_flat_outputs():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(10, 4), nn.Linear(4, 1)

        def forward(self, X):
            return self.head(self.embed(X).mean(1)).squeeze(1)

    tokens = np.random.RandomState(0).randint(0, 10, (60, 3))
    fitted = scorer(estimator=own_net(Counts, NeuralNetRegressor)).fit(tokens, np.arange(60) % 7)
    assert fitted.scores_.shape == (60,)


def test_a_scorer_without_a_net_treats_whole_numbers_as_classes():
    assert scorer(estimator=None).fit(X, Y).transform(X).shape == (90, 3)


def test_a_scorer_without_a_net_regresses_other_numbers():
    fitted = scorer(estimator=None).fit(*line())
    assert type(fitted.estimator_).__name__ == "TabularRegressor"


def test_a_wrong_label_scores_lower_than_a_right_one():
    fitted = scorer(estimator=quick(), normalize="reference", classwise=True).fit(X, Y)
    wrong = fitted.score_samples(X, (Y + 1) % 3)
    assert (fitted.scores_ > wrong).mean() > 0.75  # 0.86 to 0.96 measured over seeds


def test_class_weights_scale_the_rows_of_a_class():
    plain = FrozenEstimator(logits_net().fit(X32, Y))
    weighted = logits_net(criterion__weight=torch.tensor([1.0, 2.0, 4.0])).fit(X32, Y)
    weighted.module_.load_state_dict(plain.module_.state_dict())

    def margin(outputs, y):  # a target that ignores class weights
        return -outputs.gather(1, y[:, None]).mean()

    a = scorer(estimator=plain, target=margin).fit(X, Y)
    b = scorer(estimator=FrozenEstimator(weighted), target=margin).fit(X, Y)
    assert_allclose(b.scores_, a.scores_ * np.array([1.0, 2.0, 4.0])[Y], rtol=1e-4, atol=1e-6)


# Reference rows


def test_reference_rows_keep_the_class_proportions():
    fitted = scorer(validation_fraction=0.2).fit(X, Y)
    assert np.bincount(Y[fitted.reference_indices_]).tolist() == [6, 6, 6]


@pytest.mark.parametrize(("fraction", "number"), [(0.1, 9), (0.5, 45), (0.99, 87)])
def test_validation_fraction_sets_the_number_of_reference_rows(fraction, number):
    fitted = scorer(validation_fraction=fraction).fit(X, Y)
    assert len(fitted.reference_indices_) == number


def test_the_split_keeps_the_only_row_of_a_class_for_training():
    y = Y.copy()
    y[5] = 9
    assert 5 not in scorer(validation_fraction=0.5).fit(X, y).reference_indices_


def test_the_net_is_trained_on_all_rows_except_the_reference_rows():
    RecordingNet.trained_on = []
    fitted = scorer(estimator=RecordingNet(max_epochs=1)).fit(X, Y)
    [(rows, _)] = RecordingNet.trained_on
    assert_array_equal(rows, np.delete(X, fitted.reference_indices_, axis=0))


def test_the_net_is_trained_on_every_row_if_reference_rows_are_given():
    RecordingNet.trained_on = []
    scorer(estimator=RecordingNet(max_epochs=1)).fit(X, Y, X_val=X[:9] + 1, y_val=Y[:9])
    [(rows, labels)] = RecordingNet.trained_on
    assert_array_equal(rows, X)
    assert_array_equal(labels, Y)


def test_given_reference_rows_set_the_direction():
    net = FrozenEstimator(logits_net().fit(X32, Y))
    X_val, y_val = blobs(30, seed=1)
    fitted = InfluenceScorer(net).fit(X, Y, X_val=X_val, y_val=y_val)
    G = gradients(fitted.estimator_, X32, Y, nn.functional.cross_entropy)
    V = gradients(fitted.estimator_, X_val.astype(np.float32), y_val, nn.functional.cross_entropy)
    assert_allclose(fitted.scores_, G @ V.mean(0), rtol=1e-4, atol=1e-6)


def test_no_rows_are_split_off_if_reference_rows_are_given():
    assert scorer().fit(X, Y, X_val=X[:9], y_val=Y[:9]).reference_indices_ is None


def test_reference_rows_may_come_in_one_tuples():
    plain = scorer().fit(X, Y, X_val=X[:9], y_val=Y[:9])
    tuples = scorer().fit(X, Y, X_val=(X[:9],), y_val=(Y[:9],))
    assert_array_equal(tuples.scores_, plain.scores_)


def test_reference_rows_may_lack_a_class():
    X_val, y_val = X[Y < 2][:12], Y[Y < 2][:12]
    fitted = scorer(classwise=True, normalize="reference").fit(X, Y, X_val=X_val, y_val=y_val)
    assert np.isfinite(fitted.scores_).all()


def test_classwise_takes_the_worst_score_over_the_classes():
    net = FrozenEstimator(logits_net().fit(X32, Y))
    X_val, y_val = blobs(30, seed=1)
    fitted = InfluenceScorer(net, classwise=True).fit(X, Y, X_val=X_val, y_val=y_val)
    of_class = [
        InfluenceScorer(net).fit(X, Y, X_val=X_val[y_val == c], y_val=y_val[y_val == c]).scores_
        for c in range(3)
    ]
    assert_allclose(fitted.scores_, np.min(of_class, axis=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("normalize", ["rows", "both"])
def test_normalizing_divides_gradients_by_their_norms(normalize):
    net = FrozenEstimator(logits_net().fit(X32, Y))
    fitted = InfluenceScorer(net, normalize=normalize, random_state=0).fit(X, Y)
    G = gradients(fitted.estimator_, X32, Y, nn.functional.cross_entropy)
    units = G / np.linalg.norm(G, axis=1, keepdims=True)
    V = (units if normalize == "both" else G)[fitted.reference_indices_]
    assert_allclose(fitted.scores_, units @ V.mean(0), rtol=1e-4, atol=1e-6)


def test_an_early_stopping_net_validates_on_the_reference_rows():
    seen = _batches_seen(quick, early_stopping=True, max_epochs=2)
    assert seen == {True: 72, False: 18}


def test_a_net_with_its_own_split_validates_on_the_reference_rows():
    seen = _batches_seen(
        logits_net,
        train_split=ValidSplit(3),
        callbacks=[("stop", EarlyStopping(patience=1))],
        max_epochs=2,
    )
    assert seen == {True: 72, False: 18}


def _batches_seen(make, **params):
    """Count the rows of an epoch's training (True) and validation (False) batches."""
    seen = {}

    class Count(Callback):
        def on_epoch_begin(self, net, **kwargs):
            seen.clear()

        def on_batch_end(self, net, batch, training, **kwargs):
            seen[training] = seen.get(training, 0) + len(batch[0])

    callbacks = [*params.pop("callbacks", []), ("count", Count())]
    scorer(estimator=make(callbacks=callbacks, **params)).fit(X, Y)
    return seen


def test_the_fitted_net_keeps_the_users_split_and_callbacks():
    split = ValidSplit(3)
    fitted = scorer(estimator=logits_net(train_split=split, callbacks="disable")).fit(X, Y)
    assert fitted.estimator_.callbacks == "disable"
    assert vars(fitted.estimator_.train_split) == vars(split)


# Frozen nets


def test_a_frozen_nets_weights_stay_bit_identical():
    net = logits_net().fit(X32, Y)
    before = {name: t.clone() for name, t in net.module_.state_dict().items()}
    scorer(estimator=FrozenEstimator(net)).fit(X, Y).transform(X)
    assert all(torch.equal(t, before[name]) for name, t in net.module_.state_dict().items())


def test_the_scorer_uses_the_frozen_net_itself():
    net = logits_net().fit(X32, Y)
    assert scorer(estimator=FrozenEstimator(net)).fit(X, Y).estimator_ is net


def test_scoring_leaves_a_frozen_nets_mode_and_history_unchanged():
    net = logits_net().fit(X32, Y)
    net.module_.train()
    epochs = len(net.history)
    scorer(estimator=FrozenEstimator(net)).fit(X, Y)
    assert net.module_.training
    assert len(net.history) == epochs


def test_a_frozen_net_refuses_labels_it_was_not_fitted_on():
    frozen = FrozenEstimator(logits_net().fit(X32, Y))
    with pytest.raises(ValueError, match="y contains labels that the net was not fitted on: 3"):
        InfluenceScorer(frozen).fit(X, Y + 1)


def test_a_frozen_net_that_is_not_fitted_is_refused():
    with pytest.raises(ValueError, match="not fitted"):
        InfluenceScorer(FrozenEstimator(logits_net())).fit(X, Y)


def test_a_frozen_net_scores_rows_that_lack_one_of_its_classes():
    frozen = FrozenEstimator(logits_net().fit(X32, Y))
    rows = Y != 1
    fitted = InfluenceScorer(frozen, random_state=0).fit(X[rows], Y[rows])
    assert fitted.transform(X).shape == (90, 3)


def test_a_module_that_was_trained_before_warns():
    net = logits_net().fit(X32, Y)
    with pytest.warns(UserWarning, match="trained already.*FrozenEstimator"):
        scorer(estimator=own_net(net.module_).initialize()).fit(X, Y)


# Targets and parameters


def test_a_callable_target_gets_outputs_and_y_of_the_reference_rows():
    seen = {}

    def target(outputs, y):
        seen.update(outputs=outputs.shape, y=y.tolist())
        return outputs.square().sum()

    fitted = scorer(target=target).fit(X, Y)
    assert seen == {"outputs": (18, 3), "y": Y[fitted.reference_indices_].tolist()}


def test_the_mean_loss_as_a_callable_scores_like_the_default():
    default = scorer(estimator=logits_net()).fit(X, Y)
    own = scorer(estimator=logits_net(), target=nn.functional.cross_entropy).fit(X, Y)
    assert_allclose(own.scores_, default.scores_, rtol=1e-5)


def test_utility_of_the_correct_rows_ignores_rows_that_are_predicted_wrongly():
    frozen = FrozenEstimator(logits_net().fit(X32, Y))
    X_val, y_val = blobs(30, seed=1)
    right = frozen.predict(X_val.astype(np.float32)) == y_val
    assert 0 < right.sum() < 30
    fitted = InfluenceScorer(frozen, target=Utility("correct"))
    fitted.fit(X, Y, X_val=X_val, y_val=y_val)
    by_hand = InfluenceScorer(frozen).fit(X, Y, X_val=X_val[right], y_val=y_val[right])
    assert_allclose(fitted.scores_, by_hand.scores_, rtol=1e-5, atol=1e-7)


def test_parameters_restrict_the_gradient_to_the_head():
    frozen = FrozenEstimator(quick().fit(X32, Y))
    fitted = InfluenceScorer(frozen, parameters="head.*", random_state=0).fit(X, Y)
    net = fitted.estimator_
    names = [name for name, _ in net.module_.named_parameters()]
    sizes = [p.numel() for p in net.module_.parameters()]
    head = np.repeat([name.startswith("head.") for name in names], sizes)
    G = gradients(net, X32, Y, nn.functional.cross_entropy)[:, head]
    assert_allclose(fitted.scores_, G @ G[fitted.reference_indices_].mean(0), rtol=1e-4, atol=1e-6)


def test_naming_all_parameters_gives_the_default_scores():
    every = scorer(parameters=["body.*", "head.*"]).fit(X, Y)
    assert_allclose(every.scores_, fitted_to_blobs().scores_, rtol=1e-5, atol=1e-7)


def test_check_gradients_does_not_change_the_scores():
    assert_array_equal(scorer(check_gradients=False).fit(X, Y).scores_, fitted_to_blobs().scores_)


def test_verbose_shows_a_progress_bar(capsys):
    scorer(verbose=1).fit(X, Y)
    assert "scoring" in capsys.readouterr().err


def test_nothing_is_printed_by_default(capsys):
    scorer().fit(X, Y)
    assert capsys.readouterr() == ("", "")


# Transformer


def test_columns_are_named_after_the_labels():
    assert scorer().fit(X, NAMES[Y]).get_feature_names_out().tolist() == [
        "influence_ash",
        "influence_beech",
        "influence_cedar",
    ]


@pytest.mark.parametrize(("library", "frame"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_set_output_returns_a_frame(library, frame):
    made = scorer().set_output(transform=library).fit(X, NAMES[Y]).transform(X)
    assert isinstance(made, frame)
    assert list(made.columns) == ["influence_ash", "influence_beech", "influence_cedar"]


def test_set_output_pandas_keeps_the_index():
    frame = pd.DataFrame(X, index=np.arange(90) * 3, columns=list("abcd"))
    made = scorer().set_output(transform="pandas").fit(frame, Y).transform(frame)
    assert made.index.equals(frame.index)


def test_fit_transform_is_fit_and_transform():
    assert_array_equal(scorer().fit_transform(X, Y), fitted_to_blobs().transform(X))


@pytest.mark.parametrize("method", ["transform", "get_feature_names_out"])
def test_a_regressor_has_no_scores_per_label(method):
    fitted = scorer(estimator=quick_regressor()).fit(*line())
    argument = () if method == "get_feature_names_out" else (line()[0],)
    with pytest.raises(ValueError, match=r"regressor; use score_samples\(X, y\)"):
        getattr(fitted, method)(*argument)


def test_a_regressor_needs_y_to_score():
    fitted = scorer(estimator=quick_regressor()).fit(*line())
    with pytest.raises(ValueError, match="score_samples needs y for a regressor"):
        fitted.score_samples(line()[0])


# Containers


CONTAINERS = {
    "float64 array": X,
    "float32 array": X32,
    "list of lists": X.tolist(),
    "pandas": pd.DataFrame(X, columns=list("abcd"), index=np.arange(90)[::-1]),
    "polars": pl.DataFrame(X, schema=list("abcd")),
    "float32 tensor": torch.as_tensor(X32),
    "float64 tensor": torch.as_tensor(X),
    "tensor with a gradient": torch.as_tensor(X32).requires_grad_(),
    "fortran order": np.asfortranarray(X),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_any_container_of_the_same_rows_gives_the_same_scores(name):
    fitted = scorer(estimator=logits_net()).fit(CONTAINERS[name], Y)
    assert_allclose(fitted.scores_, fitted_to_blobs(logits_net).scores_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_fit_stores_the_column_names(name):
    assert scorer().fit(CONTAINERS[name], Y).feature_names_in_.tolist() == list("abcd")


@pytest.mark.parametrize("name", ["float64 array", "pandas", "polars", "float32 tensor"])
def test_fit_stores_the_number_of_columns(name):
    assert scorer().fit(CONTAINERS[name], Y).n_features_in_ == 4


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, bool])
def test_the_ready_made_net_accepts_whole_numbers(dtype):
    fitted = scorer().fit((np.abs(X) * 10 % 7).astype(dtype), Y)
    assert np.isfinite(fitted.scores_).all()


def test_scores_of_a_float32_net_are_float64():
    assert scorer().fit(X32, Y).scores_.dtype == np.float64


def test_a_float64_net_computes_in_float64():
    class Double(nn.Linear):
        def __init__(self):
            super().__init__(4, 3, dtype=torch.float64)

    frozen = FrozenEstimator(own_net(Double).fit(X, Y))
    fitted = InfluenceScorer(frozen, random_state=0).fit(X, Y)
    G = gradients(fitted.estimator_, X, Y, nn.functional.cross_entropy)
    assert_allclose(fitted.scores_, G @ G[fitted.reference_indices_].mean(0), rtol=1e-10)


def test_dict_inputs_are_passed_by_name():
    fitted = scorer(estimator=dict_net()).fit(as_dict(X), Y)
    expected = fitted_to_blobs(logits_net)
    assert_allclose(fitted.scores_, expected.scores_, rtol=1e-4, atol=1e-6)


def test_dict_entries_of_float64_and_of_lists_are_accepted():
    given = {"first": X[:, 0].tolist(), "rest": X[:, 1:]}
    fitted = scorer(estimator=dict_net()).fit(given, Y)
    expected = scorer(estimator=dict_net()).fit(as_dict(X), Y)
    assert_array_equal(fitted.scores_, expected.scores_)


class Images(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)
        )


@pytest.mark.parametrize("make", [np.float64, np.float32, torch.as_tensor])
def test_images_of_four_axes_are_scored(make):
    images = make(np.random.RandomState(0).randn(60, 1, 6, 6))
    fitted = scorer(estimator=own_net(Images)).fit(images, np.arange(60) % 3)
    assert fitted.transform(images).shape == (60, 3)


class Pairs(Dataset):
    """A Dataset of (x, y) items."""

    def __init__(self, labels, dtype=torch.float32):
        self.X, self.labels = torch.as_tensor(X, dtype=dtype), labels

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], self.labels[i]


class Rows(Pairs):
    """A Dataset of items without labels."""

    def __getitem__(self, i):
        return self.X[i]


@pytest.mark.parametrize(
    "dataset",
    [
        TensorDataset(torch.as_tensor(X32), torch.as_tensor(Y)),
        Pairs(Y),
        Pairs(NAMES[Y]),
        Pairs(Y + 1),
        Pairs(Y, torch.float64),
    ],
    ids=["TensorDataset", "own", "string labels", "labels from 1", "float64"],
)
def test_a_dataset_of_pairs_needs_no_y(dataset):
    fitted = scorer(estimator=logits_net()).fit(dataset)
    expected = fitted_to_blobs(logits_net)
    assert_allclose(fitted.scores_, expected.scores_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dataset", [Pairs(Y), Rows(Y)], ids=["with labels", "without labels"])
def test_a_given_y_overrides_the_labels_of_a_dataset(dataset):
    other = (Y + 1) % 3
    fitted = scorer(estimator=logits_net()).fit(dataset, other)
    expected = scorer(estimator=logits_net()).fit(X, other)
    assert_allclose(fitted.scores_, expected.scores_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dataset", [Rows(Y), Pairs(Y - 7)], ids=["without labels", "unknown"])
def test_functions_without_y_do_not_read_the_labels_of_a_dataset(dataset):
    fitted = fitted_to_blobs(logits_net)
    assert_allclose(fitted.transform(dataset), fitted.transform(X), rtol=1e-5, atol=1e-7)
    assert_allclose(
        influence_query_scores(fitted, dataset), influence_query_scores(fitted, X), rtol=1e-4
    )
    detector = NoisyLabelDetector(logits_net(), cv=2, checkpoints=2, random_state=0).fit(X, Y)
    assert_allclose(detector.score_labels(dataset), detector.score_labels(X), rtol=1e-4)


def test_score_samples_accepts_other_labels_for_a_dataset():
    fitted = fitted_to_blobs(logits_net)
    other = (Y + 1) % 3
    assert_allclose(
        fitted.score_samples(Pairs(Y), other), fitted.score_samples(X, other), rtol=1e-5
    )


def test_a_reference_dataset_needs_no_y_val():
    fitted = scorer(estimator=logits_net()).fit(X, Y, X_val=Pairs(Y))
    expected = scorer(estimator=logits_net()).fit(X, Y, X_val=X, y_val=Y)
    assert_allclose(fitted.scores_, expected.scores_, rtol=1e-4, atol=1e-6)


def test_a_dataset_is_transformed_like_its_rows():
    fitted = scorer(estimator=logits_net()).fit(Pairs(Y))
    assert_allclose(fitted.transform(Pairs(Y)), fitted.transform(X), rtol=1e-5)


def test_scaling_the_columns_hardly_changes_the_scores_of_the_ready_made_net():
    Z = StandardScaler().fit_transform(X)
    assert_allclose(scorer().fit(Z, Y).scores_, fitted_to_blobs().scores_, rtol=1e-3, atol=1e-3)


def test_the_training_array_itself_may_be_the_reference():
    rows = X.astype(np.float32)
    same = scorer().fit(rows, Y, X_val=rows, y_val=Y)
    assert np.array_equal(same.scores_, scorer().fit(rows, Y, X_val=rows.copy(), y_val=Y).scores_)


def test_a_warm_start_uses_parameters_set_since_the_last_fit():
    def n_epochs(**params):
        made.set_params(**params).fit(X32, Y)
        return len(made.estimator_.history)

    made = scorer(estimator=TabularClassifier(max_epochs=5, warm_start=True))
    assert n_epochs() == 5
    assert n_epochs(estimator__max_epochs=1, estimator__lr=1e-9) == 6
    assert made.estimator_.optimizer_.param_groups[0]["lr"] == 1e-9
    before = made.estimator_.predict_proba(X32)
    assert n_epochs() == 7
    assert_allclose(made.estimator_.predict_proba(X32), before, atol=1e-4)
    assert n_epochs(estimator__module__hidden=(3,)) == 1  # a new architecture restarts training
