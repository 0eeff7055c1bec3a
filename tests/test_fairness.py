"""Gaps between groups equal fairlearn's, have exact derivatives and reach every estimator."""

import itertools

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from fairlearn.metrics import (
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet
from small import (
    OwnCrossEntropy,
    as_dict,
    binary_net,
    blobs,
    dict_net,
    line,
    linear_regressor,
    logits_net,
    probabilities_net,
    quick,
    quick_regressor,
    scorer,
    selector,
)
from torch import nn
from torch.utils.data import TensorDataset
from zoo import make

from skinfluence import FilteredEstimator, InfluenceSampleSelector, NoisyLabelDetector
from skinfluence._core.directions import Objective, directions
from skinfluence._core.net import FunctionalNet
from skinfluence.ensembles import Dropout, WeightNoise
from skinfluence.rules import Budget
from skinfluence.targets import (
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    Reference,
    Utility,
    evaluate,
)

X, Y3 = blobs(120)
Y = (Y3 > 0).astype(int)
GROUP = np.random.RandomState(5).choice(["north", "south"], 120)
X_VAL, Y_VAL3 = blobs(60, seed=1)
Y_VAL = (Y_VAL3 > 0).astype(int)
GROUP_VAL = np.random.RandomState(6).choice(["north", "south"], 60)


def groups_of_rows(data):
    """Compute each row's group from the row, so that a test can check slices."""
    return np.where(data[:, 0] > np.median(X[:, 0]), "high", "low")


BORDER = groups_of_rows(X)

GAPS = {
    "parity": DemographicParity,
    "opportunity": EqualOpportunity,
    "opportunity by loss": lambda *a, **p: EqualOpportunity(*a, measure="loss", **p),
    "odds": EqualizedOdds,
}
each_gap = pytest.mark.parametrize("gap", GAPS)
each_between = pytest.mark.parametrize("between", ["max", "mean"])


def reference(p, y, groups, classes=(0, 1)):
    """Make reference rows of a net whose outputs are probabilities."""
    outputs = torch.tensor(p, dtype=torch.float64, requires_grad=True)
    y = torch.as_tensor(y)
    losses = 1 - outputs.gather(1, y[:, None]).squeeze(1)
    metadata = {} if groups is None else {"sensitive_features": np.asarray(groups)}
    return Reference(outputs, y, losses, lambda f: f, True, metadata, np.array(classes))


def rows(n=60, classes=2, groups=2, seed=0, *, hard=False):
    """Make probabilities (n, classes), and one label and one group per row."""
    rng = np.random.RandomState(seed)
    p = rng.dirichlet(np.ones(classes), n)
    if hard:
        p = np.eye(classes)[p.argmax(1)]
    y = np.tile(np.arange(classes), n)[:n]  # groups change more slowly, so each has each class
    return p, y, np.array(list("abcdefg"))[np.arange(n) // classes % groups]


def brute(gap, p, y, groups, positive=1, between="max"):
    """Compute the gap from its definition, over pairs of groups."""
    hit, losses = p[:, positive], 1 - p[np.arange(len(y)), y]
    found = []
    for kind, values in {
        "parity": [(y == y, hit)],
        "opportunity": [(y == positive, hit)],
        "opportunity by loss": [(y == positive, losses)],
        "odds": [(y == positive, hit), (y != positive, hit)],
    }[gap]:
        rates = [values[kind & (groups == g)].mean() for g in np.unique(groups)]
        pairs = [abs(a - b) for a, b in itertools.combinations(rates, 2)]
        found.append(max(pairs) if between == "max" else np.mean(pairs))
    return max(found)


# Definition


@each_gap
@each_between
@pytest.mark.parametrize("n_groups", [2, 3, 5])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_gap_matches_its_definition(gap, between, n_groups, classes):
    p, y, groups = rows(classes=classes, groups=n_groups)
    target = GAPS[gap](1, between=between)
    got = evaluate(target, reference(p, y, groups, range(classes))).item()
    assert got == pytest.approx(brute(gap, p, y, groups, between=between), rel=1e-12)
    assert got > 1e-3


FAIRLEARN = {
    "parity": demographic_parity_difference,
    "opportunity": equal_opportunity_difference,
    "odds": equalized_odds_difference,
}


@pytest.mark.parametrize("gap", FAIRLEARN)
@pytest.mark.parametrize("n_groups", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_a_gap_of_hard_predictions_equals_fairlearns(gap, n_groups, seed):
    p, y, groups = rows(groups=n_groups, seed=seed, hard=True)
    want = FAIRLEARN[gap](y, p.argmax(1), sensitive_features=groups)
    got = evaluate(GAPS[gap](), reference(p, y, groups)).item()
    assert got == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("gap", FAIRLEARN)
@pytest.mark.parametrize("positive", [0, 1, 2])
def test_a_gap_of_one_of_three_classes_equals_fairlearns_one_against_the_rest(gap, positive):
    p, y, groups = rows(n=90, classes=3, groups=3, hard=True)
    predicted = p.argmax(1) == positive
    want = FAIRLEARN[gap](y == positive, predicted, sensitive_features=groups)
    got = evaluate(GAPS[gap](positive), reference(p, y, groups, range(3))).item()
    assert got == pytest.approx(want, rel=1e-12)


@each_gap
def test_between_does_not_matter_for_two_groups(gap):
    p, y, groups = rows()
    largest, mean = (
        evaluate(GAPS[gap](between=b), reference(p, y, groups)).item() for b in ("max", "mean")
    )
    assert largest == pytest.approx(mean, rel=1e-12)


@each_gap
def test_renaming_groups_does_not_change_a_gap(gap):
    p, y, groups = rows()
    swapped = np.where(groups == "a", "b", "a")
    a, b = (evaluate(GAPS[gap](), reference(p, y, g)).item() for g in (groups, swapped))
    assert a == b > 0


@each_gap
@pytest.mark.parametrize("swap", [False, True], ids=["one sign", "the other"])
def test_a_step_against_the_gradient_narrows_the_gap_whatever_its_sign(gap, swap):
    p, y, groups = rows()
    groups = np.where(groups == "a", "b", "a") if swap else groups
    here = reference(p, y, groups)
    before = evaluate(GAPS[gap](), here)
    (G,) = torch.autograd.grad(before, here.outputs)
    after = evaluate(GAPS[gap](), reference(p - 0.01 * G.numpy(), y, groups))
    assert after.item() < before.item()


@each_gap
def test_equal_groups_have_no_gap(gap):
    p, y, _ = rows(n=40)
    twice = reference(np.vstack([p, p]), np.append(y, y), np.repeat(["a", "b"], 40))
    assert evaluate(GAPS[gap](), twice).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["mlp", "batchnorm1d", "conv1d", "lstm", "tied"])
@each_between
@each_gap
def test_the_direction_of_a_gap_matches_finite_differences(gap, between, name):
    net, data, _ = make(name, batch_size=16)
    rng = np.random.RandomState(0)
    shape = (42, *data.shape[1:])
    data = rng.randint(0, 11, shape) if data.dtype.kind == "i" else rng.randn(*shape)
    y = np.tile([0, 1, 2], 14)
    metadata = {"sensitive_features": np.repeat(["a", "b", "c"], 14)}
    target, classes = GAPS[gap](1, between=between), np.arange(11 if name == "tied" else 3)
    fnet = FunctionalNet(net)
    v = directions(
        fnet, Objective(target, data, y, True, classes, metadata.get("sensitive_features"))
    )
    generator = torch.Generator().manual_seed(0)
    d = {
        n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in fnet.params.items()
    }
    Xb, yb = torch.as_tensor(data), torch.as_tensor(y)

    def value(step):
        moved = {n: (p + step * d[n]).requires_grad_() for n, p in fnet.params.items()}
        f = fnet.outputs(moved, Xb)
        losses = fnet.losses(f, Xb, yb)
        here = Reference(f, yb, losses, fnet.probabilities, True, metadata, classes)
        return evaluate(target, here).item()

    step = 1e-5  # truncation ~ step² and rounding ~ 1e-16 / step are both about 1e-10
    slope = (value(step) - value(-step)) / (2 * step)
    inner = sum((v[n][0] * d[n]).sum().item() for n in v)
    assert abs(slope) > 1e-4
    assert inner == pytest.approx(slope, rel=1e-5, abs=1e-8)


@each_gap
def test_gaps_can_be_cloned(gap):
    target = GAPS[gap]("yes", between="mean")
    assert str(clone(target)) == str(target)


# Errors of a gap


@each_gap
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"groups": None}, "compares groups, but no groups were given"),
        ({"groups": ["a"] * 60}, "compares groups, but all reference rows are in group 'a'"),
        ({"classes": range(3)}, "with 3 classes, name the positive one, for example positive_l"),
        ({"classes": None}, "needs class probabilities, which a regressor does not have"),
    ],
    ids=["no groups", "one group", "three classes", "no classes"],
)
def test_an_undefined_gap_is_refused(gap, change, words):
    p, y, groups = rows()
    here = reference(p, y, change.get("groups", groups))
    if "classes" in change:
        here.classes = None if change["classes"] is None else np.array(change["classes"])
    with pytest.raises(ValueError, match=words):
        evaluate(GAPS[gap](), here)


@each_gap
@pytest.mark.parametrize("label", ["yes", 7, 1.5, "1"], ids=repr)
def test_the_error_for_an_unknown_positive_label_names_the_classes(gap, label):
    words = r"positive_label is not among the classes \[0, 1\]"
    with pytest.raises(ValueError, match=words):
        evaluate(GAPS[gap](label), reference(*rows()))


@each_gap
def test_an_unknown_between_is_refused(gap):
    with pytest.raises(ValueError, match="expected between='max' or 'mean'"):
        evaluate(GAPS[gap](between="sum"), reference(*rows()))


def test_an_unknown_measure_is_refused():
    with pytest.raises(ValueError, match="expected measure='probability' or 'loss'"):
        evaluate(EqualOpportunity(measure="rate"), reference(*rows()))


@pytest.mark.parametrize("gap", ["opportunity", "opportunity by loss", "odds"])
def test_the_error_names_a_group_without_positive_rows(gap):
    p, y, groups = rows()
    groups[y == 1] = "a"
    with pytest.raises(
        ValueError, match="no reference row of group 'b' belongs to the positive class"
    ):
        evaluate(GAPS[gap](), reference(p, y, groups))


def test_equalized_odds_refuses_a_group_of_positive_rows_only():
    p, y, groups = rows()
    groups[y == 0] = "a"
    with pytest.raises(ValueError, match="no reference row of group 'b' belongs to another class"):
        evaluate(EqualizedOdds(), reference(p, y, groups))


def test_demographic_parity_accepts_a_group_without_positive_rows():
    p, y, groups = rows()
    groups[y == 1] = "a"
    want = brute("parity", p, y, groups)
    assert evaluate(DemographicParity(), reference(p, y, groups)).item() == pytest.approx(want)


# Through the scorer


def fair(target=None, net=None, **params):
    target = DemographicParity() if target is None else target
    return scorer(estimator=quick() if net is None else net, target=target, **params)


def given_reference(**params):
    return {
        "X_val": X_VAL,
        "y_val": Y_VAL,
        "sensitive_features_val": GROUP_VAL,
    } | params


@each_gap
@pytest.mark.parametrize("make_net", [logits_net, probabilities_net, binary_net])
def test_a_score_is_the_inner_product_with_the_gradient_of_the_gap(gap, make_net):
    net = make_net()
    if make_net is logits_net:
        net.set_params(module__out_features=2)
    y, y_val, classes = (Y, Y_VAL, 2) if make_net is not probabilities_net else (Y3, Y_VAL3, 3)
    found = fair(GAPS[gap](1), net).fit(X, y, **given_reference(y_val=y_val))
    module = found.estimator_.module_.eval()
    parameters = list(module.parameters())

    def of(data, labels):
        f = module(torch.as_tensor(data.astype(np.float32)))
        labels = torch.as_tensor(labels)
        if make_net is logits_net:
            return f.softmax(1), nn.functional.cross_entropy(f, labels, reduction="none")
        if make_net is probabilities_net:
            return f, nn.functional.nll_loss(f.log(), labels, reduction="none")
        p = f.sigmoid()
        losses = nn.functional.binary_cross_entropy_with_logits(
            f[:, 0], labels.float(), reduction="none"
        )
        return torch.cat([1 - p, p], 1), losses

    p, losses = of(X_VAL, y_val)
    here = Reference(
        p, torch.as_tensor(y_val), losses, lambda f: f, True,
        {"sensitive_features": GROUP_VAL}, np.arange(classes),
    )  # fmt: skip
    v = torch.cat([g.flatten() for g in torch.autograd.grad(GAPS[gap](1)(here), parameters)])
    G = []
    for i in range(len(X)):
        grads = torch.autograd.grad(of(X[i : i + 1], y[i : i + 1])[1].sum(), parameters)
        G.append(torch.cat([g.flatten() for g in grads]))
    want = (torch.stack(G) @ v).numpy()
    assert_allclose(found.scores_, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())  # float32


KINDS = {
    "text": GROUP,
    "list": GROUP.tolist(),
    "objects": GROUP.astype(object),
    "bool": GROUP == "south",
    "int": (GROUP == "south") * 7 - 3,
    "float": (GROUP == "south") * 0.5,
    "category": pd.Series(GROUP, dtype="category"),
    "string": pd.Series(GROUP, dtype="string"),
    "frame": pd.DataFrame({"region": GROUP}),
    "polars": pl.Series("region", GROUP.tolist()),
    "tensor": torch.as_tensor((GROUP == "south").astype(int)),
    "bands": pd.cut((GROUP == "south") * 40 + 20, [0, 30, 70]),
    "column": GROUP[:, None],
    "other index": pd.Series(GROUP, index=np.arange(120)[::-1]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_groups_of_any_kind_give_the_same_scores(kind):
    want = fair().fit(X, Y, sensitive_features=GROUP).scores_
    assert_array_equal(fair().fit(X, Y, sensitive_features=KINDS[kind]).scores_, want)


def test_several_columns_are_crossed_into_groups():
    second = np.arange(120) % 2
    columns = pd.DataFrame({"region": GROUP, "even": second})
    crossed = [f"{a}{b}" for a, b in zip(GROUP, second, strict=True)]
    a, b = (fair().fit(X, Y, sensitive_features=g).scores_ for g in (columns, crossed))
    assert_array_equal(a, b)


@each_gap
def test_swapping_group_names_does_not_change_the_scores(gap):
    swapped = np.where(GROUP_VAL == "north", "south", "north")
    a, b = (
        fair(GAPS[gap]()).fit(X, Y, **given_reference(sensitive_features_val=g)).scores_
        for g in (GROUP_VAL, swapped)
    )
    assert_array_equal(a, b)
    assert np.abs(a).max() > 1e-4


@each_gap
def test_positive_label_is_one_of_the_users_labels(gap):
    names = np.array(["no", "yes"])
    found = fair(GAPS[gap]("no")).fit(X, names[Y], **given_reference(y_val=names[Y_VAL]))
    want = fair(GAPS[gap](0)).fit(X, Y, **given_reference())
    assert_array_equal(found.scores_, want.scores_)


def test_the_second_of_two_labels_is_positive_by_default():
    names = np.array(["no", "yes"])
    a, b = (
        fair(EqualOpportunity(label)).fit(X, names[Y], sensitive_features=GROUP).scores_
        for label in (None, "yes")
    )
    assert_array_equal(a, b)


@each_gap
def test_a_frozen_net_with_an_unused_label_keeps_its_own_columns(gap):
    labels, labels_val = np.where(Y, 2, 0), np.where(Y_VAL, 2, 0)
    net = logits_net().fit(X.astype(np.float32), labels)  # three columns, the second unused
    found = fair(GAPS[gap](2), FrozenEstimator(net)).fit(
        X, labels, **given_reference(y_val=labels_val)
    )

    def same(outputs, y, sensitive_features):
        losses = nn.functional.cross_entropy(outputs, y, reduction="none")
        softmax = lambda f: f.softmax(1)  # noqa: E731
        metadata = {"sensitive_features": sensitive_features}
        here = Reference(outputs, y, losses, softmax, True, metadata, np.arange(3))
        return GAPS[gap](2)(here)

    want = fair(same, FrozenEstimator(net)).fit(X, labels, **given_reference(y_val=labels_val))
    assert_allclose(found.scores_, want.scores_, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_split_keeps_every_group(seed):
    groups = np.random.RandomState(seed).choice(list("abcd"), 120, p=[0.6, 0.2, 0.1, 0.1])
    found = fair(random_state=seed, validation_fraction=0.1).fit(X, Y, sensitive_features=groups)
    held = found.reference_indices_
    assert set(groups[held]) == set(groups)
    assert set(groups[np.setdiff1d(np.arange(120), held)]) == set(groups)


def test_groups_do_not_change_the_scores_of_a_target_without_groups():
    plain = scorer(target=Utility()).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    found = scorer(target=Utility()).fit(X, Y, **given_reference(sensitive_features=GROUP))
    assert_array_equal(found.scores_, plain.scores_)


def test_a_callable_gets_the_groups_of_the_reference_rows():
    seen = []

    def target(outputs, y, sensitive_features):
        seen.append(sensitive_features)
        return outputs.square().mean()

    found = fair(target).fit(X, Y, sensitive_features=GROUP)
    assert all((groups == GROUP[found.reference_indices_]).all() for groups in seen)
    assert seen


def test_a_dataset_with_groups_scores_like_its_arrays():
    data = TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(Y))
    net = logits_net(module__out_features=2)
    found = fair(net=net).fit(data, sensitive_features=GROUP)
    want = fair(net=net).fit(X.astype(np.float32), Y, sensitive_features=GROUP)
    assert_allclose(found.scores_, want.scores_, rtol=1e-5, atol=1e-7)


def test_a_reference_dataset_accepts_groups():
    data = TensorDataset(torch.tensor(X_VAL, dtype=torch.float32), torch.tensor(Y_VAL))
    net = logits_net(module__out_features=2)
    options = given_reference(X_val=data, y_val=None)
    found = fair(net=net).fit(X.astype(np.float32), Y, **options)
    want = fair(net=net).fit(X.astype(np.float32), Y, **given_reference())
    assert_allclose(found.scores_, want.scores_, rtol=1e-5, atol=1e-7)


def test_rows_in_dicts_accept_groups():
    found = fair(DemographicParity(2), dict_net()).fit(as_dict(X), Y3, sensitive_features=GROUP)
    want = fair(DemographicParity(2), logits_net()).fit(X, Y3, sensitive_features=GROUP)
    assert_allclose(found.scores_, want.scores_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("aggregate", ["mean", "ranks", "votes"])
@pytest.mark.parametrize("cls", [Dropout, WeightNoise])
def test_ensembles_accept_a_gap(cls, aggregate):
    ensemble = cls(3, 0.3, aggregate=aggregate)
    found = fair(ensemble=ensemble).fit(X, Y, sensitive_features=GROUP)
    assert np.isfinite(found.scores_).all()
    assert_array_equal(found.score_samples(X, Y), found.scores_)


@pytest.mark.parametrize("options", [{"normalize": "both"}, {"classwise": True}], ids=str)
def test_a_gap_works_with_the_scorers_other_options(options):
    found = fair(**options).fit(X, Y, sensitive_features=GROUP)
    assert np.ptp(found.scores_) > 0


def test_dropping_the_lowest_rows_is_predicted_to_narrow_the_gap():
    # To first order, a step of training without a row moves the gap by minus its score.
    found = fair(net=logits_net(module__out_features=2)).fit(X, Y, **given_reference())
    net = found.estimator_
    params = dict(net.module_.named_parameters())

    def gap():
        with torch.no_grad():
            p = net.module_(torch.as_tensor(X_VAL.astype(np.float32))).softmax(1)[:, 1].numpy()
        return brute("parity", np.stack([1 - p, p], 1), Y_VAL, GROUP_VAL)

    before, low = gap(), np.argsort(found.scores_)[:10]
    f = net.module_(torch.as_tensor(X[low].astype(np.float32)))
    loss = nn.functional.cross_entropy(f, torch.as_tensor(Y[low]), reduction="sum")
    grads = torch.autograd.grad(loss, list(params.values()))
    with torch.no_grad():  # a step up their loss undoes a training step on them
        for p, g in zip(params.values(), grads, strict=True):
            p += 1e-3 * g
    want = 1e-3 * found.scores_[low].sum()
    assert gap() - before == pytest.approx(want, rel=0.1)
    assert want < 0


@each_gap
@pytest.mark.parametrize("make_net", [linear_regressor, quick_regressor, None])
def test_a_gap_refuses_a_regressor(gap, make_net):
    data, y = line()
    net = make_net() if make_net else None
    with pytest.raises(ValueError, match="class probabilities, which a regressor does not have"):
        scorer(estimator=net, target=GAPS[gap]()).fit(data, y, sensitive_features=data[:, 0] > 0)


def test_a_gap_refuses_a_net_that_is_neither_classifier_nor_regressor():
    net = NeuralNet(
        nn.Linear, nn.CrossEntropyLoss, module__in_features=4, module__out_features=2,
        train_split=None, verbose=0, max_epochs=1,
    )  # fmt: skip
    with pytest.raises(ValueError, match="needs class probabilities"):
        fair(net=net).fit(X.astype(np.float32), Y, sensitive_features=GROUP)


NO_POSITIVE_IN_SOUTH = GROUP_VAL.copy()
NO_POSITIVE_IN_SOUTH[Y_VAL == 1] = "north"
BAD = {
    "no groups": ({}, "compares groups, but no groups were given"),
    "no groups of the reference": (
        {"X_val": X_VAL, "y_val": Y_VAL},
        "no groups were given. Give fit",
    ),
    "groups of the wrong rows": (
        {"X_val": X_VAL, "y_val": Y_VAL, "sensitive_features": GROUP},
        "give the groups of X_val as sensitive_features_val",
    ),
    "groups of absent rows": (
        {"sensitive_features": GROUP, "sensitive_features_val": GROUP_VAL},
        "sensitive_features_val was provided, but X_val was not",
    ),
    "one group": ({"sensitive_features": ["all"] * 120}, "all reference rows are in group 'all'"),
    "missing": (
        {"sensitive_features": np.where(np.arange(120) == 7, np.nan, 1.0)},
        "sensitive_features has 1 missing entries",
    ),
    "too few": ({"sensitive_features": GROUP[:-1]}, r"shape \(119,\).*each of 120 rows"),
    "too few of the reference": (
        given_reference(sensitive_features_val=GROUP_VAL[:-1]),
        r"sensitive_features_val has shape \(59,\).*each of 60 rows",
    ),
    "three axes": ({"sensitive_features": np.zeros((120, 1, 1))}, r"has shape \(120, 1, 1\)"),
    "absent from the reference": (
        given_reference(sensitive_features=np.where(np.arange(120) < 4, "west", GROUP)),
        "group 'west' of sensitive_features has 4 rows, but none of them is a reference row",
    ),
    "too small a group": (
        {"sensitive_features": np.where(np.arange(120) == 3, "west", GROUP)},
        "group 'west' of sensitive_features has 1 rows, but none of them is a reference row",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_groups_are_refused(kind):
    options, words = BAD[kind]
    with pytest.raises(ValueError, match=words):
        fair().fit(X, Y, **options)


def test_a_reference_group_without_positive_rows_is_refused():
    words = (
        "no reference row of group 'south' belongs to the positive class. Give more reference rows"
    )
    with pytest.raises(ValueError, match=words):
        fair(EqualOpportunity()).fit(
            X, Y, **given_reference(sensitive_features_val=NO_POSITIVE_IN_SOUTH)
        )


# Through the selector


def test_the_selector_passes_reference_groups_to_its_scorer():
    found = selector(Budget(0.1), scorer=fair()).fit(X, Y, **given_reference())
    assert_array_equal(found.scores_, fair().fit(X, Y, **given_reference()).scores_)


def test_each_fold_passes_the_groups_of_its_reference_rows():
    seen = []

    def target(outputs, y, sensitive_features):
        seen.append((len(outputs), sorted(set(sensitive_features))))
        p = outputs.softmax(1)[:, 1]
        south = torch.as_tensor(sensitive_features == "south")
        return (p[south].mean() - p[~south].mean()).abs()

    found = selector(Budget(0.1), scorer=fair(target), cv=3)
    found.fit(X, Y, sensitive_features=GROUP)
    assert sorted({size for size, _ in seen}) == [40]
    assert all(groups == ["north", "south"] for _, groups in seen)


def test_groups_follow_their_rows_into_the_folds():
    seen = []

    class Recording(type(fair())):
        def fit(self, X, y=None, *, X_val, y_val, sensitive_features, sensitive_features_val):
            seen.append((X, sensitive_features, X_val[0], sensitive_features_val[0]))
            return super().fit(
                X, y, X_val=X_val, y_val=y_val, sensitive_features=sensitive_features,
                sensitive_features_val=sensitive_features_val,
            )  # fmt: skip

    inner = Recording(quick(), target=DemographicParity(), random_state=0)
    selector(Budget(0.1), scorer=inner, cv=3).fit(X, Y, sensitive_features=BORDER)
    assert len(seen) == 3
    for data, groups, data_val, groups_val in seen:
        assert_array_equal(groups, groups_of_rows(data))
        assert_array_equal(groups_val, groups_of_rows(data_val))


@pytest.mark.parametrize("seed", range(4))
def test_each_fold_has_every_group_even_a_small_one(seed):
    groups = np.where(np.arange(120) < 12, "west", GROUP)  # four of one label, eight of the other
    found = selector(Budget(0.1), scorer=fair(net=quick(max_epochs=1)), cv=4, random_state=seed)
    assert found.fit(X, Y, sensitive_features=groups).scores_.shape == (120,)


def test_cached_scores_depend_on_the_groups(tmp_path):
    other = np.where(np.arange(120) % 2, "north", "south")
    cached = selector(Budget(0.1), scorer=fair(), memory=str(tmp_path))
    a, b, again = (
        clone(cached).fit(X, Y, sensitive_features=g).scores_ for g in (GROUP, other, GROUP)
    )
    assert_array_equal(a, again)
    assert np.abs(a - b).max() > 1e-6


def test_fit_resample_accepts_groups():
    X_kept, y_kept = selector(Budget(0.25), scorer=fair()).fit_resample(
        X, Y, sensitive_features=GROUP
    )
    assert (len(X_kept), len(y_kept)) == (90, 90)


def test_a_group_too_small_for_the_folds_is_refused():
    groups = np.where(np.arange(120) == 3, "west", GROUP)
    with pytest.raises(ValueError, match="group 'west' of sensitive_features has 1 rows"):
        selector(scorer=fair()).fit(X, Y, sensitive_features=groups)


@pytest.mark.parametrize(
    "options", [{"sensitive_features": GROUP}, given_reference()], ids=["rows", "reference"]
)
def test_a_scorer_without_groups_refuses_sensitive_features(options):
    inner = NoisyLabelDetector(quick(), cv=2, checkpoints=2)
    words = "was provided, but NoisyLabelDetector.fit does not take it: use InfluenceScorer"
    with pytest.raises(TypeError, match=words):
        selector(scorer=inner).fit(X, Y, **options)


# Through the filtered estimator, pipelines and searches


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def filtered(**params):
    return FilteredEstimator(LogisticRegression(), selector(Budget(0.2), scorer=fair()), **params)


def kept_by(groups):
    return selector(Budget(0.2), scorer=fair()).fit(X, Y, sensitive_features=groups).sample_indices_


def test_the_filtered_estimator_passes_groups_to_its_selector():
    found = filtered().fit(X, Y, sensitive_features=GROUP)
    assert_array_equal(found.selector_.sample_indices_, kept_by(GROUP))
    assert found.predict(X).shape == (120,)


def test_the_filtered_estimator_passes_reference_groups_to_its_selector():
    found = filtered().fit(X, Y, **given_reference())
    want = selector(Budget(0.2), scorer=fair()).fit(X, Y, **given_reference())
    assert_array_equal(found.selector_.sample_indices_, want.sample_indices_)


def test_groups_reach_a_step_of_a_pipeline_without_routing():
    pipe = Pipeline([("scale", StandardScaler()), ("fit", filtered())])
    pipe.fit(X, Y, fit__sensitive_features=GROUP)
    scaled = StandardScaler().fit_transform(X)
    want = selector(Budget(0.2), scorer=fair()).fit(scaled, Y, sensitive_features=GROUP)
    assert_array_equal(pipe["fit"].selector_.sample_indices_, want.sample_indices_)


@pytest.mark.usefixtures("routing")
def test_groups_reach_a_step_of_a_pipeline_with_routing():
    pipe = Pipeline([("scale", StandardScaler()), ("fit", filtered())])
    pipe.fit(X, Y, sensitive_features=GROUP)
    scaled = StandardScaler().fit_transform(X)
    want = selector(Budget(0.2), scorer=fair()).fit(scaled, Y, sensitive_features=GROUP)
    assert_array_equal(pipe["fit"].selector_.sample_indices_, want.sample_indices_)


class RecordingSelector(InfluenceSampleSelector):
    """Records the rows and groups of each fit, over all clones."""

    seen: list = []

    def fit(
        self,
        X,
        y=None,
        *,
        X_val=None,
        y_val=None,
        sensitive_features=None,
        sensitive_features_val=None,
    ):
        RecordingSelector.seen.append((X, sensitive_features, X_val, sensitive_features_val))
        return super().fit(
            X, y, X_val=X_val, y_val=y_val, sensitive_features=sensitive_features,
            sensitive_features_val=sensitive_features_val,
        )  # fmt: skip


@pytest.fixture
def seen():
    RecordingSelector.seen = []
    return RecordingSelector.seen


def recording_search(**params):
    inner = RecordingSelector(fair(), Budget(0.2), cv=2, random_state=0)
    pipe = Pipeline([("fit", FilteredEstimator(LogisticRegression(), inner))])
    grid = {"fit__selector__rule__fraction": [0.1, 0.3]}
    return GridSearchCV(pipe, grid, cv=StratifiedKFold(2), error_score="raise", **params)


def test_a_search_slices_groups_with_the_rows_without_routing(seen):
    recording_search().fit(X, Y, fit__sensitive_features=BORDER)
    assert [len(data) for data, *_ in seen] == [60] * 4 + [120]
    assert all((groups == groups_of_rows(data)).all() for data, groups, *_ in seen)


@pytest.mark.usefixtures("routing")
def test_a_search_slices_groups_with_the_rows_with_routing(seen):
    recording_search().fit(X, Y, sensitive_features=BORDER)
    assert [len(data) for data, *_ in seen] == [60] * 4 + [120]
    assert all((groups == groups_of_rows(data)).all() for data, groups, *_ in seen)


@pytest.mark.usefixtures("routing")
def test_a_search_does_not_slice_reference_rows_in_1_tuples(seen):
    options = {key: (value,) for key, value in given_reference().items()}
    recording_search().fit(X, Y, **options)
    assert len(seen) == 5
    for _, _, X_val, groups_val in seen:
        assert_array_equal(X_val[0], X_VAL)
        assert_array_equal(groups_val[0], GROUP_VAL)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("metric", [demographic_parity_difference, equalized_odds_difference])
def test_a_search_scores_fairlearns_metric_on_the_same_groups(metric, seen):
    scoring = make_scorer(metric, greater_is_better=False)
    scoring = scoring.set_score_request(sensitive_features=True)
    search = recording_search(scoring=scoring).fit(X, Y, sensitive_features=BORDER)
    best = clone(search.best_estimator_)
    want = []
    for train, test in StratifiedKFold(2).split(X, Y):
        best.fit(X[train], Y[train], sensitive_features=BORDER[train])
        predicted = best.predict(X[test])
        want.append(-metric(Y[test], predicted, sensitive_features=BORDER[test]))
    assert search.best_score_ == pytest.approx(np.mean(want), rel=1e-12)
    assert len(seen) == 7


@pytest.mark.usefixtures("routing")
def test_the_estimator_may_request_the_groups_too():
    class Wants(LogisticRegression):
        def fit(self, X, y, sample_weight=None, sensitive_features=None):
            self.groups_ = sensitive_features
            return super().fit(X, y)

    inner = Wants().set_fit_request(sensitive_features=True)
    found = FilteredEstimator(inner, selector(Budget(0.2), scorer=fair()))
    found.fit(X, Y, sensitive_features=GROUP)
    kept = found.selector_.sample_indices_
    assert_array_equal(found.estimator_.groups_, GROUP[kept])
    assert_array_equal(kept, kept_by(GROUP))


# Nets whose criterion skorch does not know


def test_gaps_of_logits_are_those_of_their_probabilities():
    X, y = blobs()
    groups = np.arange(len(y)) % 2
    options = {"target": DemographicParity(positive_label=1)}
    want = scorer(estimator=logits_net(), **options).fit(X, y, sensitive_features=groups)
    own = scorer(estimator=logits_net(criterion=OwnCrossEntropy), **options)
    with pytest.warns(UserWarning, match="predict_nonlinearity="):
        own.fit(X, y, sensitive_features=groups)
    assert_allclose(own.scores_, want.scores_, rtol=1e-5, atol=1e-7)
