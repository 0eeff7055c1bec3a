"""Import the packages of the extra "images" late."""

from __future__ import annotations

import importlib
from typing import Any

from skinfluence._extras import need


def load(package: str) -> Any:
    """Import a package of the extra "images", or raise an error that says how to install it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise need("images", f"skinfluence.images needs {package} ({error})") from error
