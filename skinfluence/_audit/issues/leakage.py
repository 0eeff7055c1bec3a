"""Columns that give the label away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from skinfluence._audit.issues.context import Context, Issue
from skinfluence._audit.one_column import SURE, as_numbers, skill_of, tree_skill
from skinfluence._audit.spelling_key import spelling_key
from skinfluence._audit.table import count

SAMPLED = 5_000  # rows on which trees are trained
COPY = 0.8  # agreement beyond chance of a column that spells the label
STATUS = 0.7  # skill of a category that does so alone, and far better than the other columns


class Leakage:
    """Columns that contain the label, or from which it follows."""

    name = "leakage"
    title = "Columns that give the label away"

    def find(self, context: Context) -> Issue | None:
        """Columns that spell the label, or predict it alone."""
        if len(context.problem.rows) < 20 or len(set(context.labels[context.problem.rows])) < 2:
            return None
        copies, rows = _copies(context)
        lines = [*copies, *_predictors(context, skip={line[0] for line in copies})]
        if not lines:
            return None
        details = pd.DataFrame(
            [[context.column_name(position), *rest] for position, *rest in lines],
            columns=["column", "reason", "skill", "rows_that_differ"],
        )
        shown = ", ".join(details["column"].head(5))
        return Issue(
            self.name,
            self.title,
            f"{count(len(details), 'column')}: {shown}",
            "If such a column is filled in after the label is known, drop it (--ignore) and repeat "
            "the audit: models and this audit trust it blindly. Rows where a copy of the label "
            "differs from the label are worth a look.",
            rows,
            details,
        )


def _copies(context: Context) -> tuple[list[tuple[int, str, float, int]], np.ndarray]:
    """Columns whose cells equal the label up to spelling, and rows where they differ."""
    lines: list[tuple[int, str, float, int]] = []
    rows = [np.empty(0, dtype=np.int64)]
    if context.is_regression:
        return lines, rows[0]
    wanted, keys = pd.factorize(context.labels[context.problem.rows])
    position_of = {key: i for i, key in enumerate(keys)}
    for position in _columns_of(context, "category"):
        codes, distinct = pd.factorize(context.prepared.frame[str(position)])
        if len(distinct) > 2 * len(keys) + 20:
            continue
        written = [spelling_key(str(value)) or str(value) for value in distinct]
        own = np.array([position_of.get(key, -1) for key in written] + [-1])
        found = own[codes]
        agreement = _agreement(found, wanted, len(position_of))
        if agreement >= COPY:
            differs = (found != wanted) & (codes >= 0)
            lines.append((position, "spells the label", agreement, int(differs.sum())))
            rows.append(context.problem.rows[differs])
    return lines, np.unique(np.concatenate(rows))


def _agreement(found: np.ndarray, wanted: np.ndarray, n_classes: int) -> float:
    """Cohen's kappa: agreement of two codings beyond chance; -1 agrees with nothing."""
    share = np.bincount(wanted, minlength=n_classes) / len(wanted)
    other = np.bincount(found[found >= 0], minlength=n_classes) / len(wanted)
    chance = float(share @ other)
    return (float(np.mean(found == wanted)) - chance) / (1 - chance)


def _predictors(context: Context, skip: set[int]) -> list[tuple[int, str, float, int]]:
    """Columns from which a shallow tree predicts the label of held-out rows."""
    rows = np.arange(len(context.problem.rows))
    if len(rows) > SAMPLED:
        rows = np.sort(np.random.default_rng(0).choice(rows, SAMPLED, replace=False))
    y = context.labels[context.problem.rows[rows]]
    if not context.is_regression:
        y = pd.factorize(y)[0]
    columns = {
        p: as_numbers(context.prepared.frame[str(p)].iloc[rows])
        for p in _columns_of(context)
        if p not in skip
    }
    lines = []
    for position, column in columns.items():
        X = column[:, None]
        if tree_skill(X, y, context.is_regression, n_folds=2) < STATUS - 0.1:
            continue
        skill = tree_skill(X, y, context.is_regression)
        if context.is_regression:
            skill = max(skill, _same_order(column, y))
        if skill >= SURE:
            lines.append((position, "predicts the label alone", skill, 0))
        elif context.prepared.kinds[str(position)] == "category" and skill >= STATUS:
            others = [other for p, other in columns.items() if p != position]
            if _is_far_better(context, skill, others, y):
                reason = "predicts the label alone, and the other columns do not"
                lines.append((position, reason, skill, 0))
    return lines


def _same_order(column: np.ndarray, y: np.ndarray) -> float:
    """Squared rank correlation: in small tables, a tree has too few leaves for a copied number."""
    if np.ptp(column) == 0:
        return 0.0
    return float(spearmanr(column, y).statistic ** 2)


def _is_far_better(
    context: Context, skill: float, others: Sequence[np.ndarray], y: np.ndarray
) -> bool:
    """Whether a column is as good as the audit with all columns, and the others are not."""
    is_regression = context.is_regression
    if skill < skill_of(context.suggested, context.problem.given, is_regression) - 0.02:
        return False
    return not others or tree_skill(np.column_stack(others), y, is_regression) <= skill / 2


def _columns_of(context: Context, *kinds: str) -> list[int]:
    given = context.prepared.kinds
    return [p for p in context.used if given[str(p)] in (kinds or ("number", "date", "category"))]
