"""Displays of suspects, the rows that a detector flags: shares per class, most suspect rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._data.arrays import check_classes, check_mask, check_numbers, check_values
from skinfluence._data.params import check_int, check_number
from skinfluence.plotting._axes import (
    BLUE,
    VERMILION,
    axes,
    check_detector,
    label_text,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class SuspectShareDisplay:
    """Share of suspects (rows flagged as mislabeled) in each class of the given labels.

    Parameters
    ----------
    classes : array-like of shape (n_classes,)
        Names of the bars.
    n_rows, n_suspects : array-like of shape (n_classes,)
        Number of rows and of suspects in each class.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that were drawn into.
    figure_ : matplotlib Figure
        The figure of these axes.
    bars_ : matplotlib BarContainer
        The bars.
    """

    def __init__(self, classes: Any, n_rows: ArrayLike, n_suspects: ArrayLike) -> None:
        self.classes = classes
        self.n_rows = n_rows
        self.n_suspects = n_suspects

    @classmethod
    def from_labels(
        cls, labels: ArrayLike, is_suspect: ArrayLike, *, ax: Axes | None = None, **kwargs: Any
    ) -> SuspectShareDisplay:
        """Count the rows and the suspects of each class, and draw the shares.

        Parameters
        ----------
        labels : array-like of shape (n_samples,)
            Given labels.
        is_suspect : array-like of bool of shape (n_samples,)
            True for the suspects.
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : SuspectShareDisplay
        """
        classes, codes = np.unique(check_classes("labels", labels), return_inverse=True)
        is_suspect = check_mask("is_suspect", is_suspect, codes.shape, "one value per label")
        counts = [np.bincount(rows, minlength=len(classes)) for rows in (codes, codes[is_suspect])]
        return cls(classes, *counts).plot(ax=ax, **kwargs)

    @classmethod
    def from_detector(
        cls, detector: Any, *, ax: Axes | None = None, **kwargs: Any
    ) -> SuspectShareDisplay:
        """Draw the shares of a fitted detector.

        Parameters
        ----------
        detector : NoisyLabelDetector
            A detector that was fitted to class labels.
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : SuspectShareDisplay
        """
        check_detector(detector)
        issues = detector.issues_
        return cls.from_labels(issues["given_label"], issues["is_suspect"], ax=ax, **kwargs)

    def plot(
        self, ax: Axes | None = None, *, max_classes: int = 20, **kwargs: Any
    ) -> SuspectShareDisplay:
        """Draw one bar per class.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        max_classes : int, default=20
            If there are more classes, only those with the largest shares are drawn.
        **kwargs : dict
            Passed to ``ax.barh``.

        Returns
        -------
        self : SuspectShareDisplay
        """
        classes = check_values("classes", self.classes)
        n_rows, n_suspects = (
            _check_counts(name, getattr(self, name), classes.shape)
            for name in ("n_rows", "n_suspects")
        )
        check_int("max_classes", max_classes, 1)
        self.ax_, self.figure_ = axes(ax)
        share = n_suspects / np.maximum(n_rows, 1)
        shown = np.arange(len(share))
        if len(share) > max_classes:
            shown = np.sort(np.argsort(-share, kind="stable")[:max_classes])
        names = [shorten(classes[i]) for i in shown]
        # Drawn by position: two long names may be equal once they are shortened.
        self.bars_ = self.ax_.barh(np.arange(len(shown)), share[shown], **{"color": BLUE, **kwargs})
        self.ax_.set_yticks(np.arange(len(shown)), names)
        counts = [f" {n_suspects[i]} of {n_rows[i]}" for i in shown]
        self.ax_.bar_label(self.bars_, counts)
        # Room for the counts, which the layout makes itself where the axis ends at 100%.
        self.ax_.set_xlim(0, min(max(share[shown].max(initial=0.0) * 1.4, 0.01), 1.0))
        from matplotlib.ticker import PercentFormatter

        self.ax_.xaxis.set_major_formatter(PercentFormatter(1))
        self.ax_.locator_params(axis="x", nbins=5)  # more labels would overlap in a narrow figure
        self.ax_.invert_yaxis()
        self.ax_.set(xlabel="share of suspects", ylabel="given label")
        return self


class SuspectRowsDisplay:
    """How far the score of each of the most suspect rows is below the threshold.

    Parameters
    ----------
    names : array-like of shape (n_rows,)
        Names of the bars, most suspect row first.
    scores : array-like of shape (n_rows,)
        Lower = more suspect.
    threshold : float
        Rows with a lower score are suspects.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that were drawn into.
    figure_ : matplotlib Figure
        The figure of these axes.
    bars_ : matplotlib BarContainer
        The bars.
    """

    def __init__(self, names: Any, scores: ArrayLike, *, threshold: float) -> None:
        self.names = names
        self.scores = scores
        self.threshold = threshold

    @classmethod
    def from_detector(
        cls, detector: Any, *, top: int = 10, ax: Axes | None = None, **kwargs: Any
    ) -> SuspectRowsDisplay:
        """Draw the most suspect rows of a fitted detector, named by their index and labels.

        Parameters
        ----------
        detector : NoisyLabelDetector
            A fitted detector.
        top : int, default=10
            Number of rows.
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : SuspectRowsDisplay
        """
        check_detector(detector)
        top = check_int("top", top, 1)
        worst = detector.issues_.sort_values("score", kind="stable").head(top)
        columns = zip(worst.index, worst["given_label"], worst["suggested_label"], strict=True)
        names = [
            f"{index}: {label_text(given)} → {label_text(suggested)}"
            for index, given, suggested in columns
        ]
        return cls(names, worst["score"].to_numpy(), threshold=detector.offset_).plot(
            ax=ax, **kwargs
        )

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> SuspectRowsDisplay:
        """Draw one bar per row.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to ``ax.barh``.

        Returns
        -------
        self : SuspectRowsDisplay
        """
        scores = check_numbers("scores", self.scores)
        names = check_values("names", self.names, scores.shape, "one name per score")
        threshold = check_number("threshold", self.threshold, "a number", lambda number: True)
        self.ax_, self.figure_ = axes(ax)
        depth = threshold - scores
        self.bars_ = self.ax_.barh(np.arange(len(depth)), depth, **{"color": VERMILION, **kwargs})
        self.ax_.set_yticks(np.arange(len(depth)), [shorten(name, 48) for name in names])
        self.ax_.invert_yaxis()
        self.ax_.set(xlabel="score below the threshold by", ylabel="row: given → suggested label")
        return self


def _check_counts(name: str, counts: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    numbers = check_numbers(name, counts, shape, "one count per class")
    if (numbers < 0).any() or (numbers != np.floor(numbers)).any():
        raise ValueError(
            f"{name} must hold counts of rows: whole numbers, 0 or more. Its smallest value is "
            f"{numbers.min():g}."
        )
    return numbers.astype(int)
