"""Displays of scores, suspects, and how many culprits are among them."""

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skinfluence.metrics import detection_curve, detection_report
from skinfluence.plotting._axes import BLUE, GREEN, GREY, VERMILION, axes, label_text, shorten


class ScoreDistributionDisplay:
    """Histogram of the scores with the threshold below which a row is a suspect.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Lower = more suspect.
    threshold : float or None, default=None
        Rows below it are suspects; None draws no line.
    is_noisy : array-like of bool of shape (n_samples,) or None, default=None
        Known culprits, drawn in a colour of their own.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(self, scores, *, threshold=None, is_noisy=None):
        self.scores = scores
        self.threshold = threshold
        self.is_noisy = is_noisy

    @classmethod
    def from_detector(cls, detector, *, is_noisy=None, ax=None, **kwargs):
        """Draw a fitted detector's `scores_` and `offset_`; other arguments as in `plot`."""
        _check_detector(detector)
        return cls(detector.scores_, threshold=detector.offset_, is_noisy=is_noisy).plot(
            ax=ax, **kwargs
        )

    def plot(self, ax=None, *, bins=40, **kwargs):
        """Draw into `ax` or a new figure; `bins` and the rest go to ``ax.hist``. Returns self."""
        self.ax_, self.figure_ = axes(ax)
        scores = np.asarray(self.scores)
        if self.is_noisy is None:
            self.ax_.hist(scores, bins=bins, **{"color": BLUE, **kwargs})
        else:
            noisy = np.asarray(self.is_noisy, dtype=bool)
            parts = {
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
            # above the bars: scores that are ranks fill the axes to the brim
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
    """Share of the known culprits found against share of the rows inspected, most suspect first.

    Parameters
    ----------
    inspected, found : array-like of shape (n_points,)
        As `skinfluence.metrics.detection_curve` returns them.
    noise_rate : float or None, default=None
        Share of culprits among all rows; draws the curve of a perfect detector.
    roc_auc : float or None, default=None
        Shown in the legend.
    contamination : float or None, default=None
        Share of the rows that was flagged; marked on the curve.
    name : str or None, default=None
        Name of the curve in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
    """

    def __init__(
        self, inspected, found, *, noise_rate=None, roc_auc=None, contamination=None, name=None
    ):
        self.inspected = inspected
        self.found = found
        self.noise_rate = noise_rate
        self.roc_auc = roc_auc
        self.contamination = contamination
        self.name = name

    @classmethod
    def from_scores(cls, is_noisy, scores, *, contamination=None, name=None, ax=None, **kwargs):
        """Draw the curve of any scores (lower = more suspect) against the truth."""
        inspected, found = detection_curve(is_noisy, scores)
        auc = detection_report(is_noisy, scores)["roc_auc"]
        rate = float(np.mean(is_noisy))
        display = cls(
            inspected, found, noise_rate=rate, roc_auc=auc, contamination=contamination, name=name
        )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_detector(cls, detector, is_noisy, *, name=None, ax=None, **kwargs):
        """Draw the curve of a fitted detector against the truth about the rows it was fitted on."""
        _check_detector(detector)
        flagged = 1 - float(np.mean(detector.inlier_mask_))
        name = type(detector).__name__ if name is None else name
        return cls.from_scores(
            is_noisy, detector.scores_, contamination=flagged, name=name, ax=ax, **kwargs
        )

    def plot(self, ax=None, **kwargs):
        """Draw into `ax` or a new figure; the rest goes to ``ax.plot``. Returns self."""
        self.ax_, self.figure_ = axes(ax)
        name = "detector" if self.name is None else self.name
        label = name if self.roc_auc is None else f"{name} (AUC {self.roc_auc:.3f})"
        known = {line.get_label() for line in self.ax_.lines}  # of curves drawn here before
        colour = {} if "random order" in known else {"color": BLUE}
        style = {**colour, "linewidth": 2, "label": label, **kwargs}
        (self.line_,) = self.ax_.plot(self.inspected, self.found, **style)
        if self.noise_rate is not None and "perfect" not in known:
            self.ax_.plot(
                [0, self.noise_rate, 1], [0, 1, 1], color=GREEN, linestyle="--", label="perfect"
            )
        if "random order" not in known:
            self.ax_.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="random order")
        if self.contamination is not None:
            reached = np.interp(self.contamination, self.inspected, self.found)
            text = f"flagged: {reached:.0%} found"
            self.ax_.plot(
                self.contamination,
                reached,
                "o",
                color=VERMILION,
                clip_on=False,
                zorder=3,
                label=text,
            )
        self.ax_.set(xlabel="share of rows inspected", ylabel="share of wrong labels found")
        self.ax_.set(xlim=(0, 1), ylim=(0, 1.02))
        self.ax_.legend(loc="lower right", frameon=False)
        return self


class SuspectShareDisplay:
    """Share of suspects in each class of the given labels.

    Parameters
    ----------
    classes : array-like of shape (n_classes,)
        What to write beside each bar.
    n_rows, n_suspects : array-like of shape (n_classes,)
        Rows and suspects of each class.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : matplotlib BarContainer
    """

    def __init__(self, classes, n_rows, n_suspects):
        self.classes = classes
        self.n_rows = n_rows
        self.n_suspects = n_suspects

    @classmethod
    def from_labels(cls, labels, is_suspect, *, ax=None, **kwargs):
        """Count and draw; `labels` are the given labels, `is_suspect` a mask over the same rows."""
        classes, codes = np.unique(np.asarray(labels), return_inverse=True)
        is_suspect = np.asarray(is_suspect, dtype=bool)
        counts = [np.bincount(rows, minlength=len(classes)) for rows in (codes, codes[is_suspect])]
        return cls(classes, *counts).plot(ax=ax, **kwargs)

    @classmethod
    def from_detector(cls, detector, *, ax=None, **kwargs):
        """Draw from a fitted classifier detector's `issues_`."""
        _check_detector(detector)
        issues = detector.issues_
        return cls.from_labels(issues["given_label"], issues["is_suspect"], ax=ax, **kwargs)

    def plot(self, ax=None, *, max_classes=20, **kwargs):
        """Draw into `ax` or a new figure; of many classes the `max_classes` with the largest share.

        The rest goes to ``ax.barh``. Returns self.
        """
        self.ax_, self.figure_ = axes(ax)
        n_rows, n_suspects = np.asarray(self.n_rows), np.asarray(self.n_suspects)
        share = n_suspects / np.maximum(n_rows, 1)
        shown = np.arange(len(share))
        if len(share) > max_classes:
            shown = np.sort(np.argsort(-share, kind="stable")[:max_classes])
        names = [shorten(self.classes[i]) for i in shown]
        # drawn by position: two long names may be the same once they are shortened
        self.bars_ = self.ax_.barh(np.arange(len(shown)), share[shown], **{"color": BLUE, **kwargs})
        self.ax_.set_yticks(np.arange(len(shown)), names)
        counts = [f" {n_suspects[i]} of {n_rows[i]}" for i in shown]
        self.ax_.bar_label(self.bars_, counts)
        self.ax_.set_xlim(0, max(share[shown].max(initial=0.0) * 1.4, 0.01))
        from matplotlib.ticker import PercentFormatter

        self.ax_.xaxis.set_major_formatter(PercentFormatter(1))
        self.ax_.invert_yaxis()
        self.ax_.set(xlabel="share of suspects", ylabel="given label")
        return self


class SuspectRowsDisplay:
    """How far below the threshold the most suspect rows lie.

    Parameters
    ----------
    names : array-like of shape (n_rows,)
        What to write beside each bar, most suspect first.
    scores : array-like of shape (n_rows,)
        Lower = more suspect.
    threshold : float
        Rows below it are suspects.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : matplotlib BarContainer
    """

    def __init__(self, names, scores, *, threshold):
        self.names = names
        self.scores = scores
        self.threshold = threshold

    @classmethod
    def from_detector(cls, detector, *, top=10, ax=None, **kwargs):
        """Draw the `top` most suspect rows of a fitted detector, by index and labels."""
        _check_detector(detector)
        if not isinstance(top, Integral) or top < 1:
            raise ValueError(f"top={top!r}: expected an integer, 1 or more.")
        worst = detector.issues_.sort_values("score", kind="stable").head(top)
        columns = zip(worst.index, worst["given_label"], worst["suggested_label"], strict=True)
        names = [
            f"{index}: {label_text(given)} → {label_text(suggested)}"
            for index, given, suggested in columns
        ]
        return cls(names, worst["score"].to_numpy(), threshold=detector.offset_).plot(
            ax=ax, **kwargs
        )

    def plot(self, ax=None, **kwargs):
        """Draw into `ax` or a new figure; the rest goes to ``ax.barh``. Returns self."""
        self.ax_, self.figure_ = axes(ax)
        depth = self.threshold - np.asarray(self.scores, dtype=float)
        self.bars_ = self.ax_.barh(np.arange(len(depth)), depth, **{"color": VERMILION, **kwargs})
        self.ax_.set_yticks(np.arange(len(depth)), [shorten(name, 48) for name in self.names])
        self.ax_.invert_yaxis()
        self.ax_.set(xlabel="score below the threshold by", ylabel="row: given → suggested label")
        return self


def _check_detector(detector):
    if isinstance(detector, BaseEstimator):
        check_is_fitted(detector)
    if not hasattr(detector, "issues_"):
        raise TypeError(
            f"expected a fitted NoisyLabelDetector, got {type(detector).__name__}. Scores of any "
            "kind are drawn by ScoreDistributionDisplay(scores).plot() and "
            "DetectionCurveDisplay.from_scores(is_noisy, scores)."
        )
