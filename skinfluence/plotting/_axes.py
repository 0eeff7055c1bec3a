"""Shared by the displays: axes, colors, text that matplotlib can print, a check of detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skinfluence._extras import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# The colors of Okabe and Ito, which remain distinct with the common kinds of color blindness.
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"


def axes(ax: Axes | None) -> tuple[Axes, Figure | SubFigure]:
    """The axes to draw into and their figure; None makes a new figure."""
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise need("audit", "drawing needs matplotlib") from error
        ax = plt.subplots(layout="constrained")[1]
    if not hasattr(ax, "figure") or not hasattr(ax, "plot"):
        raise TypeError(f"ax={ax!r}: expected a matplotlib Axes, or None for a new figure.")
    return ax, ax.figure


def label_text(label: object) -> str:
    """Text of a label; a float gets four significant digits."""
    return f"{label:.4g}" if isinstance(label, (float, np.floating)) else str(label)


def shorten(text: object, width: int = 24) -> str:
    """At most `width` characters of a text, safe for matplotlib."""
    # In matplotlib, "$" starts a formula. Texts with prices contain it, so escape it.
    text = str(text).replace("$", r"\$")
    return text if len(text) <= width else text[: width - 1] + "…"


def check_detector(detector: Any) -> None:
    """Raise unless a detector is fitted and has the table of issues that displays read."""
    if isinstance(detector, BaseEstimator):
        check_is_fitted(detector)
    if not hasattr(detector, "issues_"):
        raise TypeError(
            f"detector: expected a fitted NoisyLabelDetector, got {type(detector).__name__}. To "
            "draw other scores, use ScoreDistributionDisplay(scores).plot() or "
            "DetectionCurveDisplay.from_scores(is_noisy, scores)."
        )
