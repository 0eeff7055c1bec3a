"""Data whose culprits are known, so that a detector can be marked."""

from numbers import Real

import numpy as np
from sklearn.utils import check_random_state, column_or_1d

__all__ = ["flip_labels"]


def flip_labels(y, fraction, *, kind="symmetric", random_state=None):
    """Plant wrong labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels of any kind (strings, integers, booleans) with at least two classes. Never changed
        in place.
    fraction : float in [0, 1]
        Share of the rows that get a wrong label: exactly ``round(fraction * n_samples)`` rows.
    kind : {"symmetric", "pair"}, default="symmetric"
        "symmetric": any other class, each as likely as the next. "pair": always the next class in
        sorted order (the last class turns into the first), as when two neighbouring classes are
        mistaken for each other.
    random_state : int, RandomState instance or None, default=None
        Which rows are flipped, and to what.

    Returns
    -------
    y_noisy : ndarray of shape (n_samples,)
        The labels with the wrong ones in place, in the dtype of `y`.
    is_noisy : ndarray of bool of shape (n_samples,)
        True where `y_noisy` differs from `y`.

    Examples
    --------
    >>> from skinfluence.datasets import flip_labels
    >>> y_noisy, is_noisy = flip_labels(["cat", "dog", "cat", "dog"], 0.5, random_state=0)
    >>> int(is_noisy.sum())
    2
    """
    y = column_or_1d(y)
    if not isinstance(fraction, Real) or not 0 <= fraction <= 1:
        raise ValueError(f"fraction={fraction!r} must be a number between 0 and 1.")
    if kind not in ("symmetric", "pair"):
        raise ValueError(f"kind={kind!r} is unknown; use 'symmetric' or 'pair'.")
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has {len(classes)} class(es); flipping a label needs at least 2.")

    rng = check_random_state(random_state)
    rows = rng.permutation(len(y))[: round(fraction * len(y))]
    # A shift of 1 to k-1 round the ring of classes can never land on the class it started from.
    shift = rng.randint(1, len(classes), size=len(rows)) if kind == "symmetric" else 1
    codes[rows] = (codes[rows] + shift) % len(classes)
    is_noisy = np.zeros(len(y), dtype=bool)
    is_noisy[rows] = True
    return classes[codes], is_noisy
