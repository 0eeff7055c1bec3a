"""Rows that are far from all other rows, as a whole or in one column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import PowerTransformer

from skinfluence._audit.issues.context import Context, Issue
from skinfluence._audit.table import count

MIN_ROWS = 100
SAMPLED = 5_000  # rows that distances are measured to, and that scales are fitted on
NEIGHBORS = 10
BEYOND = 1.5  # times what is expected of the largest value; see `excess`
FARTHER = 1.5  # times the distance that 90 % of the rows do not exceed
SPREADS = 5.0  # a number is far if it is so many interquartile ranges from the median
MIN_DISTINCT = 10
LARGEST = 1e9
LITTLE_SKEW = (0.5, 1.5)  # powers of the transformation that removes skew
CLIPPED = 5.0  # interquartile ranges


class Outliers:
    """Rows far from all others."""

    name = "outliers"
    title = "Rows far from all other rows"

    def find(self, context: Context) -> Issue | None:
        """Numbers far from the other numbers of their column, and rows far from all rows."""
        if len(context.problem.rows) < MIN_ROWS:
            return None
        columns = _straight_columns(context)
        found = _far_numbers(context, columns)
        if len(columns) > 1:
            Z = np.column_stack([np.nan_to_num(column.straight) for column in columns])
            is_linear = np.array([column.is_linear for column in columns])
            found = pd.concat([found, _far_rows(Z), _odd_rows(Z[:, is_linear])], ignore_index=True)
        if not len(found):
            return None
        # A row that is far in one column is far as a whole as well; the column says more.
        found = found.drop_duplicates("row")
        found = found.sort_values("times_limit", ascending=False, kind="stable", ignore_index=True)
        positions = context.problem.rows[found["row"]]
        details = found.assign(
            row=positions + 1,
            label=[context.label_cell(row) for row in positions],
            cells=context.describe(positions),
        )
        rows = np.unique(positions)
        return Issue(
            self.name,
            self.title,
            f"{count(len(rows), 'row')}; farthest: row {details['row'][0]:,} "
            f"({details['reason'][0]})",
            "Check these rows for wrong units, typing errors and codes such as 999 for missing "
            "values. A row may also be right and rare; then keep it.",
            rows,
            details,
        )


def excess(values: np.ndarray, n_tests: int = 1) -> np.ndarray:
    """How far values lie beyond their 90 % quantile, compared with the largest value expected.

    The upper tenth is taken to have an exponential tail, whose scale follows from the median, so
    that outliers do not change it. 1 is a value that the largest of all reaches with a probability
    of 1 in 20, divided by the number of tests.
    """
    start = np.quantile(values, 0.9)
    above = values[values > start] - start
    scale = float(np.median(above)) / np.log(2) if len(above) else 0.0
    if scale <= 0:
        return np.zeros(len(values))
    return (values - start) / (scale * np.log(0.1 * len(values) * n_tests / 0.05))


@dataclass(frozen=True)
class Straight:
    """A column of numbers after a transformation that removes skew.

    Attributes
    ----------
    position : int
        Position of the column in the table.
    values : ndarray of shape (n_judged,)
        The numbers of the column; NaN if missing.
    straight : ndarray of shape (n_judged,)
        The transformed numbers: their median is 0, and their interquartile range is 1.
    is_linear : bool
        Whether the numbers have little skew and were only moved and scaled.
    """

    position: int
    values: np.ndarray
    straight: np.ndarray
    is_linear: bool


def _straight_columns(context: Context) -> list[Straight]:
    """The columns of numbers that have a scale: many values, and not mostly the same one."""
    found = []
    for position in context.used:
        if context.prepared.kinds[str(position)] not in ("number", "date"):
            continue
        values = context.prepared.frame[str(position)].to_numpy(np.float64, na_value=np.nan)
        present = values[~np.isnan(values)]
        if len(present) < MIN_ROWS or pd.Series(present).nunique() < MIN_DISTINCT:
            continue
        step = max(len(present) // SAMPLED, 1)
        sample = np.sort(present)[::step]
        low, first, third, high = np.quantile(sample, [0.01, 0.25, 0.75, 0.99])
        if third > first:
            # Extreme values would bend the transformation; it is fitted without them.
            sample = np.clip(sample, low, high)
            scaled = [(part - low) / (third - first) for part in (sample, values)]
            found.append(Straight(position, values, *_without_skew(*scaled)))
    return found


def _without_skew(sample: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, bool]:
    """The values after the transformation, and whether it is linear."""
    fitted = PowerTransformer(standardize=False).fit(sample[:, None])
    # Stronger than a logarithm, the transformation has a limit, and large values come close to it.
    power = float(np.clip(fitted.lambdas_[0], 0, 2))
    is_linear = LITTLE_SKEW[0] <= power <= LITTLE_SKEW[1]
    fitted.lambdas_[0] = 1.0 if is_linear else power
    first, median, third = np.quantile(fitted.transform(sample[:, None]), [0.25, 0.5, 0.75])
    with np.errstate(over="ignore"):
        straight = (fitted.transform(values[:, None]).ravel() - median) / (third - first)
    return np.clip(straight, -LARGEST, LARGEST), is_linear


def _far_numbers(context: Context, columns: Sequence[Straight]) -> pd.DataFrame:
    """Numbers that are far from the median of their column."""
    found = [_empty()]
    for column in columns:
        present = np.flatnonzero(~np.isnan(column.values))
        values = column.values[present]
        first, median, third = np.quantile(values, [0.25, 0.5, 0.75])
        scores = excess(np.abs(column.straight[present]), len(columns))
        is_far = np.abs(values - median) > SPREADS * (third - first)
        rows = np.flatnonzero((scores > BEYOND) & is_far)
        name = context.column_name(column.position)
        cells = [context.cell(context.problem.rows[present[i]], column.position) for i in rows]
        if context.prepared.kinds[str(column.position)] == "number":
            usual = f"{median:.6g}"
        else:
            usual = context.cell(context.problem.rows[_middle(column.values)], column.position)
        reasons = [f"{name} = {cell}, median {usual}" for cell in cells]
        found.append(
            pd.DataFrame({"row": present[rows], "reason": reasons, "times_limit": scores[rows]})
        )
    return pd.concat(found, ignore_index=True)


def _middle(values: np.ndarray) -> int:
    """Position of a value that is the median, or next to it."""
    return int(np.argsort(values)[np.count_nonzero(~np.isnan(values)) // 2])


def _far_rows(Z: np.ndarray) -> pd.DataFrame:
    """Rows whose tenth nearest neighbor is far, compared with other rows."""
    n = len(Z)
    sample = np.arange(n)
    if n > SAMPLED:
        sample = np.sort(np.random.default_rng(0).choice(n, SAMPLED, replace=False))
    finder = NearestNeighbors(n_neighbors=NEIGHBORS).fit(Z[sample])
    distances = np.empty(n)
    distances[sample] = finder.kneighbors()[0][:, -1]  # a row is not its own neighbor
    rest = np.setdiff1d(np.arange(n), sample, assume_unique=True)
    for start in range(0, len(rest), 50_000):
        part = rest[start : start + 50_000]
        distances[part] = finder.kneighbors(Z[part])[0][:, -1]
    low, usual = np.quantile(distances, [0.1, 0.9])
    if low <= 0:  # many rows are equal: distances say nothing
        return _empty()
    scores = excess(np.log(np.maximum(distances, low)))
    rows = np.flatnonzero((scores > BEYOND) & (distances > FARTHER * usual))
    reasons = [f"{distances[i] / usual:.1f} times as far from other rows as usual" for i in rows]
    return pd.DataFrame({"row": rows, "reason": reasons, "times_limit": scores[rows]})


def _odd_rows(Z: np.ndarray) -> pd.DataFrame:
    """Rows in which numbers that usually rise and fall together do not.

    The distance is that of Mahalanobis. Numbers far out are moved in: they are the matter of
    `_far_numbers`.
    """
    if Z.shape[1] < 2:
        return _empty()
    Z = np.clip(Z, -CLIPPED, CLIPPED)
    distances = np.sqrt(np.maximum(EmpiricalCovariance().fit(Z).mahalanobis(Z), 0.0))
    usual = float(np.quantile(distances, 0.9))
    scores = excess(distances)
    rows = np.flatnonzero((scores > BEYOND) & (distances > FARTHER * usual))
    reason = "numbers that do not go together as in other rows"
    return pd.DataFrame({"row": rows, "reason": [reason] * len(rows), "times_limit": scores[rows]})


def _empty() -> pd.DataFrame:
    return pd.DataFrame({"row": [], "reason": [], "times_limit": []}).astype({"row": int})
