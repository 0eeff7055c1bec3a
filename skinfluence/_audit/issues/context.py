"""What the kinds of issues look at, and what each of them finds."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd

from skinfluence._audit.features import Prepared, is_missing_label
from skinfluence._audit.findings import Findings, Problem
from skinfluence._audit.issues.equal_rows import Equal, equal_rows
from skinfluence._audit.issues.near_rows import Near, near_rows
from skinfluence._audit.spelling_key import spelling_key
from skinfluence._audit.table import Table, display_name, shorten

SHOWN_CELLS, CELL_WIDTH = 6, 40  # of a row in the details
LONG_NUMBER = 12  # characters


@dataclass(frozen=True)
class Issue:
    """Something that is wrong with a table.

    Attributes
    ----------
    kind : str
        Name of the kind.
    title : str
        Heading.
    summary : str
        What was found, in a few words: "12 rows in 5 groups".
    advice : str
        One or two sentences: what it means, and what to do.
    rows : ndarray of int
        Positions in the table of the rows that it concerns, each once.
    details : DataFrame
        What a reader needs to see. If it has a column "row", that is the number of the row, where
        row 1 is the first row under the header.
    """

    kind: str
    title: str
    summary: str
    advice: str
    rows: np.ndarray
    details: pd.DataFrame


class Kind(Protocol):
    """A kind of issue: `find` looks for it."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    def find(self, context: Context) -> Issue | None:
        """What was found, or None."""


@dataclass(frozen=True)
class Context:
    """A table, its labels, and what the audit found out about them.

    Attributes
    ----------
    table : Table
        The whole table.
    problem : Problem
        The labels. `problem.rows` are the judged rows, and `problem.given` their labels.
    prepared : Prepared
        The columns that are used and their encoding, for the judged rows.
    suggested : ndarray of shape (n_judged,)
        Suggested labels: str without blanks around them, or float64 for regression.
    is_suspect : ndarray of bool of shape (n_judged,)
        Which labels look wrong.
    probabilities : ndarray of shape (n_judged, n_classes) or None
        Out-of-sample probabilities of `classes`; None if they are not known.
    classes : ndarray of shape (n_classes,)
        Classes of the columns of `probabilities`.
    against : Table or None
        A second table, whose rows should not occur in the first.
    """

    table: Table
    problem: Problem
    prepared: Prepared
    suggested: np.ndarray
    is_suspect: np.ndarray
    probabilities: np.ndarray | None = None
    classes: np.ndarray | None = None
    against: Table | None = None

    @classmethod
    def of(cls, table: Table, findings: Findings, against: Table | None = None) -> Context:
        """The context after an audit."""
        is_number = findings.problem.task == "regression"
        convert = float if is_number else str.strip
        return cls(
            table=table,
            problem=findings.problem,
            prepared=findings.prepared,
            suggested=np.array(
                [convert(label) for label in findings.suggested],
                dtype=np.float64 if is_number else object,
            ),
            is_suspect=findings.is_suspect,
            probabilities=getattr(findings, "probabilities", None),
            classes=getattr(findings, "classes", None),
            against=against,
        )

    @property
    def n_rows(self) -> int:
        """Number of rows of the table."""
        return len(self.table.cells)

    @property
    def is_regression(self) -> bool:
        """Whether labels are numbers."""
        return self.problem.task == "regression"

    @property
    def used(self) -> list[int]:
        """Positions of the columns that are used; without the label, row numbers and keys."""
        return [int(str(name)) for name in self.prepared.frame]

    @cached_property
    def labels(self) -> np.ndarray:
        """Label of each row of the table; None or NaN for rows without a label.

        Classes of few rows, which are not judged, are labels here as well. Classes whose spellings
        differ only in case, blanks or punctuation are one class here.
        """
        if self.is_regression:
            labels = np.full(self.n_rows, np.nan)
            labels[self.problem.rows] = self.problem.given
            return labels
        key: dict[str, str | None] = {}
        for cell in set(self.table.columns[self.problem.label]):
            label = cell.strip()
            is_label = label in self.problem.spelling or not is_missing_label(label)
            key[cell] = (spelling_key(label) or label) if is_label else None
        return np.array([key[cell] for cell in self.table.columns[self.problem.label]], object)

    @cached_property
    def label_scale(self) -> float:
        """Numbers that differ by more than this are different labels."""
        return 0.5 * float(np.std(self.problem.given)) if self.is_regression else 0.0

    @cached_property
    def equal(self) -> Equal:
        """Rows whose cells are equal in all used columns."""
        columns = (self.table.columns[position] for position in self.used)
        return equal_rows(columns, self.n_rows, self.is_text(self.used))

    def is_text(self, columns: Iterable[int]) -> list[bool]:
        """Which columns hold texts."""
        return [self.prepared.kinds[str(position)] == "text" for position in columns]

    @cached_property
    def near(self) -> Near:
        """Pairs of judged rows that are nearly equal, as positions among the judged rows."""
        groups = self.equal.group[self.problem.rows]
        first = np.sort(np.unique(groups, return_index=True)[1])  # one row per group
        return near_rows(self.prepared.X, first, self.prepared.frame, self.prepared.kinds)

    def column_name(self, position: int) -> str:
        """Name of a column to show."""
        return display_name(self.table, position)

    def label_cell(self, row: Any) -> str:
        """The label of a row, as it is written."""
        return self.cell(row, self.problem.label)

    def cell(self, row: Any, position: int) -> str:
        """A cell to show, without blanks around it."""
        return shorten(self.table.cells[row][position].strip(), CELL_WIDTH)

    def describe(self, rows: Iterable[Any]) -> list[str]:
        """A few cells of each row with the names of their columns."""
        shown = self.used[:SHOWN_CELLS]
        names = [shorten(self.column_name(position), CELL_WIDTH) for position in shown]
        return [describe_cells(names, [self.table.cells[row][i] for i in shown]) for row in rows]


def describe_cells(names: Iterable[str], cells: Iterable[str]) -> str:
    """A text such as "size: 2; color: red"."""
    pairs = zip(names, cells, strict=True)
    return "; ".join(f"{name}: {_shown(cell.strip())}" for name, cell in pairs)


def _shown(cell: str) -> str:
    """The cell; a number of many digits is rounded to eight."""
    if len(cell) > LONG_NUMBER:
        with suppress(ValueError):
            return f"{float(cell):.8g}"
    return shorten(cell, CELL_WIDTH)
