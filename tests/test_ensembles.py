"""An ensemble aggregates the plain scores of its members."""

import copy
import functools
import gc
import pickle
import shutil

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetRegressor
from skorch.callbacks import LRScheduler
from small import (
    Flat,
    as_dict,
    binary_net,
    blobs,
    line,
    logits_net,
    own_net,
    quick,
    quick_regressor,
    scorer,
    selector,
)
from torch import nn
from torch.utils.data import TensorDataset

from skinfluence import FilteredEstimator, InfluenceScorer
from skinfluence._core.directions import Objective, directions
from skinfluence._core.influence import row_scores
from skinfluence._core.members import Member
from skinfluence._core.net import FunctionalNet
from skinfluence._core.states import SavedState
from skinfluence._fitting import checkpoints
from skinfluence.ensembles import Checkpoints, Dropout, Ensemble, Seeds, Snapshots, WeightNoise
from skinfluence.rules import Budget
from skinfluence.targets import Utility

X, Y = blobs()
X_VAL, Y_VAL = blobs(30, seed=1)


class MLP(nn.Sequential):
    """A float64 net, for exact comparisons."""

    def __init__(self, *between):
        super().__init__(nn.Linear(4, 8), *between, nn.ReLU(), nn.Linear(8, 3))
        self.double()


class DropoutNet(MLP):
    def __init__(self):
        super().__init__(nn.Dropout(0.3))


class NormNet(MLP):
    def __init__(self):
        super().__init__(nn.BatchNorm1d(8))


class Tied(nn.Module):
    """One layer used twice."""

    def __init__(self):
        super().__init__()
        self.mix, self.head = nn.Linear(4, 4), nn.Linear(4, 3)
        self.double()

    def forward(self, X):
        return self.head(torch.tanh(self.mix(torch.tanh(self.mix(X)))))


class DeepFlat(nn.Sequential):
    """Outputs of shape (n,)."""

    def __init__(self):
        super().__init__(nn.Linear(4, 4), Flat())


NETS = {"plain": MLP, "dropout": DropoutNet, "batchnorm": NormNet, "tied": Tied}
each_net = pytest.mark.parametrize("name", NETS)

ENSEMBLES = {
    "dropout": lambda **p: Dropout(4, 0.5, **p),
    "noise": lambda **p: WeightNoise(4, 0.3, **p),
    "checkpoints": lambda **p: Checkpoints(3, **p),
    "seeds": lambda **p: Seeds(3, **p),
    "seeds of checkpoints": lambda **p: Seeds(2, Checkpoints(2), **p),
    "seeds of dropout": lambda **p: Seeds(2, Dropout(2, 0.5), **p),
    "seeds of noise": lambda **p: Seeds(2, WeightNoise(2, 0.3), **p),
}
each_ensemble = pytest.mark.parametrize("kind", ENSEMBLES)
SIZES = {
    "dropout": 4,
    "noise": 4,
    "checkpoints": 3,
    "seeds": 3,
    "seeds of checkpoints": 4,
    "seeds of dropout": 4,
    "seeds of noise": 4,
}


def net_of(name="plain", **params):
    return own_net(NETS[name], **{"lr": 0.3} | params)


def fitted(ensemble=None, net=None, **params):
    net = net_of() if net is None else net
    return scorer(estimator=net, ensemble=ensemble, **params).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)


def assert_close(got, want):
    # float64 sums in another order
    assert_allclose(got, want, rtol=0, atol=1e-10 * np.abs(want).max())


def plain_scores(net, state=None):
    """Compute the scores of a net without an ensemble, after it loads `state`."""
    net = copy.deepcopy(net)
    if state is not None:
        net.module_.load_state_dict(net.module_.state_dict() | dict(state))
    return fitted(net=FrozenEstimator(net)).scores_


@functools.cache
def plain_fit(name="plain", normalize=None):
    """Return a scorer fitted without an ensemble, shared by the tests that do not change it."""
    return fitted(net=net_of(name), normalize=normalize)


@functools.cache
def trained_net(name="plain"):
    """Return a trained net with three checkpoints, shared likewise."""
    return net_of(name, callbacks=[Snapshots(3)]).fit(X, Y)


def members_of(found):
    return found._aggregation.members


# A single member, and members without noise


@pytest.mark.parametrize(
    "ensemble",
    [
        Dropout(1),
        Dropout(1, 0.9),
        WeightNoise(1, 5),
        Checkpoints(1),
        Seeds(1),
        Seeds(1, Dropout(1)),
        Seeds(1, Checkpoints(1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("normalize", [None, "rows", "reference", "both"])
def test_a_single_member_is_exactly_the_plain_score(ensemble, normalize):
    found = fitted(ensemble, normalize=normalize)
    assert_array_equal(found.scores_, plain_fit(normalize=normalize).scores_)


@pytest.mark.parametrize("ensemble", [Dropout(3, 0), WeightNoise(3, 0)], ids=str)
@each_net
def test_members_without_noise_give_the_plain_score(name, ensemble):
    assert_close(fitted(ensemble, net_of(name)).scores_, plain_fit(name).scores_)


@each_net
@pytest.mark.parametrize("ensemble", [Dropout(2, 0), WeightNoise(2, 0)], ids=str)
def test_members_without_noise_give_the_ranks_and_votes_of_a_single_one(name, ensemble):
    for aggregate in ("ranks", "votes"):
        one = clone(ensemble).set_params(n_members=1, aggregate=aggregate)
        two = clone(ensemble).set_params(aggregate=aggregate)
        got, want = (fitted(e, net_of(name)).scores_ for e in (two, one))
        assert_allclose(got, want, rtol=1e-12, atol=1e-12)


# Members


@each_ensemble
def test_the_score_is_the_mean_over_the_members(kind):
    found = fitted(ENSEMBLES[kind]())
    members, fnet = members_of(found), FunctionalNet(found.estimator_)
    each = []
    for state in members.states:
        at = fnet.at(state)
        u = directions(at, Objective(Utility(), X_VAL, Y_VAL, True))
        each.append(row_scores(at, u, X, Y))
    assert len(each) == SIZES[kind]
    assert_close(found.scores_, np.average(each, axis=0, weights=members.weights))
    assert np.ptp(each, axis=0).max() > 1e-3  # the members differ


@each_net
def test_dropout_members_are_the_net_and_masked_copies(name):
    rate = 0.6
    first, *others = members_of(fitted(Dropout(30, rate), net_of(name))).states
    assert first == {}
    largest, dropped = [], []
    for state in others:
        for mask in state.values():
            kept = mask[mask != 0]
            largest += kept.unique().tolist()
            dropped.append((mask == 0).double().mean().item())
    assert all(1 <= scale < 1 / (1 - rate) for scale in largest)
    assert len(set(largest)) > 20  # each member draws its own rate
    assert 0.15 < np.mean(dropped) < 0.45  # the mean of U(0, 0.6) is 0.3; 232 units or more


def test_all_masks_of_a_member_have_the_same_rate():
    net = own_net(lambda: nn.Sequential(MLP(), nn.ReLU(), nn.Linear(3, 3).double()))
    for state in members_of(fitted(Dropout(6, 0.4), net)).states[1:]:
        scales = {scale for mask in state.values() for scale in mask[mask != 0].tolist()}
        assert len(state) == 2
        assert len(scales) == 1


def test_weight_noise_members_are_the_net_and_noisy_copies():
    found = fitted(WeightNoise(60, 0.25))
    first, *others = members_of(found).states
    own = found.estimator_.module_.state_dict()
    assert first == {}
    noise = torch.cat([(state[n] - own[n]).flatten() for state in others for n in own])
    # 59 copies of 67 weights: the standard error of the mean is 0.004
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(0.25, abs=0.02)


@each_net
def test_weight_noise_scores_each_copy_at_its_own_weights(name):
    found = fitted(WeightNoise(3, 0.3), net_of(name))
    each = [plain_scores(found.estimator_, state) for state in members_of(found).states]
    assert_close(found.scores_, np.mean(each, axis=0))


def test_weight_noise_changes_only_the_chosen_parameters():
    found = fitted(WeightNoise(3, 0.3), parameters="2.*")
    assert [set(state) for state in members_of(found).states[1:]] == [{"2.weight", "2.bias"}] * 2


SCHEDULES = {
    "constant": [],
    "falling": [LRScheduler("StepLR", step_size=2, gamma=0.1)],
    "rising": [LRScheduler("LambdaLR", lr_lambda=lambda epoch: 1 + epoch)],
}
RATES = {
    "constant": [0.3, 0.3, 0.3, 0.3],
    "falling": [0.3, 0.3, 0.03, 0.0003],
    "rising": [0.3, 0.6, 1.2, 2.4],
}


# Each schedule with one net, and each net with one schedule.
@pytest.mark.parametrize(
    ("name", "schedule"),
    [("plain", schedule) for schedule in SCHEDULES]
    + [(name, "falling") for name in NETS if name != "plain"],
)
def test_checkpoints_score_is_the_mean_weighted_by_the_learning_rate(name, schedule):
    callback = Snapshots(4)  # epochs 1, 2, 4, 8
    net = net_of(name, max_epochs=8, callbacks=[callback, *SCHEDULES[schedule]]).fit(X, Y)
    each = [plain_scores(net, state) for state in callback.states_]
    found = fitted(Checkpoints(4), FrozenEstimator(net))
    weights = np.array(RATES[schedule])
    assert_close(found.scores_ * weights.sum(), weights @ each)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_checkpoint_weights_are_the_learning_rates_of_training(schedule):
    net = net_of(max_epochs=8, callbacks=SCHEDULES[schedule])
    weights = members_of(fitted(Checkpoints(4), net)).weights
    assert_allclose(weights, RATES[schedule] / np.sum(RATES[schedule]), rtol=1e-12)


def test_a_frozen_net_with_checkpoints_scores_like_the_trained_one():
    net = net_of(callbacks=[Snapshots(3)])
    trained = fitted(Checkpoints(3), net)
    frozen = fitted(Checkpoints(3), FrozenEstimator(trained.estimator_))
    assert_array_equal(frozen.scores_, trained.scores_)


@each_net
def test_seeds_score_is_the_mean_over_independent_trainings(name):
    found = plain_seeds(name)
    each = [plain_scores(net) for net in found.estimators_]
    assert len(each) == 3
    assert_close(found.scores_, np.mean(each, axis=0))


@functools.cache
def plain_seeds(name="plain"):
    return fitted(Seeds(3), net_of(name))


@pytest.mark.parametrize(
    "each", [Dropout(1), WeightNoise(1), WeightNoise(2, 0), Dropout(2, 0), Checkpoints(1)], ids=str
)
@each_net
def test_seeds_of_members_without_noise_are_plain_seeds(name, each):
    assert_close(fitted(Seeds(3, each), net_of(name)).scores_, plain_seeds(name).scores_)


def test_the_first_training_of_seeds_is_the_plain_training():
    found = fitted(Seeds(2))
    assert found.estimator_ is found.estimators_[0]
    own, plain = (f.estimator_.module_.state_dict() for f in (found, plain_fit()))
    assert all(torch.equal(own[n], plain[n]) for n in own)


def test_trainings_start_from_different_weights():
    first = [state["0.weight"] for state in members_of(fitted(Seeds(3, Checkpoints(1)))).states]
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[1], first[2])


def test_a_custom_ensemble_is_used():
    class Doubled(Ensemble):
        aggregate = "mean"

        def members(self, trainings, fnet, X, rng):
            doubled = {name: 2 * value for name, value in trainings[0].states[-1].items()}
            return [Member({}, 3), Member(doubled)]

    found = fitted(Doubled())
    state = members_of(found).states[1]
    each = [plain_scores(found.estimator_), plain_scores(found.estimator_, state)]
    assert_close(found.scores_, (3 * each[0] + each[1]) / 4)


# Checkpoints on disk


def test_checkpoints_on_disk_give_the_scores_of_those_in_memory(tmp_path):
    on_disk, in_memory = fitted(Checkpoints(3, tmp_path)), fitted(Checkpoints(3))
    assert all(isinstance(state, SavedState) for state in members_of(on_disk).states)
    assert_array_equal(on_disk.scores_, in_memory.scores_)
    assert_array_equal(on_disk.transform(X_VAL), in_memory.transform(X_VAL))


@pytest.mark.parametrize("each", [Checkpoints, lambda n, d: Seeds(2, Checkpoints(n, d))])
def test_a_pickled_scorer_outlives_its_checkpoint_directory(each, tmp_path):
    found = fitted(each(3, tmp_path / "kept"))
    again = pickle.dumps(found)
    shutil.rmtree(tmp_path / "kept")
    assert_array_equal(pickle.loads(again).score_samples(X, Y), found.scores_)


def test_each_training_writes_to_its_own_directory(tmp_path):
    found = fitted(Seeds(2, Checkpoints(2, tmp_path)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit-0", "fit-1"]
    assert_array_equal(found.scores_, fitted(Seeds(2, Checkpoints(2))).scores_)


def test_checkpoints_too_large_for_memory_can_be_read_after_fit(monkeypatch):
    want = fitted(Checkpoints(3)).scores_
    monkeypatch.setattr(checkpoints, "_IN_MEMORY", 0)
    found = fitted(Checkpoints(3))
    gc.collect()
    assert all(isinstance(state, SavedState) for state in members_of(found).states)
    assert_array_equal(found.score_samples(X, Y), want)


def test_a_scorer_refuses_checkpoints_that_another_scorer_overwrote(tmp_path):
    first = fitted(Checkpoints(2, tmp_path), random_state=0)
    fitted(Checkpoints(2, tmp_path), random_state=1)
    with pytest.raises(ValueError, match="was overwritten, by a later training"):
        first.score_samples(X, Y)


def test_the_error_for_a_frozen_net_without_checkpoints_names_the_callback():
    net = net_of().fit(X, Y)
    with pytest.raises(ValueError, match=r"callbacks=\[skinfluence.ensembles.Snapshots\(6\)\]"):
        fitted(Checkpoints(3), FrozenEstimator(net))


def test_a_frozen_net_is_a_single_checkpoint():
    net = net_of().fit(X, Y)
    assert_array_equal(fitted(Checkpoints(1), FrozenEstimator(net)).scores_, plain_scores(net))


def test_seeds_refuses_a_frozen_net():
    net = trained_net()
    with pytest.raises(ValueError, match="trains the net 2 times, but a frozen net is not trained"):
        fitted(Seeds(2), FrozenEstimator(net))


# Aggregates, through the scorer


@each_ensemble
@pytest.mark.parametrize(
    ("aggregate", "low", "high"), [("ranks", 0, 1), ("votes", -1, 0)], ids=["ranks", "votes"]
)
def test_aggregates_stay_in_their_range(kind, aggregate, low, high):
    found = fitted(ENSEMBLES[kind](aggregate=aggregate))
    for scores in (found.scores_, found.transform(10 * X)):
        assert scores.min() >= low
        assert scores.max() <= high
    assert found.scores_.min() < found.scores_.max()


def test_seeds_ignores_the_aggregate_of_its_inner_ensemble():
    by_ranks, by_mean = (fitted(Seeds(2, Dropout(2, aggregate=a))) for a in ("ranks", "mean"))
    assert_array_equal(by_ranks.scores_, by_mean.scores_)


@pytest.mark.parametrize("aggregate", ["mean", "ranks", "votes"])
@pytest.mark.parametrize("normalize", [None, "rows", "reference", "both"])
@pytest.mark.parametrize("classwise", [False, True])
def test_scores_of_fit_are_those_of_score_samples(aggregate, normalize, classwise):
    ensemble = Dropout(3, 0.5, aggregate=aggregate)
    options = {"normalize": normalize, "classwise": classwise}
    found = fitted(ensemble, FrozenEstimator(trained_net()), **options)
    assert_array_equal(found.score_samples(X, Y), found.scores_)


@pytest.mark.parametrize("aggregate", ["mean", "ranks", "votes"])
def test_wrong_labels_score_below_right_ones_under_every_aggregate(aggregate):
    found = fitted(Dropout(4, 0.1, aggregate=aggregate))
    wrong = found.score_samples(X, (Y + 1) % 3)
    spread = np.concatenate([found.scores_, wrong]).std()
    assert found.scores_.mean() - wrong.mean() > 0.5 * spread  # 1.1 to 1.7 measured over seeds


# Nets of any kind


# Each kind with one aggregate, and each aggregate with one kind.
@pytest.mark.parametrize(
    ("kind", "aggregate"),
    [(kind, "mean") for kind in ENSEMBLES] + [("dropout", "ranks"), ("dropout", "votes")],
)
@pytest.mark.parametrize(
    "make",
    [quick_regressor, lambda: own_net(DeepFlat, NeuralNetRegressor)],
    ids=["ready-made", "flat outputs"],
)
def test_ensembles_score_regressors(make, kind, aggregate):
    rows, y = line()
    ensemble = ENSEMBLES[kind](aggregate=aggregate)
    found = InfluenceScorer(make(), ensemble=ensemble, random_state=0).fit(rows, y)
    assert np.isfinite(found.scores_).all()
    assert_array_equal(found.score_samples(rows, y), found.scores_)


def test_an_ensemble_scores_a_binary_net():
    found = scorer(estimator=binary_net(), ensemble=WeightNoise(3)).fit(X, (Y > 0).astype(int))
    assert found.transform(X).shape == (90, 2)


def test_an_ensemble_scores_a_net_of_dicts():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, first, rest):
            return self.head(torch.relu(self.body(torch.cat([first[:, None], rest], 1))))

    found = scorer(estimator=own_net(Two), ensemble=Dropout(3, 0.5)).fit(as_dict(X), Y)
    plain = own_net(lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
    want = scorer(estimator=plain, ensemble=Dropout(3, 0.5)).fit(X, Y)
    assert_allclose(found.scores_, want.scores_, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("aggregate", ["mean", "ranks", "votes"])
def test_a_dataset_has_the_scores_of_its_arrays(aggregate):
    ensemble = Dropout(3, 0.5, aggregate=aggregate)
    rows = TensorDataset(torch.tensor(X), torch.tensor(Y))
    found = scorer(estimator=net_of(), ensemble=ensemble).fit(rows)
    want = scorer(estimator=net_of(), ensemble=ensemble).fit(X, Y)
    assert_allclose(found.scores_, want.scores_, rtol=1e-9, atol=1e-12)


def test_dropout_masks_follow_the_hidden_layers_of_the_ready_made_net():
    found = scorer(estimator=quick(module__hidden=(8, 6)), ensemble=Dropout(2)).fit(X, Y)
    (state,) = members_of(found).states[1:]
    assert {name: len(mask) for name, mask in state.items()} == {
        "body.2.influence_gate": 8,
        "head.influence_gate": 6,
    }


# Reproducibility and side effects


@each_ensemble
def test_the_same_seed_gives_the_same_scores(kind):
    got = [fitted(ENSEMBLES[kind](), random_state=7).scores_ for _ in range(2)]
    assert_array_equal(*got)


@pytest.mark.parametrize("kind", ["dropout", "noise"])
def test_another_seed_draws_different_members(kind):
    net = FrozenEstimator(trained_net())
    a, b = (fitted(ENSEMBLES[kind](), net, random_state=seed).scores_ for seed in (0, 1))
    assert np.abs(a - b).max() > 1e-6


@each_ensemble
def test_ensembles_leave_the_global_random_states_unchanged(kind):
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    fitted(ENSEMBLES[kind]()).score_samples(X)
    assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("aggregate", ["mean", "ranks", "votes"])
@pytest.mark.parametrize("kind", ["dropout", "noise", "checkpoints"])
@each_net
def test_a_frozen_net_stays_bit_identical(name, kind, aggregate):
    net = trained_net(name)
    before = copy.deepcopy(net.module_.state_dict())
    fitted(ENSEMBLES[kind](aggregate=aggregate), FrozenEstimator(net)).transform(X)
    after = net.module_.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[n], before[n]) for n in before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.module_.modules())


@each_ensemble
def test_a_pickled_scorer_scores_the_same(kind):
    found = fitted(ENSEMBLES[kind]())
    again = pickle.loads(pickle.dumps(found))
    assert_array_equal(again.score_samples(X_VAL, Y_VAL), found.score_samples(X_VAL, Y_VAL))


# Parameters


@each_ensemble
def test_ensembles_can_be_cloned(kind):
    ensemble = ENSEMBLES[kind](aggregate="ranks")
    assert str(clone(ensemble)) == str(ensemble)
    assert clone(ensemble) is not ensemble


def test_parameters_can_be_set_through_the_scorer():
    outer = scorer(ensemble=Seeds(2, Checkpoints(3)))
    assert outer.get_params()["ensemble__each__n_members"] == 3
    outer.set_params(ensemble__each__n_members=5, ensemble__aggregate="votes")
    assert (
        str(outer.ensemble)
        == "Seeds(aggregate='votes', each=Checkpoints(n_members=5), n_members=2)"
    )


def test_fit_does_not_change_the_ensemble():
    ensemble = Seeds(2, Checkpoints(2))
    before = str(ensemble), vars(ensemble).keys()
    fitted(ensemble)
    assert (str(ensemble), vars(ensemble).keys()) == before


def test_a_grid_search_runs_over_ensembles_and_their_parameters():
    inner = selector(Budget(0.2), scorer=scorer(estimator=quick(max_epochs=1), ensemble=Dropout(2)))
    search = GridSearchCV(
        FilteredEstimator(LogisticRegression(), inner),
        [
            {"selector__scorer__ensemble": [None, WeightNoise(2)]},
            {"selector__scorer__ensemble__max_rate": [0.1, 0.5]},
        ],
        cv=2,
        error_score="raise",
    ).fit(X, Y)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_score_ > 0.5  # one in three by chance


# Errors


@pytest.mark.parametrize("n_members", [0, -1, 1.5, True, "3", None])
@pytest.mark.parametrize("cls", [Dropout, WeightNoise, Checkpoints, Seeds])
def test_an_invalid_number_of_members_is_refused(cls, n_members):
    words = rf"{cls.__name__}\(n_members={n_members!r}\): expected an integer, 1 or more"
    with pytest.raises(ValueError, match=words):
        fitted(cls(n_members))


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan"), "0.1", None])
def test_a_dropout_rate_outside_its_interval_is_refused(rate):
    with pytest.raises(ValueError, match=r"Dropout\(max_rate=.*\): expected a rate in \[0, 1\)"):
        fitted(Dropout(2, rate))


@pytest.mark.parametrize("sigma", [-0.1, float("nan"), float("inf"), "0.1", None])
def test_an_invalid_sigma_is_refused(sigma):
    with pytest.raises(
        ValueError, match=r"WeightNoise\(sigma=.*\): expected a finite number, 0 or more"
    ):
        fitted(WeightNoise(2, sigma))


@pytest.mark.parametrize("kind", ENSEMBLES)
def test_an_unknown_aggregate_is_refused(kind):
    words = r"\(aggregate='sum'\): expected 'mean', 'ranks' or 'votes'"
    with pytest.raises(ValueError, match=words):
        fitted(ENSEMBLES[kind](aggregate="sum"))


@pytest.mark.parametrize("ensemble", ["dropout", 5, Dropout, LogisticRegression()], ids=str)
def test_an_object_that_is_not_an_ensemble_is_refused(ensemble):
    with pytest.raises(TypeError, match=r"expected an instance from skinfluence\.ensembles"):
        fitted(ensemble)


@pytest.mark.parametrize("each", ["dropout", Dropout], ids=str)
def test_an_object_that_is_not_an_ensemble_is_refused_for_each_training(each):
    with pytest.raises(TypeError, match=r"Seeds\(each=.*\): expected an ensemble, such as"):
        fitted(Seeds(2, each))


def test_dropout_refuses_a_linear_model_and_names_weight_noise():
    with pytest.raises(ValueError, match="Use WeightNoise\\(\\) for a linear model"):
        fitted(Dropout(2), logits_net())


def test_members_share_the_reference_rows_of_a_vote():
    ensemble = Dropout(3, 0.5, aggregate="votes")
    fitted = scorer(ensemble=ensemble).fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    first, *others = fitted._aggregation.reference
    for other in others:
        assert all(rows is again for (rows, _), (again, _) in zip(first, other, strict=True))
