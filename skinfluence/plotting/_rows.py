"""The rows themselves: images in a grid, and a table's rows with their scores."""

import numpy as np

from skinfluence.plotting._axes import BLUE, VERMILION, axes, label_text, shorten


class ImageGridDisplay:
    """Images of rows in a grid, each with its label below.

    Parameters
    ----------
    images : array-like of shape (n, height, width), (n, height, width, channels) or \
            (n, channels, height, width)
        The images in the order in which they are to be read.
    captions : array-like of shape (n,), default=None
        What is written below each.
    columns : int, default=10
        Images a line.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    images_ : list of matplotlib AxesImage
    captions_ : list of matplotlib Text
    """

    def __init__(self, images, captions=None, *, columns=10):
        self.images = images
        self.captions = captions
        self.columns = columns

    @classmethod
    def from_detector(cls, detector, X, *, top=20, shape=None, columns=10, ax=None, **kwargs):
        """Draw the `top` most suspect rows of a fitted detector: given label → suggested label.

        `X` is what the detector was fitted to, `shape` that of an image where X has plain columns.
        """
        _same_length(X, detector.scores_)
        worst = detector.issues_.sort_values("score", kind="stable").head(top)
        pairs = zip(worst["given_label"], worst["suggested_label"], strict=True)
        captions = [f"{label_text(given)} → {label_text(suggested)}" for given, suggested in pairs]
        images = _images(X, worst["row"].to_numpy(), shape)
        return cls(images, captions, columns=columns).plot(ax=ax, **kwargs)

    @classmethod
    def from_scores(cls, scores, X, y=None, *, n=10, shape=None, ax=None, **kwargs):
        """Draw the `n` rows with the lowest scores in one line and the `n` highest in the next.

        Each line begins with its extreme. Captions are the labels `y`, or without them the scores.
        """
        _same_length(X, scores)
        order = np.argsort(scores, kind="stable")
        n = min(n, len(order))
        shown = np.concatenate([order[:n], order[::-1][:n]])
        names = np.asarray(scores, dtype=float) if y is None else np.asarray(y)
        captions = [label_text(name) for name in names[shown]]
        display = cls(_images(X, shown, shape), captions, columns=n).plot(ax=ax, **kwargs)
        display.ax_.set_yticks(display._middles(), ["lowest\nscores", "highest\nscores"])
        display.ax_.tick_params(length=0)
        return display

    def plot(self, ax=None, **kwargs):
        """Draw into `ax` or a new figure; the rest goes to ``ax.imshow``. Returns self."""
        images = _channels_last(np.asarray(self.images))
        if self.columns < 1 or len(images) == 0:
            raise ValueError(f"{len(images)} images in lines of {self.columns}: nothing to draw.")
        captions = [""] * len(images) if self.captions is None else list(self.captions)
        if len(captions) != len(images):
            raise ValueError(f"{len(captions)} captions for {len(images)} images; give one each.")
        self.ax_, self.figure_ = axes(ax)
        height, width = images.shape[1:3]
        self._tile = height * 1.35, width * 1.15  # with room for the caption, and between images
        lines = -(-len(images) // self.columns)
        options = {"cmap": "gray_r", "vmin": images.min(), "vmax": images.max(), **kwargs}
        self.images_, self.captions_ = [], []
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

    def _corner(self, k):
        line, column = divmod(k, self.columns)
        return line * self._tile[0], column * self._tile[1]

    def _middles(self):
        """Heights of the lines' middles."""
        lines = -(-len(self.captions_) // self.columns)
        return [(line + 0.37) * self._tile[0] for line in range(lines)]


def rows_table(scores, X, y=None, *, n=5):
    """The rows with the lowest and the highest scores, as a table for a notebook or a page.

    Parameters
    ----------
    scores : array-like of shape (n_samples,)
        Higher = more helpful.
    X : DataFrame or array-like of shape (n_samples, n_features)
        The rows; columns without names become x0, x1, ...
    y : array-like of shape (n_samples,), default=None
        Labels.
    n : int, default=5
        Rows of either kind.

    Returns
    -------
    table : pandas Styler
        Its ``.data`` is the DataFrame: indexed by "harmful" or "helpful" and the row's own index,
        most extreme first; columns ``score``, ``label`` (with `y`), and those of X. Bars to the
        right are helpful.

    Raises
    ------
    ImportError
        Without pandas and Jinja2.

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
        raise ImportError(
            "rows_table needs pandas and Jinja2: pip install 'skinfluence[audit]'."
        ) from error
    scores = np.asarray(scores, dtype=float)
    _same_length(X, scores)
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X)).add_prefix("x")
    order = np.argsort(scores, kind="stable")
    n = min(n, len(order) // 2)
    shown = np.concatenate([order[:n], order[::-1][:n]])
    table = frame.iloc[shown]
    first = {"score": scores[shown]} | ({} if y is None else {"label": np.asarray(y)[shown]})
    table = pd.concat([pd.DataFrame(first, index=table.index), table], axis=1)
    side = np.repeat(["harmful", "helpful"], n)
    table.index = pd.MultiIndex.from_arrays([side, frame.index[shown]], names=["", "row"])
    return table.style.format(label_text).bar(
        subset=["score"], align="zero", color=[VERMILION, BLUE], height=60
    )


def _same_length(X, scores):
    if len(X) != len(scores):
        raise ValueError(
            f"{len(scores)} scores for {len(X)} rows; give the rows that were scored, in order."
        )


def _images(X, rows, shape):
    """Some rows as images; of plain columns, by `shape` or as squares."""
    X = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
    X = X[rows]
    if shape is not None:
        return X.reshape(len(X), *shape)
    if X.ndim != 2:
        return X
    side = round(X.shape[1] ** 0.5)
    if side**2 != X.shape[1]:
        raise ValueError(
            f"rows of {X.shape[1]} numbers are no square images; give shape=(height, width)."
        )
    return X.reshape(len(X), side, side)


def _channels_last(images):
    if images.ndim == 4 and images.shape[3] not in (1, 3, 4) and images.shape[1] in (1, 3, 4):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (3, 4)):
        return images
    raise ValueError(
        f"images have shape {images.shape}; expected (n, height, width), with 1, 3 or 4 channels "
        "before or after."
    )
