import numpy as np
import pytest
from numpy.testing import assert_allclose

from skinfluence._label_noise.noise_model import NoiseModel, combined


def pairs(n=4000, rate=0.3, sharpness=4.0):
    """Make probabilities, given labels (a share `rate` is the next class) and true labels."""
    rng = np.random.RandomState(0)
    true = rng.randint(3, size=n)
    wrong = rng.rand(n) < rate
    given = np.where(wrong, (true + 1) % 3, true)
    logits = rng.randn(n, 3) + sharpness * np.eye(3)[true]
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True), given, true


def test_transitions_match_the_planted_noise():
    probabilities, given, _ = pairs()
    expected = 0.7 * np.eye(3) + 0.3 * np.roll(np.eye(3), 1, axis=1)
    # measured: within 0.02; the prior favors right labels
    assert_allclose(NoiseModel(probabilities, given).transitions, expected, atol=0.04)


def test_transitions_are_those_of_products_with_a_one_hot_matrix():
    """Also for a label that no row was given."""
    probabilities, given, _ = pairs(n=200)
    given = np.where(given == 1, 2, given)
    prior = 0.1 * 200 / 3 * (0.5 * np.eye(3) + 0.5 / 3)
    transitions = np.where(np.eye(3) == 1, 0.8, 0.1)
    for _ in range(50):
        true = probabilities * transitions[:, given].T
        true /= true.sum(1, keepdims=True)
        counts = true.T @ np.eye(3)[given] + prior
        transitions = counts / counts.sum(1, keepdims=True)
    assert_allclose(NoiseModel(probabilities, given).transitions, transitions, rtol=1e-12)


def test_transitions_of_each_class_sum_to_one():
    probabilities, given, _ = pairs()
    assert_allclose(NoiseModel(probabilities, given).transitions.sum(1), 1)


def test_clean_labels_give_almost_no_transitions():
    probabilities, _, true = pairs()
    # measured: 0.968; the prior keeps it below 1
    assert np.diag(NoiseModel(probabilities, true).transitions).min() > 0.95


def test_log_odds_follow_bayes_rule():
    model = NoiseModel(*pairs()[:2])
    q = np.array([[0.5, 0.3, 0.2]])
    T = model.transitions
    p = q[0, 1] * T[1, 1] / (q[0] @ T[:, 1])
    assert_allclose(model.log_odds(q)[0, 1], np.log(p / (1 - p)))


def test_a_label_scores_lower_if_the_other_class_often_gets_it():
    model = NoiseModel(*pairs()[:2])
    usual, unusual = model.log_odds(np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]))[:, 1]
    assert usual < unusual  # class 0 is often labeled 1, class 2 never


def test_log_odds_are_finite_for_probabilities_of_zero_and_one():
    model = NoiseModel(*pairs()[:2])
    assert np.isfinite(model.log_odds(np.eye(3))).all()


@pytest.mark.parametrize("n_classes", [2, 5])
def test_log_odds_are_finite_for_a_class_without_rows(n_classes):
    probabilities = np.full((6, n_classes), 1 / n_classes)
    model = NoiseModel(probabilities, np.zeros(6, int))
    assert np.isfinite(model.log_odds(probabilities)).all()


def test_combined_evidence_is_the_normalized_product():
    p, q = np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]])
    assert_allclose(combined(p, q), [[0.8, 0.2]])
    assert_allclose(combined(q, q), [[0.64 / 0.68, 0.04 / 0.68]])


def test_a_single_zero_probability_does_not_exclude_a_label():
    certain, other = np.array([[1.0, 0.0]]), np.array([[0.1, 0.9]])
    assert combined(certain, other)[0, 1] > 0
