"""Read one image, and turn it into a square of RGB pixels."""

from __future__ import annotations

from io import BytesIO
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np

from skinfluence.images._extra import load

if TYPE_CHECKING:
    from PIL.Image import Image


class Unreadable(Exception):
    """An image that cannot be read; the message is the reason."""


def read(item: Any) -> Any:
    """Return the bytes of a file, or the RGB image that an array or a PIL image shows."""
    if isinstance(item, bytes):
        return item
    if isinstance(item, str | PathLike):
        return _file(fspath(item))
    if isinstance(item, load("PIL.Image").Image):
        try:
            return to_rgb(item)
        except Exception as error:
            raise Unreadable(_reason(error)) from error
    if hasattr(item, "shape") and len(item.shape) >= 2:
        return to_rgb(_from_array(np.asarray(item)))
    if item is None or (isinstance(item, float) and np.isnan(item)) or "NAType" in str(type(item)):
        raise Unreadable("missing value")
    raise Unreadable(
        f"an object of type {type(item).__name__}, not a path, an array or a PIL image"
    )


def content(source: Any) -> bytes:
    """Return bytes that tell two images apart; `source` is what `read` returned."""
    if isinstance(source, bytes):
        return b"file" + source
    return f"pixels {source.size}\0".encode() + source.tobytes()


def square(source: Any, size: int) -> np.ndarray:
    """Resize what `read` returned, without cropping, to uint8 pixels of shape (size, size, 3)."""
    pil = load("PIL.Image")
    if isinstance(source, bytes):
        try:
            with pil.open(BytesIO(source)) as image:
                # Decodes a large JPEG at a fraction of its size, which is several times faster.
                image.draft(None, (2 * size, 2 * size))
                source = to_rgb(image)
        except Exception as error:  # decoders raise errors of many types
            raise Unreadable(_reason(error)) from error
    return np.array(source.resize((size, size), pil.Resampling.BICUBIC))


def to_rgb(image: Image) -> Image:
    """Return an upright RGB image; transparent pixels become white.

    16-bit images keep their full range: 65,535 becomes 255.
    """
    image = load("PIL.ImageOps").exif_transpose(image)
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return to_rgb(_from_array(np.asarray(image), sixteen_bit=image.mode != "F"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = load("PIL.Image").new("RGBA", image.size, "white")
        image = load("PIL.Image").alpha_composite(white, image)
    return image.convert("RGB")


def _from_array(array: np.ndarray, sixteen_bit: bool = False) -> Image:
    """Return an array of shape (height, width) or (height, width, 1, 3 or 4) as a PIL image."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if 0 in array.shape or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
        raise Unreadable(
            f"an array of shape {array.shape}; expected (height, width), (height, width, 3) or "
            "(height, width, 4): colors come last"
        )
    array = _as_uint8(array, sixteen_bit or array.dtype == np.uint16)
    return load("PIL.Image").fromarray(np.ascontiguousarray(array))


def _as_uint8(array: np.ndarray, sixteen_bit: bool) -> np.ndarray:
    """Return pixels from 0 to 255."""
    kind = array.dtype.kind
    if kind not in "biuf":
        raise Unreadable(f"an array of {array.dtype}, not of numbers")
    highest = 65535 if sixteen_bit else {"b": 1, "f": 1}.get(kind, 255)
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= highest):
        expected = (
            "integers up to 65,535" if sixteen_bit else "integers up to 255, or floats up to 1"
        )
        raise Unreadable(
            f"an array of {array.dtype} with values from {low:.5g} to {high:.5g}; expected "
            f"{expected}, none of them negative"
        )
    if highest == 255:
        return array.astype(np.uint8)
    return np.rint(array.astype(np.float64) * (255 / highest)).astype(np.uint8)


def _file(path: Any) -> bytes:
    if not path:
        raise Unreadable("empty path")
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise Unreadable(f"no such file: {path}") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise Unreadable(f"{getattr(error, 'strerror', None) or error}: {path}") from error


def _reason(error: Exception) -> str:
    if type(error).__name__ == "UnidentifiedImageError":
        return "not an image, or of a format that Pillow cannot read"
    return f"{type(error).__name__}: {error}" if not isinstance(error, OSError) else str(error)
