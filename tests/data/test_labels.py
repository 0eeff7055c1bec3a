"""Labels are translated for the net and back; those that cannot be used are refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetBinaryClassifier
from small import binary_net, blobs, line, own_net, quick, quick_regressor, scorer
from torch import nn
from torch.utils.data import TensorDataset

from skinfluence import NoisyLabelDetector
from skinfluence.methods import InnerProduct, Loss, SelfInfluence

X, Y = blobs()


NAMES = np.array(["ash", "beech", "cedar"])


def with_label(value):
    y = Y.astype(object)
    y[3] = value
    return y


BAD_LABELS = {
    "one class": (X, np.zeros(90, int), r"one class only \(0\); at least two"),
    "fewer labels": (X, Y[:80], "inconsistent numbers of samples: 90 rows, but y has 80"),
    "more labels": (X[:80], Y, "inconsistent numbers of samples: 80 rows, but y has 90"),
    "NaN label": (X, np.where(Y == 0, np.nan, Y), "y contains NaN or infinity in 30 of 90 rows"),
    "None label": (X, with_label(None), "y contains NaN or infinity in 1 of 90 rows"),
    "NA label": (
        X,
        pd.Series(["a", "b", pd.NA] * 30, dtype="string"),
        "y contains NaN or infinity in 30 of 90 rows",
    ),
    "mixed labels": (X, with_label("oak"), "y mixes text and numbers"),
    "no labels": (X, None, "requires y to be passed"),
}


@pytest.mark.parametrize("kind", BAD_LABELS)
def test_bad_labels_are_refused(make_estimator, kind):
    rows, labels, message = BAD_LABELS[kind]
    with pytest.raises(ValueError, match=message):
        make_estimator().fit(rows, labels)


def test_a_dataset_of_triples_without_y_is_refused(make_scorer):
    three = TensorDataset(torch.zeros(9, 4), torch.zeros(9), torch.zeros(9))
    with pytest.raises(ValueError, match=r"items are not \(x, y\) pairs"):
        make_scorer().fit(three)


def test_an_unseen_label_is_refused_when_scoring(make_scorer):
    fitted = make_scorer().fit(X, Y)
    with pytest.raises(ValueError, match="labels that the net was not fitted on: 7; it knows 0, 1"):
        fitted.score_samples(X[:2], [0, 7])


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


# Labels that are indices of outputs


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("frozen", [False, True])
def test_absent_classes_leave_the_other_labels_at_their_outputs(seed, frozen):
    rng = np.random.RandomState(seed)
    present = np.sort(rng.choice(10, rng.randint(2, 10), replace=False))
    y = np.r_[present, present, rng.choice(present, 60)]
    ignored = int(rng.choice([-1, -100, 255]))
    y = np.where(rng.rand(len(y)) < rng.choice([0, 0.2]), ignored, y.astype(float)).astype(int)
    y[: 2 * len(present)] = np.r_[present, present]
    rows = rng.randn(len(y), 4).astype(np.float32)
    weight = torch.tensor(rng.rand(10) + 0.5, dtype=torch.float32)
    head = nn.Linear(4, 10)
    net = own_net(head, lr=0.0, criterion__weight=weight, criterion__ignore_index=ignored)
    if frozen:
        net = FrozenEstimator(net.fit(rows, y))
    fitted = scorer(estimator=net, method=Loss()).fit(rows, y)

    def losses(labels):
        outputs = head(torch.tensor(rows))
        return nn.functional.cross_entropy(
            outputs, torch.tensor(labels), weight, ignore_index=ignored, reduction="none"
        ).detach()

    assert_array_equal(fitted.classes_, present)
    assert_allclose(fitted.scores_, -losses(y), rtol=1e-5, atol=1e-6)
    assert_allclose(fitted.score_samples(rows, y), fitted.scores_, rtol=1e-5, atol=1e-6)
    by_label = np.stack([-losses(np.full(len(y), c)) for c in present], 1)
    assert_allclose(fitted.transform(rows), by_label, rtol=1e-5, atol=1e-6)
    assert_array_equal(fitted.estimator_.predict(rows), head(torch.tensor(rows)).argmax(1))


@pytest.mark.parametrize("given", [[1, 2, 3], [-1, 0, 1], [3, 5, 300], "abc"])
def test_labels_that_are_not_indices_of_outputs_are_numbered(given):
    labels = scorer(estimator=own_net(lambda: nn.Linear(4, 3))).fit(X, np.array(list(given))[Y])
    assert labels._labels.codes_.tolist() == [0, 1, 2]


def test_a_pretrained_head_is_tuned_at_its_own_outputs():
    head = nn.Linear(4, 10)
    with torch.no_grad():
        head.bias[:3] = -50.0  # outputs that are not fine-tuned
        head.weight[[3, 8]] = (
            5 * torch.tensor(np.stack([X[k == Y].mean(0) for k in (0, 1)])).float()
        )
    rows, y = X[Y < 2], np.array([3, 8])[Y[Y < 2]]
    found = NoisyLabelDetector(own_net(head, lr=1e-6), random_state=0).fit(rows, y)
    assert (found.suggested_labels_ == y).mean() > 0.9
    assert found.contamination_ < 0.1


def unlabeled():
    return np.where(np.arange(90) % 5 == 0, -1, Y)


def ignoring_net(**params):
    return own_net(lambda: nn.Linear(4, 3), criterion__ignore_index=-1, **params)


@pytest.mark.parametrize("method", [None, Loss(), SelfInfluence(), InnerProduct(normalize="rows")])
def test_rows_with_the_ignored_label_score_zero(method):
    y = unlabeled()
    fitted = scorer(estimator=ignoring_net(), method=method).fit(X, y)
    assert fitted.classes_.tolist() == [0, 1, 2]
    assert (fitted.scores_[y == -1] == 0).all()
    assert (fitted.scores_[y != -1] != 0).all()
    if fitted.reference_indices_ is not None:
        assert (y[fitted.reference_indices_] != -1).all()


def test_a_ready_made_net_has_no_output_for_the_ignored_label():
    y = np.where(unlabeled() == -1, 255, Y)
    fitted = scorer(estimator=quick(criterion__ignore_index=255, class_weight="balanced")).fit(X, y)
    assert fitted.estimator_.module_.head.out_features == 3
    assert (fitted.scores_[y == 255] == 0).all()


def test_the_ignored_label_is_refused_where_labels_are_compared():
    y = unlabeled()
    with pytest.raises(ValueError, match=r"y is -1, the ignore_index.*18 of 90 rows.*X\[y != -1\]"):
        NoisyLabelDetector(ignoring_net(), random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="y_val is -1, the ignore_index"):
        scorer(estimator=ignoring_net()).fit(X, Y, X_val=X, y_val=y)


# Classes of a frozen net


def test_a_frozen_net_without_classes_is_refused_with_the_cure():
    net = own_net(lambda: nn.Linear(4, 3)).initialize()
    with pytest.raises(ValueError, match=r"net\.classes = \[0, 1\]"):
        scorer(estimator=FrozenEstimator(net)).fit(X, Y)
    net.classes = [0, 1, 2]
    assert scorer(estimator=FrozenEstimator(net)).fit(X, Y).scores_.shape == (90,)


def test_other_names_for_the_classes_of_a_frozen_net_can_be_set():
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


def test_numbers_that_a_frozen_net_was_trained_on_are_its_outputs():
    net = own_net(lambda: nn.Linear(4, 8)).fit(X.astype(np.float32), 2 * Y + 3)
    for classes in (None, [3, 5, 7]):
        net.classes = classes
        labels = scorer(estimator=FrozenEstimator(net)).fit(X, 2 * Y + 3)._labels
        assert labels.codes_.tolist() == [3, 5, 7]


def test_the_two_classes_of_a_binary_net_can_be_named():
    names = np.array(["yes", "no"])
    net = NeuralNetBinaryClassifier(nn.Linear, module__in_features=4, module__out_features=1)
    net.set_params(train_split=None, verbose=0).fit(X.astype(np.float32), np.float32(Y == 1))
    net.classes = ["yes", "no"]
    made = scorer(estimator=FrozenEstimator(net)).fit(X, names[(Y == 1) * 1])
    assert made.classes_.tolist() == ["no", "yes"]
    assert made._labels.codes_.tolist() == [1, 0]
