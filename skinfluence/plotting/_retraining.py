"""Displays of what retraining says of the scores."""

import numpy as np

from skinfluence.metrics import leave_one_out_correlation
from skinfluence.plotting._axes import BLUE, GREY, VERMILION, axes


class RemovalCurveDisplay:
    """Score of the estimator against the share of rows dropped, by score and by lot.

    Parameters
    ----------
    fractions : array-like of shape (n_fractions,)
        Share of the rows that was dropped.
    lowest : array-like of shape (n_fractions,)
        Score without the rows that score lowest.
    highest : array-like of shape (n_fractions,) or None, default=None
        Score without the rows that score highest.
    random : array-like of shape (n_fractions, n_random) or None, default=None
        Score without rows drawn by lot, a column a draw: drawn as their mean, in a band of one
        standard deviation either way.
    score_name : str, default="score"
        What is measured.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        Lowest, highest, random, as far as they are drawn.
    band_ : matplotlib PolyCollection or None
    """

    def __init__(self, fractions, lowest, *, highest=None, random=None, score_name="score"):
        self.fractions = fractions
        self.lowest = lowest
        self.highest = highest
        self.random = random
        self.score_name = score_name

    @classmethod
    def from_curve(cls, curve, *, ax=None, **kwargs):
        """Draw what :func:`skinfluence.retraining.removal_curve` found."""
        display = cls(
            curve.fractions,
            curve.lowest,
            highest=curve.highest,
            random=curve.random,
            score_name=curve.score_name,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw into `ax` or a new figure; the rest goes to ``ax.plot``. Returns self."""
        self.ax_, self.figure_ = axes(ax)
        style = {"linewidth": 2, "markersize": 5, **kwargs}
        arms = [(self.lowest, "lowest scores first", BLUE, "o")]
        if self.highest is not None:
            arms.append((self.highest, "highest scores first", VERMILION, "s"))
        self.lines_ = [
            self.ax_.plot(
                self.fractions, values, **{"color": c, "marker": marker, "label": label, **style}
            )[0]
            for values, label, c, marker in arms
        ]
        self.band_ = self._plot_random(style)
        self.ax_.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
        self.ax_.set(xlabel="share of rows dropped", ylabel=f"{self.score_name} after retraining")
        self.ax_.legend(frameon=False)
        return self

    def _plot_random(self, style):
        draws = np.empty((len(self.fractions), 0)) if self.random is None else self.random
        draws = np.asarray(draws, dtype=np.float64)
        n_draws = draws.shape[1]
        if n_draws == 0:
            return None
        mean = draws.mean(1)
        name = "rows by lot" if n_draws == 1 else f"rows by lot ({n_draws} draws, ± sd)"
        look = {**style, "color": GREY, "linestyle": "--", "zorder": 1.5, "label": name}
        self.lines_ += self.ax_.plot(self.fractions, mean, **look)
        if n_draws == 1:
            return None
        spread = draws.std(1, ddof=1)
        return self.ax_.fill_between(
            self.fractions, mean - spread, mean + spread, color=GREY, alpha=0.25, linewidth=0
        )


class AgreementDisplay:
    """Scores against what retraining says: a point for each row (or pair of rows, or group).

    The scales may differ by any factor, as influence to first order does: it is the order that
    counts, and the rank correlation is in the legend.

    Parameters
    ----------
    estimated : array-like of shape (n,) or (n, m)
        Scores, or sums of scores over groups or subsets; a column for each reference row.
    retrained : array-like of the same shape
        How much the loss rose without the row, or without the group.
    name : str or None, default=None
        Name of the scores in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    points_ : matplotlib PathCollection
    correlation_ : float
        Spearman's, of shape (n, m) the mean over the columns.
    """

    def __init__(self, estimated, retrained, *, name=None):
        self.estimated = estimated
        self.retrained = retrained
        self.name = name

    @classmethod
    def from_changes(cls, scores, changes, *, name=None, ax=None, **kwargs):
        """Draw scores against what :func:`skinfluence.retraining.leave_one_out` returned."""
        return cls(scores, changes, name=name).plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw into `ax` or a new figure; the rest goes to ``ax.scatter``. Returns self."""
        estimated, retrained = np.asarray(self.estimated), np.asarray(self.retrained)
        report = leave_one_out_correlation(estimated, retrained, n_resamples=0)
        self.correlation_ = report["correlation"]
        several = retrained.ndim == 2 and retrained.shape[1] > 1
        text = f"{'mean ' if several else ''}rank correlation {self.correlation_:.2f}"
        n_points = retrained.size
        look = {
            "color": BLUE,
            "s": 16 if n_points <= 1000 else 6,
            "alpha": float(np.clip(300 / n_points, 0.1, 0.7)),
            "linewidths": 0,
            "rasterized": n_points > 5000,  # a PDF of as many paths is slow to open
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
            handle.set(alpha=1, sizes=[16])
        return self
