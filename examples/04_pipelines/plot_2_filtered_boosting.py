"""
Do influence scores of a net help boosted trees?
================================================

Influence needs gradients with respect to parameters, and boosted trees have no
such gradients. But a net can score the rows, and the trees can be fitted to
the rows that are kept. :class:`~skinfluence.FilteredEstimator` does so for any
scikit-learn estimator. Do rows that harm a net also harm trees? In this
example they do: if these rows are dropped, the trees regain most of the
accuracy that they lose to the wrong labels.
"""

# %%
# We make some labels of a table wrong, and fit the same trees five times:
#
# - to all rows ("no row" dropped);
# - without random rows;
# - without the rows "doubted by trees", whose given label has the lowest
#   out-of-sample probability predicted by the trees;
# - without the rows "harmful to a net", which have the lowest influence
#   scores;
# - without the rows that do have a wrong label.
#
# The last four fits drop as many rows as there are wrong labels. In practice
# this number is unknown;
# :ref:`sphx_glr_auto_examples_04_pipelines_plot_1_grid_search.py` chooses it.
# No rows with trusted labels are used.
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict, train_test_split

from skinfluence import FilteredEstimator, InfluenceSampleSelector
from skinfluence.datasets import flip_labels
from skinfluence.rules import Budget

trees = HistGradientBoostingClassifier(max_iter=50, random_state=0)
CHOICES = [
    "no row",
    "random rows",
    "doubted by trees",
    "harmful to a net",
    "the wrong rows",
]


def drop_and_fit(X, y, is_wrong, seed):
    """Fitted trees and dropped rows, for each choice."""
    k = int(is_wrong.sum())
    selector = InfluenceSampleSelector(rule=Budget(count=k), cv=3)
    filtered = FilteredEstimator(trees, selector, random_state=seed).fit(X, y)
    p = cross_val_predict(trees, X, y, cv=3, method="predict_proba")
    # not the seed of the wrong labels, which would draw the same rows
    rng = np.random.RandomState(100 + seed)
    dropped = [
        np.array([], dtype=int),
        rng.permutation(len(y))[:k],
        p[np.arange(len(y)), y].argsort()[:k],
        np.flatnonzero(~filtered.selector_.support_),
        np.flatnonzero(is_wrong),
    ]
    for name, rows in zip(CHOICES, dropped, strict=True):
        if name == "harmful to a net":
            yield filtered, rows
        else:
            left = np.setdiff1d(np.arange(len(y)), rows)
            yield trees.fit(X[left], y[left]), rows


# %%
# We use six splits. In each split, first 10 % and then 20 % of the training
# labels are wrong. The test labels are right.
X, y = load_breast_cancer(return_X_y=True)
NOISE, SPLITS = (0.1, 0.2), 6
accuracy = np.zeros((len(NOISE), len(CHOICES), SPLITS))
precision = np.zeros_like(accuracy)  # share of wrong labels among the dropped
for i, noise in enumerate(NOISE):
    for seed in range(SPLITS):
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=0.4, stratify=y, random_state=seed
        )
        y_train, is_wrong = flip_labels(y_train, noise, random_state=seed)
        fits = drop_and_fit(X_train, y_train, is_wrong, seed)
        for k, (fitted, rows) in enumerate(fits):
            accuracy[i, k, seed] = fitted.score(X_test, y_test)
            precision[i, k, seed] = is_wrong[rows].sum() / max(len(rows), 1)

# %%
# The accuracy differs more between splits than between choices of the dropped
# rows, so compare the choices within a split. Each thin line is a split, and
# each large point is a mean over the splits.
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
looks = zip(NOISE, accuracy, ("tab:blue", "tab:orange"), "os", strict=True)
for noise, values, color, marker in looks:
    ax.plot(values, color=color, linewidth=0.8, alpha=0.5)
    look = {"color": color, "markersize": 10, "zorder": 3}
    label = f"{noise:.0%} wrong labels"
    ax.plot(values.mean(1), marker, label=label, **look)
ax.set_xticks(range(len(CHOICES)), [c.replace(" ", "\n", 1) for c in CHOICES])
ax.set(xlabel="dropped before the fit", ylabel="test accuracy")
ax.grid(axis="y", alpha=0.3)
ax.legend(frameon=False, loc="lower right")
plt.show()

# %%
# How much does each choice raise the accuracy, compared with fitting to all
# rows? The gains are in percentage points: means over the splits, with 95 %
# intervals.
from scipy.stats import t


def interval(values):
    error = values.std(ddof=1) / len(values) ** 0.5
    half = t.ppf(0.975, len(values) - 1) * error
    return f"{100 * values.mean():+.1f} ± {100 * half:.1f}"


for noise, values, share in zip(NOISE, accuracy, precision, strict=True):
    print(f"{noise:.0%} wrong labels     gain         wrong among the dropped")
    for k, name in list(enumerate(CHOICES))[1:]:
        gain = interval(values[k] - values[0])
        print(f"    {name:18s} {gain:12s} {share[k].mean():.0%}")
    print(f"    net over trees     {interval(values[3] - values[2])}")

# %%
# Discussion
# ----------
# Rows that harm a net also harm these trees. If these rows are dropped, the
# trees are more accurate with 10 % and with 20 % wrong labels. Dropping
# exactly the rows with wrong labels raises the accuracy only a little more,
# and dropping random rows does not raise it.
#
# The trees' own predictions find the wrong labels nearly as well as the net
# does. In these six splits, dropping by the scores of the net gives a higher
# accuracy than dropping by the trees' predictions. In twelve other splits the
# difference was smaller, and its interval contained zero with 10 % and with 20
# % wrong labels. If you only want to find wrong labels, the predictions of the
# trees are a good choice. But a net can answer other questions, for instance
# which rows widen a gap between groups
# (:ref:`sphx_glr_auto_examples_05_fairness_robustness_plot_1_fairness.py`).
#
# This example has three limits. It uses one table with thirty numeric columns,
# which a net learns as well as trees do. If a net cannot learn your table, do
# not expect its scores to help. The wrong labels are at random rows, not at
# the hard rows. And the number of wrong labels was known.
