"""Displays of the distribution of scores, and of how many mislabeled rows low scores find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._data.arrays import check_mask, check_numbers
from skinfluence._data.params import check_int, check_number
from skinfluence.metrics import detection_curve, detection_report
from skinfluence.plotting._axes import BLUE, GREEN, GREY, VERMILION, axes, check_detector

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ScoreDistributionDisplay:
    """Histogram of the scores, with the threshold below which rows are suspects.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Lower = more suspect.
    threshold : float or None, default=None
        Rows with a lower score are suspects. None draws no line.
    is_noisy : array-like of bool of shape (n_samples,) or None, default=None
        Rows known to be mislabeled, drawn in a second color.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that were drawn into.
    figure_ : matplotlib Figure
        The figure of these axes.
    """

    def __init__(
        self,
        scores: ArrayLike,
        *,
        threshold: float | None = None,
        is_noisy: ArrayLike | None = None,
    ) -> None:
        self.scores = scores
        self.threshold = threshold
        self.is_noisy = is_noisy

    @classmethod
    def from_detector(
        cls,
        detector: Any,
        *,
        is_noisy: ArrayLike | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> ScoreDistributionDisplay:
        """Draw the scores and the threshold of a fitted detector.

        Parameters
        ----------
        detector : NoisyLabelDetector
            A fitted detector; its ``scores_`` and ``offset_`` are drawn.
        is_noisy : array-like of bool of shape (n_samples,) or None, default=None
            Rows known to be mislabeled.
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : ScoreDistributionDisplay
        """
        check_detector(detector)
        return cls(detector.scores_, threshold=detector.offset_, is_noisy=is_noisy).plot(
            ax=ax, **kwargs
        )

    def plot(
        self, ax: Axes | None = None, *, bins: Any = 40, **kwargs: Any
    ) -> ScoreDistributionDisplay:
        """Draw the histogram.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        bins : int, str or array-like, default=40
            Bins of the histogram: their number, the name of a NumPy rule such as "auto", or their
            edges.
        **kwargs : dict
            Passed to ``ax.hist``.

        Returns
        -------
        self : ScoreDistributionDisplay
        """
        scores = check_numbers("scores", self.scores)
        if self.threshold is not None:
            check_number("threshold", self.threshold, "a number, or None", lambda number: True)
        noisy = np.zeros(len(scores), dtype=bool)
        if self.is_noisy is not None:
            noisy = check_mask("is_noisy", self.is_noisy, scores.shape, "one value per score")
        bins = _check_bins(bins)
        self.ax_, self.figure_ = axes(ax)
        if self.is_noisy is None:
            self.ax_.hist(scores, bins=bins, **{"color": BLUE, **kwargs})
        else:
            parts: dict[str, Any] = {
                "color": [BLUE, VERMILION],
                "label": ["other rows", "known wrong labels"],
                "stacked": True,
            }
            self.ax_.hist([scores[~noisy], scores[noisy]], bins=bins, **{**parts, **kwargs})
        if self.threshold is not None:
            share = np.mean(scores < self.threshold)
            self.ax_.axvline(
                self.threshold, color="black", linestyle="--", label=f"threshold: {share:.0%} below"
            )
        if self.threshold is not None or self.is_noisy is not None:
            # Above the axes: scores that are ranks leave no free space inside.
            self.ax_.legend(
                loc="lower center",
                bbox_to_anchor=(0.5, 1),
                ncols=3,
                frameon=False,
                fontsize="small",
                columnspacing=1,
                handlelength=1.5,
            )
        self.ax_.set(xlabel="score (lower = more suspect)", ylabel="rows")
        return self


class DetectionCurveDisplay:
    """Share of mislabeled rows found against share of rows inspected, most suspect first.

    Parameters
    ----------
    inspected, found : array-like of shape (n_points,)
        As returned by :func:`skinfluence.metrics.detection_curve`.
    noise_rate : float or None, default=None
        Share of mislabeled rows. If given, the curve of a perfect detector is drawn as well.
    roc_auc : float or None, default=None
        Area under the ROC curve, shown in the legend.
    contamination : float or None, default=None
        Share of the rows that were flagged. It is marked on the curve.
    name : str or None, default=None
        Name of the curve in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that were drawn into.
    figure_ : matplotlib Figure
        The figure of these axes.
    line_ : matplotlib Line2D
        The curve.
    """

    def __init__(
        self,
        inspected: ArrayLike,
        found: ArrayLike,
        *,
        noise_rate: float | None = None,
        roc_auc: float | None = None,
        contamination: float | None = None,
        name: str | None = None,
    ) -> None:
        self.inspected = inspected
        self.found = found
        self.noise_rate = noise_rate
        self.roc_auc = roc_auc
        self.contamination = contamination
        self.name = name

    @classmethod
    def from_scores(
        cls,
        is_noisy: ArrayLike,
        scores: ArrayLike,
        *,
        contamination: float | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> DetectionCurveDisplay:
        """Draw the curve of any scores.

        Parameters
        ----------
        is_noisy : array-like of bool of shape (n_samples,)
            True where the label is known to be wrong.
        scores : array-like of shape (n_samples,)
            Lower = more suspect.
        contamination, name : see :class:`DetectionCurveDisplay`
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : DetectionCurveDisplay
        """
        inspected, found = detection_curve(is_noisy, scores)
        auc = detection_report(is_noisy, scores)["roc_auc"]
        rate = float(np.mean(check_mask("is_noisy", is_noisy)))
        display = cls(
            inspected, found, noise_rate=rate, roc_auc=auc, contamination=contamination, name=name
        )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_detector(
        cls,
        detector: Any,
        is_noisy: ArrayLike,
        *,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> DetectionCurveDisplay:
        """Draw the curve of a fitted detector.

        Parameters
        ----------
        detector : NoisyLabelDetector
            A fitted detector.
        is_noisy : array-like of bool of shape (n_samples,)
            For each row that the detector was fitted to, True if its label is known to be wrong.
        name : str or None, default=None
            Name of the curve in the legend; None means the name of the class.
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : DetectionCurveDisplay
        """
        check_detector(detector)
        flagged = 1 - float(np.mean(detector.inlier_mask_))
        name = type(detector).__name__ if name is None else name
        return cls.from_scores(
            is_noisy, detector.scores_, contamination=flagged, name=name, ax=ax, **kwargs
        )

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> DetectionCurveDisplay:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure. Several curves may share their axes.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        self : DetectionCurveDisplay
        """
        inspected = check_numbers("inspected", self.inspected)
        found = check_numbers("found", self.found, inspected.shape, "one share per point")
        for share in ("noise_rate", "roc_auc", "contamination"):
            _check_share(share, getattr(self, share))
        self.ax_, self.figure_ = axes(ax)
        name = "detector" if self.name is None else self.name
        label = name if self.roc_auc is None else f"{name} (AUC {self.roc_auc:.3f})"
        drawn = {line.get_label() for line in self.ax_.lines}  # by an earlier display
        color = {} if "random order" in drawn else {"color": BLUE}
        style: dict[str, Any] = {**color, "linewidth": 2, "label": label, **kwargs}
        (self.line_,) = self.ax_.plot(inspected, found, **style)
        if self.noise_rate is not None and "perfect" not in drawn:
            self.ax_.plot(
                [0, self.noise_rate, 1], [0, 1, 1], color=GREEN, linestyle="--", label="perfect"
            )
        if "random order" not in drawn:
            self.ax_.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="random order")
        if self.contamination is not None:
            self._mark(self.contamination, inspected, found)
        self.ax_.set(xlabel="share of rows inspected", ylabel="share of wrong labels found")
        self.ax_.set(xlim=(0, 1), ylim=(0, 1.02))
        self.ax_.legend(loc="lower right", frameon=False)
        return self

    def _mark(self, contamination: float, inspected: np.ndarray, found: np.ndarray) -> None:
        """Mark the share of the rows that were flagged."""
        reached = np.interp(contamination, inspected, found)
        self.ax_.plot(
            contamination,
            reached,
            "o",
            color=VERMILION,
            clip_on=False,
            zorder=3,
            label=f"flagged: {reached:.0%} found",
        )


def _check_share(name: str, share: float | None) -> None:
    if share is not None:
        check_number(name, share, "a number from 0 to 1, or None", lambda s: 0 <= s <= 1)


def _check_bins(bins: Any) -> Any:
    """Return the bins of a histogram: their number, a rule of NumPy, or their edges."""
    if isinstance(bins, str):
        return bins
    if not hasattr(bins, "__len__"):
        return check_int("bins", bins, 1)
    edges = check_numbers("bins", bins)
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise ValueError(f"bins={bins!r}: expected two or more edges in ascending order.")
    return edges
