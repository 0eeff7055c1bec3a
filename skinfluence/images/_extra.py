"""Import the packages of the extra "images" only when they are needed."""

from __future__ import annotations

from typing import Any

from skinfluence import _extras


def load(package: str) -> Any:
    """Import a package of the extra "images", or raise an error that says how to install it."""
    return _extras.load(package, "images", "skinfluence.images")
