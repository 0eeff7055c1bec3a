"""Rows that occur twice, exactly or nearly, with the same label or with different labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skinfluence._audit.issues.context import Context, Issue
from skinfluence._audit.table import count


class Contradictions:
    """Equal or nearly equal rows with different labels."""

    name = "contradictions"
    title = "Equal rows with different labels"

    def find(self, context: Context) -> Issue | None:
        """Groups of equal rows, and pairs of nearly equal rows, whose labels differ."""
        exact = [group for group in exact_groups(context) if _labels_differ(context, group)]
        near = [group for group in near_groups(context) if _labels_differ(context, group)]
        if not exact and not near:
            return None
        details = pd.concat([_details(context, exact, "equal"), _details(context, near, "near")])
        return _issue(
            self,
            context,
            _numbered(details),
            "At least one label of each group is wrong, or the columns cannot tell the rows apart. "
            "Look at each group and give its rows the same label, or drop them.",
        )


class Duplicates:
    """Equal rows with the same label."""

    name = "duplicates"
    title = "Rows that occur more than once"

    def find(self, context: Context) -> Issue | None:
        """Groups of equal rows whose labels do not differ."""
        groups = [group for group in exact_groups(context) if not _labels_differ(context, group)]
        if not groups:
            return None
        return _issue(
            self,
            context,
            _numbered(_details(context, groups, "equal")),
            "Keep one row of each group, unless the same case was recorded several times on "
            "purpose. In cross-validation, equal rows in training and test folds make a model look "
            "better than it is.",
        )


class NearDuplicates:
    """Nearly equal rows with the same label."""

    name = "near-duplicates"
    title = "Rows that are nearly equal"

    def find(self, context: Context) -> Issue | None:
        """Groups of nearly equal rows whose labels do not differ."""
        groups = [group for group in near_groups(context) if not _labels_differ(context, group)]
        if not groups:
            return None
        return _issue(
            self,
            context,
            _numbered(_details(context, groups, "near")),
            "These rows are far closer to each other than other rows are. Check whether one is a "
            "corrected or repeated copy of the other, and keep one of them.",
        )


def exact_groups(context: Context) -> list[np.ndarray]:
    """Positions in the table of the rows of each group of equal rows."""
    rows = np.flatnonzero(context.equal.is_repeated)
    order = rows[np.argsort(context.equal.group[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(context.equal.group[order])) + 1
    groups = np.split(order, starts) if len(order) else []
    return sorted(groups, key=lambda group: int(group[0]))


def near_groups(context: Context) -> list[np.ndarray]:
    """Positions in the table of the rows of each group that is linked by near pairs."""
    near = context.near
    rows, ends = np.unique(np.concatenate([near.first, near.second]), return_inverse=True)
    if not len(rows):
        return []
    first, second = np.split(ends, 2)
    links = coo_array((np.ones(len(first)), (first, second)), shape=(len(rows), len(rows)))
    group = connected_components(links, directed=False)[1]
    positions = context.problem.rows[rows]
    order = np.argsort(group, kind="stable")
    groups = np.split(positions[order], np.flatnonzero(np.diff(group[order])) + 1)
    return sorted(groups, key=lambda group: int(group[0]))


def _labels_differ(context: Context, group: np.ndarray) -> bool:
    labels = context.labels[group]
    if context.is_regression:
        present = labels[~np.isnan(labels)]
        return len(present) > 1 and bool(np.ptp(present) > context.label_scale)
    return len(set(labels) - {None}) > 1


def _details(context: Context, groups: Sequence[np.ndarray], match: str) -> pd.DataFrame:
    rows = np.concatenate(groups) if groups else np.empty(0, dtype=np.int64)
    return pd.DataFrame(
        {
            "group": np.repeat(np.arange(len(groups)), [len(group) for group in groups]),
            "row": rows + 1,
            "label": [context.label_cell(row) for row in rows],
            "match": match,
            "cells": context.describe(rows),
        }
    )


def _numbered(details: pd.DataFrame) -> pd.DataFrame:
    """The details with groups numbered from 1 on."""
    keys = details["match"] + details["group"].astype(str)
    return details.assign(group=pd.factorize(keys)[0] + 1).reset_index(drop=True)


def _issue(
    kind: Contradictions | Duplicates | NearDuplicates,
    context: Context,
    details: pd.DataFrame,
    advice: str,
) -> Issue:
    rows = np.unique(details["row"].to_numpy() - 1)
    summary = f"{count(len(rows), 'row')} in {count(details['group'].max(), 'group')}"
    if not isinstance(kind, Duplicates) and not context.near.is_complete:
        advice += (
            " The table is large, so rows were compared within blocks of similar rows; a few near "
            "duplicates may be missing."
        )
    return Issue(kind.name, kind.title, summary, advice, rows, details)
