"""A small table, a quick detector in place of the nets, and a way to run the command on them."""

import csv

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_predict

# Tests that import this file are skipped without the extra `audit`.
for package in ("pandas", "matplotlib", "jinja2", "skrub"):
    pytest.importorskip(package)


class QuickDetector:
    """The detector's interface, on out-of-sample predictions of a linear model."""

    def __init__(self, contamination="auto"):
        self.contamination = contamination

    def fit_predict(self, X, y):
        assert np.isfinite(X).all()
        if y.dtype.kind == "f":
            self.model = Ridge().fit(X, y)
            predicted = cross_val_predict(Ridge(), X, y)
            self.scores_ = -np.abs(predicted - y)
            self.signals_ = {"in_sample": predicted, "out_of_sample": predicted}
        else:
            self.model = LogisticRegression(max_iter=1000)
            proba = cross_val_predict(self.model, X, y, cv=2, method="predict_proba")
            self.scores_ = self.log_odds(proba, y)
            self.model.fit(X, y)
            self.signals_ = {"in_sample": proba, "out_of_sample": proba, "influence": proba}
        self.contamination_ = 0.1 if self.contamination == "auto" else self.contamination
        return np.where(self.scores_ >= np.quantile(self.scores_, self.contamination_), 1, -1)

    def predict_out_of_sample(self, X):
        is_number = isinstance(self.model, Ridge)
        return self.model.predict(X) if is_number else self.model.predict_proba(X)

    def score_samples(self, X, y):
        return self.log_odds(self.predict_out_of_sample(X), y)

    @staticmethod
    def log_odds(proba, y):
        of_given = proba[np.arange(len(y)), y]
        return np.log(of_given) - np.log1p(-of_given)


def mixed_csv(n=80, wrong=(3, 40), sep=",", newline="\n"):
    """A table whose label follows from `size`, two labels wrong, with all kinds of columns."""
    lines = [sep.join(["id", "zip", "size", "color", "note", "half", "empty", "same", "kind"])]
    for i in range(n):
        is_big = (i % 2 == 0) != (i in wrong)
        size = f"{2 if i % 2 == 0 else 1}.{i % 7}0"
        color = ["red", "", "NA", '"blue, dark"' if sep == "," else "blue"][i % 4]
        half = "1" if i % 3 else ""
        cells = [f"row-{i}", f"{i % 5:03d}", size, color, f" x{i % 3} ", half, "", "c"]
        lines.append(sep.join([*cells, "big" if is_big else "small"]))
    return newline.join(lines) + newline


def run(*arguments):
    """Run the command; returns the exit code."""
    from skinfluence.__main__ import main

    return main(["audit", *map(str, arguments)])


def read(path):
    """Records of a CSV file."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))
