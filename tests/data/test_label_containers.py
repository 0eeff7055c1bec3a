"""Labels of every container are answered or refused by name; the container comes back."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from small import blobs, quick, quick_regressor, scorer, selector
from torch import nn
from torch.utils.data import Dataset

from skinfluence import (
    FilteredEstimator,
    InfluenceSampleSelector,
    InfluenceScorer,
    NoisyLabelDetector,
)
from skinfluence.rules import Budget

X, Y = blobs()
NAMES = np.array(["ash", "beech", "cedar"])[Y].tolist()
CONTAINERS = {
    "pyarrow": pa.array(NAMES),
    "pyarrow in chunks": pa.chunked_array([NAMES[:30], NAMES[30:]]),
    "dictionary of pyarrow": pa.array(NAMES).dictionary_encode(),
    "categories of polars": pl.Series(NAMES, dtype=pl.Categorical),
    "enum of polars": pl.Series(NAMES, dtype=pl.Enum(["ash", "beech", "cedar"])),
    "objects of polars": pl.Series(NAMES, dtype=pl.Object),
    "strings of pyarrow in pandas": pd.array(NAMES, dtype="string[pyarrow]"),
    "Arrow dtype of pandas": pd.Series(NAMES, dtype=pd.ArrowDtype(pa.string())),
    "tuple": tuple(NAMES),
}


@pytest.mark.parametrize("form", CONTAINERS)
def test_labels_of_any_container_are_filtered(form):
    given = CONTAINERS[form]
    found = FilteredEstimator(LogisticRegression(), selector()).fit(X, given)
    assert found.classes_.tolist() == ["ash", "beech", "cedar"]


@pytest.mark.parametrize("form", [form for form in CONTAINERS if form != "tuple"])
def test_relabeled_labels_come_back_in_their_container(form):
    given = CONTAINERS[form]
    relabel = InfluenceSampleSelector(NoisyLabelDetector(quick(), cv=2), Budget(action="relabel"))
    assert type(relabel.fit_resample(X, given)[1]) is type(given)


@pytest.mark.parametrize(
    "given", [set(NAMES), dict(enumerate(NAMES)).values(), (v for v in NAMES)], ids=type
)
def test_labels_without_an_order_are_refused(given):
    with pytest.raises(TypeError, match=r"y is of type .*; expected an array or a list"):
        scorer().fit(X, given)


def test_rows_without_an_order_are_refused():
    with pytest.raises(TypeError, match=r"X is of type set; expected an array or a list"):
        scorer().fit({1, 2}, Y)


def test_tensors_that_require_a_gradient_are_detached():
    rows = [torch.tensor(row, requires_grad=True) for row in X]
    labels = [torch.tensor(label) for label in Y]
    expected = scorer().fit(X, Y).scores_
    assert_allclose(scorer().fit(rows, labels).scores_, expected)
    assert_allclose(scorer().fit(torch.tensor(X).requires_grad_(), Y).scores_, expected)


def test_tensors_without_values_are_refused():
    empty = torch.zeros(90, 4, device="meta")
    for rows, labels in ((empty, Y), ({"a": empty}, Y), (X, empty[:, 0])):
        with pytest.raises(ValueError, match=r"is a tensor on the device 'meta'"):
            scorer().fit(rows, labels)


def test_masked_entries_are_refused():
    with pytest.raises(ValueError, match=r"y is a masked array, and 30 of its entries are masked"):
        scorer().fit(X, np.ma.masked_array(Y, Y == 2))
    with pytest.raises(ValueError, match=r"X is a masked array"):
        scorer().fit(np.ma.masked_array(X, X > 1), Y)


# Labels that NumPy's strings would merge

MERGED = np.array(["a", "a\0", "b"], dtype=object)[Y]


TYPES = [np.asarray, list, pd.Series, pl.Series]
if len(pd.Categorical(MERGED).categories) == 3:  # older pandas merges them itself
    TYPES.append(pd.Categorical)


@pytest.mark.parametrize("container", TYPES, ids=lambda c: c.__name__)
def test_labels_that_differ_by_a_nul_stay_apart(container):
    given = container(MERGED.tolist() if container is pl.Series else MERGED)
    classes = ["a", "a\0", "b"]
    detector = NoisyLabelDetector(quick(), cv=2, random_state=0).fit(X, given)
    assert detector.classes_.tolist() == classes
    assert set(detector.suggested_labels_) == set(classes)
    found = scorer().fit(X, given)
    assert found.classes_.tolist() == classes
    assert_array_equal(found.scores_, scorer().fit(X, Y).scores_)
    filtered = FilteredEstimator(LogisticRegression(), selector()).fit(X, given)
    assert filtered.classes_.tolist() == classes


# Dates


def test_dates_as_objects_are_refused_with_the_cure():
    y = [datetime.date(2024, 1, 1 + label) for label in Y]
    with pytest.raises(TypeError, match=r"y holds dates or durations as Python objects.*strings"):
        scorer().fit(X, y)


def test_dates_of_numpy_are_classes_and_no_numbers():
    days = np.datetime64("2024-01-01") + Y
    assert scorer().fit(X, days).classes_.dtype.kind == "M"
    with pytest.raises(ValueError, match=r"a regressor needs numbers, such as days: \(y - start\)"):
        scorer(estimator=quick_regressor()).fit(X, days)


# Targets with several axes

RNG = np.random.RandomState(0)
OWN = {"max_epochs": 1, "train_split": None, "verbose": 0}


def image_net():
    return NeuralNet(
        nn.Conv2d,
        module__in_channels=1,
        module__out_channels=3,
        module__kernel_size=3,
        module__padding=1,
        criterion=nn.CrossEntropyLoss,
        **OWN,
    )


def line_net(kind, criterion):
    return kind(
        nn.Linear, module__in_features=4, module__out_features=2, criterion=criterion, **OWN
    )


class Images(Dataset):
    """Images and masks of classes."""

    def __init__(self, images, masks):
        self.images, self.masks = images, masks

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i], self.masks[i]


class WithoutMissing(nn.Module):
    """Mean over rows of the mean squared error of the targets that are not -999."""

    def forward(self, f, y):
        known = y != -999
        return (((f - y) ** 2 * known).sum(1) / known.sum(1).clamp(min=1)).mean()


IMAGES = RNG.randn(20, 1, 6, 6).astype(np.float32)
MASKS = RNG.randint(0, 3, (20, 6, 6))
TAGS = (X[:, :2] > 0).astype(np.float32)
GAPS = np.where(RNG.rand(90, 2) < 0.3, -999, X[:, :2]).astype(np.float32)


def one_by_one(net, X, y, n_reference):
    """Compute scores from gradients of single rows."""
    params = list(net.module_.parameters())
    gradients = []
    for x_i, y_i in zip(X, y, strict=True):
        f = net.module_(torch.as_tensor(x_i[None], dtype=torch.float32))
        loss = net.criterion_(f, torch.as_tensor(y_i[None]))
        gradient = torch.autograd.grad(loss, params)
        gradients.append(torch.cat([g.flatten() for g in gradient]))
    G = torch.stack(gradients).double()
    return (G @ G[:n_reference].mean(0)).numpy()


@pytest.mark.parametrize(
    ("net", "rows", "y"),
    [
        (image_net(), IMAGES, MASKS),
        (line_net(NeuralNet, nn.BCEWithLogitsLoss), X.astype(np.float32), TAGS),
        (line_net(NeuralNetRegressor, WithoutMissing), X.astype(np.float32), GAPS),
    ],
    ids=["masks", "several labels", "missing targets"],
)
def test_targets_with_several_axes_are_scored_as_single_rows(net, rows, y):
    net.fit(rows, y)
    found = InfluenceScorer(FrozenEstimator(net)).fit(rows, y, X_val=rows[:5], y_val=y[:5])
    assert_allclose(found.scores_, one_by_one(net, rows, y, 5), rtol=1e-3, atol=1e-5)
    assert found.score_samples(rows[:3], y[:3]).shape == (3,)


def test_masks_in_a_dataset_are_scored():
    net = image_net().fit(IMAGES, MASKS)
    reference = {"X_val": IMAGES[:5], "y_val": MASKS[:5]}
    found = InfluenceScorer(FrozenEstimator(net)).fit(Images(IMAGES, MASKS), **reference)
    assert_allclose(found.scores_, one_by_one(net, IMAGES, MASKS, 5), rtol=1e-3, atol=1e-5)


def test_several_labels_for_a_classifier_are_refused_with_the_way():
    net = line_net(NeuralNetClassifier, nn.BCEWithLogitsLoss)
    with pytest.raises(ValueError, match=r"1d array.* use skorch.NeuralNet with .*BCEWithLogits"):
        InfluenceScorer(net).fit(X, TAGS)


def test_missing_targets_are_refused_with_the_way():
    net = line_net(NeuralNetRegressor, WithoutMissing)
    with pytest.raises(ValueError, match=r"replace them by a number such as -999"):
        InfluenceScorer(net).fit(X, np.where(GAPS == -999, np.nan, GAPS))


def test_masks_are_refused_by_a_detector_before_it_is_trained():
    with pytest.raises(ValueError, match=r"y has shape \(20, 6, 6\).*InfluenceScorer\(net, method"):
        NoisyLabelDetector(image_net()).fit(IMAGES, MASKS)
