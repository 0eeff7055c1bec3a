"""A panel's scores are its members', averaged, ranked or counted as votes."""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch import NeuralNetRegressor
from torch import nn
from zoo import initialized, loop_gradients, make

from skinfluence._aggregation import Mean, Ranks, Votes, share_below
from skinfluence._core import members
from skinfluence._core.influence import directions, row_scores
from skinfluence._core.members import InnerProducts, Member
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import reference_pairs
from skinfluence.targets import Utility

N, N_REFERENCE = 60, 9
LABELS = np.arange(3)
WEIGHTS = [0.5, 0.2, 1.3]


def assert_close(got, want):
    # float64: sums in another order
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-10 * np.abs(want).max())


class Case:
    """A net with three members, the gradients of rows at each, and the panel's own ingredients."""

    def __init__(self, name="mlp"):
        self.net, *_ = make(name, batch_size=16)
        rng = np.random.RandomState(3)
        self.X, self.y = rng.randn(N, 5), rng.randint(0, 3, N)
        self.new, self.new_y = rng.randn(11, 5), rng.randint(0, 3, 11)
        self.reference = rng.randn(N_REFERENCE, 5), rng.randint(0, 3, N_REFERENCE)
        self.modules, generator = [self.net.module_], torch.Generator().manual_seed(0)
        for _ in range(2):
            module = copy.deepcopy(self.net.module_)
            with torch.no_grad():
                for t in module.parameters():
                    t += 0.3 * torch.randn(t.shape, generator=generator).to(t)
            self.modules.append(module)
        states = [{}, *(module.state_dict() for module in self.modules[1:])]
        pairs = zip(states, WEIGHTS, strict=True)
        self.members = [Member(state, weight) for state, weight in pairs]
        self.fnet = FunctionalNet(self.net)

    def directions(self, **options):
        ask = {"is_classification": True, **options}
        return [
            directions(self.fnet.at(m.state), Utility(), *self.reference, **ask)
            for m in self.members
        ]

    def voices(self, normalize=False, **options):
        return InnerProducts(self.members, self.directions(**options), normalize=normalize)

    def votes(self, normalize=False):
        asked = [
            reference_pairs(
                self.fnet.at(m.state), Utility(), *self.reference, is_classification=True
            )
            for m in self.members
        ]
        return Votes(self.members, asked, normalize=normalize)

    def gradients(self, X, y):
        """Gradients of rows at each member, (3, n, p), by a loop."""
        twins = [SimpleNamespace(module_=module) for module in self.modules]
        return np.stack([loop_gradients(twin, X, y) for twin in twins])

    def pairs(self, X, y, normalize=False):
        """Scores by each member and reference row, (3, n, m), by a loop."""
        rows = self.gradients(X, y)
        if normalize:
            rows /= np.linalg.norm(rows, axis=2, keepdims=True)
        return np.einsum("knp,kmp->knm", rows, self.gradients(*self.reference)) / N_REFERENCE


@pytest.fixture(scope="module")
def case():
    return Case()


# Voices


@pytest.mark.parametrize("normalize", [False, True])
def test_each_voice_is_the_score_at_its_member(case, normalize):
    got = case.voices(normalize).scores(case.fnet, case.X, case.y, iter)
    assert_close(got, case.pairs(case.X, case.y, normalize).sum(2))


@pytest.mark.parametrize("groups", [False, True], ids=["one direction", "one a class"])
def test_voices_that_are_too_many_for_one_pass_say_the_same(case, groups, monkeypatch):
    voices = case.voices(groups=case.reference[1] if groups else None)
    together = voices.scores(case.fnet, case.X, case.y, iter)
    monkeypatch.setattr(members, "_TOGETHER", {})
    monkeypatch.setattr(members, "member_scores", None)  # not to be called
    assert_close(voices.scores(case.fnet, case.X, case.y, iter), together)


def test_voices_are_heard_together_where_that_is_possible(case, monkeypatch):
    monkeypatch.setattr(members, "row_scores", None)  # not to be called
    assert case.voices().scores(case.fnet, case.X, case.y, iter).shape == (3, N)


@pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning")
def test_voices_that_cannot_be_heard_together_are_heard_one_by_one():
    case = Case("weight norm")  # which has no forward-mode rule
    got = case.voices().scores(case.fnet, case.X, case.y, iter)
    assert_close(got, case.pairs(case.X, case.y).sum(2))


def test_one_voice_is_exactly_the_score(case):
    U = case.directions()[:1]
    got = Mean(InnerProducts(case.members[:1], U)).scores(case.fnet, case.X, case.y)
    np.testing.assert_array_equal(got, row_scores(case.fnet, U[0], case.X, case.y))


# Means


@pytest.mark.parametrize("normalize", [False, True])
def test_the_mean_weighs_each_member(case, normalize):
    got = Mean(case.voices(normalize)).learn(case.fnet, case.X, case.y)
    each = case.pairs(case.X, case.y, normalize).sum(2)
    assert_close(got, np.average(each, axis=0, weights=WEIGHTS))


def test_the_mean_is_a_sum_of_its_members_alone(case):
    each = [
        w * Mean(InnerProducts([m], [u])).scores(case.fnet, case.X, case.y)
        for m, u, w in zip(case.members, case.directions(), WEIGHTS, strict=True)
    ]
    got = Mean(case.voices()).scores(case.fnet, case.X, case.y)
    assert_close(got * sum(WEIGHTS), np.sum(each, axis=0))


def analytic(weights, rates):
    """TracIn of y = w x, loss (y - x)², at checkpoints: scores of 1, ..., 16 by every pair."""
    net = initialized(nn.Linear(1, 1, bias=False), NeuralNetRegressor, criterion=nn.MSELoss)
    fnet, x = FunctionalNet(net), np.arange(1.0, 17.0)[:, None]
    pairs = zip(weights, rates, strict=True)
    members = [Member({"weight": torch.tensor([[w]], dtype=torch.float64)}, r) for w, r in pairs]
    options = {"is_classification": False}
    U = [directions(fnet.at(m.state), Utility(), x, x, **options) for m in members]
    return Mean(InnerProducts(members, U)).scores(fnet, x, x), x[:, 0]


@pytest.mark.parametrize("rates", [[1.0] * 5, [0.5, 0.4, 0.3, 0.2, 0.1]], ids=["equal", "falling"])
def test_checkpoints_of_a_line_have_the_scores_of_the_closed_form(rates):
    # The gradient of (w x - x)² by w is 2 x² (w - 1).
    weights = np.array([0.4379, 0.1653, 0.5132, 0.3651, 0.9992])
    got, x = analytic(weights, rates)
    each_pair = 4 * np.multiply.outer(x**2, x**2) * np.average((weights - 1) ** 2, weights=rates)
    np.testing.assert_allclose(got, each_pair.mean(1), rtol=1e-12)


# Ranks


def brute_share(known, value):
    return np.mean([(k < value) + 0.5 * (k == value) for k in known])


@pytest.mark.parametrize("seed", range(5))
def test_the_share_below_is_counted(seed):
    rng = np.random.RandomState(seed)
    known, values = np.sort(rng.randint(0, 6, 13)), rng.randint(-1, 8, (4, 3))
    want = [[brute_share(known, v) for v in row] for row in values]
    np.testing.assert_allclose(share_below(known, values), want, rtol=1e-12)


def brute_ranks(known, found):
    """Mean over the members of the shares of training rows below, (k, n) and (k, ...)."""
    each = [
        np.vectorize(lambda v, at=at: brute_share(at, v))(values)
        for at, values in zip(known, found, strict=True)
    ]
    return np.average(each, axis=0, weights=WEIGHTS)


def test_ranks_of_the_training_rows_are_counted(case):
    each = case.pairs(case.X, case.y).sum(2)
    got = Ranks(case.voices()).learn(case.fnet, case.X, case.y)
    np.testing.assert_allclose(got, brute_ranks(each, each), rtol=1e-12)


def test_ranks_of_other_rows_are_counted_among_the_training_rows(case):
    panel = Ranks(case.voices())
    panel.learn(case.fnet, case.X, case.y)
    known = case.pairs(case.X, case.y).sum(2)
    found = case.pairs(case.new, case.new_y).sum(2)
    want = brute_ranks(known, found)
    np.testing.assert_allclose(panel.scores(case.fnet, case.new, case.new_y), want, rtol=1e-12)


def test_one_loud_member_does_not_drown_the_others_ranks(case):
    U = case.directions()
    loud = [{n: v * 1e6 for n, v in U[0].items()}, *U[1:]]
    panels = [Ranks(InnerProducts(case.members, u)) for u in (U, loud)]
    got, louder = (panel.learn(case.fnet, case.X, case.y) for panel in panels)
    np.testing.assert_array_equal(got, louder)


# Votes


def brute_votes(known, found):
    """Minus the share of the votes that each row gets, by one voter after the other."""
    k = max(1, known.shape[1] // 20)
    given = np.zeros(found.shape[1])
    for member in range(len(known)):
        for voter in range(known.shape[2]):
            lowest = np.sort(known[member, :, voter])[:k]
            for row in range(found.shape[1]):
                rank = np.sum(lowest < found[member, row, voter])
                given[row] += max(k - rank, 0)
    return -given / (k * known.shape[0] * known.shape[2])


@pytest.mark.parametrize("normalize", [False, True])
def test_votes_of_the_training_rows_are_counted(case, normalize):
    pairs = case.pairs(case.X, case.y, normalize)
    got = case.votes(normalize).learn(case.fnet, case.X, case.y)
    np.testing.assert_allclose(got, brute_votes(pairs, pairs), rtol=1e-12)


@pytest.mark.parametrize("normalize", [False, True])
def test_votes_of_other_rows_are_counted_against_the_training_rows(case, normalize):
    panel = case.votes(normalize)
    panel.learn(case.fnet, case.X, case.y)
    known = case.pairs(case.X, case.y, normalize)
    found = case.pairs(case.new, case.new_y, normalize)
    want = brute_votes(known, found)
    assert want.any()
    np.testing.assert_allclose(panel.scores(case.fnet, case.new, case.new_y), want, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 19, 21, 40])
def test_votes_of_few_rows_are_counted(case, n):
    X, y = case.X[:n], case.y[:n]
    pairs = case.pairs(X, y)
    got = case.votes().learn(case.fnet, X, y)
    np.testing.assert_allclose(got, brute_votes(pairs, pairs), rtol=1e-12)


def test_every_voter_gives_all_its_votes(case):
    got = case.votes().learn(case.fnet, case.X, case.y)
    k = N // 20
    assert -got.sum() == pytest.approx(k * (k + 1) / 2 / k, rel=1e-12)
    assert (got <= 0).all()
    assert (got >= -1).all()


# Under every label, and copied

PANELS = {
    "mean": lambda case: Mean(case.voices()),
    "mean of cosines": lambda case: Mean(case.voices(normalize=True)),
    "mean, a direction a class": lambda case: Mean(case.voices(groups=case.reference[1])),
    "ranks": lambda case: Ranks(case.voices()),
    "votes": lambda case: case.votes(),
}
each_panel = pytest.mark.parametrize("name", PANELS)


@each_panel
@pytest.mark.parametrize("label", LABELS)
def test_a_column_of_label_scores_is_the_score_under_that_label(case, name, label):
    panel = PANELS[name](case)
    panel.learn(case.fnet, case.X, case.y)
    column = panel.label_scores(case.fnet, case.new, LABELS)[:, label]
    want = panel.scores(case.fnet, case.new, np.full(11, label))
    np.testing.assert_allclose(column, want, rtol=1e-9, atol=1e-12)


@each_panel
def test_scores_of_the_training_rows_are_those_that_were_learned(case, name):
    panel = PANELS[name](case)
    learned = panel.learn(case.fnet, case.X, case.y)
    np.testing.assert_array_equal(panel.scores(case.fnet, case.X, case.y), learned)


@each_panel
def test_a_pickled_panel_scores_the_same(case, name):
    panel = PANELS[name](case)
    panel.learn(case.fnet, case.X, case.y)
    again = pickle.loads(pickle.dumps(panel))
    want = panel.scores(case.fnet, case.new, case.new_y)
    np.testing.assert_array_equal(again.scores(case.fnet, case.new, case.new_y), want)


@each_panel
def test_scores_are_float64_of_one_a_row(case, name):
    scores = PANELS[name](case).learn(case.fnet, case.X, case.y)
    assert (scores.dtype, scores.shape) == (np.float64, (N,))


@each_panel
def test_scoring_leaves_the_net_as_it_was(case, name):
    before = copy.deepcopy(case.net.module_.state_dict())
    PANELS[name](case).learn(case.fnet, case.X, case.y)
    after = case.net.module_.state_dict()
    assert all(torch.equal(after[n], before[n]) for n in before)
