"""Methods without a target, compared with a loop over rows and with the scorer's other options."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from number_types import (
    COMPLEX_MODULES,
    MIXED_MODULES,
    CentersInDouble,
    ComplexLast,
    ComplexTies,
    DoubleBuffer,
    DoubleHead,
    LogScale,
    Spectral,
    as_vectors,
    complex_net,
    gauss_newton_of,
    loop_of,
    mixed_net,
)
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from small import blobs, line, logits_net, own_net, quick, quick_regressor
from zoo import assert_close, loop_gradients, make

from skinfluence import InfluenceSampleSelector, InfluenceScorer
from skinfluence._data.params import draw_seed
from skinfluence.curvature import CG, EKFAC, DataInf, Exact, LiSSA
from skinfluence.datasets import flip_labels
from skinfluence.ensembles import Checkpoints, Dropout, Seeds, WeightNoise
from skinfluence.methods import (
    InnerProduct,
    LayerAware,
    Loss,
    Margin,
    OutlierGradients,
    SelfInfluence,
)
from skinfluence.methods._inner_product import NORMALIZE
from skinfluence.metrics import detection_report
from skinfluence.pairwise import influence_matrix
from skinfluence.rules import Budget
from skinfluence.targets import DemographicParity

X, Y = blobs()
METHODS = [SelfInfluence(), OutlierGradients(), OutlierGradients("l1"), LayerAware(), Loss()]
KINDS = ["mlp", "batchnorm1d", "residual batchnorm2d", "embedding", "lstm", "tied", "logit scale"]


def scored(method, rows=X, labels=Y, **params):
    return InfluenceScorer(
        **{"estimator": quick(), "method": method, "random_state": 0} | params
    ).fit(rows, labels)


def of_zoo(name, method, **params):
    """Fit a scorer to the frozen net of that name; return it, its rows and labels, and the net."""
    net, Xn, y = make(name, classes=[0, 1, 2])
    scorer = InfluenceScorer(
        FrozenEstimator(net), method=method, check_gradients=False, **params
    ).fit(Xn, y, X_val=Xn[:4], y_val=y[:4])
    return scorer, Xn, y, net


def test_margin_uses_all_classes_of_a_frozen_net():
    rows = X.astype(np.float32)
    frozen = FrozenEstimator(scored(Margin(), rows).estimator_)
    want = scored(Margin(), rows, estimator=frozen).score_samples(rows, Y)
    some = Y < 2
    for few in (some, Y == 0):
        made = scored(Margin(), rows[few], Y[few], estimator=frozen)
        assert_close(made.scores_, want[few])
        assert made.transform(rows).shape == (len(Y), 3)
        assert_close(made.score_samples(rows, Y), want)


# Compared with a loop over rows


@pytest.mark.parametrize("name", KINDS)
def test_self_influence_is_minus_the_squared_norm(name):
    scorer, Xn, y, net = of_zoo(name, SelfInfluence())
    assert_close(scorer.scores_, -(loop_gradients(net, Xn, y) ** 2).sum(1))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_outlier_gradients_score_minus_the_gradient_norm(name, order):
    scorer, Xn, y, net = of_zoo(name, OutlierGradients(f"l{order}"))
    rows = loop_gradients(net, Xn, y)
    assert_close(scorer.scores_, -np.linalg.norm(rows, ord=order, axis=1))


@pytest.mark.parametrize("curvature", [Exact("ggn", 0.1), DataInf(0.1), CG("ggn", 0.1, tol=1e-12)])
def test_self_influence_under_a_curvature_is_a_quadratic_form(curvature):
    scorer, Xn, y, net = of_zoo("mlp", SelfInfluence(), curvature=curvature)
    (member,) = scorer._members
    rows = loop_gradients(net, Xn, y)
    shapes = {name: p.shape for name, p in net.module_.named_parameters()}
    sizes = [shape.numel() for shape in shapes.values()]
    parts = torch.as_tensor(rows).split(sizes, 1)
    V = {n: part.reshape(-1, *s) for (n, s), part in zip(shapes.items(), parts, strict=True)}
    solved = torch.cat([u.reshape(len(u), -1) for u in member.solve(V).values()], 1).numpy()
    # CG stops at its tolerance.
    np.testing.assert_allclose(scorer.scores_, -(rows * solved).sum(1), rtol=1e-8)


def test_an_outlier_detector_is_fitted_to_the_training_gradients():
    scorer, Xn, y, net = of_zoo("mlp", OutlierGradients(LocalOutlierFactor(2, novelty=True)))
    rows = loop_gradients(net, Xn, y)
    want = LocalOutlierFactor(2, novelty=True).fit(rows).score_samples(rows)
    np.testing.assert_allclose(scorer.scores_, want, rtol=1e-9)


def test_wide_gradients_are_projected():
    method = OutlierGradients(OneClassSVM(), n_components=20)
    scorer = scored(method)
    (score,) = scorer._aggregation.members.row_scores
    assert score.detector.n_features_in_ == 20
    assert score.projection.matrix.shape[1] == sum(
        p.numel() for p in scorer.estimator_.module_.parameters()
    )


def layer_aware_loop(net, Xn, y, m):
    """Σ_j <δ_i, δ_j>/m Σ_l <h_l(i), h_l(j)>, pair by pair."""
    module, kept = copy.deepcopy(net.module_).eval(), []
    for layer in module.modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            layer.register_forward_hook(lambda _, inputs, __: kept.append(inputs[0].flatten(1)))
    f = module(torch.as_tensor(Xn))
    delta = f.softmax(1).detach() - torch.eye(f.shape[1])[torch.as_tensor(y)]
    alike = sum(h @ h.T for h in kept).detach()
    return (((delta @ delta[:m].T) * alike[:, :m]).sum(1) / m).numpy()


def test_layer_aware_influence_allows_layers_called_by_keyword():
    class ByKeyword(torch.nn.Sequential):
        def forward(self, X):
            return self[2](input=self[1](input=self[0](input=X)))

    net, Xn, y = make("mlp", classes=[0, 1, 2])

    def scores():
        scorer = InfluenceScorer(FrozenEstimator(net), method=LayerAware())
        return scorer.fit(Xn, y, X_val=Xn[:4], y_val=y[:4]).scores_

    want = scores()
    net.module_ = ByKeyword(*net.module_)
    assert_close(scores(), want)


@pytest.mark.parametrize("name", ["mlp", "batchnorm1d", "conv2d"])
def test_layer_aware_influence_is_the_double_sum(name):
    scorer, Xn, y, net = of_zoo(name, LayerAware())
    assert_close(scorer.scores_, layer_aware_loop(net, Xn, y, 4))


def test_layer_aware_influence_of_the_last_weight_is_its_inner_product():
    net, Xn, y = make("mlp", classes=[0, 1, 2])
    exact, aware = (
        InfluenceScorer(FrozenEstimator(net), parameters="2.weight", method=method)
        .fit(Xn, y, X_val=Xn[:4], y_val=y[:4])
        .scores_
        for method in (None, LayerAware())
    )
    assert_close(aware, exact)


class ByKeyword(torch.nn.Module):
    """Calls its layer by keyword, and returns one number per row."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(4, 1)

    def forward(self, X):
        return self.head(input=X).squeeze(1)


def test_layer_aware_influence_of_numbers_and_of_layers_called_by_keyword():
    Xn, y = X[Y < 2].astype(np.float32), Y[Y < 2]
    net = own_net(ByKeyword, NeuralNetBinaryClassifier, max_epochs=1).fit(Xn, y.astype(np.float32))
    exact, aware = (
        InfluenceScorer(FrozenEstimator(net), parameters="head.weight", method=method)
        .fit(Xn, y, X_val=Xn[:4], y_val=y[:4])
        .scores_
        for method in (None, LayerAware())
    )
    np.testing.assert_allclose(aware, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


def test_loss_and_margin_match_their_definitions():
    net, Xn, y = make("mlp", classes=[0, 1, 2])
    f = net.module_(torch.as_tensor(Xn)).detach().numpy()
    losses = np.log(np.exp(f).sum(1)) - f[np.arange(len(y)), y]
    others = f.copy()
    others[np.arange(len(y)), y] = -np.inf
    for method, want in ((Loss(), -losses), (Margin(), f[np.arange(len(y)), y] - others.max(1))):
        assert_close(InfluenceScorer(FrozenEstimator(net), method=method).fit(Xn, y).scores_, want)


# With the scorer's other options


@pytest.mark.parametrize("method", [*METHODS, Margin()], ids=str)
@pytest.mark.parametrize("ensemble", [None, Checkpoints(2), Dropout(2, 0.3), Seeds(2)], ids=str)
def test_every_method_repeats_its_scores_with_every_ensemble(method, ensemble):
    scorer = scored(method, ensemble=ensemble)
    assert scorer.scores_.shape == Y.shape
    np.testing.assert_allclose(scorer.score_samples(X, Y), scorer.scores_, rtol=1e-6)
    again = scored(clone(method), ensemble=ensemble)
    assert np.array_equal(scorer.scores_, again.scores_)


@pytest.mark.parametrize("method", [*METHODS, Margin()], ids=str)
def test_columns_are_the_scores_under_each_label(method):
    scorer = scored(method)
    columns = scorer.transform(X)
    np.testing.assert_allclose(columns[np.arange(len(Y)), Y], scorer.scores_, rtol=1e-5)


@pytest.mark.parametrize("curvature", [None, Exact("ggn", 0.1), EKFAC(), CG(), DataInf()])
def test_a_pickled_scorer_scores_the_same(curvature):
    options = {"curvature": curvature, "parameters": "head.*"}
    scorer = scored(SelfInfluence(), X[:30], Y[:30], **options)
    loaded = pickle.loads(pickle.dumps(scorer))
    assert np.array_equal(loaded.score_samples(X[:5], Y[:5]), scorer.score_samples(X[:5], Y[:5]))


def test_self_influence_splits_off_no_reference_rows():
    scorer = scored(SelfInfluence())
    assert scorer.reference_indices_ is None
    net = clone(quick())
    with torch.random.fork_rng():
        torch.manual_seed(draw_seed(0))
        net.fit(X, Y)
    for mine, theirs in zip(
        scorer.estimator_.module_.parameters(), net.module_.parameters(), strict=True
    ):
        assert torch.equal(mine, theirs)  # trained on every row


def test_layer_aware_influence_splits_off_reference_rows_and_accepts_a_target():
    assert len(scored(LayerAware()).reference_indices_) == 18
    Xa, groups = blobs(classes=2)[0], np.arange(90) % 2
    scorer = InfluenceScorer(
        quick(), target=DemographicParity(), method=LayerAware(), random_state=0
    )
    assert np.isfinite(scorer.fit(Xa, groups, sensitive_features=groups[::-1]).scores_).all()


def test_regressors_accept_every_method_except_margin():
    rows, numbers = line()
    for method in (SelfInfluence(), Loss(), OutlierGradients(), LayerAware()):
        assert scored(method, rows, numbers, estimator=quick_regressor()).scores_.shape == (80,)
    with pytest.raises(ValueError, match="Margin"):
        scored(Margin(), rows, numbers, estimator=quick_regressor())


@pytest.mark.parametrize("method", [SelfInfluence(), Loss(), Margin(), OutlierGradients("l1")])
def test_wrong_labels_score_low(method):
    noisy, is_noisy = flip_labels(Y, 0.1, random_state=0)
    scores = scored(method, labels=noisy, ensemble=Checkpoints(3)).scores_
    assert detection_report(is_noisy, scores)["roc_auc"] > 0.9


def test_a_curvature_changes_the_ranking_of_self_influence():
    plain, curved = (
        scored(SelfInfluence(), curvature=c).scores_ for c in (None, Exact("ggn", 0.01))
    )
    assert 0.2 < spearmanr(plain, curved)[0] < 0.999


def test_a_selector_accepts_a_scorer_without_a_target():
    selector = InfluenceSampleSelector(
        InfluenceScorer(quick(), method=SelfInfluence()), Budget(0.1), cv=2, random_state=0
    )
    assert len(selector.fit_resample(X, Y)[1]) == 81


# Errors


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"method": "loss"}, "expected None or an instance of a class in skinfluence.methods"),
        ({"method": Loss}, "expected None or an instance of a class in skinfluence.methods"),
        (
            {"method": Loss(), "curvature": EKFAC()},
            "curvature=EKFAC() has no effect on method=Loss()",
        ),
        ({"method": SelfInfluence(), "normalize": "rows"}, "normalize='rows' has no effect on"),
        ({"method": SelfInfluence(), "classwise": True}, "classwise=True has no effect on"),
        ({"method": SelfInfluence(), "target": DemographicParity()}, "has no effect on method="),
        ({"method": Loss(), "ensemble": Dropout(aggregate="votes")}, "aggregate='votes' compares"),
    ],
)
def test_an_argument_without_an_effect_is_refused(params, message):
    with pytest.raises((TypeError, ValueError)) as error:
        InfluenceScorer(quick(), **params).fit(X, Y)
    assert message in str(error.value)


@pytest.mark.parametrize("detector", ["l3", IsolationForest, LocalOutlierFactor(), object()])
def test_an_object_that_cannot_score_new_rows_is_refused(detector):
    with pytest.raises(TypeError, match="expected 'l1', 'l2', or an outlier"):
        scored(OutlierGradients(detector))


def test_layer_aware_influence_refuses_a_net_without_a_layer_it_knows():
    with pytest.raises(ValueError, match="linear or convolutional layer"):
        scored(LayerAware(), X.astype(np.float32), estimator=logits_net(), parameters="bias")


# Nets with complex parameters, or of several dtypes


def typed(kind, method=None, **params):
    """Fit a scorer to the frozen net of that kind; return it and the gradients of the loop."""
    make_net = complex_net if kind in COMPLEX_MODULES else mixed_net
    net, Xn, y = make_net(kind, classes=[0, 1, 2])
    scorer = InfluenceScorer(FrozenEstimator(net), method=method, **params)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Casting complex values")
        scorer.fit(Xn, y, X_val=Xn[:4], y_val=y[:4])
    return scorer, as_vectors(loop_of(net, Xn, y)), y


def assert_typed(kind, got, want):
    precision = getattr(kind, "precision", 1e-9)
    np.testing.assert_allclose(got, want, rtol=0, atol=3 * precision * np.abs(want).max())


each_type = pytest.mark.parametrize("kind", [*COMPLEX_MODULES, *MIXED_MODULES])


@each_type
@pytest.mark.parametrize("classwise", [False, True])
@pytest.mark.parametrize("normalize", NORMALIZE)
def test_inner_products_of_each_number_type(kind, normalize, classwise):
    scorer, rows, y = typed(kind, InnerProduct(normalize, classwise))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    left = unit if normalize in ("rows", "both") else rows
    right = (unit if normalize in ("reference", "both") else rows)[:4]
    groups = [y[:4] == c for c in np.unique(y[:4])] if classwise else [np.ones(4, bool)]
    want = np.min([left @ right[group].mean(0) for group in groups], 0)
    assert_typed(kind, scorer.scores_, want)


@each_type
def test_norms_of_gradients_of_each_number_type(kind):
    scorer, rows, _ = typed(kind, SelfInfluence())
    assert_typed(kind, scorer.scores_, -(rows**2).sum(1))
    for order in (1, 2):
        scorer, rows, _ = typed(kind, OutlierGradients(f"l{order}"))
        assert_typed(kind, scorer.scores_, -np.linalg.norm(rows, ord=order, axis=1))


@each_type
@pytest.mark.parametrize("method", [LayerAware(), OutlierGradients(), Loss(), Margin()], ids=str)
def test_every_method_answers_for_each_number_type(kind, method):
    if isinstance(method, LayerAware) and kind is ComplexTies:
        with pytest.raises(ValueError, match="needs a linear or convolutional layer"):
            typed(kind, method)
        return
    scorer, *_ = typed(kind, method)
    assert np.isfinite(scorer.scores_).all()
    assert np.ptp(scorer.scores_) > 0


@pytest.mark.parametrize("kind", [ComplexLast, DoubleHead])
def test_layer_aware_of_the_last_layer_alone_is_exact_for_each_number_type(kind):
    scorer, *_ = typed(kind, LayerAware(), parameters="head.weight")
    want, *_ = typed(kind, InnerProduct(), parameters="head.weight")
    assert_typed(kind, scorer.scores_, want.scores_)


EXACT = [LogScale, DoubleHead, DoubleBuffer, CentersInDouble, *COMPLEX_MODULES]


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize(
    "curvature", [Exact("ggn", 0.1), CG("ggn", 0.1, tol=1e-9)], ids=["Exact", "CG"]
)
def test_curvature_of_each_number_type_is_that_of_the_loop(kind, curvature):
    scorer, rows, y = typed(kind, curvature=curvature)
    net, Xn, _ = (complex_net if kind in COMPLEX_MODULES else mixed_net)(kind)
    M = gauss_newton_of(net, Xn, y) + 0.1 * np.eye(rows.shape[1])
    assert_typed(kind, scorer.scores_, rows @ np.linalg.solve(M, rows[:4].mean(0)))


@each_type
@pytest.mark.parametrize(
    "curvature",
    [
        Exact(damping=10.0),
        CG(damping=1.0, tol=0.1),
        EKFAC(),
        DataInf(),
        LiSSA(damping=0.1, scale=50.0, n_steps=5),
    ],
    ids=["Exact", "CG", "EKFAC", "DataInf", "LiSSA"],
)
def test_every_curvature_answers_for_each_number_type(kind, curvature):
    for method in (None, SelfInfluence()):
        scorer, *_ = typed(kind, method, curvature=curvature)
        assert np.isfinite(scorer.scores_).all()
        assert np.ptp(scorer.scores_) > 0


@each_type
@pytest.mark.parametrize(
    "ensemble",
    [WeightNoise(3), Dropout(3), Checkpoints(2), Seeds(2)],
    ids=lambda e: type(e).__name__,
)
def test_nets_of_each_number_type_are_trained_and_scored_in_ensembles(kind, ensemble):
    _, Xn, y = (complex_net if kind in COMPLEX_MODULES else mixed_net)(kind)
    net = NeuralNetClassifier(
        kind,
        criterion=torch.nn.CrossEntropyLoss,
        train_split=None,
        max_epochs=3,
        lr=0.01,
        verbose=0,
    )
    scorer = InfluenceScorer(net, ensemble=ensemble, random_state=0)
    if isinstance(ensemble, Dropout) and kind in (Spectral, ComplexTies):
        with pytest.raises(ValueError, match="this net has no hidden layer"):
            scorer.fit(Xn, y, X_val=Xn[:4], y_val=y[:4])
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Casting complex values")
        scorer.fit(Xn, y, X_val=Xn[:4], y_val=y[:4])
    assert np.isfinite(scorer.scores_).all()
    assert np.ptp(scorer.scores_) > 0
    matrix = influence_matrix(scorer, Xn, y)
    np.testing.assert_allclose(matrix.mean(1), scorer.scores_, rtol=0.1, atol=0.1 * matrix.std())
