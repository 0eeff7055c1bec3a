"""What the audit says while it runs: short, aligned, as wide as the terminal."""

import shutil
import sys

from skinfluence._audit.csv_table import display_name
from skinfluence.metrics import detection_report

MAX_CELL = 24


def say(text=""):
    """Print; characters that the terminal cannot show become question marks, not an error."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, errors="replace").decode(encoding), flush=True)


def describe_input(name, table, problem, *, is_default_label):
    """The table and the label, before the net trains."""
    say(
        f"table     {name}, {count(len(table.cells), 'row')} of {count(len(table.names), 'column')}"
    )
    why = " (the last column; --label names another)" if is_default_label else ""
    say(f"label     {one_line(problem.label_name)}{why}")
    if problem.task == "regression":
        low, high = problem.given.min(), problem.given.max()
        say(
            f"task      regression, from {low:.4g} to {high:.4g}"
            " (--task classification if these are classes)"
        )
    else:
        say(f"task      classification, {_class_counts(problem)}")
    if problem.n_missing:
        rows = count(problem.n_missing, "row")
        say(f"unjudged  {rows} without a label; kept in cleaned.csv as they are")
    if any(_looks_like_data(name) for name in table.names):
        say("note      the first line is taken for the header, and it holds numbers")


def describe_result(table, findings, *, top, output, action, n_changed):
    """Found culprits where they are known, the most suspect rows, and where the files are."""
    numeric, nominal = findings.n_columns
    inputs = count(findings.n_inputs, "input")
    say(f"features  {numeric} numeric, {nominal} categorical: {inputs} of the net")
    for reason, names in findings.left_out.items():
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        say(f"left out  {one_line(shown, 80)} ({reason})")
    n_suspects, n = len(findings.suspects), len(findings.rows)
    say()
    share = f"{n_suspects / n:.1%}"
    say(f"{n_suspects:,} suspects among {n:,} rows ({share}), in {findings.seconds:.0f} s")
    if findings.is_planted is not None:
        say(planted_sentence(findings))
    if top and n_suspects:
        say()
        for line in suspects_table(
            table, findings, top, shutil.get_terminal_size((100, 20)).columns
        ):
            say(line)
    say()
    done = "dropped" if action == "drop" else "relabelled"
    if n_changed < n_suspects:  # the net that did not see them says what was given
        done += f"; {n_suspects - n_changed} have no other label suggested"
    say(f"written   {output / 'report.html'}")
    say(f"          {output / 'suspects.csv'}  (the suspects, most suspect first)")
    say(f"          {output / 'cleaned.csv'}  ({count(n_changed, 'row')} {done})")


def planted_sentence(findings):
    """How many planted labels were found, beside what luck would find."""
    found = int(findings.is_planted[findings.suspects].sum())
    planted = int(findings.is_planted.sum())
    luck = len(findings.suspects) * planted / len(findings.rows)
    marks = detection_report(findings.is_planted, findings.scores)
    return (
        f"found {found} of {planted} planted wrong labels (random would find {luck:.0f}); "
        f"AUC {marks['roc_auc']:.3f}, average precision {marks['average_precision']:.3f}"
    )


def suspects_table(table, findings, top, width):
    """Lines of a table of the most suspect rows, with as many of their columns as fit."""
    chosen = findings.suspects[:top]
    columns = [
        ("row", [str(findings.rows[i] + 1) for i in chosen]),
        ("given", [findings.given[i] for i in chosen]),
        ("suggested", [findings.suggested[i] for i in chosen]),
        ("score", [f"{findings.scores[i]:.5f}" for i in chosen]),
    ]
    if findings.is_planted is not None:
        columns.append(("planted", ["yes" if findings.is_planted[i] else "no" for i in chosen]))
    ours = len(columns)
    left_out = {name for names in findings.left_out.values() for name in names}
    for position in range(len(table.names)):
        name = display_name(table, position)
        if position != findings.problem.label and name not in left_out:
            columns.append((name, [table.cells[findings.rows[i]][position] for i in chosen]))
    blocks, used = [], 0
    for number, (name, cells) in enumerate(columns):
        block = _block(name, cells)
        if number >= ours and used + len(block[0]) + 2 > width:
            break
        blocks.append(block)
        used += len(block[0]) + 2
    return ["  ".join(parts).rstrip() for parts in zip(*blocks, strict=True)]


def count(number, noun):
    """1 row, 2 rows."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def one_line(text, width=MAX_CELL):
    """Text that cannot upset a terminal: no control characters, no line ends, not too long."""
    text = "".join(char if char.isprintable() else " " for char in text.strip())
    return text if len(text) <= width else text[: width - 1] + "…"


def _block(name, cells):
    """One column, all lines of one width; numbers stand to the right."""
    name, cells = one_line(name), [one_line(cell) for cell in cells]
    width = max(map(len, [name, *cells]))
    is_right = all(cell.lstrip("+-").replace(".", "", 1).isdigit() for cell in cells if cell)
    return [text.rjust(width) if is_right else text.ljust(width) for text in [name, *cells]]


def _class_counts(problem):
    labels, counts = [], []
    for label in problem.spelling:
        labels.append(one_line(label))
        counts.append(int((problem.given == label).sum()))
    pairs = [f"{label} {number:,}" for label, number in zip(labels, counts, strict=True)]
    more = f", and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    return f"{len(pairs)} classes: {', '.join(pairs[:5])}{more}"


def _looks_like_data(name):
    try:
        float(name)
    except ValueError:
        return False
    return True
