"""Measures of scores against counts by hand, scipy and scikit-learn."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import auc

from skinfluence.metrics import (
    _correlations,
    _Ranks,
    detection_curve,
    detection_report,
    leave_one_out_correlation,
    linear_datamodeling_score,
    precision_at_k,
)


def test_a_perfect_detector_scores_one_everywhere():
    report = detection_report([1, 0, 0, 1, 0], [-5.0, 1.0, 2.0, -4.0, 3.0])
    assert report == {"roc_auc": 1.0, "average_precision": 1.0, "precision_at_k": 1.0}


def test_a_detector_with_reversed_scores_has_auc_zero():
    report = detection_report([True, False, False], [3.0, 1.0, 2.0])
    assert report["roc_auc"] == 0.0
    assert report["precision_at_k"] == 0.0


def test_precision_at_k_of_the_report_agrees_with_a_count_by_hand():
    report = detection_report([1, 1, 1, 0, 0, 0], [0, 1, 5, 2, 3, 4])
    assert report["precision_at_k"] == pytest.approx(2 / 3)


def test_precision_at_k_is_the_mean_over_all_orders_of_tied_rows():
    # One mislabeled row comes first; the other is one of three tied rows, of which one counts.
    assert detection_report([1, 1, 0, 0], [0, 1, 1, 1])["precision_at_k"] == pytest.approx(
        (1 + 1 / 3) / 2
    )


def test_curve_counts_mislabeled_rows_from_the_lowest_score_up():
    inspected, found = detection_curve([0, 1, 0, 1], [0.0, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(inspected, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found, [0, 0, 0.5, 0.5, 1])


def test_curve_of_equal_scores_is_the_diagonal():
    inspected, found = detection_curve([1, 0, 0, 1], np.zeros(4))
    assert inspected.tolist() == found.tolist() == [0.0, 1.0]


def test_area_under_the_curve_is_the_auc_up_to_the_noise_rate():
    rng = np.random.RandomState(0)
    is_noisy, scores = rng.rand(200) < 0.2, rng.randint(50, size=200)
    inspected, found = detection_curve(is_noisy, scores)
    area, rate = auc(inspected, found), is_noisy.mean()
    assert (area - rate / 2) / (1 - rate) == pytest.approx(
        detection_report(is_noisy, scores)["roc_auc"], abs=1e-12
    )


@pytest.mark.parametrize(
    ("is_noisy", "scores", "message"),
    [
        ([True, False], [1.0], "is_noisy has 2 rows and scores has 1"),
        ([True, True], [1.0, 2.0], "is_noisy marks 2 of 2 rows"),
        ([False, False], [1.0, 2.0], "is_noisy marks 0 of 2 rows"),
        ([0, 2], [1.0, 2.0], "is_noisy must hold True and False only"),
        ([0, 1], [1.0, np.nan], "scores holds 1 NaN or infinite values"),
    ],
)
@pytest.mark.parametrize("function", [detection_curve, detection_report])
def test_bad_input_is_refused(function, is_noisy, scores, message):
    with pytest.raises(ValueError, match=message):
        function(is_noisy, scores)


@pytest.mark.parametrize(("k", "precision"), [(1, 1.0), (2, 1.0), (3, 2 / 3), (6, 0.5)])
def test_precision_at_k_agrees_with_a_count_by_hand(k, precision):
    assert precision_at_k([1, 1, 1, 0, 0, 0], [0, 1, 5, 2, 3, 4], k) == pytest.approx(precision)


@pytest.mark.parametrize("k", [0, 3, 1.5])
def test_precision_at_an_impossible_k_is_refused(k):
    with pytest.raises(ValueError, match="expected an integer from 1 to the 2 rows"):
        precision_at_k([0, 1], [0.0, 1.0], k)


def drawn(n=30, m=4, s=25, noise=0.0, seed=0):
    """Scores, subsets, and losses that are minus the sums of the scores, plus noise."""
    rng = np.random.RandomState(seed)
    scores, kept = rng.randn(n, m), rng.rand(s, n) < 0.5
    return scores, kept, -(kept @ scores) + noise * rng.randn(s, m)


def test_scores_that_predict_the_losses_exactly_have_an_lds_of_one():
    report = linear_datamodeling_score(*drawn(), random_state=0)
    np.testing.assert_allclose(
        [report["lds"], report["low"], report["high"], *report["per_reference"]], 1
    )


def test_lds_equals_a_loop_over_reference_rows_and_subsets():
    scores, kept, losses = drawn(noise=3.0)
    slow = [
        spearmanr([scores[mask, j].sum() for mask in kept], -losses[:, j]).statistic
        for j in range(4)
    ]
    report = linear_datamodeling_score(scores, kept, losses, random_state=0)
    np.testing.assert_allclose(report["per_reference"], slow, atol=1e-12)
    assert report["lds"] == pytest.approx(np.mean(slow))
    assert report["low"] < report["lds"] < report["high"]


def test_correlation_of_a_resample_equals_that_of_its_repeated_rows():
    rng = np.random.RandomState(0)
    a, b = rng.randint(5, size=(2, 20, 3)).astype(float)  # with ties
    rows = rng.randint(20, size=20)
    counts = np.bincount(rows, minlength=20)
    fast = _correlations(_Ranks(a).of_counts(counts), _Ranks(b).of_counts(counts), counts)
    slow = [spearmanr(a[rows, j], b[rows, j]).statistic for j in range(3)]
    np.testing.assert_allclose(fast, slow, atol=1e-12)


def test_scores_of_shape_n_are_one_column():
    scores, kept, losses = drawn(m=1, noise=2.0)
    flat = linear_datamodeling_score(scores[:, 0], kept, losses[:, 0], random_state=0)
    assert flat == linear_datamodeling_score(scores, kept, losses, random_state=0)


def test_reference_rows_that_cannot_be_ranked_are_nan_and_not_in_the_mean():
    scores, _, losses = drawn()
    kept = np.array([np.random.RandomState(k).permutation(30) < 15 for k in range(25)])
    scores[:, 0], losses[:, 1] = 0.1, 2.0  # subsets of one size have equal sums, but for rounding
    report = linear_datamodeling_score(scores, kept, losses, random_state=0)
    assert np.isnan(report["per_reference"]).tolist() == [True, True, False, False]
    assert report["lds"] == pytest.approx(report["per_reference"][2:].mean())


def test_leave_one_out_correlation_equals_scipy_for_each_reference_row():
    scores, _, _ = drawn()
    changes = np.random.RandomState(1).randn(30, 4)
    report = leave_one_out_correlation(scores, changes, random_state=0)
    slow = [spearmanr(scores[:, j], changes[:, j]).statistic for j in range(4)]
    np.testing.assert_allclose(report["per_reference"], slow, atol=1e-12)
    assert report["low"] <= report["correlation"] <= report["high"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, k, o: (s[:-1], k, o), r"kept has shape \(25, 30\); expected \(25, 29\)"),
        (lambda s, k, o: (s[:, 0], k, o), "scores have 1 and outcomes 4 columns"),
        (lambda s, k, o: (s, k * 2, o), "kept must hold True and False only"),
        (lambda s, k, o: (s, k, o * np.nan), "outcomes holds 100 NaN"),
        (lambda s, k, o: (s[None], k, o), "scores has shape"),
        (lambda s, k, o: (s * 0, k, o), "nothing can be ranked"),
        (lambda s, k, o: (s, k[:2], o[:2]), "a correlation over 2 points is meaningless"),
    ],
)
def test_lds_refuses_input_that_does_not_match(change, message):
    with pytest.raises(ValueError, match=message):
        linear_datamodeling_score(*change(*drawn()))
