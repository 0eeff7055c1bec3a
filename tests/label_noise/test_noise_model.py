import numpy as np
import pytest
from numpy.testing import assert_allclose

from skinfluence._label_noise.noise_model import NoiseModel, combined


def pairs(n=4000, rate=0.3, sharpness=4.0):
    """Return beliefs, labels of which `rate` are those of the next class, and the truth."""
    rng = np.random.RandomState(0)
    true = rng.randint(3, size=n)
    wrong = rng.rand(n) < rate
    given = np.where(wrong, (true + 1) % 3, true)
    logits = rng.randn(n, 3) + sharpness * np.eye(3)[true]
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True), given, true


def test_transitions_are_those_that_were_planted():
    probabilities, given, _ = pairs()
    expected = 0.7 * np.eye(3) + 0.3 * np.roll(np.eye(3), 1, axis=1)
    # measured: within 0.02; the prior pulls towards right labels
    assert_allclose(NoiseModel(probabilities, given).transitions, expected, atol=0.04)


def test_transitions_of_a_class_sum_to_one():
    probabilities, given, _ = pairs()
    assert_allclose(NoiseModel(probabilities, given).transitions.sum(1), 1)


def test_clean_labels_leave_hardly_any_transition():
    probabilities, _, true = pairs()
    assert np.diag(NoiseModel(probabilities, true).transitions).min() > 0.95  # 0.968: the prior


def test_log_odds_are_those_of_bayes_rule():
    model = NoiseModel(*pairs()[:2])
    q = np.array([[0.5, 0.3, 0.2]])
    T = model.transitions
    p = q[0, 1] * T[1, 1] / (q[0] @ T[:, 1])
    assert_allclose(model.log_odds(q)[0, 1], np.log(p / (1 - p)))


def test_doubt_counts_more_where_the_other_class_is_known_to_get_this_label():
    model = NoiseModel(*pairs()[:2])
    usual, unusual = model.log_odds(np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]))[:, 1]
    assert usual < unusual  # class 0 is often called 1, class 2 never


def test_log_odds_are_finite_for_certain_beliefs():
    model = NoiseModel(*pairs()[:2])
    assert np.isfinite(model.log_odds(np.eye(3))).all()


@pytest.mark.parametrize("n_classes", [2, 5])
def test_a_class_without_a_single_row_is_no_trouble(n_classes):
    probabilities = np.full((6, n_classes), 1 / n_classes)
    model = NoiseModel(probabilities, np.zeros(6, int))
    assert np.isfinite(model.log_odds(probabilities)).all()


def test_combined_evidence_is_the_product_made_a_distribution():
    p, q = np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]])
    assert_allclose(combined(p, q), [[0.8, 0.2]])
    assert_allclose(combined(q, q), [[0.64 / 0.68, 0.04 / 0.68]])


def test_no_single_evidence_rules_a_label_out():
    certain, other = np.array([[1.0, 0.0]]), np.array([[0.1, 0.9]])
    assert combined(certain, other)[0, 1] > 0
