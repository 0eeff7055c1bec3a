"""Displays in the style of scikit-learn: the constructor takes arrays, `plot` draws them.

Every display needs matplotlib when it draws. ``from_detector`` also needs pandas, because it reads
the detector's ``issues_``. :func:`rows_table` needs pandas and Jinja2. The extra ``audit`` installs
all three. This module can be imported without them.
"""

from skinfluence.plotting._axes import BLUE as BLUE
from skinfluence.plotting._axes import GREEN as GREEN
from skinfluence.plotting._axes import GREY as GREY
from skinfluence.plotting._axes import VERMILION as VERMILION
from skinfluence.plotting._influence import InfluenceDisplay
from skinfluence.plotting._retraining import AgreementDisplay, RemovalCurveDisplay
from skinfluence.plotting._rows import ImageGridDisplay, rows_table
from skinfluence.plotting._scores import DetectionCurveDisplay, ScoreDistributionDisplay
from skinfluence.plotting._suspects import SuspectRowsDisplay, SuspectShareDisplay

__all__ = [
    "AgreementDisplay",
    "DetectionCurveDisplay",
    "ImageGridDisplay",
    "InfluenceDisplay",
    "RemovalCurveDisplay",
    "ScoreDistributionDisplay",
    "SuspectRowsDisplay",
    "SuspectShareDisplay",
    "rows_table",
]
