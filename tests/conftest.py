"""Fixtures of several folders: pytest allows one conftest where doctests are collected."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from small import quick, scorer, selector

from skinfluence import FilteredEstimator, NoisyLabelDetector

# The nets are tiny: threads that wait for each other cost more than they save, and on a busy
# machine a hundred times more.
torch.set_num_threads(1)

ESTIMATORS = {
    "scorer": scorer,
    "detector": lambda: NoisyLabelDetector(quick(), cv=2, checkpoints=2, random_state=0),
    "selector": selector,
    "filtered": lambda: FilteredEstimator(LogisticRegression(), selector()),
}


@pytest.fixture(params=ESTIMATORS)
def make_estimator(request):
    """A function that makes one of the four estimators."""
    return ESTIMATORS[request.param]


@pytest.fixture(params=["scorer", "detector"])
def make_scorer(request):
    """A function that makes one of the two estimators that score rows."""
    return ESTIMATORS[request.param]


@pytest.fixture
def quick_audit(monkeypatch):
    """The audit command with a quick detector in place of the nets."""
    from small_audit import QuickDetector

    from skinfluence._audit import job

    def make_detector(options, problem):
        is_share = not isinstance(options.contamination, str)
        return QuickDetector(options.contamination if is_share else "auto")

    monkeypatch.setattr(job, "make_detector", make_detector)


@pytest.fixture
def audit_table(tmp_path):
    """Path of a small table with two wrong labels, in the rows 4 and 41."""
    from small_audit import mixed_csv

    path = tmp_path / "my table.csv"
    path.write_text(mixed_csv(), encoding="utf-8", newline="")
    return path
