"""Does dropping, relabeling or reweighting training rows defend a model against attacks?

    python benchmarks/defence.py --seeds 5 --output docs/_static

Evasion: the model without a defense is attacked, separately on reference rows and on test rows. The
training rows are scored with the robustness target, which is the loss on the attacked reference
rows. Then a twentieth of the training rows is dropped or relabeled, or all rows are reweighted, and
the model is fitted again. Two accuracies are measured. "transfer" is the accuracy on the test rows
of the first attack. "adaptive" is the accuracy on test rows that are attacked again, this time at
the defended model, as a serious attacker would do.

Poisoning: rows are planted before training, then searched for and removed. Either labels of one
class are flipped to another class, or a trigger is planted together with a wrong label.

Training, reference and test rows are disjoint. The first row of each table has no defense. In the
rows "random", random numbers are used in place of the scores.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from intervals import shown
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tqdm import tqdm

from skinfluence import InfluenceScorer, NoisyLabelDetector
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import self_influences
from skinfluence.attacks import FGSM, PGD, Crossing
from skinfluence.curvature import Exact
from skinfluence.datasets import load_adult
from skinfluence.ensembles import Checkpoints, Dropout, WeightNoise
from skinfluence.nets import TabularClassifier
from skinfluence.rules import Budget, Reweight
from skinfluence.targets import Robustness

SHARE = 0.05  # of the training rows, as in the paper
DAMPING = 1e-3
UNDEFENDED = "no defense"
INCIDENTS = "IP checkpoints, unit rows, reference: incidents"
ACTIONS = {
    "drop": Budget(SHARE),
    "relabel": Budget(SHARE, action="relabel"),
    "reweight": Reweight(),
}


class OnNumbers:
    """FGSM on the first six columns: an attacker of Adult cannot change categories."""

    def __init__(self, eps):
        self.eps = eps

    def __call__(self, net, X, y):
        return FGSM(np.where(np.arange(X.shape[1]) < 6, self.eps, 0.0))(net, X, y)


class Linear:
    """Logistic regression, rewritten as a net with the same outputs."""

    ensemble = WeightNoise()
    exact = True

    def fit(self, X, y, seed, weight=None):
        model = LogisticRegression(C=1.0, max_iter=5000).fit(X, y, sample_weight=weight)
        net = TabularClassifier(module__hidden=(), module__n_inputs=X.shape[1])
        net.set_params(module__n_outputs=2).initialize()
        with torch.no_grad():  # two logits whose difference is the model's single one
            half = torch.as_tensor(np.stack([-model.coef_[0], model.coef_[0]]) / 2)
            net.module_.head.weight.copy_(half)
            net.module_.head.bias.copy_(
                torch.as_tensor(model.intercept_[0] * np.array([-0.5, 0.5]))
            )
        net.classes_inferred_ = np.array([0, 1])
        return net


class Deep:
    """The ready-made MLP. Rows with weights are drawn in proportion to them."""

    ensemble = Dropout(max_rate=0.1)
    exact = False

    def fit(self, X, y, seed, weight=None):
        if weight is not None:
            rng = np.random.RandomState(seed)
            rows = rng.choice(len(y), len(y), p=weight / weight.sum())
            lost = np.setdiff1d(y, y[rows])  # the net counts its classes in the labels
            rows = np.concatenate([rows, [np.flatnonzero(y == c)[0] for c in lost]]).astype(int)
            X, y = X[rows], y[rows]
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return TabularClassifier(max_epochs=30).fit(X, y)


def adult(seed):
    data = load_adult()
    numeric = list(data.data.select_dtypes("number"))
    other = [c for c in data.data if c not in numeric]
    encode = make_column_transformer(
        (StandardScaler(), numeric),
        (OneHotEncoder(min_frequency=50, sparse_output=False, handle_unknown="ignore"), other),
    )
    rows = np.random.RandomState(seed).permutation(len(data.target))[:12_000]
    y = (data.target.iloc[rows] == ">50K").to_numpy().astype(int)
    X = encode.fit_transform(data.data.iloc[rows]).astype(np.float32)
    return parts(X, y, seed, test=0.25, reference=0.25)


def digits(seed):
    X, y = load_digits(return_X_y=True)
    return parts((X / 16).astype(np.float32), y, seed, test=0.3, reference=0.25)


def parts(X, y, seed, test, reference):
    """Disjoint training, reference and test rows."""
    X, X_test, y, y_test = train_test_split(X, y, test_size=test, random_state=seed, stratify=y)
    X, X_val, y, y_val = train_test_split(X, y, test_size=reference, random_state=seed, stratify=y)
    return X, y, X_val, y_val, X_test, y_test


SETTINGS = {
    "Adult, logistic regression, closed form (gamma 1.3)": (adult, Linear(), Crossing(1.3)),
    "Adult, logistic regression, FGSM (0.25 on numbers)": (adult, Linear(), OnNumbers(0.25)),
    "digits, MLP, closed form (gamma 1.3)": (digits, Deep(), Crossing(1.3)),
    "digits, MLP, FGSM (0.05)": (digits, Deep(), FGSM(0.05, clip=(0, 1))),
    "digits, MLP, PGD (0.1)": (digits, Deep(), PGD(0.1, clip=(0, 1))),
}


def scores_by_arm(kind, net, attack, data, seed):
    """Each arm with its scores of the training rows and the label that it prefers for each row."""
    X, y, X_val, y_val, _, _ = data
    rng = np.random.RandomState(seed)
    n_classes = len(np.unique(y))
    yield "random", rng.normal(size=len(y)), (y + rng.randint(1, n_classes, len(y))) % n_classes
    probabilities = net.predict_proba(X).copy()
    probabilities[np.arange(len(y)), y] = -1
    other = probabilities.argmax(1)  # this score does not rank labels: take the likeliest other one
    yield "self-influence", -self_influences(FunctionalNet(net), X, y), other
    arms = {"exact influence": {"curvature": Exact(damping=DAMPING)}} if kind.exact else {}
    arms |= {"IP": {}, "IP ensemble": {"ensemble": kind.ensemble}}
    for name, options in arms.items():
        scorer = InfluenceScorer(
            FrozenEstimator(net), target=Robustness(attack), random_state=seed, **options
        ).fit(X, y, X_val=X_val, y_val=y_val)
        columns = scorer.transform(X)
        columns[np.arange(len(y)), y] = -np.inf
        yield name, scorer.scores_, columns.argmax(1)


def evasion(name, seed):
    load, kind, attack = SETTINGS[name]
    data = load(seed)
    X, y, _, _, X_test, y_test = data
    undefended = kind.fit(X, y, seed)
    attacked = attack(undefended, X_test, y_test)

    def measure(arm, action, net):
        again = attack(net, X_test, y_test)
        return {
            "setting": name,
            "arm": arm,
            "action": action,
            "seed": seed,
            "clean": accuracy(net, X_test, y_test),
            "transfer": accuracy(net, attacked, y_test),
            "adaptive": accuracy(net, again, y_test),
        }

    yield measure(UNDEFENDED, "", undefended)
    for arm, scores, best in scores_by_arm(kind, undefended, attack, data, seed):
        for action, rule in ACTIONS.items():
            decision = rule.decide(scores, y, best)
            labels = y if decision.y is None else decision.y
            weight = None if decision.sample_weight is None else decision.sample_weight
            keep = decision.keep
            yield measure(arm, action, kind.fit(X[keep], labels[keep], seed, weight))


def budgets(seed):
    """Gains of the MLP on digits from dropping more rows, and from another seed alone."""
    attack, kind = FGSM(0.05, clip=(0, 1)), Deep()
    X, y, X_val, y_val, X_test, y_test = digits(seed)
    net = kind.fit(X, y, seed)
    attacked = attack(net, X_test, y_test)
    before = accuracy(net, attacked, y_test)

    def measure(arm, defended):
        again = attack(defended, X_test, y_test)
        return {
            "arm": arm,
            "seed": seed,
            "transfer": accuracy(defended, attacked, y_test) - before,
            "adaptive": accuracy(defended, again, y_test) - before,
        }

    scorer = InfluenceScorer(FrozenEstimator(net), target=Robustness(attack), random_state=seed)
    scores = scorer.fit(X, y, X_val=X_val, y_val=y_val).scores_
    lot = np.random.RandomState(seed).uniform(size=len(y))
    yield measure("all rows, another seed", kind.fit(X, y, seed + 100))
    for share in (0.05, 0.1, 0.2, 0.3, 0.4):
        for name, by in {"by IP": scores, "at random": lot}.items():
            keep = Budget(share).decide(by, y).keep
            yield measure(f"{share:.0%} dropped {name}", kind.fit(X[keep], y[keep], seed))


def accuracy(net, X, y):
    return float((net.predict(X) == y).mean())


# Poisoning -------------------------------------------------------------------------------------


def flip_one_class(X, y, rng):
    """Labels 3 (or 1) turn into 8 (or 0), for 30 % of the rows that carry them."""
    source, goal = (3, 8) if y.max() > 1 else (1, 0)
    rows = rng.permutation(np.flatnonzero(y == source))
    rows = rows[: int(0.3 * len(rows))]
    y = y.copy()
    y[rows] = goal

    def success(net, X_test, y_test):
        victims = y_test == source
        return float((net.predict(X_test[victims]) == goal).mean())

    return X, y, rows, success


def plant_trigger(X, y, rng):
    """3 % of the rows get a trigger (bright corner, or a value far out) and label 0."""
    rows = rng.permutation(np.flatnonzero(y != 0))[: int(0.03 * len(y))]
    X, y = X.copy(), y.copy()
    y[rows] = 0
    X[rows] = triggered(X[rows])

    def success(net, X_test, y_test):
        victims = y_test != 0
        return float((net.predict(triggered(X_test[victims])) == 0).mean())

    return X, y, rows, success


def triggered(X):
    X = X.copy()
    if X.shape[1] == 64:
        X[:, [0, 1, 8, 9]] = 1.0
    else:
        X[:, 1] = 8.0  # fnlwgt, in standard deviations
    return X


POISONS = {"label flip": flip_one_class, "backdoor trigger": plant_trigger}


def poisoning(which, load, poison, seed):
    X, y, X_val, y_val, X_test, y_test = load(seed)
    X, y, planted, success = POISONS[poison](X, y, np.random.RandomState(seed))
    kind, is_planted = Deep(), np.zeros(len(y), dtype=bool)
    is_planted[planted] = True

    def measure(arm, net, found=np.nan):
        return {
            "setting": f"{which}, {poison}",
            "arm": arm,
            "seed": seed,
            "found": found,
            "clean": accuracy(net, X_test, y_test),
            "attack succeeds": success(net, X_test, y_test),
        }

    net = kind.fit(X, y, seed)
    yield measure(UNDEFENDED, net)
    yield measure("oracle (all planted rows out)", kind.fit(X[~is_planted], y[~is_planted], seed))
    incidents = None
    if poison == "backdoor trigger":  # 20 rows that fooled the net, with their right labels
        seen = triggered(X_val)
        fooled = np.flatnonzero(net.predict(seen) != y_val)[:20]
        incidents = seen[fooled], y_val[fooled]
    for arm, scores in poison_scores(net, X, y, X_val, y_val, incidents, seed):
        # A defender does not know how many rows were planted: twice their number is removed.
        worst = np.argsort(scores, kind="stable")[: 2 * len(planted)]
        keep = np.ones(len(y), dtype=bool)
        keep[worst] = False
        yield measure(arm, kind.fit(X[keep], y[keep], seed), float((~keep)[planted].mean()))


def poison_scores(net, X, y, X_val, y_val, incidents, seed):
    yield "random", np.random.RandomState(seed).normal(size=len(y))
    yield "self-influence", -self_influences(FunctionalNet(net), X, y)
    kwargs = {"X_val": X_val, "y_val": y_val}
    for name, ensemble in {"IP": None, "IP ensemble": Dropout(max_rate=0.1)}.items():
        scorer = InfluenceScorer(FrozenEstimator(net), ensemble=ensemble, random_state=seed)
        yield name, scorer.fit(X, y, **kwargs).scores_
    detector = NoisyLabelDetector(TabularClassifier(), random_state=seed)
    yield "NoisyLabelDetector", detector.fit(X, y, **kwargs).scores_
    if incidents is None:
        return
    kwargs = {"X_val": incidents[0], "y_val": incidents[1]}
    scorer = InfluenceScorer(FrozenEstimator(net), random_state=seed)
    yield "IP, reference: incidents", scorer.fit(X, y, **kwargs).scores_
    scorer = InfluenceScorer(
        TabularClassifier(), normalize="rows", ensemble=Checkpoints(), random_state=seed
    )
    yield INCIDENTS, scorer.fit(X, y, **kwargs).scores_


def summarize(rows, keys, values):
    """Mean over the seeds ± half the width of its 95 % interval."""
    table = []
    for key, group in rows.groupby(keys, sort=False):
        row = dict(zip(keys, key, strict=True))
        for value in values:
            row[value] = "" if group[value].isna().all() else shown(group[value])
        table.append(row)
    return pd.DataFrame(table)


def gains(rows, measure):
    """Gain in accuracy over no defense and over the same action on random rows, paired by seed."""
    table = []
    for name, of_setting in rows.groupby("setting", sort=False):
        values = of_setting.set_index(["arm", "action", "seed"])[measure]
        for arm in of_setting.arm.unique():
            if arm in (UNDEFENDED, "random"):
                continue
            row = {"setting": name, "arm": arm}
            for action in ACTIONS:
                ours = values[arm, action]
                none, chance = values[UNDEFENDED, ""], values["random", action]
                row[f"{action}, over none"] = shown(ours - none, "+")
                row[f"{action}, over random"] = shown(ours - chance, "+")
            table.append(row)
    return pd.DataFrame(table)


def short_evasion(old, new):
    """Gains from dropping rows by IP and by exact influence, on old and on new attacks."""
    short = old[["setting", "arm"]].copy()
    for attacks, table in {"old attacks": old, "new attacks": new}.items():
        for other in ("none", "random"):
            short[f"{attacks}, over {other}"] = table[f"drop, over {other}"]
    return short[short.arm.isin(["exact influence", "IP"])]


def short_poisoning(table):
    """The arms that the page shows first."""
    return table[table.arm.isin([UNDEFENDED, "IP", "NoisyLabelDetector", INCIDENTS])]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="directory for defence_*.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="sklearn")  # categories that a small fold lacks
    rows, poisoned, larger = [], [], []
    for seed in tqdm(range(options.seeds), desc="seeds"):
        for name in SETTINGS:
            rows += evasion(name, seed)
        larger += budgets(seed)
        for which, load in {"Adult": adult, "digits": digits}.items():
            for poison in POISONS:
                poisoned += poisoning(which, load, poison, seed)
    tables = {
        "defence_evasion": summarize(
            pd.DataFrame(rows), ["setting", "arm", "action"], ["clean", "transfer", "adaptive"]
        ),
        "defence_gain_old": gains(pd.DataFrame(rows), "transfer"),
        "defence_gain_new": gains(pd.DataFrame(rows), "adaptive"),
        "defence_budgets": summarize(pd.DataFrame(larger), ["arm"], ["transfer", "adaptive"]),
        "defence_poisoning": summarize(
            pd.DataFrame(poisoned), ["setting", "arm"], ["found", "clean", "attack succeeds"]
        ),
    }
    old, new = tables["defence_gain_old"], tables["defence_gain_new"]
    tables["defence_evasion_short"] = short_evasion(old, new)
    tables["defence_poisoning_short"] = short_poisoning(tables["defence_poisoning"])
    for name, table in tables.items():
        print(f"\n{name}\n{table.to_string(index=False)}")
        if options.output:
            table.to_csv(options.output / f"{name}.csv", index=False)


if __name__ == "__main__":
    main()
