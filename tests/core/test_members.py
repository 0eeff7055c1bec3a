"""Scores at each member, in one pass or one by one."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from core_cases import ask, each_kind, fnet_of
from members_case import MembersCase, N
from zoo import assert_close, loop_gradients

from skinfluence._core import members
from skinfluence._core.influence import member_scores, row_scores
from skinfluence.targets import Utility


@pytest.fixture(scope="module")
def case():
    return MembersCase()


@pytest.mark.parametrize("normalize", [False, True])
def test_scores_at_each_member_are_those_of_a_loop(case, normalize):
    got = case.inner_products(normalize).scores(case.fnet, case.X, case.y, iter)
    assert_close(got, case.pairs(case.X, case.y, normalize).sum(2))


@pytest.mark.parametrize("groups", [False, True], ids=["one direction", "one per class"])
def test_members_too_large_for_one_pass_score_the_same(case, groups, monkeypatch):
    member_scores_of = case.inner_products(groups=case.reference[1] if groups else None)
    together = member_scores_of.scores(case.fnet, case.X, case.y, iter)
    monkeypatch.setattr(members, "_ONE_PASS_NUMBERS", {})
    monkeypatch.setattr(members, "member_scores", None)  # not to be called
    assert_close(member_scores_of.scores(case.fnet, case.X, case.y, iter), together)


def test_members_are_scored_in_one_pass_where_possible(case, monkeypatch):
    monkeypatch.setattr(members, "row_scores", None)  # not to be called
    assert case.inner_products().scores(case.fnet, case.X, case.y, iter).shape == (3, N)


@pytest.mark.filterwarnings("ignore:no forward-mode derivative:RuntimeWarning")
def test_members_that_cannot_be_scored_together_are_scored_one_by_one():
    case = MembersCase("weight norm")  # which has no forward-mode rule
    got = case.inner_products().scores(case.fnet, case.X, case.y, iter)
    assert_close(got, case.pairs(case.X, case.y).sum(2))


def members_of(net, number=3):
    """States of members: the net's own, and others near it."""
    generator, states = torch.Generator().manual_seed(0), [{}]
    for _ in range(number - 1):
        module = copy.deepcopy(net.module_)
        with torch.no_grad():
            for t in module.parameters():
                t += 0.1 * torch.rand(t.shape, generator=generator).to(t)
        states.append(module.state_dict())
    return states


@each_kind
@pytest.mark.parametrize("classwise", [False, True])
def test_scores_of_members_together_are_those_of_each_alone(name, classwise):
    fnet, X, y, net = fnet_of(name, batch_size=3)
    states = members_of(net)
    groups = y if classwise else None
    U = [ask(fnet.at(state), Utility(), X, y, groups=groups) for state in states]
    alone = [row_scores(fnet.at(s), u, X, y) for s, u in zip(states, U, strict=True)]
    assert_close(member_scores(fnet, states, U, X, y), np.stack(alone))


@each_kind
def test_scores_of_members_are_those_of_a_loop_over_rows_at_each(name):
    fnet, X, y, net = fnet_of(name, batch_size=3)
    states, want = members_of(net), []
    for state in states:
        module = copy.deepcopy(net.module_)
        module.load_state_dict(net.module_.state_dict() | state)
        rows = loop_gradients(SimpleNamespace(module_=module), X, y)
        want.append(rows @ rows.mean(0))
    U = [ask(fnet.at(state), Utility(), X, y) for state in states]
    assert_close(member_scores(fnet, states, U, X, y), np.stack(want))


def test_member_scores_are_none_where_one_pass_is_impossible():
    fnet, X, y, net = fnet_of("weight norm")  # which has no forward-mode rule
    states = members_of(net)
    U = [ask(fnet.at(state), Utility(), X, y) for state in states]
    assert member_scores(fnet, states, U, X, y) is None
