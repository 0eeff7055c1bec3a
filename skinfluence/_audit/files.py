"""suspects.csv and cleaned.csv. Rows that the audit does not change keep their original text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skinfluence._audit.table import Table

if TYPE_CHECKING:
    from skinfluence._audit.findings import Findings

ADDED = ("row", "given_label", "suggested_label", "score")


def write_suspects(path: Path, table: Table, findings: Findings) -> None:
    """Write the suspects, most suspect first, with four columns added in front."""
    header = [*added_names(table.names), *table.names]
    with table.form.open(path) as file:
        file.write(table.form.line(header))
        for i in findings.suspects:
            row = findings.rows[i]
            added = [row + 1, findings.given[i], findings.suggested[i], f"{findings.scores[i]:.6g}"]
            file.write(table.form.line([*added, *table.cells[row]]))


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
