"""The command `apply`: writes a copy of a table in which the decisions of a review are made."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skinfluence._audit.options import Options, option
from skinfluence._audit.review.decisions import Decision, changes_of, read_decisions
from skinfluence._audit.streams import printable
from skinfluence._audit.table import AuditError, Table, shorten


def _as_in_audit(name: str) -> Any:
    """The field of an option that the audit has as well."""
    field = Options.__dataclass_fields__[name]
    return dataclasses.field(default=field.default, metadata=field.metadata)


@dataclass(frozen=True)
class ApplyOptions:
    """The options of the command, one field per option."""

    table: str = option("", "the table that was reviewed", is_positional=True)
    decisions: str = option(
        "", "decisions.csv of the review, or Label Studio's JSON export", is_positional=True
    )
    output: str | None = option(
        None, "file to write, in the format of the table", short="-o", metavar="FILE"
    )
    label: str | None = _as_in_audit("label")
    sep: str | None = _as_in_audit("sep")
    encoding: str = _as_in_audit("encoding")
    no_header: bool = _as_in_audit("no_header")
    skip_rows: int | None = _as_in_audit("skip_rows")
    sheet: str | None = _as_in_audit("sheet")

    def reading(self) -> Options:
        """The same options, as the audit has them."""
        fields = (field.name for field in dataclasses.fields(Options) if field.metadata["reads"])
        return Options(table=self.table, **{name: getattr(self, name) for name in fields})


def apply(options: ApplyOptions) -> None:
    """Write the table with the decisions made, and print how many rows were kept and dropped.

    Rows that do not change are written as they were read.

    Raises
    ------
    AuditError
        If the decisions do not fit the table, or the file cannot be written. Nothing is written.
    """
    from skinfluence._audit.formats import read_table

    if options.output is None:
        raise AuditError("give the file to write with --output, for example -o reviewed.csv.")
    output = Path(options.output)
    _refuse_output(output, options)
    reading = options.reading()
    reading.check()
    table = read_table(options.table, reading)
    label = table.default_label if options.label is None else table.find_column(options.label)
    decisions = read_decisions(Path(options.decisions))
    changes = changes_of(table, label, decisions)
    _refuse_other_format(output, table, options.table)
    _write(output, table, changes)
    for line in summary(table, label, decisions, changes, output):
        print(printable(line))


def summary(
    table: Table,
    label: int,
    decisions: Sequence[Decision],
    changes: Mapping[int, Sequence[str] | None],
    output: Path,
) -> list[str]:
    """What was done, in a few lines; input rows = kept + dropped."""
    kinds = Counter({d.row: d.kind for d in decisions}.values())
    counted = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
    n, n_dropped = len(table.cells), sum(cells is None for cells in changes.values())
    lines = [
        *(f"note      {note}" for note in table.notes),
        f"decisions {len({d.row for d in decisions})}: {counted}",
        f"rows      {n} = {n - n_dropped} kept + {n_dropped} dropped; "
        f"{len(changes) - n_dropped} of the kept rows relabeled",
    ]
    known = {cell.strip() for cell in table.columns[label]}
    new = {d.new_label.strip(): d.row for d in decisions if d.kind == "relabel"}
    lines += [
        f"note      the label {shorten(text, 60)!r} (row {row}) is new to the table"
        for text, row in new.items()
        if text not in known and not _is_number(text)
    ]
    return [*lines, f"written   {output}"]


def _refuse_output(output: Path, options: ApplyOptions) -> None:
    """Raise AuditError if the output is an input, also by a link, or cannot be a file."""
    from skinfluence._audit.formats import file_of

    if output.is_dir():
        raise AuditError(f"--output {str(output)!r} is a folder; give the name of a file.")
    for name in (file_of(options.table), options.decisions):
        with suppress(OSError):  # an input that does not exist is refused when it is read
            if name is not None and os.path.samefile(name, output):
                raise AuditError(
                    f"--output {str(output)!r} is the input {name!r}; give the name of a new file."
                )


def _refuse_other_format(output: Path, table: Table, source: str) -> None:
    """Raise AuditError if the name of the output would promise a format that is not written."""
    wanted, text = table.source.suffix, {".csv", ".tsv", ".tab", ".txt", ".dat", ""}
    suffix = "".join(output.suffixes).lower()
    if not suffix.endswith(wanted) and {wanted, output.suffix.lower()} - text:
        raise AuditError(
            f"--output {str(output)!r}: a table read from {source!r} is written as {wanted}; give "
            f"a name that ends in {wanted}."
        )


def _write(output: Path, table: Table, changes: Mapping[int, Sequence[str] | None]) -> None:
    """Write next to the output and rename, so that a killed run leaves an earlier file whole."""
    try:
        with tempfile.TemporaryDirectory(prefix=".skinfluence-", dir=output.parent) as folder:
            new = Path(folder) / output.name
            table.source.write(new, changes)
            new.replace(output)
    except OSError as error:
        raise AuditError(
            f"{str(output)!r} cannot be written to: {error.strerror or error}; nothing was written."
        ) from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
