"""Random sets of labels with absent classes, class weights, pretrained heads and ignored labels.

A net with ten outputs, of which those of absent classes are never predicted, is the same model as a
net that has outputs for the present classes only. All answers for both nets must agree.
"""

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator
from small import own_net
from torch import nn

from skinfluence import InfluenceSampleSelector, InfluenceScorer, NoisyLabelDetector
from skinfluence.ensembles import WeightNoise
from skinfluence.methods import LayerAware, Loss, SelfInfluence
from skinfluence.pairwise import influence_matrix
from skinfluence.rules import Budget

N_ROWS, OUTPUTS = 60, 10
IGNORED = [None, -1, -100, 255]


class Problem:
    """Rows, their labels, and a pretrained net: with ten outputs, or for the present classes."""

    def __init__(self, present, ignored, seed, frozen=False):
        rng = np.random.RandomState(seed)
        self.present, self.ignored, self.frozen = np.array(present), ignored, frozen
        code = np.arange(N_ROWS) % len(present)
        self.X = 2 * rng.randn(len(present), 4)[code] + rng.randn(N_ROWS, 4)
        is_wrong = rng.rand(N_ROWS) < 0.1
        self.code = np.where(is_wrong, rng.permutation(code), code)
        late = np.arange(N_ROWS) >= 5 * len(present)  # each class keeps labeled rows
        self.is_ignored = late & (rng.rand(N_ROWS) < 0.3) & (ignored is not None)
        self.weight, self.bias = rng.randn(OUTPUTS, 4), rng.randn(OUTPUTS)
        self.class_weight = rng.rand(OUTPUTS) + 0.5

    def net(self, outputs):
        head = nn.Linear(4, len(outputs)).double()
        is_absent = torch.tensor(~np.isin(outputs, self.present))
        with torch.no_grad():
            head.weight[:] = torch.tensor(self.weight[outputs])
            head.bias[:] = torch.where(is_absent, -1e4, torch.tensor(self.bias[outputs]))
        params = {"criterion__weight": torch.tensor(self.class_weight[outputs])}
        if self.ignored is not None:
            params["criterion__ignore_index"] = self.ignored
        net = own_net(head, lr=0.05, max_epochs=2, batch_size=16, **params)
        if not self.frozen:
            return net
        net.classes = list(range(len(outputs)))
        return FrozenEstimator(net.initialize())

    def both(self):
        """The net with ten outputs and the one with fewer, each with its labels."""
        numbers = np.arange(len(self.present))
        for outputs, labels in ((np.arange(OUTPUTS), self.present), (self.present, numbers)):
            y = labels[self.code]
            yield self.net(outputs), np.where(self.is_ignored, self.ignored or 0, y)

    def fitted(self, **options):
        """A fitted scorer for each of the two nets, and its labels."""
        known = np.flatnonzero(~self.is_ignored)[:20]
        for net, y in self.both():
            scorer = InfluenceScorer(net, random_state=0, **options)
            yield scorer.fit(self.X, y, X_val=self.X[known] + 0.1, y_val=y[known]), y


def assert_same(got, want, tolerance=1e-9):
    assert_allclose(got, want, rtol=0, atol=tolerance * max(np.abs(want).max(), 1e-12))


def examples(number):
    return settings(max_examples=number, deadline=None, derandomize=True, database=None)


cases = {
    "present": st.sets(st.integers(0, OUTPUTS - 1), min_size=2, max_size=5).map(sorted),
    "ignored": st.sampled_from(IGNORED),
    "seed": st.integers(0, 99),
}


@examples(60)
@given(
    method=st.sampled_from([None, None, Loss(), SelfInfluence(), LayerAware()]),
    normalize=st.sampled_from([None, "both"]),
    classwise=st.booleans(),
    frozen=st.booleans(),
    **cases,
)
def test_scores_do_not_depend_on_outputs_without_a_label(
    method, normalize, classwise, frozen, **case
):
    problem = Problem(frozen=frozen, **case)
    options = {"method": method}
    if method is None:
        options |= {"normalize": normalize, "classwise": classwise}
    (found, y), (want, codes) = problem.fitted(**options)
    # A gradient that is a difference of nearly equal numbers has few digits, also of length 1.
    tolerance = 1e-5 if normalize else 1e-9
    assert_same(found.scores_, want.scores_, tolerance)
    assert (found.scores_[problem.is_ignored] == 0).all()
    assert_array_equal(found.classes_, np.arange(OUTPUTS) if frozen else problem.present)
    columns = problem.present if frozen else slice(None)
    assert_same(found.transform(problem.X)[:, columns], want.transform(problem.X), tolerance)
    if method is None:
        of_both = (influence_matrix(s, problem.X, z) for s, z in ((found, y), (want, codes)))
        assert_same(*of_both, tolerance)


@examples(30)
@given(aggregate=st.sampled_from(["ranks", "votes"]), frozen=st.booleans(), **cases)
def test_rows_with_an_ignored_label_rank_where_a_score_of_zero_does(aggregate, frozen, **case):
    problem = Problem(frozen=frozen, **case)
    scorer, y = next(problem.fitted(ensemble=WeightNoise(1, aggregate=aggregate)))
    is_ignored = problem.is_ignored
    assert_same(scorer.score_samples(problem.X, y), scorer.scores_)
    assert len(np.unique(scorer.scores_[is_ignored])) <= 1
    if aggregate == "ranks" and is_ignored.any():  # votes are by single reference rows
        plain = next(problem.fitted(ensemble=WeightNoise(1)))[0].scores_
        of_zero = scorer.scores_[is_ignored][0]
        assert (scorer.scores_[plain < -1e-12] < of_zero).all()
        assert (scorer.scores_[plain > 1e-12] > of_zero).all()


@examples(25)
@given(
    method=st.sampled_from([None, Loss(), SelfInfluence()]),
    present=cases["present"],
    seed=cases["seed"],
)
def test_a_detector_does_not_depend_on_outputs_without_a_label(method, present, seed):
    problem = Problem(present, None, seed)
    found, want = (
        NoisyLabelDetector(net, method=method, cv=2, random_state=0).fit(problem.X, y)
        for net, y in problem.both()
    )
    assert_same(found.scores_, want.scores_)
    assert_array_equal(found.classes_, problem.present)
    assert_array_equal(found.suggested_labels_, problem.present[want.suggested_labels_])
    assert_array_equal(found.inlier_mask_, want.inlier_mask_)


@examples(25)
@given(action=st.sampled_from(["drop", "relabel"]), frozen=st.booleans(), **cases)
def test_a_selector_does_not_depend_on_outputs_without_a_label(action, frozen, **case):
    problem = Problem(frozen=frozen, **case)
    rule, X = Budget(0.15, action=action), problem.X
    try:
        found, want = (
            InfluenceSampleSelector(InfluenceScorer(net), rule, cv=2, random_state=0).fit(X, y)
            for net, y in problem.both()
        )
    except ValueError as error:
        assume("leaves no row of class" not in str(error))
        raise
    assert_same(found.scores_, want.scores_)
    assert (found.scores_[problem.is_ignored] == 0).all()
    assert_array_equal(found.support_, want.support_)
    if action == "relabel" and not frozen:  # a frozen net may suggest any of its ten classes
        codes = np.where(want.labels_ == problem.ignored, 0, want.labels_)
        renamed = np.where(want.labels_ == problem.ignored, want.labels_, problem.present[codes])
        assert_array_equal(found.labels_, renamed)
