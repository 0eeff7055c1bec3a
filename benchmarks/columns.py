"""Are wrong labels found in tables of names, categories, dates and texts?

    python benchmarks/columns.py [--data sex adult] [--seeds 5] [--rows 2000] [--output DIR]

The tables are files as they are, with gaps, keys and dates as text. A tenth of the labels are
changed. "detector" is `NoisyLabelDetector` on the DataFrame, which `ColumnEncoder` encodes in each
fold. "detector, numbers and few categories" has a plain preparation in front: it drops the columns
whose text differs in every row, and has at most 32 inputs for any other column of text. "boosting"
and "logistic regression" are self-confidence, the out-of-fold probability of the given label,
behind skrub's `TableVectorizer`.

| Table | Label | What the columns hold |
|---|---|---|
| sex | sex of a defendant | first and last names, birth, charges, dates, case numbers |
| charge | felony or misdemeanor | the text of the charge, dates, case numbers, age |
| risk | the risk that COMPAS reports | names, dates, the text of the charge, counts |
| adult | income | numbers, 8 columns of categories with gaps |
| german | credit risk | numbers and 13 columns of categories |
| tweets | sentiment | a text |

Needs the extra `audit` and the packages of requirements-data.txt.
"""

from __future__ import annotations

import argparse
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from intervals import shown
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, OneHotEncoder, StandardScaler

from skinfluence import NoisyLabelDetector
from skinfluence.datasets import flip_labels, load_adult, load_german_credit, load_tweets
from skinfluence.datasets._sources import folder_in_package

NOISE = 0.1

# fmt: off
_COURT = [
    "id", "first", "last", "sex", "dob", "age", "race", "juv_fel_count", "juv_misd_count",
    "juv_other_count", "priors_count", "c_jail_in", "c_jail_out", "c_case_number", "c_offense_date",
    "c_charge_degree", "c_charge_desc",
]
# fmt: on


def court(label, without=()):
    """Defendants of COMPAS as the file has them; all that became known later is left out."""
    file = "compas-scores-two-years.csv"
    folder = folder_in_package("dataset/compas", file)
    table = pd.read_csv(folder / file, dtype=object, keep_default_na=False)
    table = table[table[label] != ""]
    return table[[c for c in _COURT if c not in (label, *without)]], table[label]


def categories(load):
    bunch = load()
    return bunch.data.astype(object), bunch.target


def tweets():
    found = load_tweets()
    return pd.DataFrame({"text": found.texts}), pd.Series(found.labels)


TABLES = {
    "sex": partial(court, "sex"),
    "charge": partial(court, "c_charge_degree"),
    "risk": partial(court, "score_text"),
    "adult": partial(categories, load_adult),
    "german": partial(categories, load_german_credit),
    "tweets": tweets,
}


def sample(name, rows, seed):
    """Rows, labels with noise, and which labels are wrong."""
    table, labels = TABLES[name]()
    chosen = np.random.RandomState(seed).permutation(len(table))[:rows]
    table, y = table.iloc[chosen].reset_index(drop=True), labels.iloc[chosen].to_numpy()
    y, is_wrong = flip_labels(y.astype(str), NOISE, random_state=seed)
    return table, LabelEncoder().fit_transform(y), is_wrong


def plain(table):
    """Numbers, and at most 32 inputs for a column of text that has equal cells."""
    table = table.replace("", np.nan)
    numbers = {name: pd.to_numeric(table[name], errors="coerce") for name in table}
    numeric = [name for name in table if (numbers[name].notna() | table[name].isna()).all()]
    nominal = [n for n in table if n not in numeric and table[n].nunique() < table[n].count()]
    steps = [
        ("numbers", make_pipeline(StandardScaler(), SimpleImputer(add_indicator=True)), numeric),
        (
            "categories",
            make_pipeline(
                SimpleImputer(strategy="constant", fill_value="(missing)"),
                OneHotEncoder(
                    handle_unknown="infrequent_if_exist", min_frequency=2, max_categories=32,
                    drop="if_binary", sparse_output=False,
                ),
            ),
            nominal,
        ),
    ]  # fmt: skip
    table = table.assign(**{name: numbers[name] for name in numeric})
    if not numeric and not nominal:
        return None
    return ColumnTransformer(steps).fit_transform(table)


def by_detector(table, y, seed):
    return NoisyLabelDetector(random_state=seed).fit(table, y).scores_


def by_plain_detector(table, y, seed):
    X = plain(table)
    return np.zeros(len(y)) if X is None else by_detector(X, y, seed)


def by_self_confidence(model, table, y, seed):
    """Out-of-fold probability of the given label, behind skrub's encoder."""
    from skrub import TableVectorizer

    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    chain = make_pipeline(TableVectorizer(), *model(seed))
    p = cross_val_predict(chain, table.replace("", None), y, cv=folds, method="predict_proba")
    return p[np.arange(len(y)), y]


ARMS = {
    "detector": by_detector,
    "detector, numbers and few categories": by_plain_detector,
    "boosting": partial(
        by_self_confidence, lambda seed: [HistGradientBoostingClassifier(random_state=seed)]
    ),
    "logistic regression": partial(
        by_self_confidence,
        lambda seed: [SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=2000)],
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--rows", type=int, default=2000, help="(default: 2000)")
    parser.add_argument("--seeds", type=int, default=3, help="samples (default: 3)")
    parser.add_argument("--output", type=Path, help="directory for the table")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="skrub|sklearn")
    found = []
    for name in args.data:
        for seed in range(args.seeds):
            table, y, is_wrong = sample(name, args.rows, seed)
            for arm in args.arms:
                start = time.perf_counter()
                scores = ARMS[arm](table, y, seed)
                found.append(
                    {
                        "table": name,
                        "arm": arm,
                        "AP": average_precision_score(is_wrong, -scores),
                        "AUC": roc_auc_score(is_wrong, -scores),
                        "seconds": time.perf_counter() - start,
                    }
                )
                print(*(f"{v:.3f}" if isinstance(v, float) else v for v in found[-1].values()),
                      seed, sep=", ", flush=True)  # fmt: skip
    columns = {"AP": shown, "AUC": shown, "seconds": partial(shown, decimals=1)}
    result = pd.DataFrame(found).groupby(["table", "arm"], sort=False).agg(columns).reset_index()
    print(result.to_string(index=False))
    if args.output:
        result.to_csv(args.output / "columns.csv", index=False)


if __name__ == "__main__":
    main()
