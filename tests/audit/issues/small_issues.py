"""Tables in memory, and the context of the kinds of issues for them."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

pd = pytest.importorskip("pandas")
pytest.importorskip("skrub")

# isort: split
from skinfluence._audit.features import prepare  # noqa: E402
from skinfluence._audit.issues import Context  # noqa: E402
from skinfluence._audit.labels import read_problem  # noqa: E402
from skinfluence._audit.options import Options  # noqa: E402
from skinfluence._audit.stored_text import Column, Form  # noqa: E402
from skinfluence._audit.table import Table  # noqa: E402

OPTIONS = Options(embed="none")


def table_of(columns):
    """A table of the columns of a dict; numbers are written as text."""
    cells = {name: [_text(value) for value in values] for name, values in columns.items()}
    rows = [list(row) for row in zip(*cells.values(), strict=True)]
    return Table(list(cells), [Column.of(c) for c in cells.values()], rows, Form(), source=None)


def _text(value):
    return value if isinstance(value, str) else f"{value:.6g}"


def context_of(columns, label="y", *, suggested=None, suspects=(), against=None, **others):
    """The context after an audit that found `suspects` and suggested these labels."""
    table = table_of(columns)
    problem = read_problem(table, table.find_column(label), **others)
    is_suspect = np.zeros(len(problem.rows), dtype=bool)
    is_suspect[list(suspects)] = True
    return Context(
        table=table,
        problem=problem,
        prepared=prepare(table, problem.label, problem.rows, Options(embed="none")),
        suggested=problem.given if suggested is None else np.asarray(suggested),
        is_suspect=is_suspect,
        against=None if against is None else table_of(against),
    )


def clean_columns(seed, n=400):
    """A table without faults: numbers of several shapes, categories, and a label of two classes."""
    rng = np.random.default_rng(seed)
    numbers = {
        "normal": rng.standard_normal(n),
        "other": rng.standard_normal(n) * 20 + 100,
        "even": rng.random(n),
        "skewed": rng.lognormal(size=n),
        "count": rng.poisson(4, n).astype(float),
    }
    categories = {
        "color": rng.choice(["red", "green", "blue"], n),
        "size": rng.choice(["S", "M", "L", "XL"], n, p=[0.4, 0.3, 0.2, 0.1]),
    }
    signal = numbers["normal"] + (categories["color"] == "red") - np.log(numbers["skewed"])
    is_yes = signal + rng.standard_normal(n) > 0
    return {**numbers, **categories, "y": np.where(is_yes, "yes", "no")}


def clean_context(seed, n=400):
    """The clean table after an audit by a linear model."""

    context = context_of(clean_columns(seed, n))
    codes, classes = pd.factorize(context.problem.given, sort=True)
    proba = cross_val_predict(
        LogisticRegression(max_iter=1000), context.prepared.X, codes, cv=3, method="predict_proba"
    )
    rng = np.random.default_rng(seed)
    return replace(
        context,
        suggested=np.asarray(classes, dtype=object)[proba.argmax(1)],
        probabilities=proba,
        classes=np.asarray(classes, dtype=object),
        is_suspect=rng.random(len(codes)) < 0.1,
    )
