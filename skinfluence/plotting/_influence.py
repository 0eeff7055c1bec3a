"""Display of an influence matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.multiclass import type_of_target

from skinfluence._data.arrays import check_classes, check_numbers
from skinfluence._data.params import check_int, check_number
from skinfluence.plotting._axes import axes, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class InfluenceDisplay:
    """Heat map of the influence of each training row on each reference row, sorted by class.

    Blue cells are helpful, red cells are harmful, and white cells are 0. Rows and columns of one
    class are adjacent, and lines separate the classes. If the matrix is large, each drawn cell is a
    mean over neighboring rows of one class and neighboring columns of one class.

    Parameters
    ----------
    matrix : array-like of shape (n, m)
        Scores; higher = more helpful.
    y : array-like of shape (n,) or None, default=None
        Labels of the training rows, by which the rows are sorted. Class labels are also shown, with
        lines between the classes; regression targets are not. None keeps the order of the rows.
    y_ref : array-like of shape (m,) or None, default=None
        Labels of the reference rows, used in the same way.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that were drawn into.
    figure_ : matplotlib Figure
        The figure of these axes.
    image_ : matplotlib AxesImage
        The heat map.
    colorbar_ : matplotlib Colorbar
        The color bar of the heat map.
    cells_ : ndarray of shape (n_cells, m_cells)
        The values drawn: the sorted matrix, averaged in bins if it is large.
    """

    def __init__(
        self, matrix: ArrayLike, y: ArrayLike | None = None, y_ref: ArrayLike | None = None
    ) -> None:
        self.matrix = matrix
        self.y = y
        self.y_ref = y_ref

    @classmethod
    def from_matrix(
        cls,
        matrix: ArrayLike,
        y: ArrayLike | None = None,
        y_ref: ArrayLike | None = None,
        *,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> InfluenceDisplay:
        """Draw a matrix.

        Parameters
        ----------
        matrix, y, y_ref : see :class:`InfluenceDisplay`
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : InfluenceDisplay
        """
        return cls(matrix, y, y_ref).plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        max_cells: int = 200,
        quantile: float = 0.99,
        **kwargs: Any,
    ) -> InfluenceDisplay:
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        max_cells : int, default=200
            Maximum number of cells along each side. If the matrix has more rows or columns, they
            are averaged in bins of about equal size.
        quantile : float, default=0.99
            The color scale ends at this quantile of the absolute values. If it ended at their
            maximum, a few large cells could make all others white.
        **kwargs : dict
            Passed to ``ax.imshow``.

        Returns
        -------
        self : InfluenceDisplay
        """
        matrix = check_numbers("matrix", self.matrix, None)
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise ValueError(
                f"matrix has shape {matrix.shape}; expected (n, m), one row per training row and "
                "one column per reference row."
            )
        max_cells = check_int("max_cells", max_cells, 1)
        quantile = check_number("quantile", quantile, "a number from 0 to 1", lambda q: 0 <= q <= 1)
        sides = [
            _Side(labels, n, max_cells, name)
            for labels, n, name in zip(
                (self.y, self.y_ref), matrix.shape, ("y", "y_ref"), strict=True
            )
        ]
        self.cells_ = sides[1].means(sides[0].means(matrix).T).T
        limit = float(np.quantile(np.abs(self.cells_), quantile)) or np.abs(self.cells_).max()
        self.ax_, self.figure_ = axes(ax)
        look: dict[str, Any] = {"cmap": "RdBu", "vmin": -limit, "vmax": limit, "aspect": "auto"}
        self.image_ = self.ax_.imshow(self.cells_, **{**look, "interpolation": "nearest", **kwargs})
        beyond = "both" if np.abs(self.cells_).max() > limit else "neither"
        self.colorbar_ = self.figure_.colorbar(
            self.image_, ax=self.ax_, extend=beyond, label="influence (higher = more helpful)"
        )
        self._label_sides(sides)
        return self

    def _label_sides(self, sides: list[_Side]) -> None:
        """Draw the lines between classes, and name the classes and the axes."""
        for side, axis, line, text in (
            (sides[0], self.ax_.yaxis, self.ax_.axhline, "training rows"),
            (sides[1], self.ax_.xaxis, self.ax_.axvline, "reference rows"),
        ):
            for edge in side.edges[1:-1]:
                line(edge - 0.5, color="black", linewidth=0.6 if len(side.edges) < 20 else 0.15)
            if side.names is not None:
                middles = (side.edges[:-1] + side.edges[1:] - 1) / 2
                shown = side.shown(middles)
                axis.set_ticks(middles[shown], [shorten(side.names[i], 16) for i in shown])
                axis.set_tick_params(length=0)
            elif side.is_binned:
                axis.set_ticks([])
            by = "" if side.order is None else ", by y" if side.names is None else ", by class"
            axis.set_label_text(text + by)
        if max(map(len, sides[1].names or [""])) > 4:
            for label in self.ax_.get_xticklabels():
                label.set(rotation=45, ha="right", rotation_mode="anchor")


class _Side:
    """Order, classes and bins along one side of a matrix: of its rows or of its columns."""

    def __init__(self, labels: ArrayLike | None, n: int, max_cells: int, name: str) -> None:
        self.order: np.ndarray | None = None
        self.names: list[str] | None = None
        sizes = np.array([n])
        if labels is not None:
            side = "rows" if name == "y" else "columns"
            hint = f"one label for each of the {n} {side} of the matrix"
            labels = check_classes(name, labels, (n,), hint)
            self.order = np.argsort(labels, kind="stable")
            if not type_of_target(labels).startswith("continuous"):
                classes, sizes = np.unique(labels, return_counts=True)
                self.names = [str(c) for c in classes]
        share = min(max_cells / n, 1.0)
        n_bins = np.maximum(np.round(sizes * share), 1).astype(int)
        starts = np.cumsum(sizes) - sizes
        # A bin stays within one class, so no cell averages two classes.
        cuts = [
            start + np.arange(k) * size // k
            for start, size, k in zip(starts, sizes, n_bins, strict=True)
        ]
        self.cuts = np.concatenate(cuts)
        self.counts = np.diff(np.append(self.cuts, n))
        self.edges = np.append(0, np.cumsum(n_bins))
        self.is_binned = len(self.cuts) < n

    def means(self, matrix: np.ndarray) -> np.ndarray:
        """The rows of a matrix, sorted and averaged in bins."""
        matrix = matrix if self.order is None else matrix[self.order]
        return np.add.reduceat(matrix, self.cuts, axis=0) / self.counts[:, None]

    def shown(self, middles: np.ndarray, most: int = 20) -> list[int]:
        """Positions of the class names that fit at the axis, large classes first."""
        gap = len(self.cuts) / most
        shown: list[int] = []
        for i in np.argsort(-np.diff(self.edges), kind="stable"):
            if all(abs(middles[i] - middles[k]) >= gap for k in shown):
                shown.append(i)
        return sorted(shown)
