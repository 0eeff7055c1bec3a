import numpy as np
import pytest
from sklearn.metrics import auc

from skinfluence.metrics import detection_curve, detection_report


def test_a_perfect_detector_scores_one_everywhere():
    report = detection_report([1, 0, 0, 1, 0], [-5.0, 1.0, 2.0, -4.0, 3.0])
    assert report == {"roc_auc": 1.0, "average_precision": 1.0, "precision_at_k": 1.0}


def test_an_upside_down_detector_has_auc_zero():
    report = detection_report([True, False, False], [3.0, 1.0, 2.0])
    assert report["roc_auc"] == 0.0
    assert report["precision_at_k"] == 0.0


def test_precision_at_k_counts_by_hand():
    report = detection_report([1, 1, 1, 0, 0, 0], [0, 1, 5, 2, 3, 4])
    assert report["precision_at_k"] == pytest.approx(2 / 3)


def test_ties_at_the_edge_of_k_count_in_proportion():
    # one culprit surely first; the other is one of three tied rows, of which one more is inspected
    assert detection_report([1, 1, 0, 0], [0, 1, 1, 1])["precision_at_k"] == pytest.approx(
        (1 + 1 / 3) / 2
    )


def test_curve_counts_culprits_in_order_of_suspicion():
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
def test_bad_input_is_refused_in_a_sentence(function, is_noisy, scores, message):
    with pytest.raises(ValueError, match=message):
        function(is_noisy, scores)
