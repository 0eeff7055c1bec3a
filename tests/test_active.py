"""Utilities of unlabeled rows, and the query strategies that rank rows by them."""

import functools

import numpy as np
import pytest
import torch
from number_types import COMPLEX_MODULES, MIXED_MODULES, complex_net, mixed_net
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from skorch import NeuralNetClassifier
from small import (
    binary_net,
    blobs,
    linear_regressor,
    logits_net,
    own_net,
    probabilities_net,
    quick,
    scorer,
)
from torch import nn

from skinfluence import InfluenceScorer
from skinfluence.active import (
    InfluenceQuery,
    LDMQuery,
    _ldm,
    influence_query_scores,
    least_disagree_metric,
)
from skinfluence.ensembles import Seeds
from skinfluence.nets import TabularClassifier

SIGMAS = [0.03, 0.3, 3.0]


def fitted(net, classes=3):
    X, y = blobs(classes=classes)
    torch.manual_seed(0)
    y = y.astype(np.float32) if classes == 2 else y
    return net.fit(X.astype(np.float32), y), X.astype(np.float32)


NETS = {
    "ready-made": (quick, 3),
    "linear": (logits_net, 3),
    "one output": (binary_net, 2),
    "softmax after the layer": (probabilities_net, 3),
    "no bias": (lambda: logits_net(module__bias=False), 3),
}


@pytest.fixture(params=list(NETS))
def net_and_rows(request):
    make, classes = NETS[request.param]
    return fitted(make(), classes)


def last_linear(net):
    return [m for m in net.module_.modules() if isinstance(m, nn.Linear)][-1]


def metric_by_loop(net, X, reference, sigmas, n_draws, seed):
    """Compute the LDM by writing each drawn layer into the net."""
    generator = torch.Generator().manual_seed(
        int(np.random.RandomState(seed).randint(np.iinfo(np.int32).max))
    )
    own = {name: p.detach().clone() for name, p in last_linear(net).named_parameters()}
    labels, of_reference = net.predict(X), net.predict(reference)
    least = np.ones(len(X))
    for sigma in sigmas:
        noise = {
            name: torch.randn((n_draws, *p.shape), generator=generator) for name, p in own.items()
        }
        for k in range(n_draws):
            with torch.no_grad():
                for name, p in last_linear(net).named_parameters():
                    p.copy_(own[name] + sigma * noise[name][k])
            rate = np.mean(net.predict(reference) != of_reference)
            flipped = net.predict(X) != labels
            least[flipped] = np.minimum(least[flipped], rate)
    with torch.no_grad():
        for name, p in last_linear(net).named_parameters():
            p.copy_(own[name])
    return least


def test_metric_matches_a_loop_over_the_same_draws(net_and_rows):
    net, X = net_and_rows

    found = least_disagree_metric(
        net, X[:40], X_val=X[40:], sigmas=SIGMAS, n_draws=7, random_state=3
    )

    # Shares are counts over 50, so they differ only where rounding breaks a tie of two classes.
    np.testing.assert_allclose(found, metric_by_loop(net, X[:40], X[40:], SIGMAS, 7, 3), atol=1e-12)
    assert len(np.unique(found)) > 3


def test_one_product_for_all_draws_matches_whole_forward_passes(net_and_rows, monkeypatch):
    net, X = net_and_rows
    options = {"sigmas": SIGMAS, "n_draws": 7, "random_state": 0}
    at_once = least_disagree_metric(net, X, **options)
    monkeypatch.setattr(_ldm, "_AT_ONCE", 100)  # several blocks of rows
    in_blocks = least_disagree_metric(net, X, **options)
    monkeypatch.setattr(_ldm, "entering", lambda *_: None)

    whole = least_disagree_metric(net, X, **options)

    np.testing.assert_array_equal(at_once, whole)
    np.testing.assert_array_equal(in_blocks, whole)


@pytest.mark.parametrize(("make", "is_split"), [(quick, True), (probabilities_net, False)])
def test_last_layer_is_split_off_only_if_nothing_follows_it(make, is_split, monkeypatch):
    net, X = fitted(make())
    passes = []
    monkeypatch.setattr(_ldm._Whole, "__call__", lambda *_: passes.append(1) or 1 / 0)

    if is_split:
        least_disagree_metric(net, X, sigmas=SIGMAS)
    else:
        with pytest.raises(ZeroDivisionError):
            least_disagree_metric(net, X, sigmas=SIGMAS)

    assert bool(passes) != is_split


def test_rows_of_a_linear_net_are_ordered_by_their_distance_to_the_boundary():
    net, X = fitted(binary_net(max_epochs=20), classes=2)
    w, b = (p.detach().numpy() for p in net.module_.parameters())
    X = np.random.RandomState(0).randn(400, 4).astype(np.float32) - (w * b / (w @ w.T))
    distance = np.abs(X @ w[0] + b) / np.linalg.norm(w)

    metric = least_disagree_metric(net, X, n_draws=60, random_state=0)

    # The metric measures an angle, which is close to the distance but not equal to it.
    assert spearmanr(metric, distance).statistic > 0.9
    assert distance[metric.argsort()[:20]].max() < np.quantile(distance, 0.15)


def test_rows_that_no_draw_flips_have_a_metric_of_one():
    net, X = fitted(quick(max_epochs=20))
    assert (least_disagree_metric(net, X, sigmas=[1e-12]) == 1).all()


def test_metric_uses_the_threshold_of_a_binary_net_as_its_boundary():
    net, _ = fitted(binary_net(threshold=0.9, max_epochs=20), classes=2)
    X = np.random.RandomState(0).randn(300, 4).astype(np.float32)
    logit = net.forward(X).numpy().ravel()

    metric = least_disagree_metric(net, X, random_state=0)

    easiest = metric.argsort()[:10]
    assert np.abs(logit[easiest] - np.log(9)).max() < np.abs(logit[easiest]).min()


class EarlyHead(nn.Module):
    """Defines its last layer first."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5, 3)
        self.body = nn.Linear(4, 5)

    def forward(self, X):
        return self.last(torch.relu(self.body(X)))


def test_last_layer_is_the_one_called_last():
    net, X = fitted(own_net(EarlyHead))
    options = {"sigmas": SIGMAS, "random_state": 0}
    found = least_disagree_metric(net, X, **options)
    np.testing.assert_array_equal(
        found, least_disagree_metric(net, X, parameters="last.*", **options)
    )
    assert (found != least_disagree_metric(net, X, parameters="body.*", **options)).any()


class Scaled(nn.Module):
    """Multiplies the output of its layer by its own parameter."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.body = nn.Linear(4, 3)

    def forward(self, X):
        return self.body(X) * self.scale


def test_a_parameter_of_the_module_itself_is_the_last_layer_without_its_submodules():
    net, X = fitted(own_net(Scaled))
    options = {"sigmas": SIGMAS, "random_state": 0}
    np.testing.assert_array_equal(
        least_disagree_metric(net, X, **options),
        least_disagree_metric(net, X, parameters="scale", **options),
    )


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))

    def forward(self, X):
        return self.head(X)


@pytest.mark.parametrize("parameters", [None, "*.original1", "head.bias"])
def test_parametrized_weights_or_a_part_of_the_layer_can_be_drawn(parameters):
    net, X = fitted(own_net(Normed))
    metric = least_disagree_metric(net, X, parameters=parameters, random_state=0)
    assert metric.min() < 0.2


def test_metric_of_a_scorer_or_a_frozen_net_is_that_of_its_net():
    X, y = blobs()
    one = scorer().fit(X, y)
    options = {"sigmas": SIGMAS, "random_state": 0}
    wanted = least_disagree_metric(one.estimator_, X, **options)
    np.testing.assert_array_equal(least_disagree_metric(one, X, **options), wanted)
    frozen = FrozenEstimator(one.estimator_)
    np.testing.assert_array_equal(least_disagree_metric(frozen, X, **options), wanted)


def test_metric_changes_neither_the_net_nor_the_random_states():
    net, X = fitted(quick())
    weights = {name: t.clone() for name, t in net.module_.state_dict().items()}
    torch.manual_seed(5), np.random.seed(5)  # noqa: NPY002
    states = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002

    first = least_disagree_metric(net, X, random_state=1)

    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert all(torch.equal(t, weights[name]) for name, t in net.module_.state_dict().items())
    assert not any(m._forward_hooks for m in net.module_.modules())
    np.testing.assert_array_equal(first, least_disagree_metric(net, X, random_state=1))
    assert (first != least_disagree_metric(net, X, random_state=2)).any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sigmas": []}, r"sigmas=\[\]: expected one or more positive"),
        ({"sigmas": [0.1, 0]}, "expected one or more positive"),
        ({"n_draws": 0}, "n_draws=0: expected an integer, 1 or more"),
        ({"parameters": "neck.*"}, r"parameters='neck.\*' matches no trainable"),
    ],
)
def test_invalid_options_of_the_metric_are_refused(options, words):
    net, X = fitted(quick())
    with pytest.raises(ValueError, match=words):
        least_disagree_metric(net, X, **options)


def test_metric_refuses_an_estimator_that_is_not_a_classifier_net():
    X, _ = blobs()
    with pytest.raises(TypeError, match="expected a fitted skorch classifier"):
        least_disagree_metric(LogisticRegression(), X)
    regressor = linear_regressor().fit(X.astype(np.float32), X[:, :1].astype(np.float32))
    with pytest.raises(ValueError, match="which predicts no labels"):
        least_disagree_metric(regressor, X)


# Utility from influence


@pytest.mark.parametrize("kind", [*COMPLEX_MODULES, *MIXED_MODULES])
def test_the_disagreement_of_each_number_type(kind, monkeypatch):
    net, Xn, _ = (complex_net if kind in COMPLEX_MODULES else mixed_net)(kind, classes=[0, 1, 2])
    found = least_disagree_metric(net, Xn, random_state=0)
    assert (found > 0).all()
    monkeypatch.setattr(_ldm, "entering", lambda *_: None)
    whole = least_disagree_metric(net, Xn, random_state=0)
    assert np.mean(found == whole) >= (1 if kind in COMPLEX_MODULES else 0.8)  # rounding


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (np.arange(3), {}),
        (np.array(["a", "b", "c"]), {}),
        (np.array([3, 5, 9]), {}),
        (np.array(["a", "b", "c"]), {"ensemble": Seeds(2)}),
    ],
)
def test_influence_utilities_match_a_loop(labels, options):
    X, y = blobs()
    y = labels[y]
    one = scorer(**options).fit(X, y)
    nets = one.estimators_
    p = np.mean([net.predict_proba(X[:9].astype(np.float32)) for net in nets], 0)
    s = np.array([[one.score_samples(X[i : i + 1], [c])[0] for c in labels] for i in range(9)])

    wanted = {
        "predicted": [s[i][int(np.argmax(p[i]))] for i in range(9)],
        "expected": [sum(p[i, c] * abs(s[i, c]) for c in range(3)) for i in range(9)],
        "worst": [min(s[i]) for i in range(9)],
    }
    for aggregate, values in wanted.items():
        found = influence_query_scores(one, X[:9], aggregate=aggregate)
        # float32 engines, single rows against a batch
        np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-6)


def test_scores_average_to_zero_under_the_nets_own_probabilities():
    X, y = blobs()
    one = scorer().fit(X, y)
    s, p = one.transform(X), one.estimator_.predict_proba(X.astype(np.float32))
    # float32 sums of three terms of the size of s
    np.testing.assert_allclose((p * s).sum(1), 0, atol=1e-5 * np.abs(s).max())


def test_unused_labels_of_a_frozen_net_have_no_columns():
    X, y = blobs(classes=2)
    labels = np.array([0, 2])[y]
    net = logits_net().fit(X.astype(np.float32), labels)
    one = InfluenceScorer(FrozenEstimator(net), random_state=0).fit(X, labels)

    found = influence_query_scores(one, X)

    p, s = net.predict_proba(X.astype(np.float32))[:, [0, 2]], one.transform(X)
    np.testing.assert_allclose(found, s[np.arange(len(X)), p.argmax(1)])


def test_influence_query_scores_refuses_invalid_arguments():
    X, y = blobs()
    with pytest.raises(ValueError, match="aggregate='best': expected 'predicted'"):
        influence_query_scores(scorer().fit(X, y), X, aggregate="best")
    with pytest.raises(TypeError, match="expected a fitted InfluenceScorer"):
        influence_query_scores(quick(), X)


# Query strategies


def strategies(**params):
    return [
        InfluenceQuery(scorer(random_state=None), random_state=0, **params),
        LDMQuery(quick(), random_state=0, **params),
    ]


def partly(labels=None, n_labeled=15, missing=np.nan):
    """Make rows, and labels for the first `n_labeled` of them only."""
    X, y = blobs()
    y = y if labels is None else np.array(labels)[y]
    shown = np.array(y, dtype=object if y.dtype.kind == "U" else float)
    shown[n_labeled:] = missing
    return X, shown


@pytest.mark.parametrize("index", [0, 1])
def test_utilities_have_one_line_per_choice_and_are_nan_for_labeled_and_chosen_rows(index):
    X, y = partly()

    chosen, utilities = strategies()[index].query(X, y, batch_size=4, return_utilities=True)

    assert (chosen.shape, chosen.dtype) == ((4,), np.int64)
    assert (utilities.shape, utilities.dtype) == ((4, 90), np.float64)
    for k in range(4):
        assert set(np.flatnonzero(np.isnan(utilities[k]))) == {*range(15), *chosen[:k]}
    assert utilities[0, chosen[0]] == np.nanmax(utilities[0])


@pytest.mark.parametrize("index", [0, 1])
def test_a_query_returns_the_shapes_dtypes_and_nans_of_scikit_activeml(index):
    pool = pytest.importorskip("skactiveml.pool")
    X, y = partly()
    options = {"X": X, "y": y, "batch_size": 4, "return_utilities": True}
    classifier = peer_classifier()

    chosen, utilities = strategies()[index].query(**options)
    its, of_its = pool.UncertaintySampling(random_state=0).query(clf=classifier, **options)

    assert (chosen.shape, chosen.dtype) == (its.shape, its.dtype)
    assert (utilities.shape, utilities.dtype) == (of_its.shape, of_its.dtype)
    for k in range(4):
        out = np.flatnonzero(np.isnan(of_its[k]))
        assert set(out) == {*range(15), *its[:k]}
        assert set(np.flatnonzero(np.isnan(utilities[k]))) == {*range(15), *chosen[:k]}
    rows = {"candidates": X[[20, 40, 60]]} | options | {"batch_size": 2}
    chosen, utilities = strategies()[index].query(**rows)
    its, of_its = pool.UncertaintySampling(random_state=0).query(clf=classifier, **rows)
    assert utilities.shape == of_its.shape == (2, 3)
    assert max(chosen.max(), its.max()) < 3


def test_the_strategies_work_in_a_loop_of_scikit_activeml():
    pool = pytest.importorskip("skactiveml.pool")
    utils = pytest.importorskip("skactiveml.utils")
    X, y_true = blobs(n=120)
    y = np.full(len(X), utils.MISSING_LABEL)
    y[:9] = y_true[:9]
    classifier = peer_classifier()
    for turn in [*strategies(), pool.UncertaintySampling(random_state=0)] * 2:
        own = {"clf": classifier} if isinstance(turn, pool.UncertaintySampling) else {}
        chosen = turn.query(X=X, y=y, batch_size=5, **own)
        assert np.isin(chosen, utils.unlabeled_indices(y)).all()
        y[chosen] = y_true[chosen]
    assert len(utils.unlabeled_indices(y)) == 120 - 9 - 6 * 5
    assert classifier.fit(X, y).score(X, y_true) > 0.6


def peer_classifier():
    from skactiveml.classifier import SklearnClassifier

    return SklearnClassifier(LogisticRegression(), classes=[0, 1, 2])


@pytest.mark.parametrize("index", [0, 1])
def test_spread_one_takes_the_best_rows(index):
    X, y = partly()
    strategy = strategies(spread=1)[index]

    chosen, utilities = strategy.query(X, y, batch_size=6, return_utilities=True)

    best = np.sort(utilities[0][~np.isnan(utilities[0])])[::-1][:6]
    np.testing.assert_array_equal(utilities[0, chosen], best)
    spread, _ = strategies(spread=3)[index].query(X, y, batch_size=6, return_utilities=True)
    assert spread[0] == chosen[0]
    assert (utilities[0, spread] >= np.sort(utilities[0, 15:])[::-1][17]).all()
    assert set(spread) != set(chosen)


def test_a_spread_batch_takes_at_most_one_copy_of_a_row():
    X, y = partly()
    X[15:30] = X[15] + np.zeros(4)  # copies of one row

    chosen = strategies(spread=100)[1].query(X, y, batch_size=10)

    assert np.isin(chosen, np.arange(15, 30)).sum() <= 1


def test_a_batch_may_consist_of_copies():
    X, y = partly()
    X[15:] = X[15]
    chosen = strategies()[1].query(X, y, batch_size=10)
    assert len(set(chosen)) == 10


@pytest.mark.parametrize("index", [0, 1])
def test_candidates_are_indices_a_mask_or_rows(index):
    X, y = partly()
    strategy = strategies()[index]
    at = np.array([80, 20, 50, 33])
    options = {"batch_size": 2, "return_utilities": True}

    chosen, utilities = strategy.query(X, y, at, **options)
    of_mask, _ = strategy.query(X, y, np.isin(np.arange(90), at), **options)
    of_rows, by_row = strategy.query(X, y, X[at], **options)

    assert set(chosen) <= set(at)
    assert set(of_mask) <= set(at)
    assert utilities.shape == (2, 90)
    assert (~np.isnan(utilities)).sum(1).tolist() == [4, 3]
    assert by_row.shape == (2, 4)
    np.testing.assert_array_equal(at[of_rows], chosen)
    np.testing.assert_allclose(by_row[0], utilities[0, at])


@functools.cache
def choices_for_plain_labels():
    X, y = partly()
    return [strategy.query(X, y, batch_size=3) for strategy in strategies()]


@pytest.mark.parametrize(
    ("labels", "missing", "missing_label"),
    [
        (["a", "b", "c"], np.nan, np.nan),
        (["a", "b", "c"], None, None),
        (["a", "b", "c"], "?", "?"),
        ([0, 1, 2], -1, -1),
        ([3, 5, 9], np.nan, np.nan),
    ],
)
def test_labels_and_missing_labels_may_be_of_any_kind(labels, missing, missing_label):
    X, y = partly(labels, missing=missing)
    found = strategies(missing_label=missing_label)
    for strategy, wanted in zip(found, choices_for_plain_labels(), strict=True):
        np.testing.assert_array_equal(strategy.query(X, y, batch_size=3), wanted)
        np.testing.assert_array_equal(strategy.query(X, y.tolist(), batch_size=3), wanted)


def test_pandas_integers_with_missing_values_are_labels():
    pd = pytest.importorskip("pandas")
    X, y = partly()
    frame = pd.DataFrame(X, columns=list("abcd"))
    for strategy, wanted in zip(strategies(), choices_for_plain_labels(), strict=True):
        found = strategy.query(frame, pd.Series(y).astype("Int64"), batch_size=3)
        np.testing.assert_array_equal(found, wanted)


def test_many_small_classes_are_not_mistaken_for_numbers():
    X, _ = blobs(n=120)
    y = np.full(120, np.nan)
    y[:50] = np.arange(50) % 25
    assert InfluenceQuery(random_state=0).query(X, y).shape == (1,)
    assert LDMQuery(random_state=0).query(X, y).shape == (1,)


def test_trusted_reference_rows_change_an_influence_query():
    X, y = partly()
    X_val, y_val = blobs(n=30, seed=1)
    strategy = strategies()[0]
    options = {"return_utilities": True}

    _, own = strategy.query(X, y, **options)
    _, trusted = strategy.query(X, y, X_val=X_val, y_val=y_val, **options)

    assert (own[0, 15:] != trusted[0, 15:]).all()
    with pytest.raises(ValueError, match="X_val was provided, but y_val was not"):
        strategy.query(X, y, X_val=X_val)


def test_a_frozen_net_is_queried_without_another_fit():
    net, X = fitted(quick())
    _, y = partly()
    strategy = LDMQuery(FrozenEstimator(net), random_state=0, sigmas=SIGMAS)

    _, utilities = strategy.query(X, y, return_utilities=True)

    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    wanted = least_disagree_metric(net, X[15:], X_val=X, sigmas=SIGMAS, random_state=seed)
    np.testing.assert_array_equal(utilities[0, 15:], -wanted)


@pytest.mark.parametrize("index", [0, 1])
def test_a_query_is_reproducible_and_changes_no_random_state_or_parameter(index):
    X, y = partly()
    strategy = strategies()[index]
    before, shown = strategy.get_params(), y.copy()
    torch.manual_seed(5)
    state = torch.get_rng_state()

    first = strategy.query(X, y, batch_size=4)

    assert torch.equal(torch.get_rng_state(), state)
    assert strategy.get_params().keys() == before.keys()
    assert all(strategy.get_params(deep=False)[k] is before[k] for k in before if "__" not in k)
    np.testing.assert_array_equal(y, shown)
    np.testing.assert_array_equal(first, strategy.query(X, y, batch_size=4))
    np.testing.assert_array_equal(first, clone(strategy).query(X, y, batch_size=4))


def test_parameters_reach_the_inner_estimators():
    strategy = InfluenceQuery(scorer()).set_params(aggregate="worst", scorer__normalize="rows")
    assert strategy.get_params()["scorer__normalize"] == "rows"
    assert clone(strategy).aggregate == "worst"
    assert LDMQuery(quick()).set_params(estimator__lr=0.5).estimator.lr == 0.5


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 76}, "batch_size=76 is larger than the number of candidates, 75"),
        ({"batch_size": 0}, "batch_size=0: expected an integer, 1 or more"),
        ({"y": np.full(90, np.nan)}, "no row has a label: all 90 entries"),
        ({"y": np.arange(90) % 3}, "there is no unlabeled row to choose from"),
        ({"y": np.zeros((90, 2))}, r"y has shape \(90, 2\); expected one label"),
        ({"y": np.where(np.arange(90) < 9, 1.0, np.nan)}, "y has one class only"),
        ({"candidates": [90]}, "expected indices from 0 to 89, a mask of shape"),
        ({"candidates": [0.5]}, "expected indices from 0 to 89"),
        ({"candidates": [20, 20]}, "contains an index more than once"),
        ({"candidates": [20, 3]}, "1 rows that already have a label, the first at index 3"),
        ({"candidates": []}, "candidates is empty; give at least one"),
        ({"candidates": np.zeros((2, 3))}, "features"),
    ],
)
def test_invalid_queries_are_refused(index, change, words):
    X, y = partly()
    with pytest.raises(ValueError, match=words):
        strategies()[index].query(**{"X": X, "y": y} | change)


def test_strategies_with_invalid_parameters_are_refused():
    X, y = partly()
    with pytest.raises(ValueError, match="spread=0: expected an integer"):
        LDMQuery(spread=0).query(X, y)
    with pytest.raises(ValueError, match="aggregate='best': expected"):
        InfluenceQuery(aggregate="best").query(X, y)
    with pytest.raises(TypeError, match=r"expected an InfluenceScorer\. To use a net, wrap it"):
        InfluenceQuery(quick()).query(X, y)
    with pytest.raises(TypeError, match="expected a skorch net"):
        LDMQuery(LogisticRegression()).query(X, y)


def accuracy_on_digits(strategy, seed, X, y):
    """Test accuracy with 100 labels: 40 drawn at random, 60 queried in two batches."""
    X, X_test, y, y_test = train_test_split(X, y, train_size=700, random_state=seed)
    shown = np.full(700, np.nan)
    start = train_test_split(range(700), train_size=40, stratify=y, random_state=seed)[0]
    shown[start] = y[start]
    for step in range(2):
        if strategy is None:
            left = np.flatnonzero(np.isnan(shown))
            chosen = np.random.RandomState(step).choice(left, 30, replace=False)
        else:
            chosen = clone(strategy).set_params(random_state=seed).query(X, shown, batch_size=30)
        shown[chosen] = y[chosen]
    rows = ~np.isnan(shown)
    torch.manual_seed(seed)
    return digits_net().fit(X[rows], y[rows]).score(X_test, y_test)


def digits_net():
    return TabularClassifier(max_epochs=20, lr=5e-3, module__hidden=(64,))


def test_queries_beat_a_random_choice_on_digits():
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    inner = InfluenceScorer(digits_net(), check_gradients=False)
    arms = {
        "predicted": InfluenceQuery(inner),
        "expected": InfluenceQuery(inner, aggregate="expected"),
        "ldm": LDMQuery(digits_net(), n_draws=5),
        "random": None,
    }
    mean = {
        name: np.mean([accuracy_on_digits(strategy, seed, X, y) for seed in range(3)])
        for name, strategy in arms.items()
    }
    assert min(mean["ldm"], mean["predicted"], mean["expected"]) > mean["random"]


def test_metric_of_a_float64_net_is_float64():
    X, y = blobs()
    net = NeuralNetClassifier(
        nn.Linear(4, 3).double(), criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0
    ).fit(X, y)
    metric = least_disagree_metric(net, X, sigmas=SIGMAS)
    assert metric.dtype == np.float64
    assert metric.min() < 1
