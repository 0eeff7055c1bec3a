"""Which labels look wrong: from a table to a score a row, through the default net."""

import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype as is_numeric

from skinfluence._audit.csv_table import AuditError, display_name
from skinfluence._audit.features import (
    is_missing_label,
    make_features,
    make_preprocessor,
    parse_numbers,
)

MAX_NUMERIC_CLASSES = 20  # a label of more distinct numbers than this is a quantity


@dataclass(frozen=True)
class Problem:
    """What is judged: the rows that have a label, and how the label is read.

    `given` holds labels for the detector, `spelling` maps each class to how the table
    writes it.
    """

    label: int
    label_name: str
    task: str
    rows: np.ndarray
    given: np.ndarray
    spelling: dict
    n_missing: int


@dataclass(frozen=True)
class Findings:
    """Scores and suggestions for the judged rows, in the order of the table.

    `rows` are positions in the table; `order` sorts the judged rows, most suspect first.
    `given` and `suggested` are text as the table would write it; `n_columns` counts the numeric and
    the categorical ones. `is_planted` is None where the truth is not known.
    """

    problem: Problem
    rows: np.ndarray
    given: np.ndarray
    suggested: np.ndarray
    scores: np.ndarray
    is_suspect: np.ndarray
    threshold: float
    order: np.ndarray
    left_out: dict
    n_columns: tuple
    n_inputs: int
    seconds: float
    is_planted: np.ndarray | None = None
    true_labels: np.ndarray | None = None

    @property
    def suspects(self):
        """The suspects among `order`."""
        return self.order[self.is_suspect[self.order]]


def read_problem(table, label, *, task="auto", cv=5):
    """Read the labels and refuse those that nothing can be learnt from."""
    name = display_name(table, label)
    cells = table.column(label)
    rows = np.array([i for i, cell in enumerate(cells) if not is_missing_label(cell)], dtype=int)
    if not len(rows):
        raise AuditError(f"no row has a label in column {name!r}.")
    stripped = [cells[row].strip() for row in rows]
    values = parse_numbers(pd.Series(stripped, dtype=object))
    if values is not None and values.isna().any():
        values = None  # infinite
    if task == "auto":
        is_quantity = values is not None and values.nunique() > MAX_NUMERIC_CLASSES
        task = "regression" if is_quantity else "classification"
    if task == "regression":
        if values is None:
            raise AuditError(
                f"label {name!r} holds {_odd_one(stripped)!r}, and regression needs finite numbers."
            )
        _refuse_few_numbers(values, name, cv)
        given, spelling = values.to_numpy(), {}
    else:
        _refuse_few_classes(Counter(stripped), name, cv)
        given = np.array(stripped)
        spelling = _spelling(cells[row] for row in rows)
    return Problem(label, name, task, rows, given, spelling, len(cells) - len(rows))


def find_suspects(table, problem, detector):
    """Fit the detector behind the preprocessing and collect what it says."""
    start = time.perf_counter()
    frame, left_out = make_features(table, problem.label, problem.rows)
    X = make_preprocessor(frame).fit_transform(frame)
    detector.fit_predict(np.ascontiguousarray(X, dtype=np.float64), problem.given)
    scores = np.asarray(detector.scores_, dtype=float)
    labels = table.column(problem.label)
    is_number = [is_numeric(frame[name]) for name in frame]
    return Findings(
        problem=problem,
        rows=problem.rows,
        given=np.array([labels[row] for row in problem.rows], dtype=object),
        suggested=_as_text(detector.suggested_labels_, problem),
        scores=scores,
        is_suspect=~np.asarray(detector.inlier_mask_, dtype=bool),
        threshold=float(detector.offset_),
        order=np.argsort(scores, kind="stable"),
        left_out=left_out,
        n_columns=(sum(is_number), len(is_number) - sum(is_number)),
        n_inputs=X.shape[1],
        seconds=time.perf_counter() - start,
    )


def value_groups(findings, n_groups=5):
    """The given labels in groups that a figure can show: classes, or ranges of a quantity."""
    if findings.problem.task == "classification":
        return findings.problem.given.astype(object)
    values = findings.problem.given
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n_groups + 1)))
    codes = np.searchsorted(edges[1:-1], values, side="right")
    names = [
        f"{i + 1}: {edges[i]:.4g} to {edges[i + 1]:.4g}" for i in range(max(len(edges) - 1, 1))
    ]
    return np.array(names, dtype=object)[codes]


def _refuse_few_classes(counts, name, cv):
    if len(counts) < 2:
        only = next(iter(counts))
        raise AuditError(f"label {name!r} has one class only, {only!r}; at least two are needed.")
    few = {label: count for label, count in counts.items() if count < 2 * cv}
    if few:
        shown = ", ".join(f"{label!r} ({count})" for label, count in list(few.items())[:5])
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        hint = "" if len(few) < MAX_NUMERIC_CLASSES else " Is it the right --label?"
        raise AuditError(
            f"label {name!r} has classes with fewer than {2 * cv} rows (twice --cv): {shown}{more};"
            f" leave these rows out, merge the classes, or lower --cv.{hint}"
        )


def _odd_one(texts):
    """The first text that is no finite number."""
    values = [parse_numbers(pd.Series([text], dtype=object)) for text in texts]
    return next(t for t, v in zip(texts, values, strict=True) if v is None or v.isna().any())


def _refuse_few_numbers(values, name, cv):
    if len(values) < 2 * cv:
        raise AuditError(
            f"label {name!r} is given in {len(values)} rows; {2 * cv} (twice --cv) are needed."
        )
    if values.nunique() < 2:
        raise AuditError(f"label {name!r} holds one number only; there is nothing to predict.")


def _spelling(cells):
    """Class -> how the table writes it most often, blanks included."""
    spelling = {}
    for cell, _ in Counter(cells).most_common():
        spelling.setdefault(cell.strip(), cell)
    return spelling


def _as_text(labels, problem):
    if problem.task == "regression":
        return np.array([f"{value:.6g}" for value in labels], dtype=object)
    return np.array([problem.spelling[str(label)] for label in labels], dtype=object)


def label_changes(findings):
    """How often a suspect's given label would turn into which other one, most frequent first."""
    suspects = findings.suspects
    pairs = pd.DataFrame(
        {"given": findings.given[suspects], "suggested": findings.suggested[suspects]}
    ).apply(lambda column: column.str.strip())
    return list(pairs.value_counts(sort=True).items())
