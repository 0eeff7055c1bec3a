"""Is a detector any good: scores against known culprits; lower = more suspect, as everywhere."""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.utils import column_or_1d

__all__ = ["detection_curve", "detection_report"]


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
    inspected, found = detection_curve(is_noisy, scores)
    return {
        "roc_auc": float(roc_auc_score(is_noisy, -scores)),
        "average_precision": float(average_precision_score(is_noisy, -scores)),
        # k culprits in all and k rows inspected: precision and recall are the same number
        "precision_at_k": float(np.interp(is_noisy.mean(), inspected, found)),
    }


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
