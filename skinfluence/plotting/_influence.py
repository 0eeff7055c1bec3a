"""Display of an influence matrix."""

import numpy as np
from sklearn.utils.multiclass import type_of_target

from skinfluence.plotting._axes import axes, shorten


class InfluenceDisplay:
    """Map of the influence of each training row on each reference row, sorted by class.

    Blue helps, red harms, white is 0. Rows and columns of a class stand together, with a line
    between classes. Cells of a large matrix are means over neighbouring rows of one class.

    Parameters
    ----------
    matrix : array-like of shape (n, m)
        Scores; higher = more helpful.
    y : array-like of shape (n,) or None, default=None
        Labels of the training rows. Classes are named and bounded; numbers only give the order;
        None leaves the rows as they stand.
    y_ref : array-like of shape (m,) or None, default=None
        Labels of the reference rows, likewise.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    image_ : matplotlib AxesImage
    colorbar_ : matplotlib Colorbar
    cells_ : ndarray
        What is drawn: the matrix in the order of the labels, in bins where it is large.
    """

    def __init__(self, matrix, y=None, y_ref=None):
        self.matrix = matrix
        self.y = y
        self.y_ref = y_ref

    @classmethod
    def from_matrix(cls, matrix, y=None, y_ref=None, *, ax=None, **kwargs):
        """Draw at once; other arguments as in `plot`."""
        return cls(matrix, y, y_ref).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, max_cells=200, quantile=0.99, **kwargs):
        """Draw into `ax` or a new figure.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.
        max_cells : int, default=200
            Of more rows or columns than this, bins of about equal size are averaged.
        quantile : float, default=0.99
            The colours end at this quantile of the absolute values: a few large cells would
            otherwise make all others white.
        **kwargs : dict
            Passed to ``ax.imshow``.

        Returns
        -------
        self : InfluenceDisplay
        """
        matrix = np.asarray(self.matrix, dtype=np.float64)
        if matrix.ndim != 2 or 0 in matrix.shape:
            raise ValueError(f"matrix has shape {matrix.shape}; expected (n, m), a row a row.")
        sides = [
            _Side(labels, n, max_cells, name)
            for labels, n, name in zip(
                (self.y, self.y_ref), matrix.shape, ("y", "y_ref"), strict=True
            )
        ]
        self.cells_ = sides[1].means(sides[0].means(matrix).T).T
        limit = float(np.quantile(np.abs(self.cells_), quantile)) or np.abs(self.cells_).max()
        self.ax_, self.figure_ = axes(ax)
        look = {"cmap": "RdBu", "vmin": -limit, "vmax": limit, "aspect": "auto"}
        self.image_ = self.ax_.imshow(self.cells_, **{**look, "interpolation": "nearest", **kwargs})
        beyond = "both" if np.abs(self.cells_).max() > limit else "neither"
        self.colorbar_ = self.figure_.colorbar(
            self.image_, ax=self.ax_, extend=beyond, label="influence (higher = more helpful)"
        )
        self._name(sides)
        return self

    def _name(self, sides):
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
    """Order, classes and bins of the rows, or of the columns, of a matrix."""

    def __init__(self, labels, n, max_cells, name):
        self.order, self.names, sizes = None, None, np.array([n])
        if labels is not None:
            labels = np.asarray(labels)
            if labels.shape != (n,):
                raise ValueError(
                    f"{name} has shape {labels.shape}; expected ({n},), as the matrix has {n}."
                )
            self.order = np.argsort(labels, kind="stable")
            if not type_of_target(labels).startswith("continuous"):
                classes, sizes = np.unique(labels, return_counts=True)
                self.names = [str(c) for c in classes]
        share = min(max_cells / n, 1.0)
        n_bins = np.maximum(np.round(sizes * share), 1).astype(int)
        starts = np.cumsum(sizes) - sizes
        # bins are cut within a class: no cell is a mean over two of them
        cuts = [
            start + np.arange(k) * size // k
            for start, size, k in zip(starts, sizes, n_bins, strict=True)
        ]
        self.cuts = np.concatenate(cuts)
        self.counts = np.diff(np.append(self.cuts, n))
        self.edges = np.append(0, np.cumsum(n_bins))
        self.is_binned = len(self.cuts) < n

    def means(self, matrix):
        """The rows of a matrix in order, in bins."""
        matrix = matrix if self.order is None else matrix[self.order]
        return np.add.reduceat(matrix, self.cuts, axis=0) / self.counts[:, None]

    def shown(self, middles, most=20):
        """Positions of the class names for which there is room, large classes first."""
        gap, shown = len(self.cuts) / most, []
        for i in np.argsort(-np.diff(self.edges), kind="stable"):
            if all(abs(middles[i] - middles[k]) >= gap for k in shown):
                shown.append(i)
        return sorted(shown)
