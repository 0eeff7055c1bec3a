"""Displays of the rows themselves: images in a grid, and the rows of a table with their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from skinfluence._data.arrays import as_array, check_numbers, check_values
from skinfluence._data.params import check_int
from skinfluence._extras import need
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


class ImageGridDisplay:
    """Images in a grid, each with a caption below.

    Parameters
    ----------
    images : array-like of shape (n, height, width), (n, height, width, channels) or \
            (n, channels, height, width)
        The images, in reading order.
    captions : array-like of shape (n,) or None, default=None
        Text below each image.
    columns : int, default=10
        Number of images per line.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes that were drawn into.
    figure_ : matplotlib Figure
        The figure of these axes.
    images_ : list of matplotlib AxesImage
        The images.
    captions_ : list of matplotlib Text
        The captions.
    """

    def __init__(self, images: ArrayLike, captions: Any = None, *, columns: int = 10) -> None:
        self.images = images
        self.captions = captions
        self.columns = columns

    @classmethod
    def from_detector(
        cls,
        detector: Any,
        X: Any,
        *,
        top: int = 20,
        shape: tuple[int, ...] | None = None,
        columns: int = 10,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> ImageGridDisplay:
        """Draw the most suspect rows of a fitted detector, with given and suggested labels.

        Parameters
        ----------
        detector : NoisyLabelDetector
            A fitted detector.
        X : array-like of shape (n_samples, ...)
            The rows that the detector was fitted to: images, or images flattened to columns.
        top : int, default=20
            Number of rows.
        shape : tuple of int or None, default=None
            Shape of an image, if the images in X are flattened. None means that they are square.
        columns : int, default=10
            Number of images per line.
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to ``ax.imshow``.

        Returns
        -------
        display : ImageGridDisplay
        """
        check_detector(detector)
        top = check_int("top", top, 1)
        _check_same_length(X, detector.scores_)
        worst = detector.issues_.sort_values("score", kind="stable").head(top)
        pairs = zip(worst["given_label"], worst["suggested_label"], strict=True)
        captions = [f"{label_text(given)} → {label_text(suggested)}" for given, suggested in pairs]
        images = _images(X, worst["row"].to_numpy(), shape)
        return cls(images, captions, columns=columns).plot(ax=ax, **kwargs)

    @classmethod
    def from_scores(
        cls,
        scores: ArrayLike,
        X: Any,
        y: ArrayLike | None = None,
        *,
        n: int = 10,
        shape: tuple[int, ...] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> ImageGridDisplay:
        """Draw the rows with the lowest scores in one line, and those with the highest in the next.

        Parameters
        ----------
        scores : array-like of shape (n_samples,)
            Higher = more helpful.
        X : array-like of shape (n_samples, ...)
            The rows: images, or images flattened to columns.
        y : array-like of shape (n_samples,) or None, default=None
            Labels, written as captions. If None, the captions are the scores.
        n : int, default=10
            Number of images in each line; the most extreme image comes first.
        shape : tuple of int or None, default=None
            Shape of an image, if the images in X are flattened. None means that they are square.
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to ``ax.imshow``.

        Returns
        -------
        display : ImageGridDisplay
        """
        scores = check_numbers("scores", scores)
        _check_same_length(X, scores)
        order = np.argsort(scores, kind="stable")
        n = min(check_int("n", n, 1), len(order))
        shown = np.concatenate([order[:n], order[::-1][:n]])
        names = scores if y is None else check_values("y", y, scores.shape, "one label per row")
        captions = [label_text(name) for name in names[shown]]
        display = cls(_images(X, shown, shape), captions, columns=n).plot(ax=ax, **kwargs)
        display.ax_.set_yticks(display._middles(), ["lowest\nscores", "highest\nscores"])
        display.ax_.tick_params(length=0)
        return display

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> ImageGridDisplay:
        """Draw the grid.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw into; None makes a new figure.
        **kwargs : dict
            Passed to ``ax.imshow``.

        Returns
        -------
        self : ImageGridDisplay
        """
        check_int("columns", self.columns, 1)
        images = _channels_last(check_numbers("images", self.images, None))
        if len(images) == 0:
            raise ValueError("images holds no image: nothing to draw.")
        captions = [""] * len(images)
        if self.captions is not None:
            captions = list(
                check_values(
                    "captions", self.captions, (len(images),), "one caption for each image"
                )
            )
        self.ax_, self.figure_ = axes(ax)
        height, width = images.shape[1:3]
        self._tile = height * 1.35, width * 1.15  # with space for the caption and between images
        lines = -(-len(images) // self.columns)
        options: dict[str, Any] = {
            "cmap": "gray_r",
            "vmin": images.min(),
            "vmax": images.max(),
            **kwargs,
        }
        self.images_: list[Any] = []
        self.captions_: list[Any] = []
        for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
            top, left = self._corner(k)
            extent = (left, left + width, top + height, top)
            self.images_.append(self.ax_.imshow(image, extent=extent, **options))
            middle, bottom = left + width / 2, top + height * 1.02
            self.captions_.append(
                self.ax_.text(middle, bottom, shorten(caption, 14), ha="center", va="top")
            )
        self.ax_.set(
            xlim=(0, self._tile[1] * min(self.columns, len(images)) - 0.15 * width),
            ylim=(self._tile[0] * lines, 0),
            xticks=[],
            yticks=[],
        )
        self.ax_.set_aspect("equal")
        self.ax_.spines[:].set_visible(False)
        return self

    def _corner(self, k: int) -> tuple[float, float]:
        """Top and left edge of an image."""
        line, column = divmod(k, self.columns)
        return line * self._tile[0], column * self._tile[1]

    def _middles(self) -> list[float]:
        """Vertical middle of each line."""
        lines = -(-len(self.captions_) // self.columns)
        return [(line + 0.37) * self._tile[0] for line in range(lines)]


def rows_table(scores: ArrayLike, X: Any, y: ArrayLike | None = None, *, n: int = 5) -> Any:
    """The rows with the lowest and the highest scores, as a table for a notebook or a web page.

    Needs pandas and Jinja2, which the extra ``skinfluence[audit]`` installs.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Higher = more helpful.
    X : DataFrame or array-like of shape (n_samples, n_features)
        The rows. The columns of an array are called x0, x1, ...
    y : array-like of shape (n_samples,) or None, default=None
        Labels.
    n : int, default=5
        Number of rows with the lowest scores, and also of rows with the highest scores.

    Returns
    -------
    table : pandas Styler
        Its ``.data`` is a DataFrame, most extreme rows first. The index has two levels: "harmful"
        or "helpful", and the row's own index. The columns are ``score``, ``label`` (if `y` is
        given) and the columns of X. In the table, a bar to the right means that the row is helpful.

    Raises
    ------
    ImportError
        If pandas or Jinja2 is not installed.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.plotting import rows_table
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> scorer = InfluenceScorer(random_state=0).fit(X, y)
    >>> rows_table(scorer.scores_, X, y, n=2).data.shape
    (4, 6)
    """
    try:
        import jinja2  # noqa: F401
        import pandas as pd
    except ImportError as error:
        raise need("audit", "rows_table needs pandas and Jinja2") from error
    scores = check_numbers("scores", scores)
    _check_same_length(X, scores)
    if isinstance(X, pd.DataFrame):
        frame = X
    else:
        rows = as_array("X", X)
        frame = pd.DataFrame(check_values("X", rows.reshape(len(rows), -1), (None, None)))
        frame = frame.add_prefix("x")
    order = np.argsort(scores, kind="stable")
    n = min(check_int("n", n, 1), len(order) // 2)
    shown = np.concatenate([order[:n], order[::-1][:n]])
    table = frame.iloc[shown]
    first: dict[str, Any] = {"score": scores[shown]} | (
        {}
        if y is None
        else {"label": check_values("y", y, scores.shape, "one label per row")[shown]}
    )
    table = pd.concat([pd.DataFrame(first, index=table.index), table], axis=1)
    side = np.repeat(["harmful", "helpful"], n)
    table.index = pd.MultiIndex.from_arrays([side, frame.index[shown]], names=["", "row"])
    return table.style.format(label_text).bar(
        subset=["score"], align="zero", color=[VERMILION, BLUE], height=60
    )


def _check_same_length(X: Any, scores: np.ndarray) -> None:
    if not hasattr(X, "__len__") or isinstance(X, str) or getattr(X, "shape", None) == ():
        raise TypeError(f"X is of type {type(X).__name__}; expected the rows that were scored.")
    if len(X) != len(scores):
        raise ValueError(
            f"{len(scores)} scores for {len(X)} rows; give the rows that were scored, in the same "
            "order."
        )


def _images(X: Any, rows: np.ndarray, shape: tuple[int, ...] | None) -> np.ndarray:
    """Return some rows as images; flattened images get `shape` or, without it, become squares."""
    X = as_array("X", X.to_numpy() if hasattr(X, "to_numpy") else X)[rows]
    if shape is not None:
        return _reshaped(X, shape)
    if X.ndim != 2:
        return X
    side = round(X.shape[1] ** 0.5)
    if side**2 != X.shape[1]:
        raise ValueError(
            f"a row has {X.shape[1]} values, so it is not a square image; give "
            "shape=(height, width)."
        )
    return X.reshape(len(X), side, side)


def _reshaped(X: np.ndarray, shape: Any) -> np.ndarray:
    """Rows in the shape of an image."""
    sizes = tuple(shape) if isinstance(shape, tuple | list) else ()
    whole = all(isinstance(size, int | np.integer) and size > 0 for size in sizes)
    if len(sizes) not in (2, 3) or not whole or np.prod(sizes) != np.prod(X.shape[1:]):
        raise ValueError(
            f"shape={shape!r}: expected (height, width), or three numbers if there are channels. "
            f"Their product must be {np.prod(X.shape[1:]):g}, the number of values in a row."
        )
    return X.reshape(len(X), *sizes)


def _channels_last(images: np.ndarray) -> np.ndarray:
    if images.ndim == 4 and images.shape[3] not in (1, 3, 4) and images.shape[1] in (1, 3, 4):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (3, 4)):
        return images
    raise ValueError(
        f"images have shape {images.shape}; expected (n, height, width), (n, height, width, "
        "channels) or (n, channels, height, width), with 1, 3 or 4 channels."
    )
