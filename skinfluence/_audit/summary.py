"""Sentences on what was found and how far to trust it, for the terminal and the report."""

from __future__ import annotations

import numpy as np

from skinfluence._audit import evidence
from skinfluence._audit.evidence import STATES as STATES
from skinfluence._audit.findings import Findings, state_counts
from skinfluence._audit.labels import Problem, similar_spellings
from skinfluence._audit.streams import printable
from skinfluence._audit.table import Table, count, display_name, listed, shorten
from skinfluence.metrics import detection_report

MAX_CELL = 24

LARGE_SHARE = 0.25  # of a class among the suspects: a reason to warn


def set_aside_sentences(problem: Problem) -> list[str]:
    """How many rows cannot be judged, and why."""
    found = []
    for reason, rows in problem.set_aside.items():
        shown = listed(_rare_labels(problem), 5) if reason.startswith("a class") else ""
        found.append(f"{count(len(rows), 'row')} ({reason}{': ' + shown if shown else ''})")
    return found


def label_advice(problem: Problem) -> list[str]:
    """What the user may want to change in the label column before the next audit."""
    found = [
        f"{quoted(label)} is judged as a class, because it is as frequent as another class; if it "
        "means that a label is missing, empty these cells"
        for label in problem.markers
    ]
    if groups := similar_spellings(problem):
        shown = [" = ".join(_counted(problem, label) for label in group) for group in groups[:3]]
        more = f" and {len(groups) - 3} more" if len(groups) > 3 else ""
        found.append(
            f"labels that differ only in case, blanks or punctuation: {'; '.join(shown)}{more}; "
            "merge them if they mean the same"
        )
    n_rare = sum(label not in problem.spelling for label in problem.counts)
    if n_rare >= 20:
        found.append(
            f"{n_rare:,} of the {len(problem.counts):,} labels have too few rows; if the label is "
            "free text, merge spellings that mean the same"
        )
    return found


def trust_sentence(findings: Findings) -> str:
    """How well the labels of held-out rows are predicted, compared with chance."""
    trust = findings.trust
    if trust.measure == "accuracy":
        text = (
            f"{trust.value:.1%} of the held-out labels are predicted (± {trust.margin:.1%}; always "
            f"the most frequent class: {trust.chance:.1%})"
        )
    else:
        text = f"R² {trust.value:.2f} on held-out rows (always the mean: 0)"
    if trust.has_learned:
        return text
    return text + ": nothing was learned about this label, so no row can be judged"


def sample_sentence(findings: Findings) -> str:
    """How many rows the nets were trained on."""
    n, n_trained = len(findings.rows), findings.n_trained
    return (
        f"the nets were trained on {n_trained:,} of the {n:,} rows, to save time; the other rows "
        "are scored by all nets (--train-rows sets the number)"
    )


def cautions(table: Table, findings: Findings) -> list[str]:
    """Reasons to be careful with these findings."""
    trust, n = findings.trust, len(findings.rows)
    found = []
    if trust.sole_columns:
        names = listed([quoted(display_name(table, int(name))) for name in trust.sole_columns], 3)
        found.append(
            f"a column alone predicts the label almost perfectly: {names}; if it repeats the "
            "label, leave it out (--ignore), or wrong labels cannot be seen"
        )
    if trust.tied >= n / 4:
        found.append(
            f"{count(trust.tied, 'row')} share their score with another row; the order among them "
            "means nothing"
        )
    for name, group in state_counts(findings).iterrows():
        if group["suspects"] >= max(LARGE_SHARE * group["rows"], 2):
            found.append(
                f"{group['suspects']:,} of the {group['rows']:,} rows of {quoted(str(name))} are "
                "suspects: either many of these labels are wrong, or they cannot be predicted "
                "from these columns"
            )
    n_unclear, n_suspects = int((findings.state == evidence.UNCLEAR).sum()), len(findings.suspects)
    if trust.has_learned and n_suspects and n_unclear > max(2 * n_suspects, 0.1 * n):
        found.append(
            f"more rows are unclear ({n_unclear:,}) than suspect: "
            + ("classes overlap" if len(findings.classes) else "numbers are hard to predict")
            + ", so expect right labels among the suspects"
        )
    return found


def rows_sentence(table: Table, findings: Findings, action: str, n_changed: int) -> str:
    """What became of each row of the table: the numbers add up."""
    n_aside = findings.problem.n_set_aside
    parts = [f"{len(findings.rows) - n_changed:,} kept"]
    if action != "none":
        parts.append(f"{n_changed:,} {'dropped' if action == 'drop' else 'relabeled'}")
    parts.append(f"{n_aside:,} set aside" + (" (kept, not judged)" if n_aside else ""))
    return f"{len(table.cells):,} = {' + '.join(parts)}"


def planted_sentence(findings: Findings, is_planted: np.ndarray) -> str:
    """How many planted labels were found, compared with chance."""
    found = int(is_planted[findings.suspects].sum())
    planted = int(is_planted.sum())
    by_chance = len(findings.suspects) * planted / len(findings.rows)
    report = detection_report(is_planted, findings.scores)
    return (
        f"found {found} of {planted} planted wrong labels (chance would find {by_chance:.0f}); "
        f"AUC {report['roc_auc']:.3f}, average precision {report['average_precision']:.3f}"
    )


def one_line(text: str, width: int = MAX_CELL) -> str:
    """Text that is safe to print: no control characters, no line ends, at most `width` long."""
    return shorten(printable(text.strip()), width)


def quoted(text: str) -> str:
    """A label or a name in a sentence."""
    return f'"{one_line(text, 40)}"'


def _rare_labels(problem: Problem) -> list[str]:
    rare = [label for label in problem.counts if label not in problem.spelling]
    return [_counted(problem, label) for label in sorted(rare, key=lambda x: -problem.counts[x])]


def _counted(problem: Problem, label: str) -> str:
    return f"{quoted(label)} {problem.counts[label]:,}"
