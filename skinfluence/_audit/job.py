"""The steps of the audit, from a table to three files. Each step is in a separate module."""

from __future__ import annotations

import importlib.util
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skinfluence._audit.csv_table import AuditError, CsvTable
from skinfluence._extras import need

if TYPE_CHECKING:
    from skinfluence._audit.findings import Findings, Problem

COMMAND_OPTIONS = (
    "label",
    "output",
    "contamination",
    "action",
    "task",
    "cv",
    "seed",
    "sep",
    "encoding",
)


@dataclass(frozen=True)
class Options:
    """The options of the command, one field per option."""

    table: str | None = None
    label: str | None = None
    output: str = "audit"
    contamination: float | str = 0.1
    action: str = "drop"
    task: str = "auto"
    cv: int = 5
    seed: int = 0
    top: int = 10
    sep: str | None = None
    encoding: str = "utf-8"
    quiet: bool = False


def audit(options: Options) -> Findings:
    """Check the labels of a table and write suspects.csv, cleaned.csv and report.html.

    Parameters
    ----------
    options : Options
        The options of the command.

    Returns
    -------
    findings : Findings
        The results as arrays.

    Raises
    ------
    AuditError
        If the user has to correct something. The message is one line.
    """
    _check(options)
    _require_extra()
    # Import late, so that wrong options are refused before pandas and torch are loaded.
    from skinfluence._audit import output_folder, terminal
    from skinfluence._audit.findings import find_suspects, read_problem
    from skinfluence._core.memory import is_out_of_memory

    name, table, label, is_planted = _read_input(options)
    problem = read_problem(table, label, task=options.task, cv=options.cv)
    output = Path(options.output)
    with output_folder.reserved(output, options.table):
        if not options.quiet:
            is_default = options.table is not None and options.label is None
            terminal.describe_input(name, table, problem, is_default_label=is_default)
        try:
            findings = find_suspects(table, problem, make_detector(options, problem))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise AuditError(
                "the memory is full, and nothing was written; audit a sample of the rows, or fewer "
                "columns."
            ) from error
        findings = replace(findings, is_planted=is_planted)
        n_changed = _write(options, output, name, table, findings)
    if not options.quiet:
        terminal.describe_result(
            table,
            findings,
            top=options.top,
            output=output,
            action=options.action,
            n_changed=n_changed,
        )
    return findings


def make_detector(options: Options, problem: Problem) -> Any:
    """Return a detector with its default net and the options of the command."""
    from skinfluence._detector import NoisyLabelDetector

    return NoisyLabelDetector(
        contamination=options.contamination,
        cv=options.cv,
        random_state=options.seed,
        verbose=0 if options.quiet else 1,
    )


def command(options: Options) -> str:
    """The command that repeats this audit."""
    words = ["python", "-m", "skinfluence", "audit"]
    if options.table is not None:
        words.append(options.table)
    default = Options()
    for field in COMMAND_OPTIONS:
        value = getattr(options, field)
        if value != getattr(default, field):
            words += [f"--{field}", str(value)]
    return shlex.join(words)


def _read_input(options: Options) -> tuple[str, CsvTable, int, Any]:
    """Name of the table, the table, the position of its label, and which labels are planted."""
    from skinfluence._audit import csv_table, demo

    if options.table is None:
        table, is_planted = demo.planted_table(options.seed)
        return demo.NAME, table, table.find_column(demo.LABEL), is_planted
    table = csv_table.read_table(options.table, sep=options.sep, encoding=options.encoding)
    label = len(table.names) - 1 if options.label is None else table.find_column(options.label)
    return Path(options.table).name, table, label, None


def _write(options: Options, output: Path, name: str, table: CsvTable, findings: Findings) -> int:
    """Write the three files; return how many rows were dropped or relabeled in cleaned.csv."""
    from skinfluence._audit import files, report
    from skinfluence._audit.output_folder import written_together

    try:
        with written_together(output) as folder:
            files.write_suspects(folder / "suspects.csv", table, findings)
            n_changed = files.write_cleaned(folder / "cleaned.csv", table, findings, options.action)
            page = report.render(
                name,
                table,
                findings,
                action=options.action,
                command=command(options),
                n_changed=n_changed,
            )
            (folder / "report.html").write_text(page, encoding="utf-8")
    except OSError as error:
        raise AuditError(
            f"{str(output)!r} cannot be written to: {error.strerror}; nothing was written."
        ) from error
    return n_changed


def _check(options: Options) -> None:
    contamination = options.contamination
    if not isinstance(contamination, str) and not 0 < contamination <= 0.5:
        raise AuditError(
            f"--contamination {contamination:g} must be above 0 and at most 0.5 (the share of the "
            "rows to flag), or auto."
        )
    if options.cv < 2:
        raise AuditError(f"--cv {options.cv} must be at least 2.")
    if options.top < 0:
        raise AuditError(f"--top {options.top} must be 0 or more.")
    if not 0 <= options.seed < 2**32:
        raise AuditError(f"--seed {options.seed} must be between 0 and {2**32 - 1}.")
    if options.table is None and (options.label is not None or options.task != "auto"):
        raise AuditError("--label and --task need a table; give the path of a CSV or Parquet file.")


def _require_extra() -> None:
    missing = [
        name
        for name in ("pandas", "matplotlib", "jinja2")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        names = ", ".join(missing)
        raise AuditError(
            str(need("audit", f"the audit needs packages that are not installed ({names})"))
        )
