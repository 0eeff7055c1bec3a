"""The images in a column, and which of them cannot be read."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse

from skinfluence._data.rows import described
from skinfluence.images._decode import Unreadable, read, square

EXPECTED = (
    "expected a column of images: paths, PIL images, or arrays of shape (n, height, width) or "
    "(n, height, width, 3)"
)


def unreadable(X: Any) -> dict[int, str]:
    """Find the images that cannot be read.

    Each image is read as `ImageEmbedder` reads it, one at a time.

    Parameters
    ----------
    X : column of images
        As for `ImageEmbedder`.

    Returns
    -------
    reasons : dict of int to str
        Position of each image that cannot be read, and the reason.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence.images import unreadable
    >>> X = np.array(["missing.png", "also_missing.png"])
    >>> reasons = unreadable(X)
    >>> reasons[0]
    'no such file: missing.png'
    >>> np.delete(X, list(reasons)).size
    0
    """
    reasons = {}
    for i, item in enumerate(images_of(X)):
        try:
            square(read(item), 8)
        except Unreadable as error:
            reasons[i] = str(error)
    return reasons


def images_of(X: Any) -> Any:
    """Return X as a sequence of images, without reading the images."""
    names = getattr(X, "column_names", getattr(X, "columns", None))
    if names is not None:
        if len(names) != 1:
            raise ValueError(f"X has {len(names)} columns; {EXPECTED}.")
        X = X[next(iter(names))]
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu().numpy()
    is_sequence = hasattr(X, "__len__") and hasattr(X, "__getitem__") and not issparse(X)
    if isinstance(X, str | bytes | dict) or not is_sequence:
        raise ValueError(f"X is of {described(X)}; {EXPECTED}.")
    if isinstance(X, np.ndarray):
        X = _rows_of_array(X)
    if len(X) == 0:
        raise ValueError("X has 0 sample(s); at least one image is needed.")
    return list(X) if hasattr(X, "iloc") else X  # a Series is indexed by its labels


def _rows_of_array(X: np.ndarray) -> np.ndarray:
    if X.dtype.kind in "OUT":  # objects and strings
        if X.ndim == 2 and X.shape[1] == 1:
            return X[:, 0]
        if X.ndim == 1:
            return X
    if X.ndim not in (3, 4):
        raise ValueError(
            f"X is of {described(X)}; {EXPECTED}. Reshape flattened images first: "
            "X.reshape(len(X), height, width)."
        )
    return X
