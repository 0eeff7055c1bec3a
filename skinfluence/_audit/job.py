"""The steps of the audit: from a table to what was found, and to the written files."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skinfluence._audit.config import save_config
from skinfluence._audit.options import Options
from skinfluence._audit.table import AuditError, Table
from skinfluence._extras import need

if TYPE_CHECKING:
    from skinfluence._audit.findings import Problem
    from skinfluence._audit.result import Audit

FAILED = 1  # exit code: more suspects than --fail-above allows


def audit_table(table: Any, label: str | None = None, **options: Any) -> Audit:
    """Check the labels of a table; `skinfluence.audit`.

    The job of the command ``python -m skinfluence audit``, as a function.

    Parameters
    ----------
    table : DataFrame of pandas or polars, str or Path
        The table, or a file in a format that the command reads.
    label : str or None, default=None
        Column that holds the labels; None means the last column.
    **options
        The options of the command, with "_" in place of "-": ``task``, ``cv``, ``seed``,
        ``contamination``, ``numeric``, ``text``, ``ignore``, ``only``, ``against`` and others.
        ``quiet=True`` hides the progress bars.

    Returns
    -------
    audit : Audit
        With the DataFrames ``issues`` and ``scores``, the dict ``summary``, and ``save(folder)``.

    Raises
    ------
    ValueError
        If the table or an option cannot be used.
    TypeError
        If an option is unknown.

    Examples
    --------
    >>> import skinfluence
    >>> from sklearn.datasets import load_wine
    >>> from skinfluence.datasets import flip_labels
    >>> wine = load_wine(as_frame=True).frame
    >>> wine["target"], is_wrong = flip_labels(wine["target"], 0.1, random_state=0)
    >>> audit = skinfluence.audit(wine, label="target", quiet=True)
    >>> audit.issues["kind"][0], audit.summary["task"]
    ('wrong label', 'classification')
    """
    from skinfluence._audit.result import options_of

    chosen = {} if label is None else {"label": label}  # a configuration may have it
    given = options_of({"output": "", **chosen, **options})
    try:
        given.check(is_command=False)
        _require_extra()
        if isinstance(table, str | PathLike):
            given = replace(given, table=str(table))
            return _judged(given, _read_input(given))
        return _judged(given, _read_frame(given, table))
    except AuditError as error:
        raise ValueError(str(error)) from error


def audit(options: Options) -> int:
    """Check the labels of a table, write the files and print what was found: the command.

    Parameters
    ----------
    options : Options
        The options of the command.

    Returns
    -------
    code : int
        The exit code: 1 if there are more suspects than ``--fail-above`` allows, otherwise 0.

    Raises
    ------
    AuditError
        If the user has to correct something. The message is one line.
    """
    options.check()
    _require_extra()
    # Import late, so that wrong options are refused before pandas and torch are loaded.
    from skinfluence._audit import output_folder, terminal
    from skinfluence._audit.formats import file_of
    from skinfluence._audit.result import file_names

    read = _read_input(options)
    output = Path(options.output)
    names = file_names(options, read.table)
    shows = not (options.quiet or options.json)
    with output_folder.reserved(output, options.table and file_of(options.table), names):
        try:
            found = _judged(options, read, shows=shows)
        except ImportError as error:  # of an extra; its message says what to install
            raise AuditError(str(error)) from error
        n_changed = found.write(output)
    if options.save_config is not None:
        save_config(options.save_config, options)
    if options.json:
        terminal.say(json.dumps(found.summary))
    if shows:
        terminal.describe_result(
            read.table,
            found._findings,
            top=options.top,
            output=output,
            action=options.action,
            n_changed=n_changed,
            issues=found._issues,
        )
    most = options.fail_above
    return FAILED if most is not None and found.summary["share_of_suspects"] > most else 0


def make_detector(options: Options, problem: Problem) -> Any:
    """Return a detector with its default net and the options of the command."""
    from skinfluence._detector import NoisyLabelDetector

    return NoisyLabelDetector(
        contamination="auto" if options.contamination == "evidence" else options.contamination,
        cv=options.cv,
        random_state=options.seed,
        verbose=0 if options.quiet else 1,
    )


@dataclass(frozen=True)
class _Input:
    """The table, its label, and what else is known about it.

    Attributes
    ----------
    name : str
        Name of the table, to show.
    table : Table
    label : int
        Position of the label.
    index : sequence or None
        Labels of the rows of a DataFrame; None for a file.
    is_planted : ndarray of bool or None
        Which labels of the example are planted.
    """

    name: str
    table: Table
    label: int
    index: Any = None
    is_planted: Any = None


def _read_input(options: Options) -> _Input:
    from skinfluence._audit import demo
    from skinfluence._audit.formats import file_of, read_table

    if options.table is None:
        table, is_planted = demo.planted_table(options.seed)
        label = table.find_column(demo.LABEL)
        return _Input(demo.NAME, table, label, is_planted=is_planted)
    name = "standard input" if file_of(options.table) is None else Path(options.table).name
    table = read_table(options.table, options)
    return _Input(name, _with_images(table, options), _label_of(table, options))


def _read_frame(options: Options, frame: Any) -> _Input:
    from skinfluence._audit.formats.frames import table_of

    table, index = table_of(frame)
    return _Input("DataFrame", _with_images(table, options), _label_of(table, options), index)


def _label_of(table: Table, options: Options) -> int:
    with table.explained():
        return table.default_label if options.label is None else table.find_column(options.label)


def _with_images(table: Table, options: Options) -> Table:
    """The table, which knows the columns of --image and where their paths start."""
    if not options.image:
        return table
    folder = Path(options.table or "").parent
    images = {table.find_column(name): folder for name in options.image}
    return replace(table, images={**images, **table.images})


def _judged(options: Options, read: _Input, *, shows: bool = False) -> Audit:
    """Check the labels and look for the other issues; nothing is written."""
    from skinfluence._audit import terminal
    from skinfluence._audit.findings import find_suspects
    from skinfluence._audit.issues import Context, chosen_kinds, find_issues
    from skinfluence._audit.labels import read_problem
    from skinfluence._audit.media import unreadable_rows
    from skinfluence._audit.result import Audit
    from skinfluence._core.memory import is_out_of_memory

    table = read.table
    chosen_kinds(options.only, options.skip)  # refuses an unknown kind before training
    against = _read_against(options, read)
    with table.explained():
        aside = unreadable_rows(table)
        problem = read_problem(table, read.label, task=options.task, cv=options.cv, aside=aside)
    if shows:
        is_default = options.table is not None and options.label is None
        terminal.describe_input(read.name, table, problem, is_default_label=is_default)
    try:
        findings = find_suspects(table, problem, make_detector(options, problem), options)
        context = Context.of(table, findings, against)
        issues = find_issues(context, options.only, options.skip)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise AuditError(
            "the memory is full, and nothing was written; audit a sample of the rows, or fewer "
            "columns."
        ) from error
    if read.is_planted is not None:
        findings = replace(findings, is_planted=read.is_planted[findings.rows])
    return Audit(read.name, table, findings, issues, options, read.index)


def _read_against(options: Options, read: _Input) -> Table | None:
    from skinfluence._audit.formats import read_table
    from skinfluence._audit.issues import check_against

    if options.against is None:
        return None
    # How the first table is read does not tell how the second one is.
    against = read_table(options.against, Options(table=options.against))
    check_against(read.table, read.label, against)
    return against


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
