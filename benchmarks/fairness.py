"""Does dropping or reweighting training rows make a model fairer, and at what loss of accuracy?

    python benchmarks/fairness.py --seeds 5 --output docs/_static

The data sets are Adult and COMPAS. Training, reference and test rows are disjoint, and the fairness
targets are computed on the reference rows. The scores are computed with a linear net. A logistic
regression of scikit-learn is fitted to the rows that are kept. fairlearn then computes the gaps of
its predicted labels on the test rows.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fairlearn.metrics import (
    demographic_parity_difference,
    equal_opportunity_difference,
    equalized_odds_difference,
)
from intervals import shown, unbroken
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tqdm import tqdm

from skinfluence import InfluenceScorer
from skinfluence.datasets import load_adult, load_compas
from skinfluence.nets import TabularClassifier
from skinfluence.rules import Budget, Reweight
from skinfluence.targets import (
    DemographicParity,
    EqualizedOdds,
    EqualOpportunity,
    Utility,
    WeightedSum,
)

BUDGET = 0.05
# "budget chosen" takes the smallest of these that halves the gap on the reference rows.
BUDGETS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05)
TARGETS = {
    "demographic parity": DemographicParity(),
    "demographic parity + 10 loss": WeightedSum([DemographicParity(), Utility()], [1, 10]),
    "equal opportunity": EqualOpportunity(),
    "equal opportunity, losses": EqualOpportunity(measure="loss"),
    "equalized odds": EqualizedOdds(),
}
METRICS = {
    "accuracy": lambda y, p, s: accuracy_score(y, p),
    "parity gap": lambda y, p, s: demographic_parity_difference(y, p, sensitive_features=s),
    "opportunity gap": lambda y, p, s: equal_opportunity_difference(y, p, sensitive_features=s),
    "odds gap": lambda y, p, s: equalized_odds_difference(y, p, sensitive_features=s),
}


def adult():
    data = load_adult()
    return data.data, (data.target == ">50K").to_numpy().astype(int), data.sensitive["sex"]


def compas():
    data = load_compas()
    black = data.sensitive["race"] == "African-American"
    y = np.unique(data.target, return_inverse=True)[1]
    return data.data, y, black.map({True: "African-American", False: "other"})


DATA = {"Adult, sex": (adult, 16_000), "COMPAS, race": (compas, 7_000)}


def parts(name, seed):
    """Rows, labels and groups of the training, reference and test rows."""
    load, most = DATA[name]
    frame, y, group = load()
    rows = np.random.RandomState(seed).permutation(len(y))[:most]
    frame, y, group = frame.iloc[rows], y[rows], group.to_numpy().astype(str)[rows]
    numeric = list(frame.select_dtypes("number"))
    encode = make_column_transformer(
        (StandardScaler(), numeric),
        (
            OneHotEncoder(min_frequency=20, sparse_output=False, handle_unknown="ignore"),
            [c for c in frame if c not in numeric],
        ),
    )
    X = encode.fit_transform(frame).astype(np.float32)
    cell = np.char.add(y.astype(str), group)
    rest, test = train_test_split(
        np.arange(len(y)), test_size=0.4, random_state=seed, stratify=cell
    )
    train, reference = train_test_split(rest, test_size=0.3, random_state=seed, stratify=cell[rest])
    return [(X[part], y[part], group[part]) for part in (train, reference, test)]


def measure(decision, train, held):
    """Accuracy and gaps on held-out rows of a model fitted after the decision of a rule."""
    X, y, _ = train
    keep, weight = decision.keep, decision.sample_weight
    weight = None if weight is None else weight[keep]
    model = LogisticRegression(max_iter=5000).fit(X[keep], y[keep], sample_weight=weight)
    X, y, s = held
    predicted = model.predict(X)
    return {name: metric(y, predicted, s) for name, metric in METRICS.items()}


def arms(name, seed):
    train, reference, test = parts(name, seed)
    X, y, _ = train

    def row(arm, decision):
        return {"data": name, "arm": arm, "seed": seed} | measure(decision, train, test)

    lot = np.random.RandomState(seed).uniform(size=len(y))
    yield row("nothing dropped", Budget(0.0).decide(lot, y))
    yield row("random", Budget(BUDGET).decide(lot, y))
    net = TabularClassifier(module__hidden=(), lr=1e-2)
    for arm, target in TARGETS.items():
        scorer = InfluenceScorer(net, target=target, random_state=seed)
        scorer.fit(
            X, y, X_val=reference[0], y_val=reference[1], sensitive_features_val=reference[2]
        )
        yield row(arm, Budget(BUDGET).decide(scorer.scores_, y))
        if arm == "demographic parity":
            cut = {b: Budget(b).decide(scorer.scores_, y) for b in BUDGETS}
            gap = {b: measure(cut[b], train, reference)["parity gap"] for b in BUDGETS}
            best = next((b for b in BUDGETS if gap[b] <= gap[0.0] / 2), BUDGETS[-1])
            yield row("demographic parity, budget chosen", cut[best]) | {"budget": best}
            for strength in (0.4, 1):
                weights = Reweight(strength).decide(scorer.scores_, y)
                yield row(f"demographic parity, reweighted, strength {strength}", weights)


def summarize(rows):
    """Mean over the seeds ± half the width of its 95 % interval, and the change of the gap."""
    table = []
    for (data, arm), group in rows.groupby(["data", "arm"], sort=False):
        plain = rows[(rows.data == data) & (rows.arm == "nothing dropped")].set_index("seed")
        group = group.set_index("seed")
        entry = {"data": data, "arm": arm}
        for metric in METRICS:
            entry[metric] = shown(group[metric])
        fall = 1 - group["parity gap"].mean() / plain["parity gap"].mean()
        cost = 100 * (plain.accuracy - group.accuracy).mean()
        entry["parity gap falls by"] = unbroken(f"{100 * fall:.0f} %")
        entry["accuracy costs"] = unbroken(f"{cost:.2f} points")
        table.append(entry)
    return pd.DataFrame(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="directory for fairness.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="sklearn")  # categories that a small part lacks
    jobs = [(name, seed) for name in DATA for seed in range(options.seeds)]
    rows = pd.DataFrame([row for job in tqdm(jobs) for row in arms(*job)])
    table = summarize(rows)
    print(table.to_string(index=False))
    print("budgets chosen:", rows.budget.dropna().tolist())
    if options.output:
        table.to_csv(options.output / "fairness.csv", index=False)


if __name__ == "__main__":
    main()
