"""Put random errors into labels and answers, and return a mask of the errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array

from skinfluence._data.arrays import check_classes
from skinfluence._data.params import check_choice, check_number, read_random_state

_KINDS = ("symmetric", "pair", "class_conditional", "instance")


def flip_labels(
    y: Any,
    fraction: float,
    *,
    kind: str = "symmetric",
    X: Any = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Replace some labels by wrong ones.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels of any kind (strings, integers, booleans) with at least two classes. They are not
        changed in place.
    fraction : float in [0, 1]
        Share of the rows that get a wrong label: exactly ``round(fraction * n_samples)`` rows.
    kind : {"symmetric", "pair", "class_conditional", "instance"}, default="symmetric"
        Which rows get a wrong label, and which label they get.

        - "symmetric": all rows are equally likely, and so are all other classes.
        - "pair": all rows are equally likely. The wrong label is the next class in sorted order, as
          when two similar classes are confused. The last class is followed by the first.
        - "class_conditional": rows and their wrong labels are drawn from a random transition
          matrix. Rows of the most affected class are about three times as likely to be drawn as
          rows of the least affected class. Each class has its own most frequent wrong labels.
        - "instance": rows that are hard to classify are the most likely to be drawn. A logistic
          regression on the standardized `X` gives out-of-sample class probabilities. It is
          cross-fitted over five folds, or fewer if a class has fewer than five rows. A row is drawn
          in proportion to the probability of its most likely other class, and gets that class as
          its label.
    X : array-like of shape (n_samples, ...) or None, default=None
        Numeric rows without missing values; images are flattened. Only the kind "instance" needs X.
    random_state : int, RandomState instance or None, default=None
        Decides which rows are flipped, and to which label.

    Returns
    -------
    y_noisy : ndarray of shape (n_samples,)
        The labels including the wrong ones, in the dtype of `y`.
    is_noisy : ndarray of bool of shape (n_samples,)
        True where `y_noisy` differs from `y`.

    Raises
    ------
    ValueError
        When `fraction` is out of range, `kind` is unknown, or `y` has one class only. With
        "instance", also when `X` is missing, `X` and `y` have different lengths, or a class has a
        single row.

    Notes
    -----
    "instance" follows the idea of part-dependent noise [1]_: the wrong label depends on the row's
    features. It differs in two ways. In [1]_ the flip probability is a random linear function of
    parts of the row, unrelated to how hard the row is; here it is the probability that a classifier
    confuses the row with another class. In [1]_ the number of flips is random; here it is exact.

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
    y = check_classes("y", y)
    check_fraction(fraction)
    check_choice("kind", kind, _KINDS)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has {len(classes)} class(es); flipping a label needs at least 2.")

    rng = read_random_state(random_state)
    n_flips, n_classes = round(fraction * len(y)), len(classes)
    if kind == "instance":
        rows, wrong = _flip_hard_rows(_as_matrix(X, len(y)), codes, classes, n_flips, rng)
    elif kind == "class_conditional":
        rows, wrong = _flip_by_class(codes, n_classes, n_flips, rng)
    else:
        rows = rng.permutation(len(y))[:n_flips]
        # A cyclic shift by 1 to n_classes - 1 never returns the class it started from.
        shift = rng.randint(1, n_classes, size=n_flips) if kind == "symmetric" else 1
        wrong = (codes[rows] + shift) % n_classes
    codes[rows] = wrong
    is_noisy = np.zeros(len(y), dtype=bool)
    is_noisy[rows] = True
    return classes[codes], is_noisy


def check_fraction(value: Any, name: str = "fraction") -> None:
    """Raise unless a parameter is a number from 0 to 1."""
    check_number(name, value, "a number from 0 to 1", lambda share: 0 <= share <= 1)


def _flip_by_class(
    codes: np.ndarray, n_classes: int, n_flips: int, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows and their wrong class codes from a random transition matrix."""
    # Evenly spaced and shuffled, because randomly drawn rates would sometimes be nearly equal.
    rates = rng.permutation(np.geomspace(1, 3, n_classes))
    transition = np.zeros((n_classes, n_classes))
    others = ~np.eye(n_classes, dtype=bool)
    transition[others] = rng.dirichlet(np.ones(n_classes - 1), size=n_classes).ravel()
    rows = _draw_weighted(np.log(rates[codes]), n_flips, rng)
    wrong = [rng.choice(n_classes, p=transition[code]) for code in codes[rows]]
    return rows, np.asarray(wrong, dtype=codes.dtype)


def _flip_hard_rows(
    X: np.ndarray,
    codes: np.ndarray,
    classes: np.ndarray,
    n_flips: int,
    rng: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows that a classifier confuses with another class, and the code of that class."""
    counts = np.bincount(codes)
    if counts.min() < 2:
        raise ValueError(
            f"kind='instance' is cross-fitted and needs 2 rows of each class; class "
            f"{classes[counts.argmin()]!r} has one. Leave that class out, or use another kind."
        )
    folds = StratifiedKFold(min(5, counts.min()), shuffle=True, random_state=rng)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    with warnings.catch_warnings():
        # The ranking of the rows is stable long before the coefficients converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        log_p = cross_val_predict(model, X, codes, cv=folds, method="predict_log_proba")
    log_p[np.arange(len(codes)), codes] = -np.inf
    wrong = log_p.argmax(1)
    # Clipped logarithms keep rows drawable whose probability underflows to 0.
    rows = _draw_weighted(np.clip(log_p.max(1), -700, None), n_flips, rng)
    return rows, wrong[rows]


def _draw_weighted(log_weights: np.ndarray, n: int, rng: np.random.RandomState) -> np.ndarray:
    """Draw n rows one after the other, without replacement, in proportion to their weights."""
    # The Gumbel trick: the rows with the n largest keys are such a draw.
    keys = log_weights + rng.gumbel(size=len(log_weights))
    return np.argsort(-keys, kind="stable")[:n]


def _as_matrix(X: Any, n: int) -> np.ndarray:
    """Return X as n flattened rows of float64."""
    if X is None:
        raise ValueError(
            "kind='instance' needs the rows: flip_labels(y, fraction, kind='instance', X=X)."
        )
    X = check_array(X, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="X")
    if X.ndim == 0 or len(X) != n:
        raise ValueError(f"X has shape {X.shape} and y has {n} labels; give one row per label.")
    return X.reshape(n, -1)


def corrupt_answers(
    answers: Any,
    fraction: float,
    *,
    classes: Any = None,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Replace the answers of some rows by the answers of other rows.

    Parameters
    ----------
    answers : array-like of shape (n_samples,)
        Answers of any kind, usually strings. They are not changed in place.
    fraction : float in [0, 1]
        Share of the rows that get a wrong answer: exactly ``round(fraction * n_samples)`` rows.
    classes : array-like of shape (n_samples,) or None, default=None
        Class of each row. If given, the wrong answer comes from a row of the same class, so that
        its form does not reveal that it is wrong.
    random_state : int, RandomState instance or None, default=None
        Decides which rows get a wrong answer, and which answer they get.

    Returns
    -------
    answers_wrong : ndarray of shape (n_samples,)
        The answers including the wrong ones, in the dtype of `answers`.
    is_wrong : ndarray of bool of shape (n_samples,)
        True where `answers_wrong` differs from `answers`.

    Raises
    ------
    ValueError
        When `fraction` is not a number from 0 to 1, `classes` and `answers` have different lengths,
        or all answers (of a class) are equal.

    Examples
    --------
    >>> from skinfluence.datasets import corrupt_answers
    >>> corrupt_answers(["4", "7", "tac", "god"], 1, classes=["sum", "sum", "spell", "spell"])
    (array(['7', '4', 'god', 'tac'], dtype='<U3'), array([ True,  True,  True,  True]))
    """
    answers = check_classes("answers", answers)
    check_fraction(fraction)
    classes = np.zeros(len(answers)) if classes is None else check_classes("classes", classes)
    if len(classes) != len(answers):
        raise ValueError(
            f"answers has {len(answers)} entries and classes has {len(classes)}; give one class "
            "per answer."
        )
    rng = read_random_state(random_state)
    corrupted, is_wrong = answers.copy(), np.zeros(len(answers), dtype=bool)
    for row in rng.permutation(len(answers))[: round(fraction * len(answers))]:
        others = np.flatnonzero((classes == classes[row]) & (answers != answers[row]))
        if not len(others):
            raise ValueError(
                f"row {row} cannot get a wrong answer: all answers of its class are "
                f"{str(answers[row])!r}. Leave such classes out, or give classes with different "
                "answers."
            )
        corrupted[row] = answers[rng.choice(others)]
        is_wrong[row] = True
    return corrupted, is_wrong
