"""skinfluence.nets: ready-made nets for tables, their batches, and the last layer of a net."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import Dataset as SkorchDataset
from skorch.dataset import ValidSplit
from small import blobs, line
from torch import nn
from torch.utils.data import DataLoader, Subset

from skinfluence import InfluenceScorer
from skinfluence.attacks import Crossing
from skinfluence.nets import (
    MLP,
    TabularClassifier,
    TabularRegressor,
    split_head,
    table_batches,
)

X64, Y = blobs()
X = X64.astype(np.float32)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def classifier(**params):
    return TabularClassifier(**{"max_epochs": 3, "module__hidden": (8,), "lr": 0.02} | params)


def regressor(**params):
    return TabularRegressor(**{"max_epochs": 3, "module__hidden": (8,), "lr": 0.02} | params)


class Count(Callback):
    """Counts the rows of the training (True) and validation (False) batches of an epoch."""

    def on_epoch_begin(self, net, **kwargs):
        self.rows = {}

    def on_batch_end(self, net, batch, training, **kwargs):
        self.rows[training] = self.rows.get(training, 0) + len(batch[0])


def rows_seen(net, rows, y):
    count = Count()
    net.set_params(callbacks=[("count", count)])
    net.fit(rows, y)
    return count.rows


# Widths and scales ----------------------------------------------------------------------------


def test_a_classifier_takes_its_widths_from_the_table():
    net = classifier().fit(X, Y)
    assert net.module_.body[0].in_features == 4
    assert net.module_.head.out_features == 3


def test_a_classifier_without_callbacks_gives_the_same_probabilities():
    found = []
    for params in ({}, {"callbacks": "disable"}):
        torch.manual_seed(0)
        found.append(classifier(**params).fit(X, Y).predict_proba(X))
    np.testing.assert_array_equal(*found)
    assert InfluenceScorer(classifier(callbacks="disable")).fit(X, Y).scores_.shape == (len(X),)


@pytest.mark.parametrize(("outputs", "width"), [(None, 1), (2, 2)])
def test_a_regressor_takes_its_widths_from_the_table(outputs, width):
    net = regressor().fit(*line(outputs=outputs))
    assert net.module_.body[0].in_features == 4
    assert net.module_.head.out_features == width


def test_a_refit_adapts_the_widths():
    net = classifier().fit(X, Y)
    net.fit(X[:, :2], Y % 2)
    assert net.module_.body[0].in_features == 2
    assert net.module_.head.out_features == 2


def test_a_refit_of_a_regressor_adapts_the_widths():
    net = regressor().fit(*line())
    rows, y = line(outputs=3)
    net.fit(rows[:, :2], y)
    assert net.module_.body[0].in_features == 2
    assert net.module_.head.out_features == 3


def test_the_module_has_the_means_and_scales_of_the_columns():
    module = classifier().fit(X, Y).module_
    assert_allclose(module.x_mean, X64.mean(0), rtol=1e-5)
    assert_allclose(module.x_scale, X64.std(0), rtol=1e-5)


def test_a_refit_adapts_the_scales():
    net = classifier().fit(X, Y)
    net.fit(X * 100 + 7, Y)
    assert_allclose(net.module_.x_mean, 100 * X64.mean(0) + 7, rtol=1e-5)


def test_the_module_has_the_mean_and_scale_of_the_targets():
    rows, y = line()
    module = regressor().fit(rows, y).module_
    assert_allclose([module.y_mean.item(), module.y_scale.item()], [y.mean(), y.std()], rtol=1e-5)


def test_a_constant_column_gives_finite_outputs():
    rows = X.copy()
    rows[:, 2] = 1e8
    net = classifier().fit(rows, Y)
    assert np.isfinite(net.predict_proba(rows)).all()


def test_the_value_of_a_constant_column_does_not_matter():
    rows = X.copy()
    rows[:, 2] = 0.1
    shifted = rows.copy()
    shifted[:, 2] = 1e6
    found = []
    for table in (rows, shifted):
        torch.manual_seed(0)
        found.append(classifier().fit(table, Y).predict_proba(table))
    assert_allclose(found[0], found[1], rtol=1e-5)


@pytest.mark.parametrize("offset", [1.7e9, 2.0**40, -(2.0**44)])
def test_scores_do_not_depend_on_the_offset_of_a_column(offset):
    rows = np.round(X64 * 20)  # whole numbers, so that adding the offset does not round them
    known = {"X_val": rows[:30], "y_val": Y[:30]}
    want = InfluenceScorer(classifier(), random_state=0).fit(rows, Y, **known)
    rows = rows + [0, offset, 0, 0]
    known = {"X_val": rows[:30], "y_val": Y[:30]}
    for table in (rows, torch.tensor(rows), rows.astype(np.int64)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = InfluenceScorer(classifier(), random_state=0).fit(table, Y, **known)
        assert_allclose(found.scores_, want.scores_, rtol=1e-3, atol=1e-4 * want.scores_.std())
        assert_allclose(found.score_samples(table, Y), found.scores_, rtol=1e-5, atol=1e-7)
        centered = rows - [0, offset, 0, 0]
        assert_array_equal(found.estimator_.predict(table), want.estimator_.predict(centered))


def test_a_constant_column_of_any_size_becomes_zeros():
    rows = np.c_[X64, np.full((90, 3), [1.7e9, 2.0**40 + 1, 1e30])]
    module = classifier().fit(rows, Y).module_
    scaled = (torch.tensor(rows) - module.x_mean - module.x_mean_rest) / module.x_scale
    assert scaled[:, 4:].abs().max() < 1e-6


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_targets_of_any_scale_are_learned(scale):
    rows, y = line(200)
    net = regressor(max_epochs=40, lr=0.02).fit(rows, y * scale + 3 * scale)
    assert net.score(rows, y * scale + 3 * scale) > 0.9  # R²; 0.99 measured


def test_columns_of_very_different_scales_are_learned():
    rows = X * np.array([1e-4, 1.0, 1e4, 1e6], dtype=np.float32)
    assert classifier(max_epochs=30).fit(rows, Y).score(rows, Y) > 0.8  # 0.95 measured


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float64, np.float32])
def test_columns_of_any_numeric_dtype_are_accepted(dtype):
    rows = np.abs(X64 * 10).astype(dtype)
    assert classifier().fit(rows, Y).predict(rows).shape == (90,)


def test_without_hidden_layers_the_net_is_a_linear_model():
    net = classifier(module__hidden=()).fit(X, Y)
    assert [name for name, _ in net.module_.named_parameters()] == ["head.weight", "head.bias"]


def test_dropout_adds_its_layers():
    net = classifier(module__dropout=0.5).fit(X, Y)
    assert [type(layer).__name__ for layer in net.module_.body] == ["Linear", "ReLU", "Dropout"]


def test_defaults_are_those_of_the_docstring():
    net = TabularClassifier()
    assert (net.lr, net.max_epochs, net.batch_size) == (1e-3, 30, "auto")
    assert MLP().body[0].out_features == 128


# Training rows --------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "data"), [(classifier, (X, Y)), (regressor, line(90))])
def test_every_row_is_trained_on_by_default(make, data):
    assert rows_seen(make(), *data) == {True: 90}


@pytest.mark.parametrize(("make", "data"), [(classifier, (X, Y)), (regressor, line(90))])
def test_early_stopping_splits_off_a_fifth(make, data):
    assert rows_seen(make(early_stopping=True), *data) == {True: 72, False: 18}


def test_early_stopping_does_not_change_the_parameters():
    net = classifier(early_stopping=True).fit(X, Y)
    assert net.train_split is None


def test_early_stopping_uses_the_train_split_of_the_user():
    net = classifier(early_stopping=True, train_split=ValidSplit(3, stratified=True))
    assert rows_seen(net, X, Y) == {True: 60, False: 30}


@pytest.mark.parametrize(("make", "data"), [(classifier, (X, Y)), (regressor, line(90))])
def test_early_stopping_stops_early(make, data):
    net = make(early_stopping=True, max_epochs=200, lr=0.2).fit(*data)
    assert 5 < len(net.history) < 200


def test_balanced_class_weights_are_inverse_frequencies():
    y = (np.arange(90) % 9 == 0).astype(int)  # 80 and 10
    net = classifier(class_weight="balanced").fit(X, y)
    assert_allclose(net.criterion_.weight, [90 / 160, 90 / 20])


def test_balanced_class_weights_raise_the_recall_of_a_rare_class():
    rng = np.random.RandomState(0)
    y = (rng.rand(400) < 0.1).astype(int)
    rows = (rng.randn(400, 4) + 1.2 * y[:, None]).astype(np.float32)
    recall = {}
    for weight in (None, "balanced"):
        torch.manual_seed(0)
        net = classifier(class_weight=weight, max_epochs=15).fit(rows, y)
        recall[weight] = net.predict(rows)[y == 1].mean()
    assert recall["balanced"] > recall[None]


def test_a_refit_adapts_the_class_weights():
    net = classifier(class_weight="balanced").fit(X, Y)
    net.fit(X, Y % 2)
    assert net.criterion_.weight.shape == (2,)


def test_class_weights_do_not_stay_after_their_fit():
    net = classifier(class_weight="balanced").fit(X, Y)
    net.set_params(class_weight=None)
    for later in (clone(net), net):
        assert later.fit(X, Y).criterion_.weight is None
    net.set_params(class_weight="balanced")
    some = Y < 2
    assert len(net.fit(X[some], Y[some]).criterion_.weight) == 2


def test_class_weights_need_a_criterion_with_weights():
    net = classifier(class_weight="balanced", criterion=nn.MultiMarginLoss)
    with pytest.raises(ValueError, match="needs a criterion that has a weight"):
        classifier(class_weight="balanced", criterion=Unweighted).fit(X, Y)
    assert net.fit(X, Y).criterion_.weight is not None


class Unweighted(nn.Module):
    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, f, y):
        return nn.functional.cross_entropy(f, y, reduction=self.reduction)


def test_without_class_weights_the_loss_is_unweighted():
    assert classifier().fit(X, Y).criterion_.weight is None


# Continued training ---------------------------------------------------------------------------


def test_partial_fit_continues():
    net = classifier().fit(X, Y)
    net.partial_fit(X, Y)
    assert len(net.history) == 6


def test_partial_fit_keeps_the_first_scales():
    net = classifier().fit(X, Y)
    net.partial_fit(X * 100, Y)
    assert_allclose(net.module_.x_mean, X64.mean(0), rtol=1e-5)


def test_partial_fit_initializes_a_new_net():
    net = regressor().partial_fit(*line())
    assert net.predict(line()[0]).shape == (80,)


def test_a_warm_start_continues():
    net = classifier(warm_start=True, lr=1e-9, max_epochs=1).fit(X, Y)
    before = net.module_.head.weight.detach().clone()
    net.fit(X, Y)
    assert_allclose(net.module_.head.weight.detach(), before, atol=1e-6)


def test_without_a_warm_start_a_refit_starts_again():
    net = classifier(lr=1e-9, max_epochs=1).fit(X, Y)
    before = net.module_.head.weight.detach().clone()
    net.fit(X, Y)
    assert not np.allclose(net.module_.head.weight.detach(), before, atol=1e-3)


# The interface of skorch nets ------------------------------------------------------------------


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_clone_has_the_same_parameters(make):
    net = make(early_stopping=True, module__dropout=0.2)
    copy = clone(net)
    assert (copy.early_stopping, copy.module__dropout, copy.lr) == (True, 0.2, 0.02)


def test_a_clone_of_a_fitted_net_is_unfitted():
    assert not clone(classifier().fit(X, Y)).initialized_


def test_a_clone_has_the_same_class_weight():
    assert clone(classifier(class_weight="balanced")).class_weight == "balanced"


def test_a_grid_search_reaches_its_parameters():
    grid = {"module__hidden": [(4,), (8, 8)], "lr": [0.01, 0.1]}
    search = GridSearchCV(classifier(), grid, cv=2).fit(X, Y)
    assert search.best_params_["module__hidden"] in [(4,), (8, 8)]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(("make", "data"), [(classifier, (X, Y)), (regressor, line())])
def test_pickle_keeps_the_predictions(make, data):
    net = make().fit(*data)
    again = pickle.loads(pickle.dumps(net))
    assert_array_equal(again.predict(data[0]), net.predict(data[0]))


def test_training_prints_nothing(capsys):
    net = classifier().fit(X, Y)
    net.fit(X[:, :2], Y)
    assert capsys.readouterr().out == ""


def test_fit_does_not_change_verbose():
    assert classifier(verbose=0).fit(X, Y).verbose == 0


@pytest.mark.parametrize(("outputs", "shape"), [(None, (80,)), (1, (80,)), (2, (80, 2))])
def test_predictions_have_the_shape_of_the_targets(outputs, shape):
    rows, y = line(outputs=outputs)
    assert regressor().fit(rows, y).predict(rows).shape == shape


# Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "y", [np.array(list("abc"))[Y], Y.astype(np.float64), Y - 1], ids=["text", "floats", "negative"]
)
def test_labels_other_than_codes_are_refused(y):
    with pytest.raises(ValueError, match=r"takes labels 0, 1, .*LabelEncoder"):
        classifier().fit(X, y)


def test_an_unknown_class_weight_is_refused():
    with pytest.raises(ValueError, match="class_weight='auto': expected None or 'balanced'"):
        classifier(class_weight="auto").fit(X, Y)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_input_other_than_a_table_is_refused_with_its_shape(make):
    with pytest.raises(ValueError, match=r"ready-made nets take a table.*shape \(90, 2, 2\)"):
        make().fit(X.reshape(90, 2, 2), Y)


# Batches --------------------------------------------------------------------------------------


def batches(dataset, **params):
    return [(a.tolist(), b.tolist()) for a, b in table_batches(dataset, 4, **params)]


ROWS = np.arange(10.0, dtype=np.float32)[:, None]


def test_batches_equal_those_of_a_data_loader():
    dataset = SkorchDataset(ROWS, np.arange(10))
    expected = [(a.tolist(), b.tolist()) for a, b in DataLoader(dataset, batch_size=4)]
    assert batches(dataset) == expected


def test_batches_of_a_subset_have_its_rows():
    dataset = Subset(SkorchDataset(ROWS, np.arange(10)), [1, 3, 5])
    assert batches(dataset) == [([[1.0], [3.0], [5.0]], [1, 3, 5])]


@pytest.mark.parametrize("rows", [None, [1, 3, 5]], ids=["whole", "subset"])
def test_batches_of_tensors_equal_those_of_arrays_without_a_warning(rows):
    datasets = [SkorchDataset(X, torch.arange(10)) for X in (ROWS, torch.from_numpy(ROWS))]
    if rows:
        datasets = [Subset(dataset, rows) for dataset in datasets]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arrays, tensors = (batches(dataset) for dataset in datasets)
    assert tensors == arrays


def test_batches_of_a_read_only_array_cause_no_warning():
    read_only = ROWS.copy()
    read_only.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert batches(SkorchDataset(read_only, np.arange(10)))


def test_shuffled_batches_have_each_row_once():
    found = batches(SkorchDataset(ROWS, np.arange(10)), shuffle=True)
    labels = [label for _, b in found for label in b]
    assert sorted(labels) == list(range(10))
    assert labels != list(range(10))


def test_shuffled_rows_keep_their_labels():
    found = batches(SkorchDataset(ROWS, np.arange(10)), shuffle=True)
    assert [[x[0] for x in a] for a, _ in found] == [b for _, b in found]


def test_the_length_is_the_number_of_batches():
    assert len(table_batches(SkorchDataset(ROWS, np.arange(10)), 4)) == 3


@pytest.mark.parametrize(
    ("dataset", "params"),
    [
        (torch.utils.data.TensorDataset(torch.zeros(9, 2), torch.zeros(9)), {}),
        (SkorchDataset({"a": ROWS}, np.arange(10)), {}),
        (SkorchDataset(ROWS, np.arange(10)), {"drop_last": True}),
    ],
    ids=["TensorDataset", "dict", "drop_last"],
)
def test_anything_but_plain_arrays_gets_a_data_loader(dataset, params):
    assert isinstance(table_batches(dataset, 4, **params), DataLoader)


@pytest.mark.parametrize(("rows", "size"), [(50, 16), (1000, 50), (20000, 256)])
def test_an_automatic_batch_is_a_twentieth_of_the_rows_within_bounds(rows, size):
    dataset = SkorchDataset(np.zeros((rows, 1)), np.zeros(rows))
    first, _ = next(iter(table_batches(dataset, "auto")))
    assert len(first) == size


# The last layer as a net -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_the_head_on_the_embedding_predicts_like_the_net(seed):
    X, y = load_iris(return_X_y=True)
    torch.manual_seed(seed)
    net = TabularClassifier(max_epochs=3, module__hidden=(16, 8)).fit(X, y)
    embed, head = split_head(net)
    np.testing.assert_allclose(head.predict_proba(embed(X)), net.predict_proba(X), atol=1e-6)


def test_a_custom_net_is_split_whatever_its_batch_size():
    X, y = load_iris(return_X_y=True)
    X = np.tile(X, (4, 1)).astype(np.float32)
    own = {"module__n_inputs": 4, "module__n_outputs": 3, "criterion": nn.CrossEntropyLoss}
    net = NeuralNetClassifier(MLP, **own, train_split=None, verbose=0, max_epochs=1, batch_size=7)
    net.fit(X, np.tile(y, 4).astype(np.int64))
    embed, head = split_head(net)
    np.testing.assert_allclose(head.predict_proba(embed(X)), net.predict_proba(X), atol=1e-6)


def test_the_embedding_is_the_input_of_the_layer():
    X, y = load_iris(return_X_y=True)
    net = TabularClassifier(max_epochs=2, module__hidden=(16, 8)).fit(X, y)
    with torch.no_grad():
        module = net.module_
        want = module.body((torch.tensor(X).float() - module.x_mean) / module.x_scale)
    np.testing.assert_allclose(split_head(net)[0](X), want.numpy(), atol=1e-6)


def test_a_layer_called_by_keyword_is_split():
    class ByKeyword(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, X):
            return self.head(input=torch.relu(self.body(X)))

    X, y = load_iris(return_X_y=True)
    X, own = X.astype(np.float32), {"criterion": nn.CrossEntropyLoss, "train_split": None}
    net = NeuralNetClassifier(ByKeyword, **own, verbose=0, max_epochs=1).fit(X, y)
    embed, head = split_head(net)
    np.testing.assert_allclose(head.predict_proba(embed(X)), net.predict_proba(X), atol=1e-6)


def test_splitting_does_not_change_the_net():
    X, y = load_iris(return_X_y=True)
    net = TabularClassifier(max_epochs=2, module__hidden=(8,)).fit(X, y)
    before = pickle.dumps(net.module_.state_dict())
    embed, head = split_head(net)
    embed(X)
    head.module_.weight.data.zero_()
    assert pickle.dumps(net.module_.state_dict()) == before
    assert not net.module_.head._forward_pre_hooks


def test_crossing_works_on_the_head_of_a_net():
    X, y = load_iris(return_X_y=True)
    net = TabularClassifier(max_epochs=10, module__hidden=(16,)).fit(X, y)
    embed, head = split_head(net)
    moved = Crossing(1.3)(head, embed(X), y)
    assert (head.predict(moved) != net.predict(X)).all()


def test_scores_of_a_head_equal_those_of_the_last_layer():
    X, y = load_iris(return_X_y=True)
    net = TabularClassifier(max_epochs=3, module__hidden=(16,)).fit(X, y)
    embed, head = split_head(net)
    whole = InfluenceScorer(FrozenEstimator(net), parameters="head.*")
    alone = InfluenceScorer(FrozenEstimator(head))
    want = whole.fit(X, y, X_val=X, y_val=y).scores_
    got = alone.fit(embed(X), y, X_val=embed(X), y_val=y).scores_
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_a_net_must_be_fitted_to_be_split():
    with pytest.raises(NotFittedError):
        split_head(TabularClassifier())


@pytest.mark.parametrize(
    ("layer", "message"),
    [("nose", "no such layer; it has body"), ("body.0", "other layers follow it")],
    ids=["no such layer", "not the last"],
)
def test_a_split_at_another_layer_is_refused(layer, message):
    X, y = load_iris(return_X_y=True)
    net = TabularClassifier(max_epochs=1, module__hidden=(3,)).fit(X, y)
    with pytest.raises(ValueError, match=message):
        split_head(net, layer)[0](X)
