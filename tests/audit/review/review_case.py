"""Tables with findings that are made by hand, and programs of the page that node runs."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from skinfluence._audit.evidence import Trust
from skinfluence._audit.features import Prepared
from skinfluence._audit.findings import Findings
from skinfluence._audit.formats.delimited import table_from_columns
from skinfluence._audit.labels import read_problem
from skinfluence._audit.review import page

NODE = shutil.which("node")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)


def small_table(n=60, n_classes=3, columns=None):
    """Two numbers, a color and a label; the number `size` tells the class."""
    rng = np.random.RandomState(0)
    classes = [f"class {c}" for c in range(n_classes)]
    labels = [classes[i % n_classes] for i in range(n)]
    size = [f"{i % n_classes + 0.1 * rng.rand():.3f}" for i in range(n)]
    shape = [f"{rng.rand():.3f}" for _ in range(n)]
    color = [["red", "blue, dark", 'say "green"'][i % 3] for i in range(n)]
    found = {"size": size, "shape": shape, "color": color, **(columns or {}), "kind": labels}
    return table_from_columns(list(found), list(found.values()))


def findings_of(table, n_suspects=12, *, task="auto", X=None):
    """Findings in which the first rows are suspects and the suggestion is another class."""
    problem = read_problem(table, len(table.names) - 1, task=task)
    n = len(problem.rows)
    labels = table.column(problem.label)
    given = np.array([labels[row] for row in problem.rows], dtype=object)
    if problem.task == "regression":
        suggested = np.array([f"{value + 1:.6g}" for value in problem.given], dtype=object)
    else:
        names = list(problem.spelling.values())
        suggested = np.array(
            [names[(names.index(g) + 1) % len(names)] for g in given], dtype=object
        )
    if X is None:
        X = np.array([[float(cell) for cell in table.cells[row][:2]] for row in problem.rows])
    pair = () if problem.task == "regression" else (2,)
    signals = {"in_sample": np.zeros((n, *pair)), "out_of_sample": np.zeros((n, *pair))}
    if pair:
        signals["in_sample"] += [0.2, 0.7]
        signals["out_of_sample"] += [0.1, 0.8]
        signals["influence"] = np.full((n, 2), 0.5)
    is_suspect = np.arange(n) < n_suspects
    scores = np.where(is_suspect, -4.0, 3.0) + np.arange(n) / n
    kinds = {"0": "number", "1": "number"}
    return Findings(
        problem=problem,
        rows=problem.rows,
        given=given,
        suggested=suggested,
        scores=scores,
        state=np.where(is_suspect, "wrong", "right").astype(object),
        is_suspect=is_suspect,
        trust=Trust("accuracy", 0.9, 0.05, 0.4, True, 0, []),
        probabilities=np.tile(np.linspace(0, 1, len(problem.spelling)), (n, 1)) if pair else None,
        classes=np.array(sorted(problem.spelling), dtype=object),
        signals=signals,
        n_trained=n,
        threshold=0.0,
        order=np.argsort(scores, kind="stable"),
        prepared=Prepared(None, X, kinds, {}),
        seconds=1.0,
    )


def run_node(code, *data):
    """What a program prints as JSON; it sees the page's own files as modules, and `data`."""
    if NODE is None:
        pytest.skip("node is not installed: the program of the page is not tested without it")
    folder = page.files(page.__package__)
    program = f"""
    const {{ Review, parseCsv }} = require({json.dumps(str(folder / "logic.js"))});
    const {{ fitCurve, leftWrong, mayStop }} = require({json.dumps(str(folder / "estimate.js"))});
    const data = {json.dumps(data)};
    console.log(JSON.stringify((() => {{ {code} }})()));
    """
    done = subprocess.run([NODE, "-"], input=program, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def program(name):
    """The text of a JavaScript file in this folder."""
    return (Path(__file__).parent / f"{name}.js").read_text(encoding="utf-8")
