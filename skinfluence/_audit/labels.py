"""The labels of a table: classes or numbers, and the rows that cannot be judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import pandas as pd

from skinfluence._audit.features import is_missing_label
from skinfluence._audit.spelling_key import spelling_key
from skinfluence._audit.table import AuditError, Table, display_name, shorten
from skinfluence.columns._numbers import NumberStyle, find_style

MAX_NUMERIC_CLASSES = 20  # a label with more distinct numbers than this is a regression target

NUMERIC_SHARE = 0.95  # a label is a number if at least this share of its cells are numbers

MARKER_SHARE = 0.05  # "N/A" may be a class if at least this share of the rows have it

NO_LABEL, NO_NUMBER = "no label", "the label is not a number"


@dataclass(frozen=True)
class Problem:
    """The labels of a table, and whether they are classes or numbers.

    Attributes
    ----------
    label, label_name : int, str
        Position and name of the label column.
    task : {"classification", "regression"}
        Whether labels are classes or numbers.
    rows : ndarray of int of shape (n_judged,)
        Positions of the rows that are judged.
    given : ndarray of shape (n_judged,)
        Labels of these rows, without blanks around them: str, or float64 for regression.
    spelling : dict of str to str
        Judged class -> how the table writes the class; empty for regression.
    set_aside : dict of str to ndarray of int
        Reason -> positions of the rows that are not judged for this reason.
    counts : dict of str to int
        Label -> number of rows, for every label, also those that are set aside; empty for
        regression.
    markers : list of str
        Judged classes that are written like a missing value, such as "N/A".
    """

    label: int
    label_name: str
    task: str
    rows: np.ndarray
    given: np.ndarray
    spelling: dict[str, str]
    set_aside: dict[str, np.ndarray]
    counts: dict[str, int]
    markers: list[str]

    @property
    def n_set_aside(self) -> int:
        """Number of rows that are not judged."""
        return sum(map(len, self.set_aside.values()))


@dataclass(frozen=True)
class _Cells:
    """The cells of the label column: distinct texts, and which of them each row has."""

    name: str
    texts: list[str]  # without blanks around them; may occur twice
    raw: list[str]
    codes: np.ndarray

    def is_one_of(self, chosen: Iterable[bool]) -> np.ndarray:
        """Rows whose text is chosen; `chosen` has one entry for each text."""
        return np.fromiter(chosen, dtype=bool, count=len(self.texts))[self.codes]


def read_problem(
    table: Table,
    label: int,
    *,
    task: str = "auto",
    cv: int = 5,
    aside: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> Problem:
    """Read the label column; raise AuditError if a detector cannot be fitted to it.

    `aside` maps a reason to the positions of rows that are not judged, whatever their label is.
    """
    cells = _read_cells(table, label)
    is_aside = np.zeros(len(cells.codes), dtype=bool)
    for rows in aside.values():
        is_aside[rows] = True
    problem = _read(cells, label, task, cv, is_aside)
    return replace(problem, set_aside={**problem.set_aside, **aside})


def _read(cells: _Cells, label: int, task: str, cv: int, is_aside: np.ndarray) -> Problem:
    is_missing = cells.is_one_of(map(is_missing_label, cells.texts))
    if is_missing.all():
        raise AuditError(
            f"no row has a label in column {cells.name!r}; choose the label column with --label."
        )
    values = _numbers(cells, is_missing)
    n_numbers = np.isfinite(values).sum()
    if task == "auto":
        is_quantity = n_numbers >= NUMERIC_SHARE * (~is_missing).sum()
        is_quantity &= len(np.unique(values[np.isfinite(values)])) > MAX_NUMERIC_CLASSES
        task = "regression" if is_quantity else "classification"
    if task == "regression":
        return _regression(cells, label, values, is_missing, cv, is_aside)
    return _classification(cells, label, cv, is_aside)


def similar_spellings(problem: Problem) -> list[list[str]]:
    """Labels that differ only in case, blanks or punctuation, in groups; large groups first."""
    groups: dict[str, list[str]] = {}
    for label in sorted(problem.counts, key=lambda label: -problem.counts[label]):
        groups.setdefault(spelling_key(label), []).append(label)
    found = [group for group in groups.values() if len(group) > 1]
    return sorted(found, key=lambda group: -sum(problem.counts[label] for label in group))


def _read_cells(table: Table, label: int) -> _Cells:
    position: dict[str, int] = {}
    column = table.columns[label]
    codes = np.fromiter(
        (position.setdefault(cell, len(position)) for cell in column), dtype=np.intp
    )
    raw = list(position)
    return _Cells(display_name(table, label), [text.strip() for text in raw], raw, codes)


def _numbers(cells: _Cells, is_missing: np.ndarray) -> np.ndarray:
    """The number in each row; NaN where the text is not a finite number."""
    texts = pd.Series(cells.texts, dtype=object)
    counts = np.bincount(cells.codes[~is_missing], minlength=len(texts))
    style = find_style(texts[counts > 0], counts[counts > 0]) or NumberStyle()
    return np.where(is_missing, np.nan, style.read(texts).to_numpy(np.float64)[cells.codes])


def _regression(
    cells: _Cells,
    label: int,
    values: np.ndarray,
    is_missing: np.ndarray,
    cv: int,
    is_aside: np.ndarray,
) -> Problem:
    is_number = np.isfinite(values) & ~is_aside
    is_missing = is_missing & ~is_aside
    other = ~is_number & ~is_missing & ~is_aside
    if is_number.sum() < NUMERIC_SHARE * (~is_missing).sum():
        text = shorten(cells.texts[cells.codes[other.argmax()]])
        raise AuditError(
            f"label {cells.name!r} contains {text!r}, but regression needs finite numbers."
        )
    given = values[is_number]
    _refuse_few_numbers(given, cells.name, cv)
    set_aside = _positions({NO_LABEL: is_missing, NO_NUMBER: other})
    rows = np.flatnonzero(is_number)
    return Problem(label, cells.name, "regression", rows, given, {}, set_aside, {}, [])


def _classification(cells: _Cells, label: int, cv: int, is_aside: np.ndarray) -> Problem:
    least = 2 * cv
    counts: Counter[str] = Counter()
    numbers = np.bincount(cells.codes[~is_aside], minlength=len(cells.texts))
    for text, number in zip(cells.texts, numbers, strict=True):
        counts[text] += int(number)
    markers = _markers_that_are_classes(counts, least)
    missing = {text for text in counts if is_missing_label(text) and text not in markers}
    judged = {text for text in counts if text not in missing and counts[text] >= least}
    counts = Counter({text: counts[text] for text in counts if text not in missing})
    if len(judged) < 2:
        raise AuditError(_too_few_classes(counts, judged, cells.name, least))
    is_missing = cells.is_one_of(text in missing for text in cells.texts) & ~is_aside
    is_judged = cells.is_one_of(text in judged for text in cells.texts) & ~is_aside
    rows = np.flatnonzero(is_judged)
    few = f"a class with fewer than {least} rows"
    return Problem(
        label=label,
        label_name=cells.name,
        task="classification",
        rows=rows,
        given=np.array(cells.texts, dtype=object)[cells.codes[rows]],
        spelling=_spelling(cells, judged),
        set_aside=_positions({NO_LABEL: is_missing, few: ~(is_judged | is_missing | is_aside)}),
        counts=dict(counts),
        markers=sorted(markers),
    )


def _markers_that_are_classes(counts: Counter[str], least: int) -> set[str]:
    """Texts such as "N/A" that are as frequent as a class, and therefore likely one themselves."""
    classes = [n for text, n in counts.items() if n >= least and not is_missing_label(text)]
    enough = max(min(classes, default=least), MARKER_SHARE * counts.total())
    return {text for text, n in counts.items() if text and is_missing_label(text) and n >= enough}


def _positions(masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {reason: np.flatnonzero(mask) for reason, mask in masks.items() if mask.any()}


def _too_few_classes(counts: Counter[str], judged: set[str], name: str, least: int) -> str:
    if len(counts) == 1:
        only = shorten(next(iter(counts)))
        return f"label {name!r} has only one class, {only!r}; at least two are needed."
    few = [(text, n) for text, n in counts.most_common() if text not in judged]
    shown = ", ".join(f"{shorten(text, 60)!r} ({n})" for text, n in few[:5])
    more = f" and {len(few) - 5} more" if len(few) > 5 else ""
    enough = f"only {shorten(next(iter(judged)), 60)!r} has enough" if judged else "none has enough"
    hint = "" if len(few) < MAX_NUMERIC_CLASSES else " Is this the right column for --label?"
    return (
        f"label {name!r} has classes with fewer than {least} rows (twice --cv): {shown}{more}; "
        f"{enough}, and at least two classes are needed: merge classes, or lower --cv.{hint}"
    )


def _refuse_few_numbers(values: np.ndarray, name: str, cv: int) -> None:
    if len(values) < 2 * cv:
        raise AuditError(
            f"only {len(values)} rows have a label in column {name!r}; at least {2 * cv} "
            "(twice --cv) are needed."
        )
    if (values == values[0]).all():
        raise AuditError(
            f"label {name!r} is the same number in every row; there is nothing to predict."
        )


def _spelling(cells: _Cells, judged: set[str]) -> dict[str, str]:
    """Class -> its most frequent spelling in the table, including spaces."""
    counts = np.bincount(cells.codes)
    spelling: dict[str, str] = {}
    for i in np.argsort(-counts, kind="stable"):
        if cells.texts[i] in judged:
            spelling.setdefault(cells.texts[i], cells.raw[i])
    return spelling
