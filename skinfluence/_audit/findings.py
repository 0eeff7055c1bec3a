"""From a table to one score per row, with the default detector: which labels look wrong."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skinfluence._audit.features import (
    Prepared,
    is_missing_label,
    parse_numbers,
    prepare,
)
from skinfluence._audit.streams import printable
from skinfluence._audit.table import AuditError, Table, display_name, shorten

MAX_NUMERIC_CLASSES = 20  # a label with more distinct numbers than this is a regression target


@dataclass(frozen=True)
class Problem:
    """The labels of a table, and whether they are classes or numbers.

    Attributes
    ----------
    label, label_name : int, str
        Position and name of the label column.
    task : {"classification", "regression"}
        Whether labels are classes or numbers.
    rows : ndarray of int of shape (n_labeled,)
        Positions of the rows that have a label.
    given : ndarray of shape (n_labeled,)
        Labels of these rows, without blanks around them: str, or float64 for regression.
    spelling : dict of str to str
        Class -> how the table writes the class; empty for regression.
    n_missing : int
        Number of rows without a label.
    """

    label: int
    label_name: str
    task: str
    rows: np.ndarray
    given: np.ndarray
    spelling: dict[str, str]
    n_missing: int


@dataclass(frozen=True)
class Findings:
    """Scores and suggested labels of the labeled rows, in the order of the table.

    Attributes
    ----------
    problem : Problem
        The labels that were checked.
    rows : ndarray of int of shape (n_labeled,)
        Positions of the labeled rows in the table.
    given, suggested : ndarray of str of shape (n_labeled,)
        Given and suggested labels, in the spelling of the table.
    scores : ndarray of shape (n_labeled,)
        Lower = more suspect.
    is_suspect : ndarray of bool of shape (n_labeled,)
        Rows whose score is below `threshold`.
    threshold : float
        A row is a suspect if its score is below this number.
    order : ndarray of int of shape (n_labeled,)
        Positions among the labeled rows, most suspect first.
    prepared : Prepared
        The columns that were used and those that were left out.
    seconds : float
        Time taken.
    is_planted : ndarray of bool of shape (n_labeled,) or None
        Which labels were planted, and are therefore wrong; None if no labels were planted.
    """

    problem: Problem
    rows: np.ndarray
    given: np.ndarray
    suggested: np.ndarray
    scores: np.ndarray
    is_suspect: np.ndarray
    threshold: float
    order: np.ndarray
    prepared: Prepared
    seconds: float
    is_planted: np.ndarray | None = None

    @property
    def suspects(self) -> np.ndarray:
        """Positions of the suspects among the labeled rows, most suspect first."""
        return self.order[self.is_suspect[self.order]]


def read_problem(table: Table, label: int, *, task: str = "auto", cv: int = 5) -> Problem:
    """Read the label column; raise AuditError if a detector cannot be fitted to it."""
    name = display_name(table, label)
    cells = table.column(label)
    rows = np.array([i for i, cell in enumerate(cells) if not is_missing_label(cell)], dtype=int)
    if not len(rows):
        raise AuditError(
            f"no row has a label in column {name!r}; choose the label column with --label."
        )
    stripped = [cells[row].strip() for row in rows]
    values = parse_numbers(pd.Series(stripped, dtype=object))
    if values is not None and values.isna().any():
        values = None  # an infinite number
    if task == "auto":
        is_quantity = values is not None and values.nunique() > MAX_NUMERIC_CLASSES
        task = "regression" if is_quantity else "classification"
    spelling: dict[str, str] = {}
    if task == "regression":
        if values is None:
            text = shorten(_first_non_number(stripped))
            raise AuditError(
                f"label {name!r} contains {text!r}, but regression needs finite numbers."
            )
        _refuse_few_numbers(values, name, cv)
        given = values.to_numpy()
    else:
        _refuse_few_classes(Counter(stripped), name, cv)
        given = np.array(stripped, dtype=object)
        spelling = _spelling(cells[row] for row in rows)
    return Problem(label, name, task, rows, given, spelling, len(cells) - len(rows))


def find_suspects(table: Table, problem: Problem, detector: Any) -> Findings:
    """Preprocess the table, fit the detector to it, and collect the results."""
    start = time.perf_counter()
    prepared = prepare(table, problem.label, problem.rows)
    y = problem.given
    classes = None
    if problem.task == "classification":
        # Numbers, because fixed-width strings, which the detector makes, merge "a" and "a\0".
        classes, y = np.unique(y, return_inverse=True)
    detector.fit_predict(prepared.X, y)
    suggested = detector.suggested_labels_
    scores = np.asarray(detector.scores_, dtype=float)
    labels = table.column(problem.label)
    return Findings(
        problem=problem,
        rows=problem.rows,
        given=np.array([labels[row] for row in problem.rows], dtype=object),
        suggested=_as_text(suggested if classes is None else classes[suggested], problem),
        scores=scores,
        is_suspect=~np.asarray(detector.inlier_mask_, dtype=bool),
        threshold=float(detector.offset_),
        order=np.argsort(scores, kind="stable"),
        prepared=prepared,
        seconds=time.perf_counter() - start,
    )


def value_groups(findings: Findings, n_groups: int = 5) -> np.ndarray:
    """Group of each given label, for a figure: the class, or a range of numbers."""
    if findings.problem.task == "classification":
        shown = _short_names(findings.problem.spelling)
        return np.array([shown[label] for label in findings.problem.given], dtype=object)
    values = findings.problem.given
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n_groups + 1)))
    codes = np.searchsorted(edges[1:-1], values, side="right")
    names = [
        f"{i + 1}: {edges[i]:.4g} to {edges[i + 1]:.4g}" for i in range(max(len(edges) - 1, 1))
    ]
    return np.array(names, dtype=object)[codes]


def _short_names(labels: Iterable[str], width: int = 40) -> dict[str, str]:
    """Label -> a name that fits into a figure; different labels get different names."""
    names: dict[str, str] = {}
    used: set[str] = set()
    for label in labels:
        name = short = shorten(printable(label), width)
        count = itertools.count(2)
        while name in used:
            name = f"{short} ({next(count)})"
        used.add(name)
        names[label] = name
    return names


def label_changes(findings: Findings) -> list[tuple[tuple[str, str], int]]:
    """Pairs (given label, suggested label) of the suspects with counts, frequent pairs first."""
    suspects = findings.suspects
    pairs = pd.DataFrame(
        {"given": findings.given[suspects], "suggested": findings.suggested[suspects]}
    ).apply(lambda column: column.str.strip())
    counts = pairs.value_counts(sort=True)
    return [((str(given), str(new)), int(n)) for (given, new), n in counts.items()]


def _refuse_few_classes(counts: Counter[str], name: str, cv: int) -> None:
    if len(counts) < 2:
        only = next(iter(counts))
        raise AuditError(
            f"label {name!r} has only one class, {shorten(only)!r}; at least two are needed."
        )
    few = {label: count for label, count in counts.items() if count < 2 * cv}
    if few:
        shown = ", ".join(f"{shorten(label)!r} ({count})" for label, count in list(few.items())[:5])
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        hint = "" if len(few) < MAX_NUMERIC_CLASSES else " Is this the right column for --label?"
        raise AuditError(
            f"label {name!r} has classes with fewer than {2 * cv} rows (twice --cv): {shown}{more};"
            f" remove these rows, merge the classes, or lower --cv.{hint}"
        )


def _first_non_number(texts: Sequence[str]) -> str:
    values = [parse_numbers(pd.Series([text], dtype=object)) for text in texts]
    return next(t for t, v in zip(texts, values, strict=True) if v is None or v.isna().any())


def _refuse_few_numbers(values: pd.Series, name: str, cv: int) -> None:
    if len(values) < 2 * cv:
        raise AuditError(
            f"only {len(values)} rows have a label in column {name!r}; at least {2 * cv} "
            "(twice --cv) are needed."
        )
    if values.nunique() < 2:
        raise AuditError(
            f"label {name!r} is the same number in every row; there is nothing to predict."
        )


def _spelling(cells: Iterable[str]) -> dict[str, str]:
    """Class -> its most frequent spelling in the table, including spaces."""
    spelling: dict[str, str] = {}
    for cell, _ in Counter(cells).most_common():
        spelling.setdefault(cell.strip(), cell)
    return spelling


def _as_text(labels: np.ndarray, problem: Problem) -> np.ndarray:
    if problem.task == "regression":
        return np.array([f"{value:.6g}" for value in labels], dtype=object)
    return np.array([problem.spelling[str(label)] for label in labels], dtype=object)
