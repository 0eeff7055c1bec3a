"""From a table to one score per row, with the default detector: which labels look wrong."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skinfluence._audit import evidence, sampling
from skinfluence._audit.evidence import STATES, Trust
from skinfluence._audit.features import Prepared, prepare
from skinfluence._audit.labels import Problem, read_problem
from skinfluence._audit.options import Options
from skinfluence._audit.streams import printable
from skinfluence._audit.table import Table, shorten

__all__ = ["Findings", "Problem", "find_suspects", "label_changes", "read_problem", "value_groups"]


@dataclass(frozen=True)
class Findings:
    """Scores, states and suggested labels of the judged rows, in the order of the table.

    Attributes
    ----------
    problem : Problem
        The labels that were checked, and the rows that could not be judged.
    rows : ndarray of int of shape (n_judged,)
        Positions of the judged rows in the table.
    given, suggested : ndarray of str of shape (n_judged,)
        Given and suggested labels, in the spelling of the table.
    scores : ndarray of shape (n_judged,)
        Lower = more suspect: log-odds that the given class is right, or minus the distance of the
        given number from its prediction, in standard deviations.
    state : ndarray of str of shape (n_judged,)
        "wrong", "unclear" or "right", by the evidence about the row.
    is_suspect : ndarray of bool of shape (n_judged,)
        The rows called wrong; or, if a share of suspects is asked for, the rows with the lowest
        scores.
    threshold : float
        The highest score of a suspect; without suspects, the lowest of all scores.
    order : ndarray of int of shape (n_judged,)
        Positions among the judged rows, most suspect first.
    prepared : Prepared
        The columns that were used and those that were left out.
    trust : Trust
        How well labels of held-out rows are predicted.
    probabilities : ndarray of shape (n_judged, n_classes) or None
        Out-of-sample probabilities of the classes; None for regression.
    classes : ndarray of str of shape (n_classes,)
        The classes, without blanks around them; empty for regression.
    signals : dict of str to ndarray of shape (n_judged, 2) or (n_judged,)
        For each signal ("in_sample", "out_of_sample", "influence"), the probabilities of the given
        and of the suggested class; for regression, the predicted number. NaN for the in-sample
        signals of rows outside of the sample that nets were trained on.
    n_trained : int
        Number of rows that the nets were trained on, in turn: all judged rows, or a sample.
    seconds : float
        Time taken.
    is_planted : ndarray of bool of shape (n_judged,) or None
        Which labels were planted, and are therefore wrong; None if no labels were planted.
    """

    problem: Problem
    rows: np.ndarray
    given: np.ndarray
    suggested: np.ndarray
    scores: np.ndarray
    state: np.ndarray
    is_suspect: np.ndarray
    threshold: float
    order: np.ndarray
    prepared: Prepared
    trust: Trust
    probabilities: np.ndarray | None
    classes: np.ndarray
    signals: dict[str, np.ndarray]
    n_trained: int
    seconds: float
    is_planted: np.ndarray | None = None

    @property
    def suspects(self) -> np.ndarray:
        """Positions of the suspects among the judged rows, most suspect first."""
        return self.order[self.is_suspect[self.order]]


def find_suspects(table: Table, problem: Problem, detector: Any, options: Options) -> Findings:
    """Preprocess the table, fit the detector to it, and collect the results."""
    start = time.perf_counter()
    prepared = prepare(table, problem.label, problem.rows, options)
    judge = _judge_classes if problem.task == "classification" else _judge_numbers
    judged = judge(problem, prepared, detector, options)
    scores = judged["scores"]
    is_suspect = judged["state"] == evidence.WRONG
    if options.contamination != "evidence":
        is_suspect = scores < np.quantile(scores, detector.contamination_)
        if options.contamination == "auto" and not judged["trust"].has_learned:
            is_suspect = np.zeros(len(scores), dtype=bool)
    return Findings(
        problem=problem,
        rows=problem.rows,
        given=_given_cells(table, problem),
        is_suspect=is_suspect,
        threshold=float(scores[is_suspect].max()) if is_suspect.any() else float(scores.min()),
        order=np.argsort(scores, kind="stable"),
        prepared=prepared,
        seconds=time.perf_counter() - start,
        **judged,
    )


def _judge_classes(
    problem: Problem, prepared: Prepared, detector: Any, options: Options
) -> dict[str, Any]:
    # Numbers, because fixed-width strings, which the detector makes, merge "a" and "a\0".
    given, classes = pd.factorize(problem.given, sort=True)
    fitted = sampling.fit(prepared, problem, given, detector, options)
    scores, signals = fitted.scores, fitted.signals
    probabilities = signals["out_of_sample"]
    trust = evidence.class_trust(scores, given, probabilities, prepared.frame)
    state = evidence.class_states(scores, given, probabilities)
    spelling = np.array([problem.spelling[str(label)] for label in classes], dtype=object)
    suggested = probabilities.argmax(1)
    pairs = np.column_stack([given, suggested])
    return {
        "suggested": spelling[suggested],
        "scores": scores,
        "state": _unless_blind(state, trust),
        "trust": trust,
        "probabilities": probabilities,
        "classes": np.array(classes, dtype=object),
        "signals": {
            name: np.take_along_axis(signal, pairs, axis=1) for name, signal in signals.items()
        },
        "n_trained": fitted.n_trained,
    }


def _judge_numbers(
    problem: Problem, prepared: Prepared, detector: Any, options: Options
) -> dict[str, Any]:
    fitted = sampling.fit(prepared, problem, problem.given, detector, options)
    signals = fitted.signals
    predicted = np.asarray(signals["out_of_sample"], dtype=float)
    # Not detector.scores_, which are ranks: they find fewer planted errors.
    scores = evidence.number_scores(problem.given, predicted)
    trust = evidence.number_trust(scores, problem.given, predicted)
    return {
        "suggested": np.array([f"{value:.6g}" for value in predicted], dtype=object),
        "scores": scores,
        "state": _unless_blind(evidence.number_states(scores), trust),
        "trust": trust,
        "probabilities": None,
        "classes": np.array([], dtype=object),
        "signals": dict(signals),
        "n_trained": fitted.n_trained,
    }


def _unless_blind(state: np.ndarray, trust: Trust) -> np.ndarray:
    """The states; all unclear if the nets have learned nothing."""
    return state if trust.has_learned else np.full(len(state), evidence.UNCLEAR, dtype=object)


def _given_cells(table: Table, problem: Problem) -> np.ndarray:
    labels = table.column(problem.label)
    return np.array([labels[row] for row in problem.rows], dtype=object)


def state_counts(findings: Findings) -> pd.DataFrame:
    """Number of rows and suspects, and of rows in each state, for each class or range of numbers.

    The columns are "rows", "suspects" and the states; groups with many suspects come first.
    """
    groups = pd.Series(value_groups(findings))
    counts = pd.crosstab(groups, findings.state).reindex(columns=list(STATES), fill_value=0)
    counts.insert(0, "rows", groups.value_counts().reindex(counts.index))
    suspects = pd.Series(findings.is_suspect).groupby(groups).sum()
    counts.insert(1, "suspects", suspects.reindex(counts.index))
    by_size = counts.sort_values("rows", ascending=False, kind="stable")
    return by_size.sort_values("suspects", ascending=False, kind="stable")


def value_groups(findings: Findings, n_groups: int = 5) -> np.ndarray:
    """Group of each given label, for a figure: the class, or a range of numbers."""
    if findings.problem.task == "classification":
        shown = _short_names(findings.problem.spelling)
        return np.array([shown[label] for label in findings.problem.given], dtype=object)
    values = findings.problem.given
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n_groups + 1)))
    codes = np.searchsorted(edges[1:-1], values, side="right")
    names = [
        f"{i + 1}: {edges[i]:.4g} to {edges[i + 1]:.4g}" for i in range(max(len(edges) - 1, 1))
    ]
    return np.array(names, dtype=object)[codes]


def _short_names(labels: Iterable[str], width: int = 40) -> dict[str, str]:
    """Label -> a name that fits into a figure; different labels get different names."""
    names: dict[str, str] = {}
    used: set[str] = set()
    for label in labels:
        name = short = shorten(printable(label), width)
        count = itertools.count(2)
        while name in used:
            name = f"{short} ({next(count)})"
        used.add(name)
        names[label] = name
    return names


def label_changes(findings: Findings) -> list[tuple[tuple[str, str], int]]:
    """Pairs (given label, suggested label) of the suspects with counts, frequent pairs first."""
    suspects = findings.suspects
    pairs = pd.DataFrame(
        {"given": findings.given[suspects], "suggested": findings.suggested[suspects]}
    ).apply(lambda column: column.str.strip())
    counts = pairs.value_counts(sort=True)
    return [((str(given), str(new)), int(n)) for (given, new), n in counts.items()]
