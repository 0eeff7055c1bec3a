"""
Defence: which rows make a model easy to fool?
==============================================

An attacker changes each row a little, so that the model errs. The target
:class:`~skinfluence.targets.Robustness` asks reference rows that have been attacked for their loss;
training rows with low scores are those that help the attacker. They are dropped, or get the other
label, and the model is fitted again.

The split is honest: reference rows and test rows are different rows, attacked separately. And two
questions are told apart: what becomes of the attacks that were made at the old model, and what
becomes of new ones, made at the defended model by an attacker who knows it.
"""

# %%
# Adult census rows, and a linear net. FGSM moves the numbers by a quarter of their standard
# deviation; the attacker cannot change categories.
import numpy as np
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skinfluence import InfluenceScorer
from skinfluence.attacks import FGSM
from skinfluence.datasets import load_adult
from skinfluence.nets import TabularClassifier
from skinfluence.rules import Budget
from skinfluence.targets import Robustness

adult = load_adult()
encode = make_column_transformer(
    (StandardScaler(), make_column_selector(dtype_include="number")),
    (
        OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=50,
            sparse_output=False,
        ),
        make_column_selector(dtype_exclude="number"),
    ),
)
numbers = adult.data.select_dtypes("number").columns


def fit(X, y):
    """A linear net; the same seed each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TabularClassifier(
            module__hidden=(), lr=1e-2, max_epochs=20
        ).fit(X, y)


def fgsm(width):
    """The attack on rows of that many columns, of which the numbers come first."""
    return FGSM(np.where(np.arange(width) < len(numbers), 0.25, 0.0))


def accuracies(net, X, y, attacked):
    """On clean rows, on rows attacked at the old model, on rows attacked at this one."""
    return [
        (net.predict(rows) == y).mean()
        for rows in (X, attacked, fgsm(X.shape[1])(net, X, y))
    ]


# %%
# Attack, score, act, retrain, attack again: five splits. "By lot" acts on random rows.
arms = {}
for seed in range(5):
    rows = np.random.RandomState(seed).permutation(len(adult.target))
    parts = rows[:4000], rows[4000:6000], rows[6000:9000]
    X = (
        encode.fit(adult.data.iloc[parts[0]])
        .transform(adult.data)
        .astype(np.float32)
    )
    y = (adult.target == ">50K").to_numpy().astype(int)
    (X_train, X_val, X_test), (y_train, y_val, y_test) = (
        [a[part] for part in parts] for a in (X, y)
    )
    net = fit(X_train, y_train)
    attack = fgsm(X.shape[1])
    attacked = attack(net, X_test, y_test)
    arms.setdefault("no defence", []).append(
        accuracies(net, X_test, y_test, attacked)
    )

    scorer = InfluenceScorer(
        FrozenEstimator(net), target=Robustness(attack), random_state=seed
    )
    scores = scorer.fit(X_train, y_train, X_val=X_val, y_val=y_val).scores_
    lot = np.random.RandomState(seed).uniform(size=len(scores))
    for action in ("drop", "relabel"):
        rule = Budget(0.05, action=action)
        for name, by in {"by lot": lot, "by influence": scores}.items():
            decision = rule.decide(by, y_train, 1 - y_train)
            labels = y_train if decision.y is None else decision.y
            defended = fit(X_train[decision.keep], labels[decision.keep])
            found = accuracies(defended, X_test, y_test, attacked)
            arms.setdefault(f"5 % {action}, {name}", []).append(found)

# %%
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
kinds = [
    ("test rows as they are", "o", "#7F7F7F"),
    ("attacked at the old model", "s", "#0072B2"),
    ("attacked at the defended model", "D", "#D55E00"),
]
for at, found in enumerate(arms.values()):
    mean, error = (
        np.mean(found, axis=0),
        np.std(found, axis=0, ddof=1) / len(found) ** 0.5,
    )
    for k, (label, marker, colour) in enumerate(kinds):
        ax.errorbar(
            mean[k],
            -at,
            xerr=error[k],
            fmt=marker,
            color=colour,
            capsize=3,
            label=label if at == 0 else None,
        )
ax.set_yticks(-np.arange(len(arms)), list(arms))
ax.set_xlabel("accuracy, mean and standard error of five splits")
ax.grid(axis="x", alpha=0.3)
figure.legend(loc="outside upper center", ncols=3, frameon=False)
plt.show()

# %%
# What was gained over no defence, in points of accuracy, split by split:
base = np.array(arms.pop("no defence"))
for name, found in arms.items():
    gain = 100 * (np.array(found) - base)
    print(
        f"{name:22s} old attack {gain[:, 1].round(1)}  new attack {gain[:, 2].round(1)}"
    )
