"""The estimators that check what users hand in."""

import pytest
from sklearn.linear_model import LogisticRegression
from small import quick, scorer, selector

from skinfluence import FilteredEstimator, NoisyLabelDetector

ESTIMATORS = {
    "scorer": scorer,
    "detector": lambda: NoisyLabelDetector(quick(), cv=2, checkpoints=2, random_state=0),
    "selector": selector,
    "filtered": lambda: FilteredEstimator(LogisticRegression(), selector()),
}


@pytest.fixture(params=ESTIMATORS)
def make(request):
    """A function that makes one of the four estimators."""
    return ESTIMATORS[request.param]


@pytest.fixture(params=["scorer", "detector"])
def make_scorer(request):
    """A function that makes one of the two estimators that score rows."""
    return ESTIMATORS[request.param]
