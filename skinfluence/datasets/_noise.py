"""Errors planted in labels and answers, and data made with them."""

import warnings
from numbers import Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_random_state, column_or_1d

_KINDS = ("symmetric", "pair", "class_conditional", "instance")


def flip_labels(y, fraction, *, kind="symmetric", X=None, random_state=None):
    """Plant wrong labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels of any kind (strings, integers, booleans) with at least two classes. Never changed
        in place.
    fraction : float in [0, 1]
        Share of the rows that get a wrong label: exactly ``round(fraction * n_samples)`` rows.
    kind : {"symmetric", "pair", "class_conditional", "instance"}, default="symmetric"
        Which rows get a wrong label, and which one.

        - "symmetric": every row alike; any other class, each as likely as the next.
        - "pair": every row alike; always the next class in sorted order (the last class turns into
          the first), as when two neighbouring classes are mistaken for each other.
        - "class_conditional": a transition matrix drawn at random. One class is hit about three
          times as often as another, the rest lie between, and each class has its own favourites
          among the wrong labels.
        - "instance": rows that are hard to tell are the likely victims, and get the label that they
          are most easily taken for. How hard: probabilities of a logistic regression on the
          standardised `X`, cross-fitted over five folds (fewer where a class has fewer rows); rows
          are drawn in proportion to the probability of the best other class, which becomes the
          label.
    X : array-like of shape (n_samples, ...) or None, default=None
        Numeric rows without missing values, flattened if they are images. Read by "instance" only.
    random_state : int, RandomState instance or None, default=None
        Which rows are flipped, and to what.

    Returns
    -------
    y_noisy : ndarray of shape (n_samples,)
        The labels with the wrong ones in place, in the dtype of `y`.
    is_noisy : ndarray of bool of shape (n_samples,)
        True where `y_noisy` differs from `y`.

    Raises
    ------
    ValueError
        When `fraction` or `kind` is none of the above, `y` has one class only, or "instance" gets
        no `X`, one of another length, or a class with a single row.

    Notes
    -----
    "instance" follows the idea of part-dependent noise [1]_: the wrong label depends on what the
    row looks like. There, the flip probability is a random linear function of parts of the row,
    which has nothing to do with how hard the row is; here it is how likely a classifier takes the
    row for another class. And there the number of flips is left to chance; here it is exact.

    References
    ----------
    .. [1] Xia, Liu, Han, Wang, Gong, Liu, Niu, Tao, Sugiyama, "Part-dependent Label Noise: Towards
       Instance-dependent Label Noise", NeurIPS 2020.

    Examples
    --------
    >>> from skinfluence.datasets import flip_labels
    >>> y_noisy, is_noisy = flip_labels(["cat", "dog", "cat", "dog"], 0.5, random_state=0)
    >>> int(is_noisy.sum())
    2
    """
    y = column_or_1d(y)
    _check_fraction(fraction)
    if kind not in _KINDS:
        known = ", ".join(map(repr, _KINDS[:-1]))
        raise ValueError(f"kind={kind!r} is unknown; use {known} or {_KINDS[-1]!r}.")
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has {len(classes)} class(es); flipping a label needs at least 2.")

    rng = check_random_state(random_state)
    n_flips, n_classes = round(fraction * len(y)), len(classes)
    if kind == "instance":
        rows, wrong = _flip_hard_rows(_matrix(X, len(y)), codes, classes, n_flips, rng)
    elif kind == "class_conditional":
        rows, wrong = _flip_by_class(codes, n_classes, n_flips, rng)
    else:
        rows = rng.permutation(len(y))[:n_flips]
        # A shift of 1 to k-1 round the ring of classes never lands on the class it started from.
        shift = rng.randint(1, n_classes, size=n_flips) if kind == "symmetric" else 1
        wrong = (codes[rows] + shift) % n_classes
    codes[rows] = wrong
    is_noisy = np.zeros(len(y), dtype=bool)
    is_noisy[rows] = True
    return classes[codes], is_noisy


def _check_fraction(value, name="fraction"):
    if not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r} must be a number between 0 and 1.")


def _flip_by_class(codes, n_classes, n_flips, rng):
    """Rows and their wrong codes, by a random transition matrix."""
    # Spread evenly and shuffled: rates that are drawn would now and then come out equal.
    rates = rng.permutation(np.geomspace(1, 3, n_classes))
    destinations = np.zeros((n_classes, n_classes))
    others = ~np.eye(n_classes, dtype=bool)
    destinations[others] = rng.dirichlet(np.ones(n_classes - 1), size=n_classes).ravel()
    rows = _draw(np.log(rates[codes]), n_flips, rng)
    wrong = [rng.choice(n_classes, p=destinations[code]) for code in codes[rows]]
    return rows, np.asarray(wrong, dtype=codes.dtype)


def _flip_hard_rows(X, codes, classes, n_flips, rng):
    """Rows and their wrong codes: the rows most easily taken for another class."""
    counts = np.bincount(codes)
    if counts.min() < 2:
        raise ValueError(
            f"kind='instance' is cross-fitted and needs 2 rows of each class; "
            f"{classes[counts.argmin()]!r} has one."
        )
    folds = StratifiedKFold(min(5, counts.min()), shuffle=True, random_state=rng)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    with warnings.catch_warnings():
        # Which rows are hard is known long before the last digit of a coefficient.
        warnings.simplefilter("ignore", ConvergenceWarning)
        log_p = cross_val_predict(model, X, codes, cv=folds, method="predict_log_proba")
    log_p[np.arange(len(codes)), codes] = -np.inf
    wrong = log_p.argmax(1)
    # Logarithms, clipped: a probability that underflows to 0 must not make a row undrawable.
    rows = _draw(np.clip(log_p.max(1), -700, None), n_flips, rng)
    return rows, wrong[rows]


def _draw(log_weights, n, rng):
    """Draw n rows without replacement, one after the other in proportion to their weights."""
    # Gumbel's trick: the largest keys are such a draw.
    keys = log_weights + rng.gumbel(size=len(log_weights))
    return np.argsort(-keys, kind="stable")[:n]


def _matrix(X, n):
    if X is None:
        raise ValueError(
            "kind='instance' needs the rows: flip_labels(y, fraction, kind='instance', X=X)."
        )
    X = check_array(X, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="X")
    if X.ndim == 0 or len(X) != n:
        raise ValueError(f"X has shape {X.shape} and y has {n} labels; give one row a label.")
    return X.reshape(n, -1)


def corrupt_answers(answers, fraction, *, classes=None, random_state=None):
    """Give some rows the answer of another row.

    Parameters
    ----------
    answers : array-like of shape (n_samples,)
        Answers of any kind, strings most likely. Never changed in place.
    fraction : float in [0, 1]
        Share of the rows that get a wrong answer: exactly ``round(fraction * n_samples)`` rows.
    classes : array-like of shape (n_samples,) or None, default=None
        Where given, the wrong answer is that of a row of the same class, so that it cannot be told
        by its form.
    random_state : int, RandomState instance or None, default=None
        Which rows get a wrong answer, and which one.

    Returns
    -------
    answers_wrong : ndarray of shape (n_samples,)
        The answers with the wrong ones in place, in the dtype of `answers`.
    is_wrong : ndarray of bool of shape (n_samples,)
        True where `answers_wrong` differs from `answers`.

    Raises
    ------
    ValueError
        When `fraction` is no number from 0 to 1, or all answers (of a class) are equal.

    Examples
    --------
    >>> from skinfluence.datasets import corrupt_answers
    >>> corrupt_answers(["4", "7", "tac", "god"], 1, classes=["sum", "sum", "spell", "spell"])
    (array(['7', '4', 'god', 'tac'], dtype='<U3'), array([ True,  True,  True,  True]))
    """
    answers = column_or_1d(answers)
    _check_fraction(fraction)
    classes = np.zeros(len(answers)) if classes is None else column_or_1d(classes)
    if len(classes) != len(answers):
        raise ValueError(f"{len(answers)} answers have {len(classes)} classes; give each one.")
    rng = check_random_state(random_state)
    corrupted, is_wrong = answers.copy(), np.zeros(len(answers), dtype=bool)
    for row in rng.permutation(len(answers))[: round(fraction * len(answers))]:
        others = np.flatnonzero((classes == classes[row]) & (answers != answers[row]))
        if not len(others):
            raise ValueError(
                f"row {row} can get no wrong answer: all of its class are {str(answers[row])!r}; "
                "leave such classes out, or give classes with different answers."
            )
        corrupted[row] = answers[rng.choice(others)]
        is_wrong[row] = True
    return corrupted, is_wrong
