"""
Do a net's influence scores help boosted trees?
===============================================

Influence is made of gradients with respect to parameters, and boosted trees have no such gradients.
The rows can be scored with a net all the same, and the trees fitted to what is left:
:class:`~skinfluence.FilteredEstimator` does that for any scikit-learn estimator. Whether a row that
harms a net harms trees as well is a matter of fact. Here labels are made wrong on purpose, so that
it can be seen how much of the damage is undone.
"""

# %%
# The same trees, fitted five times: to all rows, and without rows that somebody calls bad. As many
# rows go each time as have a wrong label, a number that only an experiment knows
# (:ref:`sphx_glr_auto_examples_plot_grid_search.py` has it chosen). Nobody sees a trusted row. The
# net has a rival that is closer at hand, the trees themselves: they doubt the rows whose given
# label is least probable to trees that were fitted to other rows.
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict, train_test_split

from skinfluence import FilteredEstimator, InfluenceSampleSelector
from skinfluence.datasets import flip_labels
from skinfluence.rules import Budget

trees = HistGradientBoostingClassifier(max_iter=50, random_state=0)


def compare(X, y, is_wrong, X_test, y_test, seed):
    """Accuracy of each fit, and the share of wrong labels among the rows that it goes without."""
    k = int(is_wrong.sum())
    selector = InfluenceSampleSelector(rule=Budget(count=k), cv=3)
    filtered = FilteredEstimator(trees, selector, random_state=seed).fit(X, y)
    probability = cross_val_predict(trees, X, y, cv=3, method="predict_proba")
    # not the seed of the wrong labels: the same permutation would drop exactly those
    lot = np.random.RandomState(100 + seed).permutation(len(y))
    found = {
        "no row": (trees.fit(X, y).score(X_test, y_test), np.nan),
        "random rows": lot,
        "doubted by trees": probability[np.arange(len(y)), y].argsort(),
        "harmful to a net": (
            filtered.score(X_test, y_test),
            is_wrong[~filtered.selector_.support_].mean(),
        ),
        "the wrong rows": np.argsort(~is_wrong, kind="stable"),
    }
    for name, order in found.items():
        if isinstance(order, np.ndarray):
            fitted = trees.fit(X[order[k:]], y[order[k:]])
            found[name] = (
                fitted.score(X_test, y_test),
                is_wrong[order[:k]].mean(),
            )
    return found


# %%
# Six splits, with one training label in ten wrong and with one in five. Test labels are right.
X, y = load_breast_cancer(return_X_y=True)
NOISE, SPLITS = (0.1, 0.2), 6
found = {}
for noise in NOISE:
    for seed in range(SPLITS):
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=0.4, stratify=y, random_state=seed
        )
        y_train, is_wrong = flip_labels(y_train, noise, random_state=seed)
        for name, pair in compare(
            X_train, y_train, is_wrong, X_test, y_test, seed
        ).items():
            found.setdefault(name, {}).setdefault(noise, []).append(pair)
accuracy, precision = np.moveaxis(
    [[of[noise] for of in found.values()] for noise in NOISE], -1, 0
)

# %%
# Splits differ more than the fits do, so each split is compared with itself: a thin line is a
# split, a large point the mean.
import matplotlib.pyplot as plt

from skinfluence.plotting import BLUE, GREEN, GREY, VERMILION

figure, axes = plt.subplots(
    1, 2, figsize=(9.5, 4), sharey=True, layout="constrained"
)
for ax, noise, values in zip(axes, NOISE, accuracy, strict=True):
    ax.plot(values, color=GREY, linewidth=0.8, alpha=0.6)
    for k, colour in enumerate(("black", GREY, VERMILION, BLUE, GREEN)):
        mean = values[k].mean()
        ax.plot(k, mean, "o", color=colour, markersize=9)
        ax.annotate(
            f"{mean:.3f}",
            (k, 0.02),
            xycoords=("data", "axes fraction"),
            color=colour,
            ha="center",
        )
    ax.set_xticks(
        range(len(found)), [name.replace(" ", "\n", 1) for name in found]
    )
    ax.set(
        title=f"{noise:.0%} of the labels wrong", xlabel="left out of the fit"
    )
    ax.set_xlim(-0.5, len(found) - 0.5)
    ax.grid(axis="y", alpha=0.3)
axes[0].set_ylabel("accuracy of the trees on right labels")
axes[0].set_ylim(bottom=accuracy.min() - 0.02)  # room for the numbers
plt.show()

# %%
# What each brings over all rows, in points of accuracy: means over the splits, with 95 % intervals.
from scipy.stats import t


def interval(values):
    half = (
        t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    )
    return f"{100 * values.mean():+.1f} ± {100 * half:.1f}"


for noise, values, share in zip(NOISE, accuracy, precision, strict=True):
    print(f"{noise:.0%} of the labels wrong; left out of the fit:")
    for k, name in list(enumerate(found))[1:]:
        gain = interval(values[k] - values[0])
        print(
            f"    {name:18s} {gain:12s} {share[k].mean():.0%} of these had a wrong label"
        )
    print(
        f"    the net's choice over that of the trees: {interval(values[3] - values[2])}"
    )

# %%
# What is to be seen
# ------------------
# What harms a net harms these trees as well. Without the rows that the net calls harmful they are
# better at both rates, and that is most of what there is to be had: leaving out the wrong rows, all
# of them and no others, brings little more. Rows by lot bring nothing.
#
# The trees are nearly as good judges themselves. In these six splits the net is ahead of them; in
# twelve others it was ahead by less, with zero inside the interval at both rates. If wrong labels
# are all that is feared, their own doubt is a fair choice. A net can also be asked what trees
# cannot, for instance which rows widen a gap between groups
# (:ref:`sphx_glr_auto_examples_plot_fairness.py`).
#
# It is one table, of thirty numbers that a net reads as well as trees do. The labels are wrong
# anywhere, not just where rows are hard, and how many to drop was known. Where a net cannot learn
# the table, do not expect its choice to help.
