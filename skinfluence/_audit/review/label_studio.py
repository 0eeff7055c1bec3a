"""Label Studio: suspects as tasks with predictions, and its annotations as decisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from skinfluence._audit.findings import Findings
from skinfluence._audit.review.decisions import Decision
from skinfluence._audit.review.estimate import chance, fit
from skinfluence._audit.review.media import Media, find_media
from skinfluence._audit.review.payload import evidence
from skinfluence._audit.table import AuditError, Table, display_name
from skinfluence._version import __version__

ROW, GIVEN = "skinfluence_row", "given_label"  # fields of a task by which annotations are read

TASKS, CONFIG = "tasks.json", "label_config.xml"

FIELD = "label"  # the control of the labeling interface

DROP = "(drop this row)"  # a choice next to the classes


def write(folder: Path, table: Table, findings: Findings, source: str | None) -> None:
    """Write tasks.json and label_config.xml, the labeling interface that goes with it.

    Paths of images are relative to the folder of `source`, the path of the table.
    """
    media = find_media(table, findings, source)
    text = json.dumps(tasks(table, findings, media), indent=1)
    (folder / TASKS).write_text(text, encoding="utf-8")
    (folder / CONFIG).write_text(interface(findings, media), encoding="utf-8")


def tasks(table: Table, findings: Findings, media: Media | None = None) -> list[dict[str, Any]]:
    """One task per suspect, most suspect first, with the suggested label as its prediction.

    The score of the prediction is the estimated chance that the given label is wrong.
    """
    chances, image = chance(fit([], []), evidence(findings)), _image(media)
    return [_task(table, findings, int(i), image, float(chances[i])) for i in findings.suspects]


def interface(findings: Findings, media: Media | None = None) -> str:
    """The labeling interface (XML) that goes with the tasks."""
    shown, kind = ['<Text name="text" value="$text"/>'], "text"
    if _image(media) is not None:
        shown, kind = ['<Image name="image" value="$image"/>', *shown], "image"
    control = f'name="{FIELD}" toName="{kind}"'
    if findings.problem.task == "regression":
        lines = [*shown, f"<Number {control}/>"]
    else:
        choices = [*findings.problem.spelling.values(), DROP]
        items = [f"  <Choice value={quoteattr(choice)}/>" for choice in choices]
        lines = [*shown, f'<Choices {control} choice="single">', *items, "</Choices>"]
    return "\n".join(["<View>", *(f"  {line}" for line in lines), "</View>", ""])


def _image(media: Media | None) -> Media | None:
    return media if media is not None and media.kind == "image" else None


def _task(
    table: Table, findings: Findings, i: int, image: Media | None, score: float
) -> dict[str, Any]:
    row = int(findings.rows[i])
    data: dict[str, Any] = {
        ROW: row + 1,
        GIVEN: findings.given[i],
        "suggested_label": findings.suggested[i],
        "score": float(findings.scores[i]),
    }
    hidden, kind = {findings.problem.label}, "text"
    if image is not None:
        hidden, kind = hidden | {image.column}, "image"
        cell = table.cells[row][image.column]
        data["image"] = cell if image.source is None else image.source(row)
    data["text"] = "\n".join(
        f"{display_name(table, position)}: {cell}"
        for position, cell in enumerate(table.cells[row])
        if position not in hidden
    )
    prediction = {
        "model_version": f"skinfluence {__version__}",
        "score": round(score, 4),
        "result": [_result(findings, i, kind)],
    }
    return {"data": data, "predictions": [prediction]}


def _result(findings: Findings, i: int, kind: str) -> dict[str, Any]:
    suggested = findings.suggested[i]
    value: dict[str, Any] = {"choices": [suggested]}
    if findings.problem.task == "regression":
        value = {"number": float(suggested)}
    return {
        "id": f"row-{findings.rows[i] + 1}",
        "from_name": FIELD,
        "to_name": kind,
        "type": next(iter(value)),
        "value": value,
    }


def read_export(path: Path) -> list[Decision]:
    """Decisions from Label Studio's export, JSON or JSON-MIN.

    A task without an annotation is skipped. An annotation that repeats the given label keeps the
    row.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise AuditError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise AuditError(f"{str(path)!r} is not JSON: {error}.") from error
    if not isinstance(found, list) or not all(isinstance(task, dict) for task in found):
        raise AuditError(
            f"{str(path)!r} is not an export of Label Studio: expected a list of tasks."
        )
    return [d for number, task in enumerate(found, 1) for d in _decisions(path, number, task)]


def _decisions(path: Path, number: int, task: dict[str, Any]) -> list[Decision]:
    data = task.get("data", task)  # JSON-MIN has no "data"
    row, given = data.get(ROW), data.get(GIVEN)
    if not isinstance(row, int) or not isinstance(given, str):
        raise AuditError(
            f"task {number} of {str(path)!r} has no {ROW} and {GIVEN}; expected an export of the "
            "tasks that --label-studio writes."
        )
    labels = list(dict.fromkeys(_labels(task)))
    if not labels:
        return [Decision(row, given, "skip")]
    return [_decision(row, given, label) for label in labels]


def _decision(row: int, given: str, label: str) -> Decision:
    if label == DROP:
        return Decision(row, given, "drop")
    if label.strip() == given.strip():
        return Decision(row, given, "keep")
    return Decision(row, given, "relabel", label)


def _labels(task: dict[str, Any]) -> list[str]:
    """The labels that were chosen, one per annotation."""
    if "annotations" not in task:
        return _as_texts(task.get(FIELD))
    return [
        text
        for annotation in task["annotations"]
        if not annotation.get("was_cancelled")
        for region in annotation.get("result", [])
        if region.get("from_name") == FIELD
        for text in _as_texts(region.get("value"))
    ]


def _as_texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = value.get("choices", value.get("number"))
    if isinstance(value, list):
        return [str(item) for item in value]
    return [] if value is None else [f"{value:g}" if isinstance(value, float) else str(value)]
