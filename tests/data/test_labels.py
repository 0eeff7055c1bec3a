"""Labels are translated for the net and back; those that cannot be used are refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetBinaryClassifier
from small import binary_net, blobs, line, own_net, quick_regressor, scorer
from torch import nn
from torch.utils.data import TensorDataset

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
def test_bad_labels_are_refused(make, kind):
    rows, labels, message = BAD_LABELS[kind]
    with pytest.raises(ValueError, match=message):
        make().fit(rows, labels)


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
