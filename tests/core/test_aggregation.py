"""Aggregated scores are the members' scores, averaged, ranked or counted as votes."""

import copy
import pickle

import numpy as np
import pytest
import torch
from members_case import LABELS, WEIGHTS, MembersCase, N
from skorch import NeuralNetRegressor
from torch import nn
from zoo import assert_close, initialized

from skinfluence._core.aggregation import Mean, Ranks, Votes, share_below
from skinfluence._core.directions import Objective, directions
from skinfluence._core.influence import row_scores
from skinfluence._core.members import InnerProducts, Member
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import reference_pairs
from skinfluence.targets import Utility


@pytest.fixture(scope="module")
def case():
    return MembersCase()


def votes_of(case, normalize=False):
    rows, found = None, []
    for member in case.members:
        pairs = reference_pairs(case.fnet.at(member.state), case.objective)
        rows = rows or [Xb for Xb, _ in pairs]
        found.append([(Xb, G) for Xb, (_, G) in zip(rows, pairs, strict=True)])
    return Votes(case.members, found, normalize=normalize)


# Means


def test_the_mean_of_one_member_is_exactly_its_score(case):
    U = case.directions()[:1]
    got = Mean(InnerProducts(case.members[:1], U)).scores(case.fnet, case.X, case.y)
    np.testing.assert_array_equal(got, row_scores(case.fnet, U[0], case.X, case.y))


@pytest.mark.parametrize("normalize", [False, True])
def test_the_mean_weighs_each_member(case, normalize):
    got = Mean(case.inner_products(normalize)).learn(case.fnet, case.X, case.y)
    each = case.pairs(case.X, case.y, normalize).sum(2)
    assert_close(got, np.average(each, axis=0, weights=WEIGHTS))


def test_the_mean_is_a_sum_of_its_members_alone(case):
    each = [
        w * Mean(InnerProducts([m], [u])).scores(case.fnet, case.X, case.y)
        for m, u, w in zip(case.members, case.directions(), WEIGHTS, strict=True)
    ]
    got = Mean(case.inner_products()).scores(case.fnet, case.X, case.y)
    assert_close(got * sum(WEIGHTS), np.sum(each, axis=0))


def analytic(weights, rates):
    """TracIn of y = w x, loss (y - x)², at checkpoints: scores of 1, ..., 16 by every pair."""
    net = initialized(nn.Linear(1, 1, bias=False), NeuralNetRegressor, criterion=nn.MSELoss)
    fnet, x = FunctionalNet(net), np.arange(1.0, 17.0)[:, None]
    pairs = zip(weights, rates, strict=True)
    members = [Member({"weight": torch.tensor([[w]], dtype=torch.float64)}, r) for w, r in pairs]
    objective = Objective(Utility(), x, x, False)
    U = [directions(fnet.at(m.state), objective) for m in members]
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
    got = Ranks(case.inner_products()).learn(case.fnet, case.X, case.y)
    np.testing.assert_allclose(got, brute_ranks(each, each), rtol=1e-12)


def test_ranks_of_other_rows_are_counted_among_the_training_rows(case):
    aggregation = Ranks(case.inner_products())
    aggregation.learn(case.fnet, case.X, case.y)
    known = case.pairs(case.X, case.y).sum(2)
    found = case.pairs(case.new, case.new_y).sum(2)
    want = brute_ranks(known, found)
    np.testing.assert_allclose(
        aggregation.scores(case.fnet, case.new, case.new_y), want, rtol=1e-12
    )


def test_one_loud_member_does_not_drown_the_others_ranks(case):
    U = case.directions()
    loud = [{n: v * 1e6 for n, v in U[0].items()}, *U[1:]]
    aggregations = [Ranks(InnerProducts(case.members, u)) for u in (U, loud)]
    got, louder = (aggregation.learn(case.fnet, case.X, case.y) for aggregation in aggregations)
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
    got = votes_of(case, normalize).learn(case.fnet, case.X, case.y)
    np.testing.assert_allclose(got, brute_votes(pairs, pairs), rtol=1e-12)


@pytest.mark.parametrize("normalize", [False, True])
def test_votes_of_other_rows_are_counted_against_the_training_rows(case, normalize):
    aggregation = votes_of(case, normalize)
    aggregation.learn(case.fnet, case.X, case.y)
    known = case.pairs(case.X, case.y, normalize)
    found = case.pairs(case.new, case.new_y, normalize)
    want = brute_votes(known, found)
    assert want.any()
    np.testing.assert_allclose(
        aggregation.scores(case.fnet, case.new, case.new_y), want, rtol=1e-12
    )


@pytest.mark.parametrize("n", [1, 2, 19, 21, 40])
def test_votes_of_few_rows_are_counted(case, n):
    X, y = case.X[:n], case.y[:n]
    pairs = case.pairs(X, y)
    got = votes_of(case).learn(case.fnet, X, y)
    np.testing.assert_allclose(got, brute_votes(pairs, pairs), rtol=1e-12)


def test_every_voter_gives_all_its_votes(case):
    got = votes_of(case).learn(case.fnet, case.X, case.y)
    k = N // 20
    assert -got.sum() == pytest.approx(k * (k + 1) / 2 / k, rel=1e-12)
    assert (got <= 0).all()
    assert (got >= -1).all()


# Rows in any batch


@pytest.fixture(scope="module")
def rounding_case():
    """Rows and members in float32, which rounds differently from batch to batch."""
    return MembersCase(dtype=torch.float32)


@pytest.mark.parametrize("kind", ["ranks", "votes"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("n", [10, 15, 31, 60])
@pytest.mark.parametrize("step", [1, 3, 7])
def test_ranks_and_votes_do_not_depend_on_the_batch(rounding_case, kind, normalize, n, step):
    case = rounding_case
    X, y = case.X[:n], case.y[:n]
    members = case.inner_products(normalize)
    aggregation = Ranks(members) if kind == "ranks" else votes_of(case, normalize)
    learned = aggregation.learn(case.fnet, X, y)
    parts = [slice(start, start + step) for start in range(0, n, step)]
    pieces = [aggregation.scores(case.fnet, X[p], y[p]) for p in parts]
    np.testing.assert_allclose(np.concatenate(pieces), learned, rtol=1e-12)
    labeled = aggregation.label_scores(case.fnet, X, LABELS)
    pieces = [aggregation.label_scores(case.fnet, X[p], LABELS) for p in parts]
    np.testing.assert_allclose(np.concatenate(pieces), labeled, rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_values_within_rounding_share_a_rank(seed):
    rng = np.random.RandomState(seed)
    known, values = np.sort(rng.randint(0, 6, 13)), rng.randint(-1, 8, (4, 3))
    moved = values + rng.uniform(-0.09, 0.09, values.shape)
    np.testing.assert_array_equal(share_below(known, moved, 0.1), share_below(known, values))


# Under every label, and copied

AGGREGATIONS = {
    "mean": lambda case: Mean(case.inner_products()),
    "mean of cosines": lambda case: Mean(case.inner_products(normalize=True)),
    "mean, a direction a class": lambda case: Mean(case.inner_products(groups=case.reference[1])),
    "ranks": lambda case: Ranks(case.inner_products()),
    "votes": lambda case: votes_of(case),
}
each_aggregation = pytest.mark.parametrize("name", AGGREGATIONS)


@each_aggregation
@pytest.mark.parametrize("label", LABELS)
def test_a_column_of_label_scores_is_the_score_under_that_label(case, name, label):
    aggregation = AGGREGATIONS[name](case)
    aggregation.learn(case.fnet, case.X, case.y)
    column = aggregation.label_scores(case.fnet, case.new, LABELS)[:, label]
    want = aggregation.scores(case.fnet, case.new, np.full(11, label))
    np.testing.assert_allclose(column, want, rtol=1e-9, atol=1e-12)


@each_aggregation
def test_scores_of_the_training_rows_are_those_that_were_learned(case, name):
    aggregation = AGGREGATIONS[name](case)
    learned = aggregation.learn(case.fnet, case.X, case.y)
    np.testing.assert_array_equal(aggregation.scores(case.fnet, case.X, case.y), learned)


@each_aggregation
def test_a_pickled_aggregation_scores_the_same(case, name):
    aggregation = AGGREGATIONS[name](case)
    aggregation.learn(case.fnet, case.X, case.y)
    again = pickle.loads(pickle.dumps(aggregation))
    want = aggregation.scores(case.fnet, case.new, case.new_y)
    np.testing.assert_array_equal(again.scores(case.fnet, case.new, case.new_y), want)


@each_aggregation
def test_scores_are_float64_of_one_a_row(case, name):
    scores = AGGREGATIONS[name](case).learn(case.fnet, case.X, case.y)
    assert (scores.dtype, scores.shape) == (np.float64, (N,))


@each_aggregation
def test_scoring_leaves_the_net_as_it_was(case, name):
    before = copy.deepcopy(case.net.module_.state_dict())
    AGGREGATIONS[name](case).learn(case.fnet, case.X, case.y)
    after = case.net.module_.state_dict()
    assert all(torch.equal(after[n], before[n]) for n in before)


class Casting(nn.Module):
    """A line on rows of any numeric type."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 1).double()

    def forward(self, X):
        return self.head(X.double())


@pytest.mark.parametrize("in_dict", [False, True], ids=["array", "dict"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int64", "float64"])
def test_votes_with_reference_rows_of_any_type_can_be_pickled(dtype, in_dict):
    rng = np.random.RandomState(0)
    X, y = rng.randint(0, 9, (30, 3)).astype(dtype), rng.randn(30, 1)
    net = initialized(Casting(), NeuralNetRegressor, criterion=nn.MSELoss)
    fnet, rows = FunctionalNet(net), {"X": X} if in_dict else X
    pairs = reference_pairs(fnet, Objective(Utility(), rows, y, False))
    shared = [[(Xb, 2 * G) for Xb, G in pairs], pairs]
    votes = Votes([Member({}), Member({})], shared)
    learned = votes.learn(fnet, rows, y)
    again = pickle.loads(pickle.dumps(votes))
    np.testing.assert_array_equal(again.scores(fnet, rows, y), learned)
    np.testing.assert_array_equal(votes.scores(fnet, rows, y), learned)
    assert again.reference[0][0][0] is again.reference[1][0][0]
