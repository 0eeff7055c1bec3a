"""Are scores any good: against known culprits, and against what retraining says.

Lower = more suspect and higher = more helpful, as everywhere.
"""

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.utils import check_random_state, column_or_1d

__all__ = [
    "detection_curve",
    "detection_report",
    "leave_one_out_correlation",
    "linear_datamodeling_score",
    "precision_at_k",
]


def detection_curve(is_noisy, scores):
    """Share of the culprits found against share of the rows inspected, most suspect first.

    Rows of equal score have no order, so the curve only has a point at the end of each group of
    ties; the straight line between two points is what an inspection in random order within the
    group finds on average.

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
        Share of the culprits among them, from 0 to 1.

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


def detection_report(is_noisy, scores):
    """How well scores find known culprits.

    Parameters
    ----------
    is_noisy : array-like of bool of shape (n_samples,)
        True where the label is known to be wrong; both True and False must occur.
    scores : array-like of shape (n_samples,)
        Lower = more suspect.

    Returns
    -------
    report : dict of str to float
        ``roc_auc``: chance that a culprit scores below a clean row. ``average_precision``: area
        under precision and recall. ``precision_at_k``: share of culprits among the k most suspect
        rows, k being their true number (ties at the edge count in proportion).

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


def precision_at_k(is_noisy, scores, k):
    """Share of culprits among the k most suspect rows.

    Of rows with equal scores at the edge of k, culprits count in proportion: what an inspection in
    random order finds on average.

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

    Examples
    --------
    >>> from skinfluence.metrics import precision_at_k
    >>> precision_at_k([True, False, False, True], [-2.0, 1.0, 0.5, 0.0], 1)
    1.0
    """
    is_noisy, scores = _check_truth(is_noisy, scores)
    if not isinstance(k, int | np.integer) or not 1 <= k <= len(scores):
        raise ValueError(f"k={k!r}: expected an integer from 1 to the {len(scores)} rows.")
    inspected, found = detection_curve(is_noisy, scores)
    return float(np.interp(k / len(scores), inspected, found) * is_noisy.sum() / k)


def linear_datamodeling_score(
    scores, kept, outcomes, *, confidence=0.95, n_resamples=1000, random_state=None
):
    """Rank agreement of summed scores with what training on subsets of the rows gave [1]_.

    Each subset's outcome is foretold by the sum of the scores of the rows that it keeps. The
    linear datamodeling score (LDS) of a reference row is Spearman's rank correlation, over the
    subsets, between what is foretold and what retraining gave. Outcomes are losses, which helpful
    rows lower, so it is the correlation with minus the outcome: 1 is perfect, 0 is chance.

    Parameters
    ----------
    scores : array-like of shape (n,) or (n, m)
        Higher = more helpful; a column for each reference row, or (n,) for one outcome of all.
    kept : array-like of bool of shape (n_subsets, n)
        The rows of each subset; see :func:`skinfluence.retraining.draw_subsets`.
    outcomes : array-like of shape (n_subsets,) or (n_subsets, m)
        Losses after training on each subset; see :func:`skinfluence.retraining.retrain`. Noise of
        the training (another seed, another outcome) lowers the LDS of any scores: give means over
        several seeds.
    confidence : float, default=0.95
        Of the interval.
    n_resamples : int, default=1000
        Resamples of the bootstrap.
    random_state : int, RandomState instance or None, default=None
        Seeds the bootstrap.

    Returns
    -------
    report : dict
        ``lds``: mean over the reference rows. ``low``, ``high``: its interval. ``per_reference``:
        ndarray of shape (m,), NaN for a reference row whose scores foretell the same of all subsets
        or whose outcome is the same after all; such rows are left out of the mean.

    Notes
    -----
    The interval is of percentiles of a bootstrap that draws subsets *and* reference rows with
    replacement, independently of each other [2]_: all reference rows share the subsets, and the
    mean is to stand for other subsets and for other reference rows. It errs on the wide side. It
    knows nothing of the training set and the seeds, which are as they are. Of a single reference
    row only the subsets are drawn.

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
    >>> losses = -(kept @ scores)  # such scores are the truth
    >>> round(linear_datamodeling_score(scores, kept, losses)["lds"], 6)
    1.0
    """
    scores, outcomes = _columns(scores, "scores"), _columns(outcomes, "outcomes")
    kept = np.asarray(kept)
    if kept.shape != (len(outcomes), len(scores)):
        raise ValueError(
            f"kept has shape {kept.shape}; expected ({len(outcomes)}, {len(scores)}): a subset a "
            "row of outcomes, and a column a row of scores."
        )
    if not np.isin(kept, (0, 1)).all():
        raise ValueError("kept must hold True and False only: masks of the rows, not positions.")
    foretold = kept.astype(np.float64) @ scores
    # equal scores have equal sums, which rounding must not put in an order
    foretold[:, np.ptp(foretold, axis=0) <= 1e-12 * np.abs(scores).sum(0)] = 0.0
    return _agreement("lds", foretold, -outcomes, confidence, n_resamples, random_state)


def leave_one_out_correlation(
    scores, changes, *, confidence=0.95, n_resamples=1000, random_state=None
):
    """Rank agreement of scores with the changes when rows are left out.

    Spearman's rank correlation over the training rows, for each reference row.

    Parameters
    ----------
    scores : array-like of shape (n,) or (n, m)
        Higher = more helpful; a column for each reference row. Of rows that were left out only.
    changes : array-like of shape (n,) or (n, m)
        How much the loss rises without the row; see :func:`skinfluence.retraining.leave_one_out`
        (for groups, give sums of scores and `leave_some_out`).
    confidence, n_resamples, random_state : see `linear_datamodeling_score`
        The bootstrap draws training rows and reference rows.

    Returns
    -------
    report : dict
        ``correlation``: mean over the reference rows. ``low``, ``high``, ``per_reference``: as
        `linear_datamodeling_score` returns them.

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


def _agreement(name, foretold, found, confidence, n_resamples, random_state):
    """Spearman's correlation of the columns, its mean, and an interval for the mean."""
    if foretold.shape[1] != found.shape[1]:
        raise ValueError(
            f"scores are of {foretold.shape[1]} and outcomes of {found.shape[1]} reference rows; "
            "give both a column for each reference row, or take the outcomes' mean over them for "
            "scores of shape (n,)."
        )
    if len(found) < 3:
        raise ValueError(f"a correlation over {len(found)} points says nothing; give 3 or more.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence!r}: expected a number between 0 and 1.")
    once = np.ones(len(found), dtype=int)
    per_reference = _correlations(*(_Ranks(a).of_counts(once) for a in (foretold, found)), once)
    known = ~np.isnan(per_reference)
    if not known.any():
        raise ValueError(
            "each reference row has equal sums of scores, or equal outcomes, throughout: nothing "
            "can be ranked. Were the subsets different, and the scores not all 0?"
        )
    rng = check_random_state(random_state)
    pair, (n, m) = [_Ranks(a[:, known]) for a in (foretold, found)], (len(found), known.sum())
    means = []
    for _ in range(n_resamples):
        counts = np.bincount(rng.randint(n, size=n), minlength=n)
        values = _correlations(*(ranks.of_counts(counts) for ranks in pair), counts)
        values = values[rng.randint(m, size=m)]
        values = values[~np.isnan(values)]  # few distinct outcomes may all be drawn alike
        means += [values.mean()] if len(values) else []
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail]) if means else (np.nan, np.nan)
    return {
        name: float(per_reference[known].mean()),
        "low": float(low),
        "high": float(high),
        "per_reference": per_reference,
    }


class _Ranks:
    """Ranks of each column, of the rows as they are or of a resample; sorted once for all."""

    def __init__(self, values):
        self.order = values.argsort(axis=0)
        self.below = rankdata(values, "min", axis=0).astype(int) - 1
        self.up_to = rankdata(values, "max", axis=0).astype(int)

    def of_counts(self, counts):
        """Mid-rank of each row where row i occurs ``counts[i]`` times, less their mean: (n, m)."""
        drawn = np.zeros((len(counts) + 1, self.order.shape[1]))
        np.cumsum(counts[self.order], axis=0, out=drawn[1:])
        edges = (np.take_along_axis(drawn, at, axis=0) for at in (self.below, self.up_to))
        return (sum(edges) - counts.sum()) / 2


def _correlations(a, b, counts):
    """Correlation of the columns of centred a with those of b, rows counted; NaN of a constant."""
    with np.errstate(invalid="ignore"):
        return counts @ (a * b) / np.sqrt((counts @ a**2) * (counts @ b**2))


def _columns(values, name):
    """Check numbers of shape (n,) or (n, m) and return them as (n, m)."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (1, 2) or 0 in values.shape:
        raise ValueError(
            f"{name} has shape {values.shape}; expected one column of numbers, or a column for "
            "each reference row."
        )
    if not np.isfinite(values).all():
        n_bad = (~np.isfinite(values)).sum()
        raise ValueError(f"{name} holds {n_bad} NaN or infinite values; each must be a number.")
    return values.reshape(len(values), -1)


def _check_truth(is_noisy, scores):
    is_noisy, scores = column_or_1d(is_noisy), column_or_1d(scores, dtype=np.float64)
    if len(is_noisy) != len(scores):
        raise ValueError(
            f"is_noisy has {len(is_noisy)} rows and scores has {len(scores)}; "
            "give one of each a row."
        )
    if not np.isin(is_noisy, (0, 1)).all():
        held = np.unique(is_noisy)[:5].tolist()
        raise ValueError(f"is_noisy must hold True and False only; it holds {held!r}.")
    is_noisy = is_noisy.astype(bool)
    if is_noisy.all() or not is_noisy.any():
        raise ValueError(
            f"is_noisy marks {is_noisy.sum()} of {len(is_noisy)} rows; detection can be "
            "measured only where some rows are culprits and some are not."
        )
    if not np.isfinite(scores).all():
        n_bad = (~np.isfinite(scores)).sum()
        raise ValueError(f"scores holds {n_bad} NaN or infinite values; every row needs a number.")
    return is_noisy, scores
