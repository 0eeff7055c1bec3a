"""Labels and categories that differ only in case, blanks or punctuation."""

from __future__ import annotations

from collections import Counter
from itertools import compress

import numpy as np
import pandas as pd

from skinfluence._audit.issues.context import Context, Issue
from skinfluence._audit.spelling_key import spelling_key
from skinfluence._audit.table import count, shorten
from skinfluence.columns._readers import MISSING

MAX_DISTINCT = 5_000  # values of a column; a column with more values does not hold categories


class Spellings:
    """Several spellings of one label or category."""

    name = "spellings"
    title = "Values that are spelled in several ways"

    def find(self, context: Context) -> Issue | None:
        """Spellings of labels and categories, and the rows with all but the most frequent one."""
        tables, rows = [], [np.empty(0, dtype=np.int64)]
        for position in _category_columns(context):
            found, where = _spellings(context, position)
            tables.append(found)
            rows.append(where)
        details = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
        if not len(details):
            return None
        unique_rows = np.unique(np.concatenate(rows))
        n_values = len(details[["column", "most_frequent"]].drop_duplicates())
        return Issue(
            self.name,
            self.title,
            f"{count(n_values, 'value')} with {count(len(details), 'spelling')}, "
            f"{count(len(unique_rows), 'row')} to change",
            "Different spellings count as different values. If they mean the same, use one "
            "spelling in the table.",
            unique_rows,
            details,
        )


def _category_columns(context: Context) -> list[int]:
    kinds = context.prepared.kinds
    columns = [position for position in context.used if kinds[str(position)] == "category"]
    return columns if context.is_regression else [context.problem.label, *columns]


def _spellings(context: Context, position: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The values of a column with several spellings, and the rows with the rarer spellings."""
    counts = Counter(context.table.columns[position])
    names = ["column", "most_frequent", "spelling", "count"]
    if len(counts) > MAX_DISTINCT:
        return pd.DataFrame(columns=names), np.empty(0, dtype=np.int64)
    by_key: dict[str, list[str]] = {}
    is_label = position == context.problem.label
    for text, _ in counts.most_common():
        if not is_label and text.strip() in MISSING:  # "NA" and "N/A" are read as the same
            continue
        if key := spelling_key(text):
            by_key.setdefault(key, []).append(text)
    groups = [texts for texts in by_key.values() if len(texts) > 1]
    lines = [
        [context.column_name(position), _quoted(texts[0]), _quoted(text), counts[text]]
        for texts in groups
        for text in texts
    ]
    rare = {text for texts in groups for text in texts[1:]}
    is_rare = (cell in rare for cell in context.table.columns[position])
    rows = np.array(list(compress(range(context.n_rows), is_rare)), dtype=np.int64)
    return pd.DataFrame(lines, columns=names), rows


def _quoted(text: str) -> str:
    """The text between quotes if it has blanks around it, which nobody would see otherwise."""
    return shorten(text if text == text.strip() else f'"{text}"')
