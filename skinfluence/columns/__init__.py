"""A scikit-learn transformer that turns mixed columns into numbers, for nets.

`ColumnEncoder` reads numbers written as text, dates, categories and texts, and fills gaps. Put it
in front of any estimator: ``make_pipeline(ColumnEncoder(), NoisyLabelDetector())``.

Dates and texts need skrub, which is part of an extra: ``pip install "skinfluence[audit]"``.
"""

from skinfluence._extras import load

load("pandas", "audit", "skinfluence.columns")

from skinfluence.columns._encoder import ColumnEncoder  # noqa: E402

__all__ = ["ColumnEncoder"]
