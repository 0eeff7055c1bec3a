"""The steps of the audit, from a table to the written files. Each step is in a separate module."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError, Table
from skinfluence._extras import need

if TYPE_CHECKING:
    from skinfluence._audit.findings import Findings, Problem


def audit(options: Options) -> Findings:
    """Check the labels of a table and write report.html, suspects.csv and scores.csv.

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
    options.check()
    _require_extra()
    # Import late, so that wrong options are refused before pandas and torch are loaded.
    from skinfluence._audit import output_folder, terminal
    from skinfluence._audit.findings import find_suspects, read_problem
    from skinfluence._audit.formats import file_of
    from skinfluence._core.memory import is_out_of_memory

    name, table, label, is_planted = _read_input(options)
    with table.explained():
        problem = read_problem(table, label, task=options.task, cv=options.cv)
    output = Path(options.output)
    names = ["suspects.csv", "scores.csv", table.cleaned_name, "report.html"]
    names += ["tasks.json", "label_config.xml"] if options.label_studio else []
    with output_folder.reserved(output, options.table and file_of(options.table), names):
        if not options.quiet:
            is_default = options.table is not None and options.label is None
            terminal.describe_input(name, table, problem, is_default_label=is_default)
        try:
            findings = find_suspects(table, problem, make_detector(options, problem), options)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise AuditError(
                "the memory is full, and nothing was written; audit a sample of the rows, or fewer "
                "columns."
            ) from error
        if is_planted is not None:
            findings = replace(findings, is_planted=is_planted[findings.rows])
        n_changed = _write(options, output, names, name, table, findings)
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
        contamination="auto" if options.contamination == "evidence" else options.contamination,
        cv=options.cv,
        random_state=options.seed,
        verbose=0 if options.quiet else 1,
    )


def _read_input(options: Options) -> tuple[str, Table, int, Any]:
    """Name of the table, the table, the position of its label, and which labels are planted."""
    from skinfluence._audit import demo
    from skinfluence._audit.formats import file_of, read_table

    if options.table is None:
        table, is_planted = demo.planted_table(options.seed)
        return demo.NAME, table, table.find_column(demo.LABEL), is_planted
    table = read_table(options.table, options)
    with table.explained():
        label = table.default_label if options.label is None else table.find_column(options.label)
    name = "standard input" if file_of(options.table) is None else Path(options.table).name
    return name, table, label, None


def _write(
    options: Options,
    output: Path,
    names: list[str],
    name: str,
    table: Table,
    findings: Findings,
) -> int:
    """Write the files; return how many rows of the cleaned table changed."""
    from skinfluence._audit import files, report
    from skinfluence._audit.output_folder import written_together
    from skinfluence._audit.review import label_studio

    try:
        with written_together(output, names) as folder:
            files.write_suspects(folder / "suspects.csv", table, findings)
            files.write_scores(folder / "scores.csv", table, findings)
            n_changed = 0
            if options.action != "none":
                cleaned = folder / table.cleaned_name
                n_changed = files.write_cleaned(cleaned, table, findings, options.action)
            page = report.render(
                name,
                table,
                findings,
                action=options.action,
                command=options.command(),
                n_changed=n_changed,
                source=options.table,
                page_folder=output,
                apply_command=options.apply_command(table.source.suffix),
            )
            (folder / "report.html").write_text(page, encoding="utf-8")
            if options.label_studio:
                label_studio.write(folder, table, findings, options.table)
    except OSError as error:
        raise AuditError(
            f"{str(output)!r} cannot be written to: {error.strerror or error}; nothing was written."
        ) from error
    return n_changed


def _require_extra() -> None:
    missing = [
        name
        for name in ("pandas", "matplotlib", "jinja2", "skrub")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        names = ", ".join(missing)
        raise AuditError(
            str(need("audit", f"the audit needs packages that are not installed ({names})"))
        )
