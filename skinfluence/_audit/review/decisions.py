"""Decisions of a review: read from a file, checked against a table, and turned into changes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from skinfluence._audit.table import AuditError, Table, display_name, shorten

COLUMNS = ("row", "given_label", "decision", "new_label")

KINDS = ("relabel", "keep", "drop", "skip")


@dataclass(frozen=True)
class Decision:
    """What a person decided about one row.

    Attributes
    ----------
    row : int
        Number of the row; 1 is the first row under the header.
    given_label : str
        The label of the row in the table that was reviewed.
    kind : {"relabel", "keep", "drop", "skip"}
        What to do; "skip" means that the person did not decide.
    new_label : str
        The label to set; empty unless `kind` is "relabel".
    """

    row: int
    given_label: str
    kind: str
    new_label: str = ""


def read_decisions(path: Path) -> list[Decision]:
    """Read decisions.csv, or the JSON export of Label Studio."""
    if path.suffix.lower() == ".json":
        from skinfluence._audit.review.label_studio import read_export

        return read_export(path)
    from skinfluence._audit.formats import read_table

    try:
        table = read_table(path)
    except AuditError as error:
        raise AuditError(f"{path.name} cannot be read as decisions: {error}") from error
    names = [name.strip().lower() for name in table.names]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise AuditError(
            f"{str(path)!r} has no column {missing[0]!r}; expected the file that the review saves, "
            f"with the columns {', '.join(COLUMNS)}."
        )
    places = [names.index(name) for name in COLUMNS]
    return [_decision(line, *(cells[at] for at in places)) for line, cells in _numbered(table)]


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Write decisions.csv, as the review page does."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows([d.row, d.given_label, d.kind, d.new_label] for d in decisions)
    path.write_text(text.getvalue(), encoding="utf-8", newline="")


def changes_of(
    table: Table, label: int, decisions: Sequence[Decision]
) -> dict[int, list[str] | None]:
    """Check the decisions against the table; return the rows that change with their new cells.

    A row that is dropped has None in place of cells. `Source.write` takes the result.
    """
    found: dict[int, list[str] | None] = {}
    for decision in _distinct(decisions):
        row = decision.row - 1
        if not 0 <= row < len(table.cells):
            raise AuditError(
                f"row {decision.row} of the decisions does not exist: the table has "
                f"{len(table.cells)} rows. Is this the table that was reviewed?"
            )
        cells = list(table.cells[row])
        if cells[label].strip() != decision.given_label.strip():
            raise AuditError(
                f"row {decision.row} has the label {shorten(cells[label])!r} in column "
                f"{display_name(table, label)!r}, but the decisions say "
                f"{shorten(decision.given_label)!r}; give the table that was reviewed, and its "
                "label column with --label."
            )
        if decision.kind == "drop":
            found[row] = None
        elif decision.kind == "relabel" and decision.new_label.strip() != cells[label].strip():
            cells[label] = decision.new_label
            found[row] = cells
    return found


def _numbered(table: Table) -> Iterable[tuple[int, list[str]]]:
    return enumerate(table.cells, start=1)


def _decision(line: int, row: str, given: str, kind: str, new: str) -> Decision:
    kind = kind.strip().lower()
    where = f"line {line + 1} of the decisions (row {shorten(row)})"
    if not row.strip().isdecimal():
        raise AuditError(f"{where}: expected the number of a row, 1 for the first row.")
    if kind not in KINDS:
        raise AuditError(
            f"{where}: the decision {shorten(kind)!r} is unknown; expected one of "
            f"{', '.join(KINDS)}."
        )
    if kind == "relabel" and not new.strip():
        raise AuditError(f"{where}: relabel needs a new_label, but it is empty.")
    if kind != "relabel" and new.strip() not in ("", given.strip()):
        raise AuditError(
            f"{where}: the decision is {kind}, but there is the new_label {shorten(new)!r}; write "
            "relabel, or leave new_label empty."
        )
    return Decision(int(row), given, kind, new if kind == "relabel" else "")


def _distinct(decisions: Iterable[Decision]) -> Iterable[Decision]:
    """Each decision once; raise AuditError if a row has two different decisions."""
    seen: dict[int, Decision] = {}
    for decision in decisions:
        earlier = seen.setdefault(decision.row, decision)
        if earlier != decision:
            kinds = [f"{d.kind} {shorten(d.new_label, 60)}".strip() for d in (earlier, decision)]
            raise AuditError(
                f"row {decision.row} has two decisions, {' and '.join(kinds)}; keep one of them."
            )
    return seen.values()
