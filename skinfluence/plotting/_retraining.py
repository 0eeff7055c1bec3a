"""Displays that compare scores with retraining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._data.arrays import check_numbers
from skinfluence.metrics import leave_one_out_correlation
from skinfluence.plotting._axes import BLUE, GREY, VERMILION, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection


class RemovalCurveDisplay:
    """Performance of a retrained estimator against the share of rows dropped.

    The first curve drops the rows with the lowest scores first. Two more curves, for the rows with
    the highest scores and for random rows, are optional.

    Parameters
    ----------
    fractions : array-like of shape (n_fractions,)
        Shares of the rows that were dropped.
    lowest : array-like of shape (n_fractions,)
        Performance after training without the rows with the lowest scores.
    highest : array-like of shape (n_fractions,) or None, default=None
        Performance after training without the rows with the highest scores.
    random : array-like of shape (n_fractions, n_random) or None, default=None
        Performance after training without random rows, one column per draw. The plot shows the mean
        over the draws, with a band of one standard deviation on either side.
    score_name : str, default="score"
        Name of the performance measure, for the label of the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that were drawn into.
    figure_ : matplotlib Figure
        The figure of these axes.
    lines_ : list of matplotlib Line2D
        The curves that are drawn, in the order lowest, highest, random.
    band_ : matplotlib PolyCollection or None
        The band of the random draws; None if there are fewer than two draws.
    """

    def __init__(
        self,
        fractions: ArrayLike,
        lowest: ArrayLike,
        *,
        highest: ArrayLike | None = None,
        random: ArrayLike | None = None,
        score_name: str = "score",
    ) -> None:
        self.fractions = fractions
        self.lowest = lowest
        self.highest = highest
        self.random = random
        self.score_name = score_name

    @classmethod
    def from_curve(
        cls, curve: Any, *, ax: Axes | None = None, **kwargs: Any
    ) -> RemovalCurveDisplay:
        """Draw a removal curve.

        Parameters
        ----------
        curve : RemovalCurve
            As returned by :func:`skinfluence.retraining.removal_curve`.
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        display : RemovalCurveDisplay
        """
        if not hasattr(curve, "fractions") or not hasattr(curve, "lowest"):
            raise TypeError(f"curve={curve!r}: expected the result of removal_curve.")
        display = cls(
            curve.fractions,
            curve.lowest,
            highest=curve.highest,
            random=curve.random,
            score_name=curve.score_name,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> RemovalCurveDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to ``ax.plot``.

        Returns
        -------
        self : RemovalCurveDisplay
        """
        fractions = check_numbers("fractions", self.fractions)
        lowest = self._one_per_fraction("lowest", self.lowest, fractions)
        arms = [(lowest, "lowest scores first", BLUE, "o")]
        if self.highest is not None:
            highest = self._one_per_fraction("highest", self.highest, fractions)
            arms.append((highest, "highest scores first", VERMILION, "s"))
        draws = self._draws(fractions)
        self.ax_, self.figure_ = axes(ax)
        style: dict[str, Any] = {"linewidth": 2, "markersize": 5, **kwargs}
        self.lines_ = [
            self.ax_.plot(
                fractions, values, **{"color": c, "marker": marker, "label": label, **style}
            )[0]
            for values, label, c, marker in arms
        ]
        self.band_ = self._plot_random(fractions, draws, style)
        self.ax_.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
        self.ax_.set(xlabel="share of rows dropped", ylabel=f"{self.score_name} after retraining")
        self.ax_.legend(frameon=False)
        return self

    @staticmethod
    def _one_per_fraction(name: str, values: ArrayLike, fractions: np.ndarray) -> np.ndarray:
        return check_numbers(name, values, fractions.shape, "one score per fraction", finite=False)

    def _draws(self, fractions: np.ndarray) -> np.ndarray:
        """Performance without random rows, (n_fractions, n_draws)."""
        if self.random is None:
            return np.empty((len(fractions), 0))
        hint = "one row per fraction and one column per draw"
        return check_numbers("random", self.random, (len(fractions), None), hint, finite=False)

    def _plot_random(
        self, fractions: np.ndarray, draws: np.ndarray, style: dict[str, Any]
    ) -> PolyCollection | None:
        n_draws = draws.shape[1]
        if n_draws == 0:
            return None
        mean = draws.mean(1)
        name = "random rows" if n_draws == 1 else f"random rows ({n_draws} draws, ± sd)"
        look = {**style, "color": GREY, "linestyle": "--", "zorder": 1.5, "label": name}
        self.lines_ += self.ax_.plot(fractions, mean, **look)
        if n_draws == 1:
            return None
        spread = draws.std(1, ddof=1)
        return self.ax_.fill_between(
            fractions, mean - spread, mean + spread, color=GREY, alpha=0.25, linewidth=0
        )


class AgreementDisplay:
    """Scores against the change of the loss: one point per row, pair of rows, or group.

    The change of the loss is measured by retraining. Scores and changes may differ by a factor,
    because influence is an approximation to first order. Compare only the order of the points; the
    legend shows the rank correlation.

    Parameters
    ----------
    estimated : array-like of shape (n,) or (n, m)
        Scores, or sums of scores over groups or subsets; one column per reference row.
    retrained : array-like of the same shape
        How much the loss rises when the estimator is trained without the row or the group.
    name : str or None, default=None
        Name of the scores in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that were drawn into.
    figure_ : matplotlib Figure
        The figure of these axes.
    points_ : matplotlib PathCollection
        The points.
    correlation_ : float
        Spearman's rank correlation; with several columns, its mean over the columns.
    """

    def __init__(
        self, estimated: ArrayLike, retrained: ArrayLike, *, name: str | None = None
    ) -> None:
        self.estimated = estimated
        self.retrained = retrained
        self.name = name

    @classmethod
    def from_changes(
        cls,
        scores: ArrayLike,
        changes: ArrayLike,
        *,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> AgreementDisplay:
        """Draw scores against changes of the loss.

        Parameters
        ----------
        scores : array-like of shape (n,) or (n, m)
            Higher = more helpful.
        changes : array-like of the same shape
            As returned by :func:`skinfluence.retraining.leave_one_out`.
        name : str or None, default=None
            Name of the scores in the legend.
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to ``ax.scatter``.

        Returns
        -------
        display : AgreementDisplay
        """
        return cls(scores, changes, name=name).plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> AgreementDisplay:
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure. Several displays may share their axes.
        **kwargs : dict
            Passed to ``ax.scatter``.

        Returns
        -------
        self : AgreementDisplay
        """
        estimated = check_numbers("estimated", self.estimated, None)
        retrained = check_numbers("retrained", self.retrained, None)
        report = leave_one_out_correlation(estimated, retrained, n_resamples=0)
        self.correlation_ = report["correlation"]
        several = retrained.ndim == 2 and retrained.shape[1] > 1
        text = f"{'mean ' if several else ''}rank correlation {self.correlation_:.2f}"
        n_points = retrained.size
        look: dict[str, Any] = {
            "color": BLUE,
            "s": 16 if n_points <= 1000 else 6,
            "alpha": float(np.clip(300 / n_points, 0.1, 0.7)),
            "linewidths": 0,
            "rasterized": n_points > 5000,  # a PDF with that many paths is slow to open
            "label": text if self.name is None else f"{self.name}: {text}",
        }
        self.ax_, self.figure_ = axes(ax)
        known = {line.get_gid() for line in self.ax_.lines}
        if "zero" not in known:
            for line in (self.ax_.axhline, self.ax_.axvline):
                line(0, color=GREY, linewidth=0.8, linestyle=":", zorder=0, gid="zero")
        self.points_ = self.ax_.scatter(estimated.ravel(), retrained.ravel(), **{**look, **kwargs})
        self.ax_.set(
            xlabel="score (higher = more helpful)", ylabel="rise of the loss after retraining"
        )
        legend = self.ax_.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, handletextpad=0.2
        )
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set(alpha=1, sizes=[16])
        return self
