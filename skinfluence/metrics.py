"""Measures of the quality of scores: against known wrong labels, and against retraining.

As in the rest of the library, lower scores are more suspect, and higher scores more helpful.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from skinfluence._data.arrays import check_mask, check_numbers
from skinfluence._data.params import check_int, check_number, read_random_state

__all__ = [
    "detection_curve",
    "detection_report",
    "leave_one_out_correlation",
    "linear_datamodeling_score",
    "precision_at_k",
]


def detection_curve(is_noisy: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Share of mislabeled rows found against share of rows inspected, most suspect first.

    The curve has one point at the end of each group of equal scores. Between two points, it is a
    straight line: the share that is found on average if the rows of the group are inspected in
    random order.

    Parameters
    ----------
    is_noisy : array-like of bool of shape (n_samples,)
        True where the label is known to be wrong.
    scores : array-like of shape (n_samples,)
        Lower = more suspect.

    Returns
    -------
    inspected : ndarray of shape (n_points,)
        Share of the rows inspected, from 0 to 1.
    found : ndarray of shape (n_points,)
        Share of the mislabeled rows that are among the inspected rows, from 0 to 1.

    Raises
    ------
    ValueError
        If lengths differ, a score is not finite, or all rows or no rows are mislabeled.

    Examples
    --------
    >>> from skinfluence.metrics import detection_curve
    >>> inspected, found = detection_curve([True, False, False, True], [-2.0, 1.0, 0.5, 0.0])
    >>> found.tolist()
    [0.0, 0.5, 1.0, 1.0, 1.0]
    """
    is_noisy, scores = _check_truth(is_noisy, scores)
    order = np.argsort(scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    inspected = (ends + 1) / len(scores)
    found = np.cumsum(is_noisy[order])[ends] / is_noisy.sum()
    return np.append(0.0, inspected), np.append(0.0, found)


def detection_report(is_noisy: ArrayLike, scores: ArrayLike) -> dict[str, float]:
    """Measure how well scores find mislabeled rows.

    Parameters
    ----------
    is_noisy : array-like of bool of shape (n_samples,)
        True where the label is known to be wrong; both True and False must occur.
    scores : array-like of shape (n_samples,)
        Lower = more suspect.

    Returns
    -------
    report : dict of str to float
        ``roc_auc`` is the probability that a mislabeled row has a lower score than a clean row.
        ``average_precision`` is the area under the precision-recall curve. ``precision_at_k`` is
        :func:`precision_at_k`, where k is the true number of mislabeled rows.

    Raises
    ------
    ValueError
        If lengths differ, a score is not finite, or all rows or no rows are mislabeled.

    Examples
    --------
    >>> from skinfluence.metrics import detection_report
    >>> detection_report([True, False, False, True], [-2.0, 1.0, 0.5, 0.0])
    {'roc_auc': 1.0, 'average_precision': 1.0, 'precision_at_k': 1.0}
    """
    is_noisy, scores = _check_truth(is_noisy, scores)
    return {
        "roc_auc": float(roc_auc_score(is_noisy, -scores)),
        "average_precision": float(average_precision_score(is_noisy, -scores)),
        "precision_at_k": precision_at_k(is_noisy, scores, is_noisy.sum()),
    }


def precision_at_k(is_noisy: ArrayLike, scores: ArrayLike, k: int) -> float:
    """Share of mislabeled rows among the k most suspect rows.

    If equal scores make the k-th row ambiguous, the result is the mean over all orders of the tied
    rows.

    Parameters
    ----------
    is_noisy : array-like of bool of shape (n_samples,)
        True where the label is known to be wrong; both True and False must occur.
    scores : array-like of shape (n_samples,)
        Lower = more suspect.
    k : int
        Number of rows to inspect.

    Returns
    -------
    precision : float
        Share from 0 to 1.

    Raises
    ------
    ValueError
        If k is not an integer from 1 to n_samples, lengths differ, a score is not finite, or all
        rows or no rows are mislabeled.

    Examples
    --------
    >>> from skinfluence.metrics import precision_at_k
    >>> precision_at_k([True, False, False, True], [-2.0, 1.0, 0.5, 0.0], 1)
    1.0
    """
    is_noisy, scores = _check_truth(is_noisy, scores)
    k = check_int("k", k, 1, len(scores), hint=", the number of rows")
    inspected, found = detection_curve(is_noisy, scores)
    return float(np.interp(k / len(scores), inspected, found) * is_noisy.sum() / k)


def linear_datamodeling_score(
    scores: ArrayLike,
    kept: ArrayLike,
    outcomes: ArrayLike,
    *,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = None,
) -> dict[str, Any]:
    """Rank correlation of summed scores with the losses after training on subsets [1]_.

    For each subset of the training rows, the sum of the scores of its rows is a prediction of the
    outcome of training on the subset. The linear datamodeling score (LDS) of a reference row is
    Spearman's rank correlation between predictions and outcomes, over the subsets. Outcomes are
    losses, which helpful rows lower. The sign of the outcomes is therefore reversed: an LDS of 1 is
    perfect, 0 is chance.

    Parameters
    ----------
    scores : array-like of shape (n,) or (n, m)
        Higher = more helpful. One column per reference row, or (n,) for a single outcome.
    kept : array-like of bool of shape (n_subsets, n)
        The rows of each subset; see :func:`skinfluence.retraining.draw_subsets`.
    outcomes : array-like of shape (n_subsets,) or (n_subsets, m)
        Losses after training on each subset; see :func:`skinfluence.retraining.retrain`. Outcomes
        that vary with the training seed lower the LDS of all scores; use means over several seeds.
    confidence : float, default=0.95
        Level of the confidence interval.
    n_resamples : int, default=1000
        Number of bootstrap resamples.
    random_state : int, RandomState instance or None, default=None
        Seeds the bootstrap.

    Returns
    -------
    report : dict
        ``lds`` is the mean LDS over the reference rows, and ``low`` and ``high`` are the ends of
        its confidence interval. ``per_reference`` is an ndarray of shape (m,) with the LDS of each
        reference row. It is NaN for a reference row whose predictions, or whose outcomes, are equal
        for all subsets; the mean leaves out these reference rows.

    Raises
    ------
    ValueError
        If shapes do not match, a value is not finite, there are fewer than three subsets, or no
        reference row can be ranked.

    Notes
    -----
    The interval is a percentile interval of a bootstrap that resamples subsets *and* reference
    rows, independently of each other [2]_. Both are resampled because all reference rows share the
    same subsets, and because the mean is meant to hold for other subsets and other reference rows.
    The interval tends to be too wide. It does not include the uncertainty from the choice of
    training set and seeds. With a single reference row, only the subsets are resampled.

    References
    ----------
    .. [1] Park, Georgiev, Ilyas, Leclerc, Madry, "TRAK: Attributing Model Behavior at Scale",
       ICML 2023, arXiv 2303.14186.
    .. [2] Owen, "The pigeonhole bootstrap", Annals of Applied Statistics, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence.metrics import linear_datamodeling_score
    >>> rng = np.random.RandomState(0)
    >>> scores, kept = rng.randn(20, 3), rng.rand(30, 20) < 0.5
    >>> losses = -(kept @ scores)  # losses that the scores predict exactly
    >>> round(linear_datamodeling_score(scores, kept, losses)["lds"], 6)
    1.0
    """
    scores, outcomes = _columns(scores, "scores"), _columns(outcomes, "outcomes")
    hint = "one row per row of outcomes, and one column per row of scores"
    kept = check_mask("kept", kept, (len(outcomes), len(scores)), hint)
    predicted = kept.astype(np.float64) @ scores
    # If the sums for a reference row differ only by rounding, make them equal before ranking.
    predicted[:, np.ptp(predicted, axis=0) <= 1e-12 * np.abs(scores).sum(0)] = 0.0
    return _agreement("lds", predicted, -outcomes, confidence, n_resamples, random_state)


def leave_one_out_correlation(
    scores: ArrayLike,
    changes: ArrayLike,
    *,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = None,
) -> dict[str, Any]:
    """Rank correlation of scores with the changes of the loss after leaving out each row.

    For each reference row, Spearman's rank correlation is computed over the training rows.

    Parameters
    ----------
    scores : array-like of shape (n,) or (n, m)
        Scores of the rows that were left out; higher = more helpful. One column per reference row.
    changes : array-like of shape (n,) or (n, m)
        How much the loss rises when the row is left out; see
        :func:`skinfluence.retraining.leave_one_out`. For groups of rows, give the sums of their
        scores and the result of :func:`skinfluence.retraining.leave_some_out`.
    confidence, n_resamples, random_state : see :func:`linear_datamodeling_score`
        The bootstrap resamples training rows and reference rows.

    Returns
    -------
    report : dict
        ``correlation`` is the mean over the reference rows. ``low``, ``high`` and
        ``per_reference`` are as in :func:`linear_datamodeling_score`.

    Raises
    ------
    ValueError
        If shapes do not match, a value is not finite, there are fewer than three rows, or no
        reference row can be ranked.

    Examples
    --------
    >>> from skinfluence.metrics import leave_one_out_correlation
    >>> report = leave_one_out_correlation([0.1, 3.0, -2.0, 0.4], [0.0, 0.2, -0.1, 0.1])
    >>> round(report["correlation"], 6)
    1.0
    """
    scores, changes = _columns(scores, "scores"), _columns(changes, "changes")
    if len(scores) != len(changes):
        raise ValueError(
            f"scores has {len(scores)} rows and changes has {len(changes)}; give scores of the "
            "rows that were left out, scores[rows]."
        )
    return _agreement("correlation", scores, changes, confidence, n_resamples, random_state)


def _agreement(
    name: str,
    predicted: np.ndarray,
    observed: np.ndarray,
    confidence: float,
    n_resamples: int,
    random_state: Any,
) -> dict[str, Any]:
    """Spearman's correlation of each column, their mean, and an interval for the mean."""
    if predicted.shape[1] != observed.shape[1]:
        raise ValueError(
            f"scores have {predicted.shape[1]} and outcomes {observed.shape[1]} columns; give both "
            "one column per reference row. For scores of shape (n,), average the outcomes over the "
            "reference rows."
        )
    if len(observed) < 3:
        raise ValueError(
            f"a correlation over {len(observed)} points is meaningless; give 3 points or more."
        )
    wanted = "a number between 0 and 1"
    confidence = check_number("confidence", confidence, wanted, lambda share: 0 < share < 1)
    n_resamples = check_int("n_resamples", n_resamples, 0)
    once = np.ones(len(observed), dtype=int)
    ranks = [_Ranks(a).of_counts(once) for a in (predicted, observed)]
    per_reference = _correlations(ranks[0], ranks[1], once)
    known = ~np.isnan(per_reference)
    if not known.any():
        raise ValueError(
            "nothing can be ranked: for each reference row, all sums of scores or all outcomes are "
            "equal. Check that the subsets differ and that the scores are not all 0."
        )
    means = _resampled_means(predicted[:, known], observed[:, known], n_resamples, random_state)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail]) if means else (np.nan, np.nan)
    return {
        name: float(per_reference[known].mean()),
        "low": float(low),
        "high": float(high),
        "per_reference": per_reference,
    }


def _resampled_means(
    predicted: np.ndarray, observed: np.ndarray, n_resamples: int, random_state: Any
) -> list[float]:
    """Means of the columns' correlations in resamples of rows and columns."""
    rng = read_random_state(random_state)
    first, second = _Ranks(predicted), _Ranks(observed)
    n, m = observed.shape
    means: list[float] = []
    for _ in range(n_resamples):
        counts = np.bincount(rng.randint(n, size=n), minlength=n)
        values = _correlations(first.of_counts(counts), second.of_counts(counts), counts)
        values = values[rng.randint(m, size=m)]
        values = values[~np.isnan(values)]  # a resample may hold equal outcomes only
        means += [float(values.mean())] if len(values) else []
    return means


class _Ranks:
    """Ranks of each column, for all rows or for a resample of them; sorts only once."""

    def __init__(self, values: np.ndarray) -> None:
        self.order = values.argsort(axis=0)
        self.below = rankdata(values, "min", axis=0).astype(int) - 1
        self.up_to = rankdata(values, "max", axis=0).astype(int)

    def of_counts(self, counts: np.ndarray) -> np.ndarray:
        """Mid-ranks minus their mean, (n, m), in a resample with row i ``counts[i]`` times."""
        drawn = np.zeros((len(counts) + 1, self.order.shape[1]))
        np.cumsum(counts[self.order], axis=0, out=drawn[1:])
        below, up_to = (np.take_along_axis(drawn, at, axis=0) for at in (self.below, self.up_to))
        return (below + up_to - counts.sum()) / 2


def _correlations(a: np.ndarray, b: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Correlation of each centered column of a with the same column of b; NaN if one is constant.

    Row i has the weight ``counts[i]``.
    """
    with np.errstate(invalid="ignore"):
        return counts @ (a * b) / np.sqrt((counts @ a**2) * (counts @ b**2))


def _columns(values: ArrayLike, name: str) -> np.ndarray:
    """Check numbers of shape (n,) or (n, m) and return them as (n, m)."""
    numbers = check_numbers(name, values, None)
    if numbers.ndim not in (1, 2) or 0 in numbers.shape:
        raise ValueError(
            f"{name} has shape {numbers.shape}; expected shape (n,), or (n, m) with one column per "
            "reference row."
        )
    return numbers.reshape(len(numbers), -1)


def _check_truth(is_noisy: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Check the truth about rows and their scores; return both as arrays."""
    noisy, values = check_mask("is_noisy", is_noisy), check_numbers("scores", scores)
    if len(noisy) != len(values):
        raise ValueError(
            f"is_noisy has {len(noisy)} rows and scores has {len(values)}; give one value of each "
            "per row."
        )
    if noisy.all() or not noisy.any():
        raise ValueError(
            f"is_noisy marks {noisy.sum()} of {len(noisy)} rows; to measure detection, some rows "
            "must be mislabeled and some must not."
        )
    return noisy, values
