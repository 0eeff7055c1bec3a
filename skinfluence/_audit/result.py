"""What an audit found, as an object: tables, numbers, and files to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from skinfluence._audit import files, output_folder, report, summary
from skinfluence._audit.config import read_options
from skinfluence._audit.findings import Findings, state_counts
from skinfluence._audit.issues import Issue, as_frame
from skinfluence._audit.options import Options
from skinfluence._audit.review import label_studio
from skinfluence._audit.table import AuditError, Table, count

if TYPE_CHECKING:
    from collections.abc import Hashable

SUSPECTS, SCORES, ISSUES, REPORT = "suspects.csv", "scores.csv", "issues.csv", "report.html"

WRONG_LABEL = "wrong label"  # the kind of an issue that is a suspect


@dataclass(frozen=True, repr=False)
class Audit:
    """What the audit of a table found.

    `issues` and `scores` are DataFrames, `summary` is a dict, and `save` writes the files that the
    command writes. In a notebook, the object shows the suspects.

    Attributes
    ----------
    name : str
        Name of the table.
    """

    name: str
    _table: Table
    _findings: Findings
    _issues: Sequence[Issue]
    _options: Options
    _index: Sequence[Hashable] | None = None

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One line per judged row: labels, score and state. The index is that of the table.

        The columns are "given_label", "suggested_label", "score" (lower is more suspect), "state"
        ("wrong", "unclear" or "right") and "is_suspect".
        """
        found = self._findings
        frame = pd.DataFrame(
            {
                "given_label": found.given,
                "suggested_label": found.suggested,
                "score": found.scores,
                "state": found.state,
                "is_suspect": found.is_suspect,
            }
        )
        return frame.set_axis(self._labels_of(found.rows), axis=0)

    @cached_property
    def issues(self) -> pd.DataFrame:
        """One line per issue, most important first: "kind", "row" and what is known about it.

        Wrong labels come first, most suspect first; then the other kinds, as in the report. "row"
        is the label of the row in the table's index; it is missing for an issue of a whole column
        or class.
        """
        found = self._findings
        suspects = found.suspects
        wrong = pd.DataFrame(
            {
                "kind": WRONG_LABEL,
                "row": self._labels_of(found.rows[suspects]),
                "given_label": found.given[suspects],
                "suggested_label": found.suggested[suspects],
                "score": found.scores[suspects],
            }
        )
        others = as_frame(self._issues)
        rows = [None if pd.isna(n) else self._labels_of([int(n) - 1])[0] for n in others["row"]]
        others = others.assign(row=pd.Series(rows, dtype=object))
        parts = [part for part in (wrong.astype({"row": object}), others) if len(part)]
        return pd.concat(parts, ignore_index=True) if parts else wrong

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Numbers and sentences about the audit, ready for JSON."""
        table, found = self._table, self._findings
        n = len(table.cells)
        return {
            "table": self.name,
            "label": found.problem.label_name,
            "task": found.problem.task,
            "rows": n,
            "judged": len(found.rows),
            "set_aside": {why: len(rows) for why, rows in found.problem.set_aside.items()},
            "suspects": len(found.suspects),
            "share_of_suspects": len(found.suspects) / len(found.rows),
            "states": {name: int((found.state == name).sum()) for name in summary.STATES},
            "classes": state_counts(found).reset_index(names="class").to_dict("records"),
            "trust": {
                **{k: v for k, v in vars(found.trust).items() if k != "sole_columns"},
                "sentence": summary.trust_sentence(found),
            },
            "cautions": summary.cautions(table, found),
            "columns": self._columns(),
            "left_out": found.prepared.left_out,
            "notes": [*table.notes, *found.prepared.notes],
            "issues": {issue.kind: issue.summary for issue in self._issues},
            "seconds": round(found.seconds, 1),
        }

    def save(self, folder: str | Path = "audit") -> Path:
        """Write report.html, suspects.csv, scores.csv and issues.csv to a folder.

        They appear together, or not at all. With ``action="drop"`` or ``"relabel"``, the cleaned
        table is written as well, in the format of the table.

        Parameters
        ----------
        folder : str or Path, default="audit"
            The folder; it is created if it does not exist.

        Returns
        -------
        folder : Path
        """
        folder, source = Path(folder), self._options.table
        from skinfluence._audit.formats import file_of

        names = file_names(self._options, self._table)
        with output_folder.reserved(folder, source and file_of(source), names):
            self.write(folder)
        return folder

    def write(self, folder: Path) -> int:
        """Write the files to a reserved folder; return how many rows the cleaned table changes."""
        table, found, options = self._table, self._findings, self._options
        try:
            with output_folder.written_together(folder, file_names(options, table)) as staging:
                files.write_suspects(staging / SUSPECTS, table, found)
                files.write_scores(staging / SCORES, table, found)
                files.write_issues(staging / ISSUES, table, as_frame(self._issues))
                n_changed = 0
                if options.action != "none":
                    cleaned = staging / table.cleaned_name
                    n_changed = files.write_cleaned(cleaned, table, found, options.action)
                page = report.render(
                    self.name,
                    table,
                    found,
                    action=options.action,
                    command=options.command(),
                    n_changed=n_changed,
                    source=options.table,
                    page_folder=folder,
                    apply_command=options.apply_command(table.source.suffix),
                    issues=self._issues,
                )
                (staging / REPORT).write_text(page, encoding="utf-8")
                if options.label_studio:
                    label_studio.write(staging, table, found, options.table)
        except OSError as error:
            why = error.strerror or error
            raise AuditError(
                f"{str(folder)!r} cannot be written to: {why}; nothing was written."
            ) from error
        return n_changed

    def __repr__(self) -> str:
        found = self._findings
        return (
            f"<Audit of {self.name}: {count(len(found.suspects), 'suspect')} in "
            f"{count(len(found.rows), 'row')}>"
        )

    def _repr_html_(self) -> str:
        shown = self.issues.head(20).to_html(index=False, na_rep="", escape=True)
        sentence = summary.trust_sentence(self._findings)
        return f"<p><b>{escape(repr(self)[1:-1])}</b>. {escape(sentence)}.</p>{shown}"

    def _labels_of(self, rows: Any) -> list[Hashable]:
        """Labels of rows in the index of the table; row numbers from 1 if it is a file."""
        index = self._index
        return [int(row) + 1 if index is None else index[int(row)] for row in rows]

    def _columns(self) -> dict[str, str]:
        prepared = self._findings.prepared
        return {prepared.names[name]: kind for name, kind in prepared.kinds.items()}


def file_names(options: Options, table: Table) -> list[str]:
    """Names of the files that an audit may write; those of an earlier one are replaced."""
    names = [SUSPECTS, SCORES, ISSUES, table.cleaned_name, REPORT]
    return names + ([label_studio.TASKS, label_studio.CONFIG] if options.label_studio else [])


def options_of(keywords: dict[str, Any]) -> Any:
    """Options from keyword arguments; raise TypeError for an unknown name."""
    known = {field.name for field in dataclasses.fields(Options)}
    unknown = sorted(set(keywords) - known)
    if unknown:
        raise TypeError(
            f"audit() got {unknown[0]!r}, which is not an option; the options are: "
            f"{', '.join(sorted(known - {'table', 'label'}))}."
        )
    return read_options(Options, keywords)
