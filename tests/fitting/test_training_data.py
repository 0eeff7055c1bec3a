"""What is refused before a fit: estimators that are not nets, nets that do not fit the rows."""

import numpy as np
import pytest
import torch
from number_types import (
    MIXED_MODULES,
    DoubleBuffer,
    DoubleHead,
    Float16,
    Half,
    LogScale,
    mixed_net,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor
from small import (
    blobs,
    dict_net,
    line,
    linear_regressor,
    logits_net,
    own_net,
    quick,
    scorer,
)
from torch import nn
from torch.utils.data import TensorDataset

from skinfluence import InfluenceScorer, NoisyLabelDetector
from skinfluence._fitting.training_data import read_training_data

X, Y = blobs()


NO_NETS = {
    "scikit-learn estimator": LogisticRegression(),
    "module class": nn.Linear,
    "module": nn.Linear(4, 3),
    "net class": NeuralNetClassifier,
    "frozen scikit-learn estimator": FrozenEstimator(Ridge()),
    "frozen module": FrozenEstimator(nn.Linear(4, 3)),
    "string": "mlp",
}


@pytest.mark.parametrize("kind", NO_NETS)
@pytest.mark.parametrize("cls", [InfluenceScorer, NoisyLabelDetector])
def test_an_estimator_that_is_not_a_skorch_net_is_refused(cls, kind):
    with pytest.raises(TypeError, match=r"estimator=.*expected a skorch net"):
        cls(NO_NETS[kind]).fit(X, Y)


@pytest.mark.parametrize("kind", ["module class", "module"])
@pytest.mark.parametrize("cls", [InfluenceScorer, NoisyLabelDetector])
def test_an_unwrapped_module_is_refused_with_the_way_to_wrap_it(cls, kind):
    with pytest.raises(TypeError, match=r"Wrap the module: skorch.NeuralNetClassifier\(Module"):
        cls(NO_NETS[kind]).fit(X, Y)


@pytest.mark.parametrize("cls", [InfluenceScorer, NoisyLabelDetector])
def test_a_class_of_nets_is_refused_with_the_advice_to_give_an_instance(cls):
    with pytest.raises(TypeError, match=r"Give an instance, not the class"):
        cls(NeuralNetClassifier).fit(X, Y)


@pytest.mark.parametrize("cls", [InfluenceScorer, NoisyLabelDetector])
def test_a_frozen_module_is_refused_with_the_way_to_wrap_it(cls):
    with pytest.raises(TypeError, match=r"got FrozenEstimator\(estimator=Linear.*Wrap the trained"):
        cls(FrozenEstimator(nn.Linear(4, 3))).fit(X, Y)


def test_the_ways_to_wrap_a_module_work():
    module = nn.Linear(4, 3)
    before = module.weight.detach().clone()
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, classes=[0, 1, 2], verbose=0)
    made = scorer(estimator=FrozenEstimator(net.initialize())).fit(X, Y)
    assert torch.equal(made.estimator_.module_.weight, before)
    net = NeuralNetClassifier(
        lambda: nn.Linear(4, 3), criterion=nn.CrossEntropyLoss, train_split=None, verbose=0
    )
    assert scorer(estimator=net).fit(X, Y).scores_.shape == (90,)


def test_a_pipeline_or_another_model_is_refused_with_advice():
    with pytest.raises(
        TypeError, match=r"got Pipeline\. Put its preprocessing steps into a new Pipeline"
    ):
        scorer(estimator=make_pipeline(StandardScaler(), quick())).fit(X, Y)
    with pytest.raises(TypeError, match=r"got Ridge.*FilteredEstimator"):
        scorer(estimator=Ridge()).fit(X, Y)


# Nets that do not fit the rows


@pytest.mark.parametrize("rows", [X.astype(int), torch.as_tensor(X.astype(int))])
@pytest.mark.parametrize("net", [logits_net(), linear_regressor()])
def test_integers_for_a_module_of_floats_are_refused_with_the_cure(net, rows):
    with pytest.raises(ValueError, match=r"dtype int64.*wants floats.*astype\('float32'\)"):
        scorer(estimator=net).fit(rows, Y)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int8"])
def test_whole_numbers_of_any_dtype_are_refused_with_the_cure(dtype):
    rows = np.abs(X).astype(dtype)
    parts = {"first": rows[:, 0], "rest": rows[:, 1:]}
    message = rf"dtype {dtype}.*wants floats.*astype\('float32'\)"
    for net, given in [(logits_net(), rows), (linear_regressor(), rows), (dict_net(), parts)]:
        with pytest.raises(ValueError, match=message):
            scorer(estimator=net).fit(given, Y)
    embedding = own_net(lambda: nn.Sequential(nn.Embedding(99, 2), nn.Flatten(), nn.Linear(8, 3)))
    with pytest.raises(ValueError, match=rf"dtype {dtype}.*embedding.*Convert X to int64"):
        scorer(estimator=embedding).fit(rows, Y)


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("net", [logits_net(), linear_regressor()])
def test_rows_of_three_axes_are_refused_by_a_net_of_tables(net):
    with pytest.raises(ValueError, match=r"does not fit these rows.*X has shape \(\d+, 3, 4\)"):
        scorer(estimator=net).fit(np.stack([X, X, X], 1), Y)


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 3), (4, 1)])
def test_a_module_that_does_not_fit_the_rows_is_refused(inputs, outputs):
    net = own_net(nn.Linear, module__in_features=inputs, module__out_features=outputs)
    with pytest.raises(ValueError, match=r"module does not fit these rows.*X has shape \(72, 4\)"):
        scorer(estimator=net).fit(X.astype(np.float32), Y)


@pytest.mark.parametrize(
    "rows", [X.reshape(90, 2, 2), {"a": X}, TensorDataset(torch.as_tensor(X), torch.as_tensor(Y))]
)
def test_rows_that_are_not_a_table_are_refused_by_the_ready_made_nets(rows):
    with pytest.raises(ValueError, match=r"ready-made nets take a table.*a net of your own"):
        scorer().fit(rows, Y)


def test_a_training_that_diverged_is_an_error():
    with pytest.raises(ValueError, match="training diverged"):
        scorer(estimator=linear_regressor(lr=1e6, max_epochs=50)).fit(*line())


# The dtype of rows and labels: what the net takes, whatever its first parameter is


@pytest.mark.parametrize("kind", MIXED_MODULES)
def test_rows_that_a_net_trains_on_stay_as_they_are(kind):
    _, rows, y = mixed_net(kind)
    data = read_training_data(scorer(estimator=classifier_of(kind)), rows, y, None, None)
    assert torch.equal(torch.as_tensor(data.X), rows)
    assert data.dtype is kind.rows


@pytest.mark.parametrize("kind", [LogScale, DoubleHead, DoubleBuffer, Float16])
def test_rows_in_double_precision_are_rounded_to_what_the_net_takes(kind):
    _, rows, y = mixed_net(kind)
    rows = rows.double().numpy()
    data = read_training_data(scorer(estimator=classifier_of(kind)), rows, y, None, None)
    assert torch.as_tensor(data.X).dtype is data.dtype is kind.rows


@pytest.mark.parametrize(
    ("kind", "dtype"), [(DoubleHead, float), (DoubleBuffer, float), (Float16, np.float32)]
)
def test_targets_have_the_precision_of_the_outputs(kind, dtype):
    net = NeuralNetRegressor(kind, train_split=None, max_epochs=1, verbose=0)
    _, rows, _ = mixed_net(kind)
    y = np.linspace(0, 1, 21).reshape(7, 3)
    data = read_training_data(scorer(estimator=net), rows, y, None, None)
    assert data.y.dtype == dtype


def classifier_of(kind):
    return NeuralNetClassifier(
        kind, criterion=nn.CrossEntropyLoss, train_split=None, max_epochs=1, verbose=0
    )


def test_arrays_for_a_net_in_bfloat16_are_refused_with_the_way_to_cast_them():
    net = classifier_of(Half)
    with pytest.raises(ValueError, match=r"X is of dtype float32, which the net's module does not"):
        InfluenceScorer(net).fit(np.zeros((9, 8), np.float32), np.arange(9) % 3)
