"""report.html: a single file that contains its styles and figures."""

from __future__ import annotations

import base64
import datetime
import io
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skinfluence._audit import summary
from skinfluence._audit.evidence import UNCLEAR
from skinfluence._audit.findings import Findings, label_changes, value_groups
from skinfluence._audit.issues import Issue
from skinfluence._audit.review import page
from skinfluence._audit.review.media import Media
from skinfluence._audit.review.payload import build
from skinfluence._audit.streams import printable
from skinfluence._audit.table import Table, display_name, shorten
from skinfluence._version import __version__
from skinfluence.metrics import detection_report
from skinfluence.plotting import (
    DetectionCurveDisplay,
    ScoreDistributionDisplay,
    SuspectShareDisplay,
)

SHOWN_LINES = 20  # of an issue

SHOWN_ROWS, SHOWN_COLUMNS, SHOWN_CHANGES = 50, 40, 12

PACKAGES = ("torch", "skorch", "scikit-learn", "numpy", "pandas")

STYLE: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "skinfluence",  # fixed, so that the same findings give the same file
}


def render(
    name: str,
    table: Table,
    findings: Findings,
    *,
    action: str,
    command: str,
    n_changed: int,
    source: str | None = None,
    page_folder: Path | None = None,
    apply_command: str | None = None,
    media: Media | None = None,
    issues: Sequence[Issue] = (),
) -> str:
    """The report as one HTML page.

    Parameters
    ----------
    name : str
        Name of the table, for the title.
    table : Table
        The table that was checked.
    findings : Findings
        The results.
    action : {"none", "drop", "relabel"}
        Whether the cleaned table drops or relabels the suspects; "none": no such table is written.
    command : str
        The command that repeats the audit.
    n_changed : int
        Number of rows that the cleaned table drops or relabels.
    source : str or None
        Path of the table; paths of images are relative to its folder.
    page_folder : Path or None
        Folder of the page, so that it finds images if it is moved together with them.
    apply_command : str or None
        The command that applies the decisions of a review, to show.
    media : Media or None
        The column that the review shows large; None: it is found out.
    issues : sequence of Issue
        The other issues; their tab is left out if there are none.

    Returns
    -------
    page : str
        The page. It does not load other files.
    """
    payload = build(
        table,
        findings,
        name=name,
        source=source,
        page_folder=page_folder,
        apply_command=apply_command,
        media=media,
    )
    template = _environment().get_template("report.html.j2")
    return template.render(
        **_facts(table, findings, action=action, n_changed=n_changed),
        style=Markup(page.style()),
        script=Markup(page.script()),
        payload=payload,
        payload_json=Markup(page.as_json(payload)),
        issues=[_issue(issue) for issue in issues],
        name=name,
        action=action,
        n_changed=n_changed,
        command=command,
        versions=_versions(),
        date=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
    )


def _facts(table: Table, findings: Findings, *, action: str, n_changed: int) -> dict[str, Any]:
    """What the overview shows."""
    n, n_suspects = len(findings.rows), len(findings.suspects)
    is_planted = findings.is_planted
    return {
        "label": findings.problem.label_name,
        "task": findings.problem.task,
        "n_rows": n,
        "n_suspects": n_suspects,
        "share": n_suspects / n,
        "n_classes": len(findings.problem.spelling),
        "n_set_aside": findings.problem.n_set_aside,
        "n_unclear": int((findings.state == UNCLEAR).sum()),
        "trust": summary.trust_sentence(findings),
        "cautions": summary.cautions(table, findings),
        "sample": summary.sample_sentence(findings) if findings.n_trained < n else None,
        "rows": summary.rows_sentence(table, findings, action, n_changed),
        "set_aside": summary.set_aside_sentences(findings.problem),
        "cleaned_name": table.cleaned_name,
        "left_out": findings.prepared.left_out,
        "planted": None if is_planted is None else _planted(findings, is_planted),
        "figures": _figures(findings),
        "label_changes": _label_change_rows(findings),
        "suspects": _suspect_rows(table, findings),
        "seconds": findings.seconds,
    }


def _issue(issue: Issue) -> dict[str, Any]:
    """An issue as the template shows it."""
    shown = issue.details.head(SHOWN_LINES)
    cells = shown.astype(object).where(shown.notna(), "")
    return {
        "title": issue.title,
        "summary": issue.summary,
        "advice": issue.advice,
        "names": [str(name).replace("_", " ") for name in shown],
        "lines": [[shorten(str(cell)) for cell in line] for line in cells.itertuples(index=False)],
        "n_lines": len(issue.details),
    }


def _environment() -> jinja2.Environment:
    # A name or a cell may contain HTML or control characters, which must be shown as text.
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template(name: str) -> str:
    if name == "review.html.j2":
        return page.template()
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _planted(findings: Findings, is_planted: np.ndarray) -> dict[str, Any]:
    report = detection_report(is_planted, findings.scores)
    return {
        "found": int(is_planted[findings.suspects].sum()),
        "planted": int(is_planted.sum()),
        "sentence": summary.planted_sentence(findings, is_planted),
        "auc": report["roc_auc"],
    }


def _figures(findings: Findings) -> list[dict[str, str]]:
    """Title, caption and image of each figure."""
    figures = [_scores_figure(findings)]
    if findings.is_planted is not None:
        figures.append(_curve_figure(findings, findings.is_planted))
    return [*figures, _share_figure(findings)]


def _scores_figure(findings: Findings) -> dict[str, str]:
    scores = ScoreDistributionDisplay(
        findings.scores, threshold=findings.threshold, is_noisy=findings.is_planted
    )
    return {
        "title": "Scores of all rows",
        "caption": "The dashed line is the highest score of a suspect. Rows just to the right "
        "of the line are worth a look as well.",
        "src": _picture(scores.plot),
    }


def _curve_figure(findings: Findings, is_planted: np.ndarray) -> dict[str, str]:
    def draw(ax: Axes) -> None:
        DetectionCurveDisplay.from_scores(
            is_planted,
            findings.scores,
            contamination=float(findings.is_suspect.mean()),
            name="this audit",
            ax=ax,
        )

    return {
        "title": "Planted wrong labels found",
        "caption": "How many planted labels you find if you inspect the rows in the order of "
        "their scores, lowest first.",
        "src": _picture(draw),
    }


def _share_figure(findings: Findings) -> dict[str, str]:
    def draw(ax: Axes) -> None:
        SuspectShareDisplay.from_labels(value_groups(findings), findings.is_suspect, ax=ax)

    if findings.problem.task == "classification":
        title = "Suspects in each class"
        caption = (
            "If a class has a far larger share of suspects than the other classes, it is often "
            "confused with another class, or it is rare."
        )
    else:
        title = "Suspects in each range of the label"
        caption = (
            "If a range has a far larger share of suspects than the other ranges, it may contain "
            "many wrong values, or it is rare."
        )
    return {"title": title, "caption": caption, "src": _picture(draw)}


def _picture(draw: Callable[[Axes], object]) -> str:
    """A figure as a data URI, in SVG, which is sharp at every size."""
    with rc_context(STYLE):
        figure = Figure(figsize=(5.6, 3.6), layout="constrained")
        draw(figure.subplots())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _label_change_rows(findings: Findings) -> list[dict[str, Any]]:
    if findings.problem.task == "regression":
        return []
    return [
        {"given": shorten(given), "suggested": shorten(suggested), "count": number}
        for (given, suggested), number in label_changes(findings)[:SHOWN_CHANGES]
    ]


def _suspect_rows(table: Table, findings: Findings) -> dict[str, Any]:
    """The most suspect rows as cells, with the columns that the net used first."""
    label = findings.problem.label
    left_out = {name for names in findings.prepared.left_out.values() for name in names}
    others = [i for i in range(len(table.names)) if i != label]
    others.sort(key=lambda i: display_name(table, i) in left_out)
    shown = others[:SHOWN_COLUMNS]
    chosen = findings.suspects[:SHOWN_ROWS]
    depth = findings.threshold - findings.scores[chosen]
    bars = 100 * np.maximum(depth, 0) / max(depth.max(initial=0.0), np.finfo(float).tiny)
    rows = [
        {
            "row": int(findings.rows[i]) + 1,
            "given": shorten(findings.given[i]),
            "suggested": shorten(findings.suggested[i]),
            "score": f"{findings.scores[i]:.5f}",
            "bar": round(float(bar), 1),
            "is_planted": None if findings.is_planted is None else bool(findings.is_planted[i]),
            "cells": [shorten(table.cells[findings.rows[i]][position]) for position in shown],
        }
        for i, bar in zip(chosen, bars, strict=True)
    ]
    names = [display_name(table, position) for position in shown]
    return {"names": names, "rows": rows, "n_hidden": len(others) - len(shown)}


def _versions() -> dict[str, str]:
    found = {"skinfluence": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
