"""Import optional packages late; the error for one that is not installed."""

from __future__ import annotations

import importlib
from typing import Any


def load(package: str, extra: str, user: str) -> Any:
    """Import a package that `user` needs, or raise an error that says which extra to install."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        what = f"{user} needs {package.replace('_', '-')}"  # as package indexes write it
        # The package may be there, but not what it needs itself.
        is_missing = error.name in (package, package.partition(".")[0])
        raise need(extra, what if is_missing else f"{what} ({error})") from error


def need(extra: str, what: str) -> ImportError:
    """Make the ImportError that says which extra to install.

    The command works from a package index and from a clone of the repository.

    Parameters
    ----------
    extra : str
        Name of the extra in pyproject.toml, such as ``"audit"``.
    what : str
        What needs which package, such as ``"drawing needs matplotlib"``.

    Returns
    -------
    error : ImportError
        To be raised by the caller: ``raise need(...) from error``.

    Examples
    --------
    >>> from skinfluence._extras import need
    >>> print(need("text", "CausalLM needs peft"))
    CausalLM needs peft: pip install "skinfluence[text]", or in a clone pip install -e ".[text]".
    """
    return ImportError(
        f'{what}: pip install "skinfluence[{extra}]", or in a clone pip install -e ".[{extra}]".'
    )
