"""The rows that are nearest to a suspect, by Euclidean distance between the inputs of the net."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

N_NEAREST, N_VOTES = 3, 10

MAX_CANDIDATES, MAX_PRODUCTS = 200_000, 2e11  # about 10 seconds on two cores

Near = list[tuple[int, float]]  # position and distance of each row, nearest first


@dataclass(frozen=True)
class Neighbors:
    """What is near one row.

    Attributes
    ----------
    groups : list of list of (int, float)
        For each label of interest, the nearest rows with this label.
    votes : list of (object, int)
        Labels of the ten nearest rows with their counts, frequent labels first.
    """

    groups: list[Near]
    votes: list[tuple[Any, int]]


def find_neighbors(
    X: Any, labels: np.ndarray | None, rows: Sequence[int], wanted: Sequence[Sequence[Any]]
) -> list[Neighbors]:
    """Find the nearest rows of each row in `rows`, for each of its `wanted` labels.

    Parameters
    ----------
    X : array or sparse matrix of shape (n, n_inputs)
        Inputs of the net.
    labels : ndarray of shape (n,) or None
        Class of each row; None if labels are not classes: the nearest rows form one group.
    rows : sequence of int
        Positions of the rows whose neighbors are wanted.
    wanted : sequence of sequences
        The labels of interest of each row, one group per label.
    """
    if labels is None:
        near = nearest(X, np.arange(X.shape[0]), rows, 2 * N_NEAREST)
        return [Neighbors([found], []) for found in near]
    near = nearest(X, np.arange(len(labels)), rows, N_VOTES)
    votes = [Counter(labels[i] for i, _ in found).most_common() for found in near]
    by_label = _nearest_by_label(X, labels, rows, wanted)
    return [
        Neighbors([by_label[query, label] for label in names], votes[query])
        for query, names in enumerate(wanted)
    ]


def _nearest_by_label(
    X: Any, labels: np.ndarray, rows: Sequence[int], wanted: Sequence[Sequence[Any]]
) -> dict[tuple[int, Any], Near]:
    """The nearest rows of each query with each label of interest; each label is searched once."""
    asked: dict[Any, list[int]] = {}
    for query, names in enumerate(wanted):
        for label in dict.fromkeys(names):
            asked.setdefault(label, []).append(query)
    found: dict[tuple[int, Any], Near] = {}
    for label, queries in asked.items():
        candidates = np.flatnonzero(labels == label)
        near = nearest(X, candidates, [rows[query] for query in queries], N_NEAREST)
        found.update(zip([(query, label) for query in queries], near, strict=True))
    return found


def n_searched(X: Any, n_queries: int) -> int:
    """Number of rows of a set that are searched at most; of a larger set, evenly spaced ones."""
    return int(min(MAX_CANDIDATES, max(MAX_PRODUCTS // max(n_queries * X.shape[1], 1), 1000)))


def nearest(X: Any, candidates: np.ndarray, rows: Sequence[int], k: int) -> list[Near]:
    """Return the `k` nearest candidates of each row, without the row itself."""
    if len(candidates) > (limit := n_searched(X, len(rows))):
        candidates = candidates[np.linspace(0, len(candidates) - 1, limit).astype(int)]
    if not len(candidates) or not len(rows):
        return [[] for _ in rows]
    search = NearestNeighbors(n_neighbors=min(k + 1, len(candidates))).fit(X[candidates])
    distances, places = search.kneighbors(X[np.asarray(rows)])
    return [
        [
            (int(candidates[place]), float(distance))
            for place, distance in zip(near, far, strict=True)
            if candidates[place] != row
        ][:k]
        for row, near, far in zip(rows, places, distances, strict=True)
    ]
