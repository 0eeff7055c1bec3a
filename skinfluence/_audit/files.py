"""suspects.csv, scores.csv and the cleaned table, whose unchanged rows keep their text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skinfluence._audit.features import KEYS
from skinfluence._audit.table import Table, display_name

if TYPE_CHECKING:
    import pandas as pd

    from skinfluence._audit.findings import Findings

ADDED = ("row", "given_label", "suggested_label", "score")

SCORES = ("given_label", "suggested_label", "score", "state", "reason")


def write_suspects(path: Path, table: Table, findings: Findings) -> None:
    """Write the suspects, most suspect first, with four columns added in front."""
    header = [*added_names(table.names), *table.names]
    with table.form.open(path) as file:
        file.write(table.form.line(header))
        for i in findings.suspects:
            row = findings.rows[i]
            added = [row + 1, findings.given[i], findings.suggested[i], f"{findings.scores[i]:.6g}"]
            file.write(table.form.line([*added, *table.cells[row]]))


def write_scores(path: Path, table: Table, findings: Findings) -> None:
    """Write the score and state of every row, in the order of the table.

    The first columns are the row number and the columns that number or name the rows. Rows that
    were set aside have the reason in place of a score.
    """
    ids = id_columns(table, findings)
    judged = np.full(len(table.cells), -1)
    judged[findings.rows] = np.arange(len(findings.rows))
    reasons = np.full(len(table.cells), "", dtype=object)
    for reason, rows in findings.problem.set_aside.items():
        reasons[rows] = reason
    names = [table.names[position] for position in ids]
    labels = table.columns[findings.problem.label]
    with table.form.open(path) as file:
        file.write(table.form.line(["row", *names, *SCORES]))
        cells = zip(labels, *(table.columns[position] for position in ids), strict=True)
        for row, (label, *id_cells) in enumerate(cells):
            i = judged[row]
            found = ["", "", "not judged", reasons[row]]
            if i >= 0:
                found = [findings.suggested[i], f"{findings.scores[i]:.6g}", findings.state[i], ""]
            file.write(table.form.line([row + 1, *id_cells, label, *found]))


def id_columns(table: Table, findings: Findings) -> list[int]:
    """Positions of the columns that number or name the rows."""
    left_out = findings.prepared.left_out
    names = {name for reason in KEYS for name in left_out.get(reason, [])}
    every = range(len(table.names))
    return [i for i in every if i in table.index or display_name(table, i) in names]


def write_issues(path: Path, table: Table, issues: pd.DataFrame) -> None:
    """Write the issues apart from wrong labels; cells that a kind does not have are empty."""
    with table.form.open(path) as file:
        file.write(table.form.line(issues.columns))
        for line in issues.astype(object).where(issues.notna(), "").itertuples(index=False):
            file.write(table.form.line(line))


def write_cleaned(path: Path, table: Table, findings: Findings, action: str) -> int:
    """Write the table with the suspects dropped or relabeled; return how many rows changed."""
    suspects = findings.suspects
    changes: dict[int, list[str] | None]
    if action == "drop":
        changes = {int(findings.rows[i]): None for i in suspects}
    else:
        other = [i for i in suspects if findings.suggested[i].strip() != findings.given[i].strip()]
        changes = {int(findings.rows[i]): _relabeled_row(table, findings, i) for i in other}
    table.source.write(path, changes)
    return len(changes)


def added_names(names: Sequence[str]) -> list[str]:
    """Names of the added columns, with a prefix that no column of the table has."""
    prefix = "skinfluence_"
    while any(name.strip().startswith(prefix) for name in names):
        prefix = "_" + prefix
    return [prefix + name for name in ADDED]


def _relabeled_row(table: Table, findings: Findings, i: int) -> list[str]:
    cells = list(table.cells[findings.rows[i]])
    cells[findings.problem.label] = findings.suggested[i]
    return cells
