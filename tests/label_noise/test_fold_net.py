import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from small import blobs, line, logits_net, quick, quick_regressor

from skinfluence import NoisyLabelDetector
from skinfluence._fitting.fit import fit_net
from skinfluence._label_noise.evidence import Trusted
from skinfluence._label_noise.fold_net import Judge

X, Y = blobs()
X = X.astype(np.float32)


@pytest.fixture(scope="module")
def judge():
    net, states = fit_net(quick(max_epochs=20), X[:60], Y[:60], (X[60:], Y[60:]), 0, 4)
    return Judge(net, states, Trusted(X[60:], Y[60:], True), "*", np.arange(3))


def test_a_snapshot_that_foretells_better_counts_more(judge):
    net, [last] = fit_net(quick(max_epochs=20), X[:60], Y[:60], (X[60:], Y[60:]), 0, 1)
    blank = {name: torch.zeros_like(t) for name, t in last.items()}
    blank |= {name: last[name] for name in ("x_mean", "x_scale", "y_scale")}
    ignorant, able = Judge(net, [blank, last], judge.reference, "*", np.arange(3)).skill
    assert able > 100 * ignorant


def test_skill_is_the_brier_skill_squared(judge):
    p = judge.net.predict_proba(X[60:])
    truth = np.eye(3)[Y[60:]]
    chance = ((truth - truth.mean(0)) ** 2).sum()
    expected = (1 - ((p - truth) ** 2).sum() / chance) ** 2
    assert_allclose(judge.skill[-1], expected, rtol=1e-5)


def test_belief_is_the_mean_of_the_snapshots_by_skill(judge):
    by_hand = 0
    for state, weight in zip(judge.states, judge.skill / judge.skill.sum(), strict=True):
        one = Judge(judge.net, [state], judge.reference, "*", judge.codes)
        by_hand = by_hand + weight * one.belief(X)
    assert_allclose(judge.belief(X), by_hand)


def test_pull_is_a_distribution_over_the_labels(judge):
    pull = judge.calibrate(X[:60])
    assert_allclose(pull.sum(1), 1)
    assert_allclose(judge.pull(X[:60]), pull)
    assert (pull.argmax(1) == Y[:60]).mean() > 0.8  # 0.93 to 1 measured over seeds


def test_skill_of_numbers_is_the_squared_share_of_variance_explained():
    rows, y = line()
    rows, y = rows.astype(np.float32), y.astype(np.float32).reshape(-1, 1)
    net, states = fit_net(quick_regressor(), rows[:40], y[:40], (rows[40:], y[40:]), 0, 1)
    [skill] = Judge(net, states, Trusted(rows[40:], y[40:], False), "*").skill
    error = ((net.predict(rows[40:]) - y[40:, 0]) ** 2).sum()
    explained = 1 - error / ((y[40:] - y[40:].mean()) ** 2).sum()
    assert_allclose(skill, max(explained, 1e-3) ** 2, rtol=1e-4)


def test_scores_are_bayes_rule_on_the_product_of_three_distributions():
    fitted = NoisyLabelDetector(logits_net(), cv=2, checkpoints=1, random_state=0).fit(X, Y)
    product = np.ones((len(Y), 3))
    for judge in fitted._verdict.judges:
        held = (X[:, None] == judge.reference.X).all(2).any(1)
        product *= np.maximum(judge.belief(X), 1e-6)
        product[~held] *= np.maximum(judge.pull(X[~held]), 1e-6)
    T = fitted._verdict.noise.transitions
    right = product[np.arange(len(Y)), Y] * T[Y, Y]
    wrong = (product * T[:, Y].T).sum(1) - right
    assert_allclose(fitted.scores_, np.log(right / wrong), rtol=1e-6, atol=1e-6)
