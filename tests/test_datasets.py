import numpy as np
import pytest

from skinfluence.datasets import flip_labels

LABELS = [
    np.array(["a", "b", "c"] * 20),
    np.array([3, 7] * 30),
    np.array([True, False] * 30),
    np.array(["a", "b", "c"] * 20, dtype=object),
]


@pytest.mark.parametrize("y", LABELS, ids=lambda y: str(y.dtype))
@pytest.mark.parametrize("kind", ["symmetric", "pair"])
@pytest.mark.parametrize("fraction", [0, 0.1, 0.33, 1])
def test_exactly_the_asked_share_is_flipped_to_another_label(y, kind, fraction):
    y_noisy, is_noisy = flip_labels(y, fraction, kind=kind, random_state=0)
    assert is_noisy.sum() == round(fraction * len(y))
    np.testing.assert_array_equal(y_noisy != y, is_noisy)
    assert y_noisy.dtype == y.dtype
    assert set(y_noisy) <= set(y)


def test_y_is_not_changed():
    y = np.array(["a", "b", "c", "a"])
    flip_labels(y, 1.0, random_state=0)
    assert y.tolist() == ["a", "b", "c", "a"]


def test_a_list_of_strings_is_taken():
    y_noisy, is_noisy = flip_labels(["no", "yes"] * 5, 0.2, random_state=0)
    assert y_noisy.shape == (10,)
    assert is_noisy.sum() == 2


def test_pair_flips_to_the_next_class():
    y_noisy, _ = flip_labels(["a", "b", "c"], 1.0, kind="pair")
    assert y_noisy.tolist() == ["b", "c", "a"]


def test_symmetric_reaches_every_other_class_about_equally():
    y_noisy, _ = flip_labels(np.repeat([0, 1, 2, 3], [3000, 1, 1, 1]), 1.0, random_state=0)
    counts = np.bincount(y_noisy[:3000], minlength=4)
    assert counts[0] == 0
    np.testing.assert_allclose(
        counts[1:], 1000, atol=120
    )  # about 4.6 standard deviations of a binomial(3000, 1/3)


def test_the_seed_decides():
    y = np.arange(100) % 5
    first, second, other = (flip_labels(y, 0.3, random_state=seed)[0] for seed in (0, 0, 1))
    assert (first == second).all()
    assert (first != other).any()


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), "half"])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match=r"fraction=.* must be a number between 0 and 1"):
        flip_labels([0, 1], fraction)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind='half' is unknown; use 'symmetric' or 'pair'"):
        flip_labels([0, 1], 0.5, kind="half")


def test_one_class_is_refused():
    with pytest.raises(ValueError, match=r"y has 1 class\(es\)"):
        flip_labels(["a", "a"], 0.5)
