"""Displays in scikit-learn's manner: arrays in the constructor, matplotlib only in `plot`."""

from skinfluence.plotting._axes import BLUE, GREEN, GREY, VERMILION
from skinfluence.plotting._detection import (
    DetectionCurveDisplay,
    ScoreDistributionDisplay,
    SuspectRowsDisplay,
    SuspectShareDisplay,
)
from skinfluence.plotting._influence import InfluenceDisplay
from skinfluence.plotting._retraining import AgreementDisplay, RemovalCurveDisplay
from skinfluence.plotting._rows import ImageGridDisplay, rows_table

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "VERMILION",
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
