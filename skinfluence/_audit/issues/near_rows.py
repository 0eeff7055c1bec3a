"""Pairs of rows that are nearly equal, much nearer to each other than other rows are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2, false_discovery_control
from sklearn.neighbors import NearestNeighbors

NEAR = 0.13  # times the median distance of nearest neighbors: closer rows may be near duplicates
NEIGHBORS = 10
ALPHA = 1e-3  # share of the reported rows that may be as close by chance
EXPECTED = 0.01  # pairs as similar as a reported pair, if columns were independent
ALL_COMPARED = 10_000  # with more rows, only rows of one block are compared with each other
BLOCK = 1500  # rows
ROUNDS = 3  # times that the rows are split into blocks, in different directions


@dataclass(frozen=True)
class Near:
    """Pairs of nearly equal rows.

    Attributes
    ----------
    first, second : ndarray of int of shape (n_pairs,)
        Positions of the rows of each pair.
    distance : ndarray of shape (n_pairs,)
        Distance of the encoded rows, divided by the median distance of nearest neighbors.
    is_complete : bool
        Whether every row was compared with every other row.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    is_complete: bool


def near_rows(
    X: np.ndarray, rows: np.ndarray, frame: pd.DataFrame, kinds: Mapping[str, str]
) -> Near:
    """Find near duplicates by the distances of encoded rows.

    A pair is reported if three conditions hold:

    - Its distance is below `NEAR` times the median distance of nearest neighbors.
    - It is too close for the local density. Among d-dimensional points of constant density, the
      ratio of the distances to the first and the tenth neighbor, to the power of d, is the minimum
      of nine uniform numbers; d is estimated from the median ratio of the first two distances.
    - So many columns would not agree by chance if they were independent; see `_expected_pairs`.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_inputs)
        The encoded rows.
    rows : ndarray of int
        Positions of the rows to compare, no two of which have the same cells.
    frame : DataFrame
        The typed columns of the rows.
    kinds : dict of str to str
        What the columns of `frame` hold.
    """
    n_neighbors = min(NEIGHBORS, len(rows) - 1)
    if n_neighbors < 2:
        return _no_pairs(is_complete=True)
    nearest, distances = _nearest(X, rows, n_neighbors)
    scale = float(np.median(distances[:, 0]))
    is_close = (distances[:, 0] <= NEAR * scale) & _is_unlikely(distances)
    # A row may have several near duplicates: all neighbors within the same distance.
    at, which = np.nonzero(is_close[:, None] & (distances <= NEAR * scale))
    pairs = np.sort(np.column_stack([rows[at], nearest[at, which]]), axis=1)
    pairs, index = np.unique(pairs, axis=0, return_index=True)
    first, second = pairs.T
    distance = distances[at, which][index] / scale if scale else np.zeros(len(pairs))
    kept = _expected_pairs(first, second, frame, kinds, rows) <= EXPECTED
    is_complete = len(rows) <= ALL_COMPARED
    return Near(first[kept], second[kept], distance[kept], is_complete)


def _no_pairs(*, is_complete: bool) -> Near:
    empty = np.empty(0, dtype=np.int64)
    return Near(empty, empty, np.empty(0), is_complete)


def _nearest(X: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions and distances of the k nearest rows, where each round compares rows in blocks."""
    rng = np.random.default_rng(0)
    nearest = np.zeros((len(rows), k), dtype=np.int64)
    distances = np.full((len(rows), k), np.inf)
    everything = np.arange(len(rows))
    for _ in range(1 if len(rows) <= ALL_COMPARED else ROUNDS):
        split = len(rows) > ALL_COMPARED
        for block in _blocks(X, rows, everything, rng) if split else [everything]:
            finder = NearestNeighbors(n_neighbors=k).fit(X[rows[block]])
            found, which = finder.kneighbors()
            closer = found[:, 0] < distances[block, 0]
            nearest[block[closer]] = rows[block[which[closer]]]
            distances[block[closer]] = found[closer]
    return nearest, distances


def _blocks(
    X: np.ndarray, rows: np.ndarray, chosen: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Halve the rows at the median of a random direction until the parts are small."""
    if len(chosen) <= BLOCK:
        yield chosen
        return
    direction = rng.standard_normal(X.shape[1])
    size = 50_000  # rows that are copied at a time
    projected = np.concatenate(
        [X[rows[chosen[i : i + size]]] @ direction for i in range(0, len(chosen), size)]
    )
    order = np.argpartition(projected, len(chosen) // 2)
    for half in (order[: len(chosen) // 2], order[len(chosen) // 2 :]):
        yield from _blocks(X, rows, chosen[half], rng)


def _is_unlikely(distances: np.ndarray) -> np.ndarray:
    """Rows whose nearest neighbor is too close, given the distances of the other neighbors."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(distances[:, 1] / distances[:, 0])
        closeness = np.log(distances[:, 0] / distances[:, -1])  # below 0
    median = np.median(np.nan_to_num(ratio, nan=0.0, posinf=1e9))
    dimension = np.log(2) / max(median, 1e-6)
    chance = np.exp(dimension * np.nan_to_num(closeness, nan=0.0, neginf=-1e9))
    p_values = -np.expm1((distances.shape[1] - 1) * np.log1p(-np.minimum(chance, 1 - 1e-12)))
    return np.asarray(false_discovery_control(np.clip(p_values, 0, 1)) <= ALPHA)


def _expected_pairs(
    first: np.ndarray,
    second: np.ndarray,
    frame: pd.DataFrame,
    kinds: Mapping[str, str],
    rows: np.ndarray,
) -> np.ndarray:
    """How many pairs, as similar as each given pair, would occur if columns were independent.

    Two categories, or two equal numbers of which many others are equal, agree with the probability
    of the value. For other numbers, let q be the share of rows that are as close to the first
    number as the second is. For a random pair, q is uniform, and Fisher's method combines the
    columns. Nothing is known about texts, so the answer for a table with texts is 0.
    """
    if not set(kinds.values()) <= {"number", "category", "date"}:
        return np.zeros(len(first))
    n = len(rows)
    log_equal, log_q, n_q = np.zeros((3, len(first)))
    for name in frame:
        values = frame[name].to_numpy()
        if kinds[str(name)] == "category":
            codes = pd.factorize(values, use_na_sentinel=False)[0]
            share = (np.bincount(codes[rows])[codes[first]] - 1) / (n - 1)
            share[codes[first] != codes[second]] = np.inf  # different: no near duplicates
            is_value = np.ones(len(first), dtype=bool)
        else:
            share = _share_within(values[first], values[second], values[rows])
            is_value = (values[first] == values[second]) & (share > 5 / n)
        with np.errstate(divide="ignore"):
            log_equal += np.where(is_value, np.log(share), 0.0)
            log_q += np.where(is_value, 0.0, np.log(share))
        n_q += ~is_value
    by_numbers = np.where(n_q > 0, chi2.sf(-2 * log_q, np.maximum(2 * n_q, 1)), 1.0)
    return n * (n - 1) / 2 * np.exp(log_equal) * by_numbers


def _share_within(a: np.ndarray, b: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Share of the values that are at least as close to `a` as `b` is."""
    values = np.asarray(values, dtype=np.float64)
    present = np.sort(values[~np.isnan(values)])
    gap = np.abs(a - b)
    low = np.searchsorted(present, a - gap, side="left")
    high = np.searchsorted(present, a + gap, side="right")
    share = np.maximum(high - low - 1, 1) / (len(values) - 1)
    n_missing = len(values) - len(present)
    share[np.isnan(a) & np.isnan(b)] = max(n_missing - 1, 1) / (len(values) - 1)
    share[np.isnan(a) != np.isnan(b)] = 1.0
    return share
