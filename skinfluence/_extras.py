"""The error for an optional package that is not installed."""

from __future__ import annotations


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
