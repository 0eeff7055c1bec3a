"""The output of the audit in the terminal."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from skinfluence._audit import summary
from skinfluence._audit.evidence import STATES
from skinfluence._audit.findings import Findings, state_counts
from skinfluence._audit.issues import Issue
from skinfluence._audit.labels import Problem
from skinfluence._audit.streams import printable
from skinfluence._audit.summary import one_line
from skinfluence._audit.table import Table, count, display_name

MAX_GROUPS = 8  # classes or ranges in the table of states


def say(text: str = "") -> None:
    """Print one line; characters that the terminal cannot show become question marks."""
    text = printable(text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, errors="replace").decode(encoding), flush=True)


def describe_input(name: str, table: Table, problem: Problem, *, is_default_label: bool) -> None:
    """Print the table and its label, before training starts."""
    say(f"table     {name}: {count(len(table.cells), 'row')}, {count(len(table.names), 'column')}")
    why = " (the last column; --label chooses another)" if is_default_label else ""
    say(f"label     {one_line(problem.label_name)}{why}")
    if problem.task == "regression":
        low, high = problem.given.min(), problem.given.max()
        say(
            f"task      regression, numbers from {low:.4g} to {high:.4g}"
            " (use --task classification if they are classes)"
        )
    else:
        say(f"task      classification, {_class_counts(problem)}")
    for sentence in summary.set_aside_sentences(problem):
        say(f"set aside {sentence}")
    for sentence in summary.label_advice(problem):
        say(f"advice    {sentence}")
    for note in table.notes:
        say(f"note      {note}")


def describe_result(
    table: Table,
    findings: Findings,
    *,
    top: int,
    output: Path,
    action: str,
    n_changed: int,
    issues: Sequence[Issue] = (),
) -> None:
    """Print the number of suspects, the most suspect rows, and the paths of the files."""
    prepared = findings.prepared
    inputs = count(prepared.X.shape[1], "input")
    kinds = Counter(prepared.kinds.values())
    shown = ", ".join(count(number, f"{kind} column") for kind, number in kinds.items())
    say(f"features  {shown} ({inputs} of the net)")
    for reason, names in findings.prepared.left_out.items():
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        say(f"left out  {one_line(shown, 80)} ({reason})")
    if findings.n_trained < len(findings.rows):
        say(f"sample    {summary.sample_sentence(findings)}")
    for note in prepared.notes:
        say(f"note      {one_line(note, 160)}")
    say(f"trust     {summary.trust_sentence(findings)}")
    say()
    n_suspects, n = len(findings.suspects), len(findings.rows)
    suspects = f"{count(n_suspects, 'suspect')} in {count(n, 'row')} ({n_suspects / n:.1%})"
    say(f"{suspects}, found in {findings.seconds:.0f} s")
    if findings.is_planted is not None:
        say(summary.planted_sentence(findings, findings.is_planted))
    say()
    for line in states_table(findings):
        say(line)
    for sentence in summary.cautions(table, findings):
        say(f"caution   {sentence}")
    if issues:
        say()
        say("other issues:")
    for issue in issues:
        say(f"  {issue.kind:<16}{issue.summary}")
    if top and n_suspects:
        say()
        for line in suspects_table(
            table, findings, top, shutil.get_terminal_size((100, 20)).columns
        ):
            say(line)
    say()
    say(f"rows      {summary.rows_sentence(table, findings, action, n_changed)}")
    _say_files(table, findings, output, action, n_changed)


def _say_files(table: Table, findings: Findings, output: Path, action: str, n_changed: int) -> None:
    say(f"written   {output / 'report.html'}")
    say(f"          {output / 'suspects.csv'}  (the suspects, most suspect first)")
    say(f"          {output / 'scores.csv'}  (the score and the state of every row)")
    say(f"          {output / 'issues.csv'}  (the other issues)")
    if action == "none":
        say("          (--action drop or relabel also writes a cleaned table)")
        return
    done = "dropped" if action == "drop" else "relabeled"
    n_suspects = len(findings.suspects)
    if n_changed < n_suspects:  # the suggested label, predicted out of sample, may be the given one
        n_same = n_suspects - n_changed
        done += f"; for {count(n_same, 'suspect')} the suggested label is the given label"
    say(f"          {output / table.cleaned_name}  ({count(n_changed, 'row')} {done})")


def states_table(findings: Findings) -> list[str]:
    """Lines with the number of rows in each state, for each class or range of numbers."""
    counts = state_counts(findings)
    shown = counts.head(MAX_GROUPS)
    share = [f"{part / of:.0%}" for part, of in zip(shown["suspects"], shown["rows"], strict=True)]
    columns = [
        ("class" if len(findings.classes) else "range", list(shown.index)),
        ("rows", [f"{number:,}" for number in shown["rows"]]),
        ("suspects", [f"{number:,}" for number in shown["suspects"]]),
        ("share", share),
    ]
    # If the suspects are the rows called wrong, one column shows both.
    states = STATES[1:] if (counts["wrong"] == counts["suspects"]).all() else STATES
    columns += [(state, [f"{number:,}" for number in shown[state]]) for state in states]
    blocks = [_block(name, cells) for name, cells in columns]
    lines = ["  ".join(parts).rstrip() for parts in zip(*blocks, strict=True)]
    n_hidden = len(counts) - len(shown)
    return [*lines, f"and {n_hidden} more"] if n_hidden else lines


def suspects_table(table: Table, findings: Findings, top: int, width: int) -> list[str]:
    """Lines that show the most suspect rows, with as many columns as fit into the width."""
    chosen = findings.suspects[:top]
    columns = [
        ("row", [str(findings.rows[i] + 1) for i in chosen]),
        ("given", [findings.given[i] for i in chosen]),
        ("suggested", [findings.suggested[i] for i in chosen]),
        ("score", [f"{findings.scores[i]:.5f}" for i in chosen]),
    ]
    if findings.is_planted is not None:
        columns.append(("planted", ["yes" if findings.is_planted[i] else "no" for i in chosen]))
    n_added = len(columns)
    left_out = {name for names in findings.prepared.left_out.values() for name in names}
    for position in range(len(table.names)):
        name = display_name(table, position)
        if position != findings.problem.label and name not in left_out:
            columns.append((name, [table.cells[findings.rows[i]][position] for i in chosen]))
    blocks: list[list[str]] = []
    used = 0
    for number, (name, cells) in enumerate(columns):
        block = _block(name, cells)
        if number >= n_added and used + len(block[0]) + 2 > width:
            break
        blocks.append(block)
        used += len(block[0]) + 2
    return ["  ".join(parts).rstrip() for parts in zip(*blocks, strict=True)]


def _block(name: str, cells: Sequence[str]) -> list[str]:
    """Lines of one column, all of the same width; numbers are aligned to the right."""
    name, cells = one_line(name), [one_line(cell) for cell in cells]
    width = max(map(len, [name, *cells]))
    is_right = all(map(_is_number, filter(None, cells)))
    return [text.rjust(width) if is_right else text.ljust(width) for text in [name, *cells]]


def _is_number(cell: str) -> bool:
    return cell.strip("+-%").replace(",", "").replace(".", "", 1).isdigit()


def _class_counts(problem: Problem) -> str:
    counts = Counter(problem.given)  # a comparison in NumPy would ignore a NUL at the end
    pairs = [f"{one_line(label)} {counts[label]:,}" for label in problem.spelling]
    more = f", and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    return f"{len(pairs)} classes: {', '.join(pairs[:5])}{more}"
