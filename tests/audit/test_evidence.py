"""When a label is called wrong, unclear or right, and how far to trust it."""

import numpy as np
import pandas as pd
import pytest
import small_audit  # noqa: F401  (skips the tests without the extra `audit`)
from numpy.testing import assert_allclose

from skinfluence._audit import evidence


@pytest.mark.parametrize(
    ("score", "of_given", "state"),
    [
        (-1.2, 0.2, "wrong"),
        (-1.0, 0.2, "unclear"),  # odds below 3 to 1
        (-9.0, 0.3, "unclear"),  # the nets that were not trained on the row are unsure
        (-9.0, 0.9, "unclear"),  # no other label is suggested
        (1.0, 0.9, "unclear"),
        (1.2, 0.9, "right"),
        (9.0, 0.2, "unclear"),
    ],
)
def test_a_class_is_wrong_if_all_evidence_agrees(score, of_given, state):
    probabilities = np.array([[of_given, 1 - of_given]])
    assert evidence.class_states(np.array([score]), np.array([0]), probabilities) == [state]


def prices(n=3000, seed=0):
    """Numbers whose usual error grows with the prediction; the first 30 are wrong."""
    rng = np.random.RandomState(seed)
    predicted = np.exp(5 * rng.rand(n))
    given = predicted * (1 + 0.1 * rng.randn(n))
    given[:30] *= 2
    return given, predicted


def test_numbers_are_compared_with_the_usual_error_of_similar_rows():
    given, predicted = prices()
    state = evidence.number_states(evidence.number_scores(given, predicted))
    assert (state[:30] == "wrong").all()
    assert (state[30:] == "wrong").mean() < 0.001
    assert (state[30:] == "right").mean() > 0.97


def test_scores_of_numbers_are_standard_deviations():
    given, predicted = prices()
    scores = evidence.number_scores(given, predicted)
    usual = np.abs(given / predicted - 1) / 0.1
    assert_allclose(np.median(-scores[30:]), np.median(usual[30:]), rtol=0.05)


@pytest.mark.parametrize("n", [10, 150, 250, 1000])
def test_numbers_that_are_predicted_exactly_are_right(n):
    values = np.arange(n) / 7
    assert (evidence.number_states(evidence.number_scores(values, values)) == "right").all()


def labels_and_probabilities(strength, shares=(0.95, 0.05), n=2000, seed=0):
    rng = np.random.RandomState(seed)
    given = rng.choice(len(shares), size=n, p=shares)
    logits = np.log(shares) + strength * np.eye(len(shares))[given] + 0.5 * rng.randn(n, 2)
    powers = np.exp(logits)
    return given, powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize(("strength", "has_learned"), [(0, False), (1, True), (4, True)])
def test_nets_have_learned_if_their_predictions_are_linked_to_the_labels(strength, has_learned):
    given, probabilities = labels_and_probabilities(strength)
    trust = evidence.class_trust(probabilities[:, 0], given, probabilities, pd.DataFrame())
    assert trust.has_learned == has_learned
    assert trust.chance == (given == 0).mean()
    if strength < 2:  # the frequent class is always predicted, so the accuracy says nothing
        assert trust.value == pytest.approx(trust.chance, abs=0.01)


@pytest.mark.parametrize(("noise", "has_learned"), [(0.3, True), (None, False)])
def test_nets_have_learned_numbers_if_their_ranks_are_correlated(noise, has_learned):
    rng = np.random.RandomState(0)
    given = rng.randn(200)
    predicted = rng.randn(200) if noise is None else given + noise * rng.randn(200)
    trust = evidence.number_trust(given, given, predicted)
    assert trust.has_learned == has_learned
    assert (trust.value > 0.5) == has_learned
    assert not evidence.number_trust(given, given, np.zeros(200)).has_learned


def test_columns_that_predict_the_label_alone_are_named():
    rng = np.random.RandomState(0)
    given = rng.randint(3, size=300)
    frame = pd.DataFrame(
        {
            "0": np.array(["red", "blue", "grey"], dtype=object)[given],
            "1": given + 0.1 * rng.rand(300),
            "2": given + rng.randn(300),
            "3": [f"id{i}" for i in range(300)],
            "4": np.where(rng.rand(300) < 0.5, None, "x"),
        }
    )
    trust = evidence.class_trust(np.arange(300.0), given, np.eye(3)[given], frame)
    assert trust.sole_columns == ["0", "1"]
    assert trust.value == 1


def test_tied_scores_are_counted():
    given, probabilities = labels_and_probabilities(3, n=100)
    scores = np.array([1, 1, *range(2, 98), 5, 5], dtype=float)
    assert evidence.class_trust(scores, given, probabilities, pd.DataFrame()).tied == 5
