"""Two half moons with wrong labels at known places."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import make_moons
from sklearn.preprocessing import StandardScaler

from skinfluence._data.params import check_int, check_number, read_random_state


def make_noisy_moons(
    n_samples: int = 250,
    *,
    n_reference: int = 100,
    n_flipped: int = 20,
    noise: float = 0.125,
    reference_noise: float = 0.1,
    random_state: int | np.random.RandomState | None = 42,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Make two half moons, each with a patch of wrong labels on its outer side.

    The defaults make the synthetic dataset of the Hessian-free influence paper [1]_. The wrong
    labels lie close together, so a net that is trained long enough memorizes them. In the
    coordinates of :func:`sklearn.datasets.make_moons`, half of them lie on top of the upper moon
    (``x2 >= 0.8`` and ``|x1| <= 0.5``) and half below the lower moon (``x2 <= -0.45`` and ``0.5 <=
    x1 <= 1.5``). The returned rows are standardized.

    Parameters
    ----------
    n_samples : int, default=250
        Number of training rows.
    n_reference : int, default=100
        Number of reference rows. All of them have the right label.
    n_flipped : int, default=20
        Number of training rows with a wrong label. It must be even: half of them are in each class.
    noise, reference_noise : float, default=0.125, 0.1
        Standard deviation of the noise on the coordinates of training and reference rows, in units
        of the moons' radius.
    random_state : int, RandomState instance or None, default=42
        Seeds the rows, and which rows in the two patches get a wrong label.

    Returns
    -------
    X : ndarray of shape (n_samples, 2), float64
        Training rows, with mean 0 and standard deviation 1.
    y : ndarray of shape (n_samples,), int64
        Labels 0 and 1, of which `n_flipped` are wrong.
    X_val : ndarray of shape (n_reference, 2), float64
        Reference rows, scaled by the mean and standard deviation of the training rows.
    y_val : ndarray of shape (n_reference,), int64
        Labels of the reference rows.
    is_noisy : ndarray of bool of shape (n_samples,)
        True where `y` is wrong; the right label there is ``1 - y``.

    Raises
    ------
    ValueError
        When `n_flipped` is not an even number, or a patch has too few rows.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, "Revisit, Extend, and Enhance Hessian-Free Influence Functions",
       arXiv 2405.17490.

    Examples
    --------
    >>> from skinfluence.datasets import make_noisy_moons
    >>> X, y, X_val, y_val, is_noisy = make_noisy_moons()
    >>> X.shape, X_val.shape, int(is_noisy.sum())
    ((250, 2), (100, 2), 20)
    """
    if check_int("n_flipped", n_flipped, 0) % 2:
        raise ValueError(
            f"n_flipped={n_flipped!r}: expected an even number, since half of these rows are in "
            "each class."
        )
    check_int("n_samples", n_samples, 1)
    check_int("n_reference", n_reference, 1)
    for name, spread in (("noise", noise), ("reference_noise", reference_noise)):
        check_number(name, spread, "a number, 0 or more", lambda sigma: sigma >= 0)
    rng = read_random_state(random_state)
    # Both calls get the seed itself, not a generator, to give the same rows as in the paper.
    X, y = make_moons(n_samples, noise=noise, random_state=random_state)
    X_val, y_val = make_moons(n_reference, noise=reference_noise, random_state=random_state)
    x1, x2 = X.T
    patches = (
        (y == 0) & (x2 >= 0.8) & (np.abs(x1) <= 0.5),
        (y == 1) & (x2 <= -0.45) & (x1 >= 0.5) & (x1 <= 1.5),
    )
    is_noisy = np.zeros(n_samples, dtype=bool)
    for label, patch in enumerate(patches):
        rows = np.flatnonzero(patch)
        if len(rows) < n_flipped // 2:
            raise ValueError(
                f"class {label} has {len(rows)} rows in its patch, but {n_flipped // 2} must be "
                "flipped; use a larger n_samples or a smaller n_flipped."
            )
        is_noisy[rng.permutation(rows)[: n_flipped // 2]] = True
    scaler = StandardScaler().fit(X)
    y = np.where(is_noisy, 1 - y, y)
    return scaler.transform(X), y, scaler.transform(X_val), y_val, is_noisy
