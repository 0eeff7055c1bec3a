"""Rows of a second table that also stand in the first."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pandas as pd

from skinfluence._audit.issues.context import Context, Issue
from skinfluence._audit.issues.equal_rows import equal_rows
from skinfluence._audit.issues.near_rows import near_rows
from skinfluence._audit.table import AuditError, Table, count, shorten


class Overlap:
    """Rows that the table shares with the table of `--against`."""

    name = "overlap"
    title = "Rows that also stand in the second table"

    def find(self, context: Context) -> Issue | None:
        """Rows of the first table that equal, or nearly equal, a row of the second."""
        if context.against is None or not len(context.against.cells):
            return None
        shared = shared_columns(context)
        if not shared:
            return None
        pairs = pd.concat([_equal_pairs(context, shared), _near_pairs(context, shared)])
        if not len(pairs):
            return None
        pairs = pairs.drop_duplicates("row").sort_values("row", ignore_index=True)
        details = _details(context, pairs)
        n_other = int((details["label"] != details["label_in_second"]).sum())
        has_label = label_column(context) is not None
        label = f", {n_other:,} with a different label" if has_label else ""
        return Issue(
            self.name,
            self.title,
            f"{count(len(details), 'row')} also in the second table{label}",
            "If one table trains a model and the other tests it, drop these rows from one of them; "
            "the test is too easy otherwise. Where the labels differ, one of them is wrong.",
            pairs["row"].to_numpy(),
            details,
        )


def check_against(table: Table, label: int, against: Table) -> None:
    """Raise AuditError if no column of the first table, apart from the label, is in the second."""
    names = [name.strip() for i, name in enumerate(table.names) if i != label]
    if not {name.strip() for name in against.names} & set(names):
        shown = ", ".join(shorten(name, 40) for name in names[:10])
        raise AuditError(
            f"the table of --against has no column of the first table ({shown}); give a table with "
            "the same column names."
        )


def shared_columns(context: Context) -> dict[int, int]:
    """Position of each used column -> position of the column of this name in the second table."""
    assert context.against is not None
    second = {name.strip(): i for i, name in reversed(list(enumerate(context.against.names)))}
    names = {position: context.table.names[position].strip() for position in context.used}
    return {position: second[name] for position, name in names.items() if name in second}


def label_column(context: Context) -> int | None:
    """Position of the label column in the second table, or None."""
    assert context.against is not None
    name = context.problem.label_name.strip()
    found = [i for i, given in enumerate(context.against.names) if given.strip() == name]
    return found[0] if found else None


def _equal_pairs(context: Context, shared: dict[int, int]) -> pd.DataFrame:
    assert context.against is not None
    n, n_second = context.n_rows, len(context.against.cells)
    columns = (
        chain(context.table.columns[first], context.against.columns[second])
        for first, second in shared.items()
    )
    equal = equal_rows(columns, n + n_second)
    groups = pd.DataFrame({"group": equal.group, "row": np.arange(n + n_second)})
    groups = groups[equal.is_repeated]
    first = groups[groups["row"] < n]
    second = groups[groups["row"] >= n].drop_duplicates("group")
    pairs = first.merge(second, on="group", suffixes=("", "_in_second"))
    pairs["row_in_second"] -= n
    return pairs[["row", "row_in_second"]].assign(match="equal")


def _near_pairs(context: Context, shared: dict[int, int]) -> pd.DataFrame:
    """Pairs of a judged row and a row of the second table; none if a column is missing there."""
    assert context.against is not None
    empty = pd.DataFrame({"row": [], "row_in_second": [], "match": []}).astype(
        {"row": int, "row_in_second": int}
    )
    if len(shared) < len(context.used):
        return empty
    frame, cells = context.prepared.frame, context.against.columns
    second, X = context.prepared.read({str(i): cells[other] for i, other in shared.items()})
    X = np.concatenate([context.prepared.X, X])
    both = pd.concat([frame, second], ignore_index=True)
    n = len(frame)
    near = near_rows(X, np.flatnonzero(~both.duplicated()), both, context.prepared.kinds)
    across = (near.first < n) & (near.second >= n)
    if not across.any():
        return empty
    return pd.DataFrame(
        {
            "row": context.problem.rows[near.first[across]],
            "row_in_second": near.second[across] - n,
            "match": "near",
        }
    )


def _details(context: Context, pairs: pd.DataFrame) -> pd.DataFrame:
    assert context.against is not None
    label = label_column(context)
    seconds = pairs["row_in_second"].to_numpy()
    return pd.DataFrame(
        {
            "row": pairs["row"].to_numpy() + 1,
            "row_in_second": seconds + 1,
            "label": [context.label_cell(row) for row in pairs["row"]],
            "label_in_second": ""
            if label is None
            else [shorten(context.against.cells[i][label].strip(), 40) for i in seconds],
            "match": pairs["match"].to_numpy(),
            "cells": context.describe(pairs["row"]),
        }
    )
