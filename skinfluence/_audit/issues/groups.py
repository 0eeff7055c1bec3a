"""Groups of rows, by the values of one column, in which suspects are many."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binom

from skinfluence._audit.issues.context import Context, Issue
from skinfluence._audit.table import count, shorten

ALPHA = 1e-3
LIFT = 1.5  # times the share of suspects of all rows; smaller differences are not worth a line
MAX_CATEGORIES, N_BINS = 50, 10


class Groups:
    """Values of a column, or ranges of numbers, with many suspects."""

    name = "groups"
    title = "Groups of rows with many suspects"

    def find(self, context: Context) -> Issue | None:
        """Groups whose share of suspects is larger than chance explains."""
        is_suspect = context.is_suspect
        if not is_suspect.any() or is_suspect.all():
            return None
        share = float(is_suspect.mean())
        lines, empty = [], np.empty(0, dtype=np.int64)
        members: list[np.ndarray] = []
        for position, value, member in _all_groups(context):
            n, k = int(member.sum()), int(is_suspect[member].sum())
            p_value = float(binom.sf(k - 1, n, share))
            lines.append([context.column_name(position), value, n, k, k / n, p_value])
            # Only few groups can be reported; the rows of the others need no memory.
            members.append(np.flatnonzero(member & is_suspect) if p_value <= ALPHA else empty)
        names = ["column", "value", "rows", "suspects", "share", "p_value"]
        found = pd.DataFrame(lines, columns=names)
        found["p_value"] = holm(found["p_value"].to_numpy())
        is_many = (found["p_value"] <= ALPHA) & (found["share"] >= LIFT * share)
        if not is_many.any():
            return None
        where = np.unique(np.concatenate([members[i] for i in np.flatnonzero(is_many)]))
        details = found[is_many].sort_values("p_value", kind="stable", ignore_index=True)
        first = details.iloc[0]
        return Issue(
            self.name,
            self.title,
            f"{count(len(details), 'group')}, first {shorten(first['column'], 24)} = "
            f"{shorten(first['value'], 24)}: {first['share']:.0%} suspects, {share:.0%} of all "
            "rows",
            "Labels in these groups are often wrong, or hard to predict. Ask how they were "
            "labeled, and look at their suspects first.",
            context.problem.rows[where],
            details,
        )


def holm(p_values: np.ndarray) -> np.ndarray:
    """P-values adjusted for the number of tests by Holm's method."""
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(n)
    steps = p_values[order] * np.arange(n, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _all_groups(context: Context) -> Iterator[tuple[int, str, np.ndarray]]:
    """Position of a column, a value or a range of it, and the rows with that value."""
    kinds = context.prepared.kinds
    for position in context.used:
        values = context.prepared.frame[str(position)]
        missing = values.isna().to_numpy()
        if missing.any():
            yield position, "(missing)", missing
        kind = kinds[str(position)]
        if kind in ("number", "date"):
            yield from ((position, value, member) for value, member in _ranges(values, kind))
        else:
            yield from ((position, value, member) for value, member in _categories(values))


def _categories(values: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    codes, distinct = pd.factorize(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
    frequent = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
    for code in frequent[counts[frequent] > 1]:
        yield shorten(str(distinct[code]), 60), codes == code


def _shown(number: float, kind: str) -> str:
    if kind == "number":
        return f"{number:.6g}"
    return str(np.datetime64(int(number), "s").astype("datetime64[m]")).removesuffix("T00:00")


def _ranges(values: pd.Series, kind: str) -> Iterator[tuple[str, np.ndarray]]:
    numbers: Any = values.to_numpy(dtype=np.float64, na_value=np.nan)
    present = numbers[~np.isnan(numbers)]
    distinct = np.unique(present)
    if len(distinct) <= N_BINS:
        for number in distinct:
            yield _shown(number, kind), numbers == number
        return
    edges = np.unique(np.quantile(present, np.linspace(0, 1, N_BINS + 1), method="nearest"))
    for i, (low, high) in enumerate(pairwise(edges)):
        is_last = i == len(edges) - 2
        member = (numbers >= low) & ((numbers <= high) if is_last else (numbers < high))
        yield f"{_shown(low, kind)} to {_shown(high, kind)}", member
