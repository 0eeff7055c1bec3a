"""Pairs of classes of which one is taken for the other, but not the other way round."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from skinfluence._audit.issues.context import Context, Issue
from skinfluence._audit.issues.groups import holm
from skinfluence._audit.table import count, shorten

ALPHA = 1e-3
RATIO = 4.0  # between the two directions; smaller differences are not worth a line
MAX_CLASSES = 200


class Confusion:
    """Classes that are confused for each other in one direction."""

    name = "confusion"
    title = "Classes confused in one direction"

    def find(self, context: Context) -> Issue | None:
        """Pairs of classes where rows of one look like the other, far more than the reverse."""
        classes, probabilities = context.classes, context.probabilities
        if classes is None or probabilities is None or not 1 < len(classes) <= MAX_CLASSES:
            return None
        given, looks = _codes(classes, context.problem.given, probabilities)
        counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
        is_known = (given >= 0) & (looks >= 0)
        np.add.at(counts, (given[is_known], looks[is_known]), 1)
        details = _one_way(counts, np.bincount(given[given >= 0], minlength=len(classes)))
        if not len(details):
            return None
        pairs = {(a, b) for a, b in details[["given", "suggested"]].itertuples(index=False)}
        is_member = np.array([pair in pairs for pair in zip(given, looks, strict=True)])
        for name in ("given", "suggested"):
            details[name] = [shorten(str(classes[code])) for code in details[name]]
        first = details.iloc[0]
        return Issue(
            self.name,
            self.title,
            f"{count(len(details), 'pair')}, first: {first['rows']:,} rows of "
            f"{shorten(first['given'], 24)} look like {shorten(first['suggested'], 24)}, "
            f"{first['rows_reverse']:,} the other way round",
            "Rows of one class were often given the label of the other. Check how the two classes "
            "are told apart when labels are given, and look at these rows together.",
            context.problem.rows[is_member],
            details,
        )


def _codes(
    classes: np.ndarray, given: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Number of the given class of each row, and of the class that the row looks like, or -1.

    The thresholds are those of confident learning [1]_: the probability of a class is compared
    with its mean over the rows of that class. A row looks like the class that exceeds its mean by
    the largest factor. Frequent classes have larger means, so that a net which predicts the
    frequent class everywhere confuses nothing.

    References
    ----------
    .. [1] Northcutt, Jiang, Chuang, "Confident Learning", arXiv 1911.00068.
    """
    codes = pd.Index(classes).get_indexer(given)
    means = np.full(len(classes), np.inf)
    for k in np.unique(codes[codes >= 0]):
        means[k] = max(probabilities[codes == k, k].mean(), 1e-12)
    factors = probabilities / means
    return codes, np.where(factors.max(axis=1) >= 1, factors.argmax(axis=1), -1)


def _one_way(counts: np.ndarray, n_rows: np.ndarray) -> pd.DataFrame:
    """Pairs of classes with counts in both directions, where the difference is not chance."""
    lines = []
    for i in range(len(counts)):
        for j in range(i + 1, len(counts)):
            a, b = (i, j) if counts[i, j] * n_rows[j] >= counts[j, i] * n_rows[i] else (j, i)
            rows, reverse = (counts[a, b], n_rows[a]), (counts[b, a], n_rows[b])
            lines.append([a, b, *rows, *reverse, _p_value(rows, reverse)])
    names = ["given", "suggested", "rows", "of", "rows_reverse", "of_reverse", "p_value"]
    found = pd.DataFrame(lines, columns=names)
    found["p_value"] = holm(found["p_value"].to_numpy())
    share, reverse_share = found["rows"] / found["of"], found["rows_reverse"] / found["of_reverse"]
    kept = found[(found["p_value"] <= ALPHA) & (share >= RATIO * reverse_share)]
    pairs = zip(kept["given"], kept["suggested"], strict=True)
    is_learned = np.array([_tells_apart(counts, n_rows, a, b) for a, b in pairs], dtype=bool)
    return kept[is_learned].sort_values("p_value", kind="stable", ignore_index=True)


def _tells_apart(counts: np.ndarray, n_rows: np.ndarray, a: int, b: int) -> bool:
    """Whether rows of each of two classes look like their own class more than the others do."""
    return all(
        _p_value((counts[own, own], n_rows[own]), (counts[other, own], n_rows[other])) <= ALPHA
        for own, other in ((a, b), (b, a))
    )


def _p_value(first: tuple[int, int], second: tuple[int, int]) -> float:
    """P-value of Fisher's test that the share of k in n rows is not larger for the first."""
    table = [[k, n - k] for k, n in (first, second)]
    return min(1.0, float(fisher_exact(table, alternative="greater")[1]))
