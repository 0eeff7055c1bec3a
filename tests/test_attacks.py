"""Attacks equal their closed forms and stay within their bounds."""

import copy
import pickle

import numpy as np
import pytest
import torch
from art.attacks.evasion import HopSkipJump, ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from small import (
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
    scorer,
)
from torch import nn
from torch.utils.data import TensorDataset

from skinfluence import attacks
from skinfluence._core.influence import row_losses
from skinfluence._core.net import FunctionalNet
from skinfluence.attacks import FGSM, PGD, Attack, Crossing, FromART, attack_rows
from skinfluence.targets import Robustness, Target, Utility

X, Y = blobs()
TWO = (Y > 0).astype(int)
X_VAL, Y_VAL = blobs(30, seed=1)


class Linear64(nn.Linear):
    """A linear model in float64, for tests of identities."""

    def __init__(self, outputs=3):
        super().__init__(4, outputs)
        self.double()


class Probabilities64(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = Linear64()

    def forward(self, X):
        return torch.softmax(self.head(X), 1)


class Sigmoid64(nn.Module):
    """One probability, for BCELoss."""

    def __init__(self):
        super().__init__()
        self.head = Linear64(1)

    def forward(self, X):
        return torch.sigmoid(self.head(X))


class Deep64(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        self.double()


class Recurrent64(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.LSTM(2, 5, batch_first=True), nn.Linear(5, 3)
        self.double()

    def forward(self, X):
        return self.head(self.layer(X.reshape(-1, 2, 2))[0][:, -1])


def net_of(module, y=Y, kind=NeuralNetClassifier, **params):
    return own_net(module, kind, lr=0.3, batch_size=16, **params).fit(X, y)


NETS = {
    "three logits": lambda: (net_of(Linear64), Y),
    "two logits": lambda: (net_of(Linear64, TWO, module__outputs=2), TWO),
    "probabilities": lambda: (net_of(Probabilities64, criterion=nn.NLLLoss), Y),
    "one logit": lambda: (
        net_of(Linear64, TWO * 1.0, NeuralNetBinaryClassifier, module__outputs=1),
        TWO * 1.0,
    ),
    "one probability": lambda: (
        net_of(Sigmoid64, TWO * 1.0, NeuralNetBinaryClassifier, criterion=nn.BCELoss),
        TWO * 1.0,
    ),
    "logits taken for probabilities": lambda: (net_of(Linear64, predict_nonlinearity=None), Y),
    "deep": lambda: (net_of(Deep64), Y),
    "recurrent": lambda: (net_of(Recurrent64), Y),
}
LINEAR = [name for name in NETS if name not in ("deep", "recurrent")]
each_net = pytest.mark.parametrize("name", NETS)
each_linear = pytest.mark.parametrize("name", LINEAR)


def rows_of_logits(net, X):
    """Scores of each row under a linear net, whose differences are log-odds."""
    head = getattr(net.module_, "head", net.module_)
    scores = X @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    return np.hstack([np.zeros_like(scores), scores]) if scores.shape[1] == 1 else scores


def losses(net, X, y):
    return row_losses(FunctionalNet(net), X, y)


# Crossing


@each_linear
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 1.3])
def test_crossing_of_a_linear_net_equals_the_closed_form(name, gamma):
    net, y = NETS[name]()
    head = getattr(net.module_, "head", net.module_)
    W, b = head.weight.detach().numpy(), head.bias.detach().numpy()
    if len(W) == 1:
        W, b = np.vstack([0 * W, W]), np.append(0, b)
    want = []
    for x in X:  # x - gamma (w x + b) / |w|² w for the nearest border
        top = np.argmax(W @ x + b)
        steps = [
            ((W[top] - W[c]) @ x + b[top] - b[c]) / np.sum((W[top] - W[c]) ** 2) * (W[top] - W[c])
            for c in range(len(W))
            if c != top
        ]
        want.append(x - gamma * min(steps, key=np.linalg.norm))
    # 1e-6 for nets with probabilities: their log-odds are rounded by exp and log
    assert_allclose(Crossing(gamma)(net, X, y), want, rtol=1e-6, atol=1e-9)


def test_crossing_of_a_binary_linear_net_equals_the_formula_of_the_paper():
    net, y = NETS["one logit"]()
    w = net.module_.weight.detach().numpy()[0]
    margin = X @ w + net.module_.bias.item()
    want = X - 1.3 * np.outer(margin, w) / (w @ w)
    assert_allclose(Crossing()(net, X, y), want, rtol=1e-10, atol=1e-12)


@each_linear
def test_crossing_with_gamma_one_ends_on_the_border(name):
    net, y = NETS[name]()
    scores = np.sort(rows_of_logits(net, Crossing(1.0)(net, X, y)), axis=1)
    assert_allclose(scores[:, -1], scores[:, -2], atol=1e-6)


@each_linear
@pytest.mark.parametrize(("gamma", "crossed"), [(0.99, False), (1.01, True)], ids=["less", "more"])
def test_crossing_changes_the_prediction_if_gamma_is_above_one(name, gamma, crossed):
    net, y = NETS[name]()
    moved = Crossing(gamma)(net, X, y)
    changed = rows_of_logits(net, moved).argmax(1) != rows_of_logits(net, X).argmax(1)
    assert (changed == crossed).all()


@pytest.mark.parametrize("name", ["deep", "recurrent"])
def test_crossing_of_a_deep_net_goes_toward_the_border(name):
    net, y = NETS[name]()
    moved = Crossing(1.0)(net, X, y)

    def margins(rows):
        p = np.sort(net.predict_proba(rows), axis=1)
        return p[:, -1] - p[:, -2]

    top = net.predict_proba(X).argmax(1)
    crossed = net.predict_proba(moved).argmax(1) != top
    assert (crossed | (margins(moved) < margins(X))).mean() > 0.95


def test_logits_that_add_up_to_one_are_not_probabilities():
    net, y = NETS["two logits"]()
    with torch.no_grad():
        w = net.module_.weight[0].clone()
        net.module_.weight.copy_(torch.stack([w, -w]))
        net.module_.bias.fill_(0.5)
    want = X - 1.3 * np.outer(X @ w.numpy(), w.numpy()) / (w @ w).item()
    assert_allclose(Crossing()(net, X, y), want, rtol=1e-9, atol=1e-12)


def test_crossing_does_not_depend_on_the_labels():
    net, y = NETS["three logits"]()
    assert_array_equal(Crossing()(net, X, y), Crossing()(net, X, (y + 1) % 3))


def test_crossing_leaves_a_row_with_zero_gradient():
    net, y = NETS["three logits"]()
    with torch.no_grad():
        net.module_.weight.zero_()
    assert_array_equal(Crossing()(net, X, y), X)


@pytest.mark.parametrize("make", [linear_regressor, quick_regressor])
@pytest.mark.parametrize("attack", [Crossing(), FromART(HopSkipJump)], ids=["Crossing", "FromART"])
def test_a_regressor_is_refused_where_classes_are_needed(make, attack):
    rows, y = line()
    net = make().fit(rows.astype("float32"), y.astype("float32")[:, None])
    with pytest.raises(ValueError, match=f"{type(attack).__name__} moves rows across the border"):
        attack(net, rows.astype("float32"), y)


# Steps along the gradient


def brute_gradient(net, X, y):
    """Gradient of each row's own loss by the row."""
    module, found = copy.deepcopy(net.module_).eval(), []
    for x, label in zip(torch.as_tensor(X), torch.as_tensor(y), strict=True):
        x = x[None].clone().requires_grad_()
        loss = nn.functional.cross_entropy(module(x), label[None])
        found.append(torch.autograd.grad(loss, x)[0][0].numpy())
    return np.stack(found)


@pytest.mark.parametrize("name", ["three logits", "deep", "recurrent"])
def test_fgsm_is_one_step_along_the_sign_of_the_gradient(name):
    net, y = NETS[name]()
    want = X + 0.2 * np.sign(brute_gradient(net, X, y))
    assert_allclose(FGSM(0.2)(net, X, y), want, rtol=1e-12)


@pytest.mark.parametrize("name", ["three logits", "deep", "recurrent"])
def test_pgd_takes_steps_along_the_sign_of_the_gradient_inside_the_box(name):
    net, y = NETS[name]()
    want = X
    for _ in range(5):
        want = want + 0.5 * 0.2 * np.sign(brute_gradient(net, want, y))
        want = np.clip(want, X - 0.2, X + 0.2)
    assert_allclose(PGD(0.2, n_steps=5)(net, X, y), want, rtol=1e-12)


def test_pgd_with_one_full_step_is_fgsm():
    net, y = NETS["deep"]()
    got = PGD(0.2, n_steps=1, step=1.0)(net, X, y)
    assert_allclose(got, FGSM(0.2)(net, X, y), rtol=1e-12)


EPS = np.array([0.0, 0.1, 0.5, 0.3])
BOUNDED = {
    "FGSM": lambda **p: FGSM(EPS, **p),
    "PGD": lambda **p: PGD(EPS, **p),
    "PGD in large steps": lambda **p: PGD(EPS, step=3.0, n_steps=3, **p),
    "PGD from a random point": lambda **p: PGD(EPS, random_state=0, **p),
}
each_bounded = pytest.mark.parametrize("kind", BOUNDED)


@each_bounded
@each_net
def test_no_entry_leaves_its_box(name, kind):
    net, y = NETS[name]()
    moved = np.abs(BOUNDED[kind]()(net, X, y) - X)
    assert (moved <= EPS + 1e-12).all()  # a rounding of x + eps - x
    assert moved[:, 1:].max() > 0.09


@each_bounded
def test_no_entry_leaves_the_bounds(kind):
    net, y = NETS["deep"]()
    low, high = X.min(0) + 0.2, X.max(0) - 0.2
    inside = X.clip(low, high)
    moved = BOUNDED[kind](clip=(low, high))(net, inside, y)
    assert (moved >= low).all()
    assert (moved <= high).all()
    assert (np.abs(moved - inside) <= EPS + 1e-12).all()


@each_bounded
def test_bounds_may_be_numbers(kind):
    net, y = NETS["deep"]()
    moved = BOUNDED[kind](clip=(-1, 1.5))(net, X.clip(-1, 1.5), y)
    assert (moved.min(), moved.max()) == (-1, 1.5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=lambda d: d.__name__)
@pytest.mark.parametrize("form", [np.asarray, torch.as_tensor], ids=["array", "tensor"])
@each_bounded
def test_entries_with_eps_zero_are_unchanged_in_every_dtype(kind, form, dtype):
    net = logits_net().fit(X.astype(np.float32), Y)  # in float32
    rows = form(X.astype(dtype))
    moved = BOUNDED[kind]()(net, rows, Y)
    assert np.abs(np.asarray(moved) - np.asarray(rows)).max() > 0.09
    assert_array_equal(np.asarray(moved[:, 0]), np.asarray(rows[:, 0]))
    assert (moved.dtype, moved.shape, type(moved)) == (rows.dtype, rows.shape, type(rows))


@pytest.mark.parametrize("attack", [FGSM(0.05), PGD(0.3, step=0.1)], ids=["FGSM", "PGD"])
@each_net
def test_attacks_raise_the_loss(name, attack):
    net, y = NETS[name]()
    before, after = losses(net, X, y), losses(net, attack(net, X, y), y)
    assert (after >= before - 1e-12).mean() > 0.9
    assert after.mean() > before.mean() + 1e-3


def test_fgsm_raises_the_loss_of_a_regressor():
    rows, y = (v.astype(np.float32) for v in line())
    net = linear_regressor().fit(rows, y[:, None])
    moved = FGSM(0.1)(net, rows, y[:, None])
    assert (losses(net, moved, y[:, None]) > losses(net, rows, y[:, None])).all()


def test_an_attack_of_size_zero_changes_nothing():
    net, y = NETS["deep"]()
    for attack in (FGSM(0), PGD(0), PGD(0, random_state=0), Crossing(0)):
        assert_array_equal(attack(net, X, y), X)


def test_a_random_start_depends_on_the_seed():
    net, y = NETS["deep"]()
    a, b, c = (PGD(0.5, n_steps=1, random_state=s)(net, X, y) for s in (0, 0, 1))
    assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0.01


def test_batches_have_different_random_starts():
    net, y = NETS["deep"]()
    net.iterator_valid__batch_size = 30
    moved = PGD(0.5, n_steps=1, step=1e-6, random_state=0)(net, X, y) - X
    assert np.abs(moved[:30] - moved[30:60]).max() > 0.1


# Properties of every attack

ATTACKS = {
    "Crossing": Crossing(),
    "FGSM": FGSM(0.1),
    "PGD": PGD(0.1, random_state=0),
    "FromART": FromART(ProjectedGradientDescent, {"eps": 0.1, "verbose": False}),
}
each_attack = pytest.mark.parametrize("kind", ATTACKS)


@each_attack
@each_net
def test_an_attack_modifies_neither_net_nor_rows(name, kind):
    net, y = NETS[name]()
    net.module_.train()
    before, rows, labels = copy.deepcopy(net.module_.state_dict()), X.copy(), y.copy()
    grads = [p.grad.clone() for p in net.module_.parameters()]
    ATTACKS[kind](net, rows, labels)
    after = net.module_.state_dict()
    assert all(torch.equal(after[n], before[n]) for n in before)
    assert after.keys() == before.keys()
    assert net.module_.training
    pairs = zip(net.module_.parameters(), grads, strict=True)
    assert all(torch.equal(p.grad, g) for p, g in pairs)
    assert_array_equal(rows, X)
    assert_array_equal(labels, y)


@each_attack
def test_an_attack_restores_the_global_random_states(kind):
    net, y = NETS["deep"]()
    np.random.rand(3)  # noqa: NPY002 (away from any seed)
    before = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    ATTACKS[kind](net, X, y)
    after = np.random.get_state()  # noqa: NPY002
    assert_array_equal(after[1], before[0][1])
    assert after[2:] == before[0][2:]
    assert torch.equal(torch.get_rng_state(), before[1])


# PGD draws its random start per batch.
each_attack_without_draws = pytest.mark.parametrize("kind", [k for k in ATTACKS if k != "PGD"])


@each_attack_without_draws
def test_an_attack_does_not_depend_on_the_batch_size(kind):
    net, y = NETS["deep"]()
    net.iterator_valid__batch_size = 7
    whole = copy.deepcopy(net)
    whole.iterator_valid__batch_size = 128
    assert_allclose(ATTACKS[kind](net, X, y), ATTACKS[kind](whole, X, y), rtol=1e-6)


@each_attack
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda d: d.__name__)
@pytest.mark.parametrize("form", [np.asarray, torch.as_tensor], ids=["array", "tensor"])
def test_changed_rows_have_the_type_and_dtype_of_the_given_rows(kind, form, dtype):
    net = logits_net().fit(X.astype(np.float32), Y)
    rows = form(X.astype(dtype))
    moved = ATTACKS[kind](net, rows, Y)
    assert (moved.dtype, moved.shape, type(moved)) == (rows.dtype, rows.shape, type(rows))


@each_attack_without_draws
def test_a_single_row_is_changed_as_it_is_among_others(kind):
    net, y = NETS["deep"]()
    got = ATTACKS[kind](net, X[:1], y[:1])
    assert_allclose(got, ATTACKS[kind](net, X, y)[:1], rtol=1e-6)


@each_attack
@pytest.mark.parametrize(
    "rows",
    [as_dict(X), TensorDataset(torch.tensor(X)), (10 * X).astype(int), X.tolist(), X > 0],
    ids=["dict", "dataset", "integers", "list", "bool"],
)
def test_rows_that_are_not_floats_are_refused(kind, rows):
    net, y = NETS["deep"]()
    words = f"{type(ATTACKS[kind]).__name__} needs an array or a Tensor of floats, but X is"
    with pytest.raises(TypeError, match=words):
        ATTACKS[kind](net, rows, y)


@each_attack
def test_zero_rows_are_refused(kind):
    net, y = NETS["deep"]()
    with pytest.raises(ValueError, match="X has 0 rows; at least one is needed"):
        ATTACKS[kind](net, X[:0], y[:0])


@each_attack
def test_a_net_that_is_not_fitted_is_refused(kind):
    with pytest.raises(NotFittedError):
        ATTACKS[kind](logits_net(), X, Y)


@each_attack
def test_attacks_can_be_cloned_and_pickled(kind):
    attack = ATTACKS[kind]
    assert str(clone(attack)) == str(pickle.loads(pickle.dumps(attack))) == str(attack)


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (FGSM(-0.1), r"FGSM\(eps=-0\.1\): expected finite numbers, 0 or more"),
        (FGSM(float("nan")), r"FGSM\(eps=nan\): expected finite numbers, 0 or more"),
        (PGD([0.1, -0.1, 0, 0]), r"PGD\(eps=.*\): expected finite numbers, 0 or more"),
        (PGD(float("inf")), r"PGD\(eps=inf\): expected finite numbers, 0 or more"),
        (FGSM([0.1, 0.1]), r"FGSM: eps has shape \(2,\), but a row has shape \(4,\)"),
        (FGSM(np.ones((90, 4))), r"FGSM: eps has shape \(90, 4\), but a row has shape \(4,\)"),
        (PGD(0.1, n_steps=0), r"PGD\(n_steps=0\): expected an integer, 1 or more"),
        (PGD(0.1, n_steps=2.5), r"PGD\(n_steps=2\.5\): expected an integer, 1 or more"),
        (PGD(0.1, step=-1), r"PGD\(step=-1\): expected a number above 0, or None"),
        (PGD(0.1, step=float("nan")), r"PGD\(step=nan\): expected a number above 0"),
        (FGSM(0.1, clip=(1, 0)), r"clip=\(1, 0\): expected \(low, high\) with low <= high"),
        (PGD(0.1, clip=(0, float("nan"))), r"with low <= high"),
        (FGSM(0.1, clip=1), r"clip=1: expected a pair of bounds"),
        (FGSM(0.1, clip=(0, 1, 2)), r"clip=\(0, 1, 2\): expected a pair of bounds"),
    ],
    ids=[
        "negative",
        "nan",
        "one negative",
        "infinite",
        "short",
        "a row each",
        "no step",
        "half",
        "backwards",
        "nan step",
        "swapped bounds",
        "nan bound",
        "one bound",
        "three bounds",
    ],
)
def test_bad_sizes_are_refused(attack, words):
    net, y = NETS["deep"]()
    with pytest.raises(ValueError, match=words):
        attack(net, X, y)


# The adversarial-robustness-toolbox


def test_pgd_equals_that_of_art_with_the_same_settings():
    net = own_net(nn.Linear, module__in_features=4, module__out_features=3, lr=0.3)
    rows = X.astype(np.float32)
    net.fit(rows, Y)
    ours = PGD(0.3, n_steps=8, step=0.25)(net, rows, Y)
    classifier = PyTorchClassifier(
        copy.deepcopy(net.module_), nn.CrossEntropyLoss(), (4,), 3, device_type="cpu"
    )
    theirs = ProjectedGradientDescent(
        classifier, eps=0.3, eps_step=0.075, max_iter=8, num_random_init=0, verbose=False
    ).generate(rows, Y)
    # In float32, the sign of a gradient near zero may differ.
    assert (np.abs(ours - theirs) < 1e-5).mean() > 0.99
    assert_allclose(losses(net, ours, Y).mean(), losses(net, theirs, Y).mean(), rtol=1e-3)


@each_net
def test_an_attack_of_art_raises_the_loss_of_every_net(name):
    net, y = NETS[name]()
    attack = FromART(ProjectedGradientDescent, {"eps": 0.3, "eps_step": 0.1, "verbose": False})
    moved = attack(net, X, y)
    assert (np.abs(moved - X) <= 0.3 + 1e-6).all()  # float32
    assert losses(net, moved, y).mean() > losses(net, X, y).mean() + 1e-3


@pytest.mark.parametrize("name", ["three logits", "one logit", "one probability"])
def test_hop_skip_jump_crosses_the_border(name):
    net, y = NETS[name]()
    params = {"max_iter": 2, "max_eval": 50, "init_eval": 20, "init_size": 20, "verbose": False}
    rows, labels = X[:8], y[:8]
    moved = FromART(HopSkipJump, params)(net, rows, labels)
    crossed = rows_of_logits(net, moved).argmax(1) != rows_of_logits(net, rows).argmax(1)
    assert crossed.mean() > 0.7  # a search that fails leaves its row


def test_a_random_attack_of_art_depends_on_the_seed():
    net, y = NETS["deep"]()
    params = {"eps": 0.5, "eps_step": 0.01, "max_iter": 1, "num_random_init": 1, "verbose": False}
    a, b, c = (
        FromART(ProjectedGradientDescent, params, random_state=s)(net, X, y) for s in (0, 0, 1)
    )
    assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0.01


class First:
    """An attack with the interface of ART that changes the first entry of each row."""

    def __init__(self, classifier):
        pass

    def generate(self, x, y):
        x[:, 0] += 1
        return x


def test_attacks_of_art_that_create_unseeded_generators_are_repeatable():
    net, y = NETS["deep"]()
    params = {"max_iter": 1, "max_eval": 10, "init_eval": 5, "verbose": False}
    a, b, c = (FromART(HopSkipJump, params, random_state=s)(net, X[:5], y[:5]) for s in (0, 0, 1))
    assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0.01
    assert np.random.RandomState is type(np.random.mtrand._rand)


def test_entries_that_an_attack_of_art_leaves_alone_are_not_rounded():
    net, y = NETS["deep"]()
    moved = FromART(First)(net, X, y)
    assert_array_equal(moved[:, 1:], X[:, 1:])
    assert_allclose(moved[:, 0], X[:, 0] + 1, atol=1e-5)  # float32


def test_random_states_are_restored_after_an_error():
    class Fails:
        def __init__(self, classifier):
            np.random.rand()  # noqa: NPY002
            raise KeyError("fails")

    net, y = NETS["deep"]()
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    with pytest.raises(KeyError):
        FromART(Fails)(net, X, y)
    assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


# Attacks of a target


def split_scores(target, X_val, **params):
    net = params.pop("net", None) or own_net(Deep64, lr=0.3)
    options = {"estimator": net, "target": target} | params
    return scorer(**options).fit(X, Y, X_val=X_val, y_val=Y_VAL)


@pytest.mark.parametrize(
    "attack",
    [None, Crossing(2.0), FGSM(0.3), PGD(0.3), lambda net, X, y: X + 1],
    ids=["default", "Crossing", "FGSM", "PGD", "callable"],
)
def test_robustness_is_the_utility_on_attacked_rows(attack):
    robust = split_scores(Robustness(attack), X_VAL)
    changed = (attack or Crossing())(robust.estimator_, X_VAL, Y_VAL)
    want = split_scores(Utility(), changed).scores_
    assert_allclose(robust.scores_, want, rtol=1e-12)
    assert np.abs(want - split_scores(Utility(), X_VAL).scores_).max() > 1e-3


@pytest.mark.parametrize("form", [np.asarray, torch.as_tensor], ids=["array", "tensor"])
def test_an_attack_that_works_in_place_does_not_change_the_given_rows(form):
    def attack(net, X, y):
        X += 1
        return X

    given = form(X_VAL.copy())
    found = split_scores(Robustness(attack), given)
    assert_array_equal(given, X_VAL)
    assert_allclose(found.scores_, split_scores(Utility(), X_VAL + 1).scores_, rtol=1e-12)


def test_reference_rows_that_were_split_off_are_attacked():
    found = scorer(estimator=own_net(Deep64), target=Robustness(FGSM(0.3))).fit(X, Y)
    held = found.reference_indices_
    rest = np.setdiff1d(np.arange(90), held)
    changed = FGSM(0.3)(found.estimator_, X[held], Y[held])
    want = scorer(estimator=own_net(Deep64)).fit(X[rest], Y[rest], X_val=changed, y_val=Y[held])
    assert_allclose(found.scores_[rest], want.scores_, rtol=1e-10, atol=1e-12)


def test_a_custom_target_may_have_an_attack():
    class Largest(Target):
        attack = FGSM(0.3)

        def __call__(self, reference):
            return reference.losses.logsumexp(0)

    class Plain(Largest):
        attack = None

    found = split_scores(Largest(), X_VAL)
    changed = FGSM(0.3)(found.estimator_, X_VAL, Y_VAL)
    assert_array_equal(found.scores_, split_scores(Plain(), changed).scores_)


@pytest.mark.parametrize("make", [quick, binary_net], ids=["ready-made", "binary"])
def test_an_attack_gets_labels_as_the_net_takes_them(make):
    seen = []

    def attack(net, X, y):
        seen.append(np.unique(y).tolist())
        return X

    y = np.where(Y > 0, "yes", "no")
    scorer(estimator=make(), target=Robustness(attack)).fit(X, y)
    assert seen == [[0, 1]]


def test_set_params_of_the_scorer_reaches_the_attack():
    found = scorer(target=Robustness(FGSM(0.1))).set_params(target__attack__eps=0.7)
    assert str(found.target) == "Robustness(attack=FGSM(eps=0.7))"


def test_a_robust_scorer_can_be_pickled():
    found = split_scores(Robustness(), X_VAL)
    again = pickle.loads(pickle.dumps(found))
    assert_array_equal(again.score_samples(X, Y), found.scores_)


def test_robustness_of_a_regressor_needs_another_attack_than_crossing():
    rows, y = line()
    with pytest.raises(ValueError, match="Crossing moves rows across the border between classes"):
        scorer(estimator=linear_regressor(), target=Robustness()).fit(rows, y)


def test_robustness_of_a_regressor_works_with_fgsm():
    rows, y = line()
    found = scorer(estimator=linear_regressor(), target=Robustness(FGSM(0.1))).fit(rows, y)
    assert np.isfinite(found.scores_).all()


@pytest.mark.parametrize(
    ("attack", "error", "words"),
    [
        ("FGSM", TypeError, r"attack='FGSM': expected an instance from skinfluence\.attacks"),
        (FGSM, TypeError, "expected an instance from skinfluence.attacks, such as FGSM"),
        (lambda net, X, y: X[:3], ValueError, r"returned rows of shape \(3, 4\); X has \(30, 4\)"),
        (lambda net, X, y: X * np.nan, ValueError, "returned NaN or infinite values"),
        (lambda net, X, y: X + np.inf, ValueError, "returned NaN or infinite values"),
        (lambda net, X, y: None, ValueError, r"returned rows of shape \(\)"),
        (FGSM([1, 2]), ValueError, r"eps has shape \(2,\)"),
    ],
    ids=["text", "class", "fewer rows", "nan", "infinite", "nothing", "shape"],
)
def test_bad_attacks_are_refused(attack, error, words):
    with pytest.raises(error, match=words):
        split_scores(Robustness(attack), X_VAL)


def test_rows_of_a_dict_cannot_be_attacked():
    with pytest.raises(TypeError, match="needs an array or a Tensor of floats, but X is dict"):
        scorer(estimator=dict_net(), target=Robustness()).fit(as_dict(X), Y)


def test_a_target_without_an_attack_does_not_change_the_rows():
    assert attack_rows(Utility(), None, X, Y) is X


def test_without_art_the_error_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "art.estimators.classification", None)
    net, y = NETS["deep"]()
    with pytest.raises(ImportError, match=r'pip install "skinfluence\[defence\]"'):
        FromART(HopSkipJump)(net, X, y)


def test_a_custom_attack_implements_perturb_only():
    class Noise(Attack):
        def perturb(self, fnet, X, y):
            return X + 1

    net, y = NETS["deep"]()
    assert_array_equal(Noise()(net, X, y), X + 1)


def test_all_lists_the_public_names():
    assert set(attacks.__all__) == {"FGSM", "PGD", "Attack", "Crossing", "FromART"}
