import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from small import blobs, line, logits_net, quick, quick_regressor

from skinfluence import NoisyLabelDetector
from skinfluence._core.directions import Objective
from skinfluence._fitting.fit import fit_net
from skinfluence._label_noise.fold_net import FoldNet
from skinfluence.targets import Utility

X, Y = blobs()
X = X.astype(np.float32)


@pytest.fixture(scope="module")
def fold_net():
    net, states = fit_net(quick(max_epochs=20), X[:60], Y[:60], (X[60:], Y[60:]), 0, 4)
    return FoldNet(net, states, Objective(Utility(), X[60:], Y[60:], True), "*", np.arange(3))


def test_a_checkpoint_that_predicts_better_has_more_weight(fold_net):
    net, [last] = fit_net(quick(max_epochs=20), X[:60], Y[:60], (X[60:], Y[60:]), 0, 1)
    blank = {name: torch.zeros_like(t) for name, t in last.items()}
    blank |= {name: last[name] for name in ("x_mean", "x_scale", "y_scale")}
    untrained, trained = FoldNet(net, [blank, last], fold_net.reference, "*", np.arange(3)).skill
    assert trained > 100 * untrained


def test_skill_is_the_squared_brier_skill(fold_net):
    p = fold_net.net.predict_proba(X[60:])
    truth = np.eye(3)[Y[60:]]
    chance = ((truth - truth.mean(0)) ** 2).sum()
    expected = (1 - ((p - truth) ** 2).sum() / chance) ** 2
    assert_allclose(fold_net.skill[-1], expected, rtol=1e-5)


def test_predictions_are_the_mean_over_checkpoints_weighted_by_skill(fold_net):
    by_hand = 0
    for state, weight in zip(fold_net.states, fold_net.skill / fold_net.skill.sum(), strict=True):
        one = FoldNet(fold_net.net, [state], fold_net.reference, "*", fold_net.codes)
        by_hand = by_hand + weight * one.predict(X)
    assert_allclose(fold_net.predict(X), by_hand)


def test_label_influence_is_a_distribution_over_the_labels(fold_net):
    influence = fold_net.calibrate(X[:60])
    assert_allclose(influence.sum(1), 1)
    assert_allclose(fold_net.label_influence(X[:60]), influence)
    assert (influence.argmax(1) == Y[:60]).mean() > 0.8  # 0.93 to 1 measured over seeds


def test_skill_of_a_regressor_is_its_squared_r2():
    rows, y = line()
    rows, y = rows.astype(np.float32), y.astype(np.float32).reshape(-1, 1)
    net, states = fit_net(quick_regressor(), rows[:40], y[:40], (rows[40:], y[40:]), 0, 1)
    [skill] = FoldNet(net, states, Objective(Utility(), rows[40:], y[40:], False), "*").skill
    error = ((net.predict(rows[40:]) - y[40:, 0]) ** 2).sum()
    explained = 1 - error / ((y[40:] - y[40:].mean()) ** 2).sum()
    assert_allclose(skill, max(explained, 1e-3) ** 2, rtol=1e-4)


def test_scores_apply_bayes_rule_to_the_product_of_three_distributions():
    fitted = NoisyLabelDetector(logits_net(), cv=2, checkpoints=1, random_state=0).fit(X, Y)
    product = np.ones((len(Y), 3))
    for fold_net in fitted._label_scores.fold_nets:
        held = (X[:, None] == fold_net.reference.X).all(2).any(1)
        product *= np.maximum(fold_net.predict(X), 1e-6)
        product[~held] *= np.maximum(fold_net.label_influence(X[~held]), 1e-6)
    T = fitted._label_scores.noise.transitions
    right = product[np.arange(len(Y)), Y] * T[Y, Y]
    wrong = (product * T[:, Y].T).sum(1) - right
    assert_allclose(fitted.scores_, np.log(right / wrong), rtol=1e-6, atol=1e-6)
