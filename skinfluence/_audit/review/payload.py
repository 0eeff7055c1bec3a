"""What the review page knows, as a dictionary that can be written as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from skinfluence._audit.evidence import UNCLEAR
from skinfluence._audit.findings import Findings
from skinfluence._audit.review.estimate import MAX_EVIDENCE
from skinfluence._audit.review.media import Media, find_media
from skinfluence._audit.review.neighbors import Neighbors, find_neighbors, n_searched
from skinfluence._audit.stored_text import to_utf8
from skinfluence._audit.table import Table, display_name, shorten

MAX_ROWS, MAX_COLUMNS, MAX_CELL = 5000, 100, 3000

MAX_CHARACTERS = 20_000_000  # of cells; a larger page opens slowly

HASHED_ROWS, N_BINS, N_LIKELY, MAX_RARE = 1000, 40, 5, 200

SIGNAL_NAMES = {
    "in_sample": "in-sample probability",
    "out_of_sample": "out-of-sample probability",
    "influence": "influence of the row",
}


def build(
    table: Table,
    findings: Findings,
    *,
    name: str = "",
    source: str | None = None,
    page_folder: Path | None = None,
    apply_command: str | None = None,
    media: Media | None = None,
) -> dict[str, Any]:
    """Collect the suspects, their rows, what is near them, and why they are suspect.

    Parameters
    ----------
    table, findings : Table, Findings
        The table and the results.
    name : str
        Name of the table, to show.
    source : str or None
        Path of the table; paths of images are relative to its folder.
    page_folder : Path or None
        Folder of the page, so that it finds images if it is moved together with them.
    apply_command : str or None
        The command that writes the reviewed table, to show; None if there is no file.
    media : Media or None
        The column that is shown large; None: it is found out.
    """
    problem = findings.problem
    chosen = _rows_to_review(findings)[:MAX_ROWS]
    if media is None:
        media = find_media(table, findings, source, page_folder)
    columns = _shown_columns(table, findings, media)
    chosen, neighbors = _that_fit(table, findings, columns, chosen, _neighbors(findings, chosen))
    labels, z = _Labels(findings), evidence(findings)
    suspects = [
        _suspect(findings, i, float(z[i]), near, labels)
        for i, near in zip(chosen.tolist(), neighbors, strict=True)
    ]
    shown = [int(findings.rows[j]) for j in sorted(_positions(chosen, neighbors))]
    return {
        "key": _key(table, problem.label),
        "name": name,
        "label": problem.label_name,
        "task": problem.task,
        "command": apply_command,
        "columns": [display_name(table, position) for position in columns],
        "n_hidden": len(table.names) - 1 - len(columns),
        "rows": {row + 1: _cells(table, row, columns, media) for row in shown},
        "row_labels": {row + 1: labels.of_row(row) for row in shown},
        "media": media and {"kind": media.kind, "column": columns.index(media.column)},
        "suspects": suspects,
        "labels": labels.texts,
        "n_classes": labels.n_classes,
        "n_suspects": len(findings.suspects),
        "n_to_review": len(_rows_to_review(findings)),
        "n_rows": len(findings.rows),
        "n_searched": n_searched(findings.prepared.X, len(chosen)),
        "rest": _histogram(np.delete(z, chosen)),
    }


def _rows_to_review(findings: Findings) -> np.ndarray:
    """The suspects, then the rows that are unclear, each most suspect first."""
    order = findings.order
    is_unclear = (findings.state == UNCLEAR) & ~findings.is_suspect & findings.trust.has_learned
    return np.concatenate([findings.suspects, order[is_unclear[order]]])


def evidence(findings: Findings) -> np.ndarray:
    """Evidence against each label, in the units of log-odds; higher = more suspect."""
    if findings.problem.task == "classification":
        z = -findings.scores
    else:
        # Only the order of these scores counts. At the threshold, wrong is as likely as right.
        n = len(findings.scores)
        rank = np.empty(n)
        rank[findings.order] = (np.arange(n) + 0.5) / n
        share = min(max(float(findings.is_suspect.mean()), 0.5 / n), 0.5)
        z = np.log((1 - rank) / rank) - np.log((1 - share) / share)
    return np.clip(np.nan_to_num(z), -MAX_EVIDENCE, MAX_EVIDENCE)


class _Labels:
    """The distinct labels, so that the page holds each of them once.

    The first `n_classes` are the labels to choose from: the judged classes, then rare labels.
    """

    def __init__(self, findings: Findings) -> None:
        self.spelling = findings.problem.spelling
        rare = [label for label in findings.problem.counts if label not in self.spelling]
        self.texts = [*self.spelling.values(), *rare[:MAX_RARE]]
        self.n_classes = len(self.texts)
        self._position = {text: i for i, text in enumerate(self.texts)}
        self._findings = findings

    def position(self, text: str) -> int:
        if text not in self._position:
            self._position[text] = len(self.texts)
            self.texts.append(text)
        return self._position[text]

    def of_row(self, row: int) -> int:
        return self.position(self._findings.given[np.searchsorted(self._findings.rows, row)])


def _suspect(
    findings: Findings, i: int, z: float, near: Neighbors, labels: _Labels
) -> dict[str, Any]:
    return {
        "row": int(findings.rows[i]) + 1,
        "unclear": not bool(findings.is_suspect[i]),
        "given": labels.position(findings.given[i]),
        "suggested": labels.position(findings.suggested[i]),
        "score": float(f"{findings.scores[i]:.5g}"),
        "z": round(z, 4),
        "near": [
            [[int(findings.rows[j]) + 1, float(f"{distance:.4g}")] for j, distance in rows]
            for rows in near.groups
        ],
        "votes": [[labels.position(labels.spelling[name]), n] for name, n in near.votes],
        "signals": _signals(findings, i),
        "likely": _likely(findings, i, labels),
    }


def _neighbors(findings: Findings, chosen: np.ndarray) -> list[Neighbors]:
    X, rows = findings.prepared.X, chosen.tolist()
    if findings.problem.task == "regression":
        return find_neighbors(X, None, rows, [])
    pairs = [(findings.given[i].strip(), findings.suggested[i].strip()) for i in rows]
    return find_neighbors(X, findings.problem.given, rows, pairs)


def _signals(findings: Findings, i: int) -> list[dict[str, Any]]:
    """What each signal says about the given and the suggested label; for numbers, its prediction.

    A signal that does not know the row is left out.
    """
    found = []
    for name, values in findings.signals.items():
        value = [float(f"{x:.4g}") for x in np.atleast_1d(values[i])]
        if np.isfinite(value).all():
            found.append({"name": SIGNAL_NAMES.get(name, name), "value": value})
    return found


def _likely(findings: Findings, i: int, labels: _Labels) -> list[list[float]]:
    """The classes that nets trained without the row find most probable, with probabilities."""
    if findings.probabilities is None:
        return []
    p = findings.probabilities[i]
    best = np.argsort(-p, kind="stable")[:N_LIKELY]
    return [
        [labels.position(labels.spelling[str(findings.classes[c])]), round(float(p[c]), 3)]
        for c in best
    ]


def _shown_columns(table: Table, findings: Findings, media: Media | None) -> list[int]:
    """Positions of the columns to show: large ones first, those that are left out last."""
    left_out = {name for names in findings.prepared.left_out.values() for name in names}
    large = -1 if media is None else media.column
    others = [i for i in range(len(table.names)) if i != findings.problem.label]
    others.sort(key=lambda i: (i != large, display_name(table, i) in left_out))
    return others[:MAX_COLUMNS]


def _that_fit(
    table: Table,
    findings: Findings,
    columns: Sequence[int],
    chosen: np.ndarray,
    neighbors: list[Neighbors],
) -> tuple[np.ndarray, list[Neighbors]]:
    """The first suspects, as many as fit into `MAX_CHARACTERS` with all rows that are shown."""
    seen: set[int] = set()
    n_characters = 0
    for number, near in enumerate(neighbors):
        new = _positions(chosen[number : number + 1], [near]) - seen
        seen |= new
        rows = (_cells(table, int(findings.rows[j]), columns) for j in new)
        n_characters += sum(len(cell) for cells in rows for cell in cells)
        if number and n_characters > MAX_CHARACTERS:
            return chosen[:number], neighbors[:number]
    return chosen, neighbors


def _positions(chosen: np.ndarray, neighbors: Sequence[Neighbors]) -> set[int]:
    near = {j for item in neighbors for rows in item.groups for j, _ in rows}
    return near | set(chosen.tolist())


def _cells(table: Table, row: int, columns: Sequence[int], media: Media | None = None) -> list[str]:
    """The cells of a row; in a column of images, their addresses."""
    cells = table.cells[row]
    texts = [shorten(cells[at], MAX_CELL) for at in columns]
    if media is not None and media.source is not None:
        texts[columns.index(media.column)] = media.source(row) or ""
    return texts


def _histogram(z: np.ndarray) -> list[list[float]]:
    """Evidence of rows that are not shown: its mean in each bin, and the number of rows."""
    counts, edges = np.histogram(z, N_BINS, (-MAX_EVIDENCE, MAX_EVIDENCE))
    sums, _ = np.histogram(z, edges, weights=z)
    bins = zip(sums, counts, strict=True)
    return [[round(float(s / n), 4), int(n)] for s, n in bins if n]


def _key(table: Table, label: int) -> str:
    """A hash of the label column and the first rows, under which the browser keeps decisions."""
    digest = hashlib.sha256()
    for text in _hashed(table, label):
        digest.update(to_utf8(text) + b"\0")
    return digest.hexdigest()[:32]


def _hashed(table: Table, label: int) -> Iterator[str]:
    yield from (str(label), *table.names)
    yield from table.columns[label]
    for column in table.columns:
        yield from islice(column, HASHED_ROWS)
