"""
Do influence scores of a net help boosted trees?
================================================

Influence needs gradients with respect to parameters, which boosted trees do
not have. But a net can score the rows, and the trees can be fitted to those
that are left. :class:`~skinfluence.FilteredEstimator` does so for any
scikit-learn estimator. Do rows that harm a net also harm trees? Here they do:
without them the trees regain most of the accuracy that wrong labels cost.
"""

# %%
# We change some labels of a table, and fit the same trees five times: to all
# rows, without random rows, without the rows that the trees themselves doubt,
# without the rows that harm a net, and without the wrong rows. The trees doubt
# the rows whose given label has the lowest out-of-sample probability.
#
# Each choice drops as many rows as have a wrong label. In practice this number
# is unknown;
# :ref:`sphx_glr_auto_examples_04_pipelines_plot_1_grid_search.py` chooses it.
# No choice uses trusted rows.
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
    # another seed than that of the wrong labels, which drew the same rows
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
# Six splits, with one training label in ten wrong and with one in five. The
# test labels are right.
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
# Splits differ more than the choices do, so each split is compared with
# itself: a thin line is a split, a large point the mean.
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
# The gain of each choice over all rows, in percentage points of accuracy:
# means over the splits, with 95 % intervals.
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
# Rows that harm a net also harm these trees. Without the rows that the net
# calls harmful, the trees are better at both noise rates. This is most of what
# can be gained: dropping exactly the wrong rows brings little more. Dropping
# random rows brings nothing.
#
# The trees are nearly as good at finding the wrong rows themselves. In these
# six splits the net is ahead of them. In twelve others it was ahead by less,
# with zero inside the interval at both rates. If wrong labels are the only
# concern, the doubt of the trees is a fair choice. But a net can answer
# questions that trees cannot, for instance which rows widen a gap between
# groups
# (:ref:`sphx_glr_auto_examples_05_fairness_robustness_plot_1_fairness.py`).
#
# This is one table with thirty numeric columns, which a net learns as well as
# trees do. The labels are wrong anywhere, and not only where rows are hard.
# And the number of rows to drop was known. Where a net cannot learn the table,
# do not expect its choice to help.
