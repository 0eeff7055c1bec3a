"""
How many rows should go? Ask the grid search
============================================

Filtering is a step of the model: inside :class:`~skinfluence.FilteredEstimator` rows leave while
fitting only, so cross-validation never filters the rows it tests on, and the share to drop is a
parameter like any other. Zero is in the grid: dropping nothing has to be beaten.
"""

# %%
from tempfile import mkdtemp

from joblib import Memory
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import FilteredEstimator, InfluenceSampleSelector
from skinfluence.datasets import flip_labels
from skinfluence.rules import Budget

# Scores do not depend on how many rows are dropped, so with ``memory`` each split is scored once
# for the whole grid.
selector = InfluenceSampleSelector(
    rule=Budget(), cv=3, memory=Memory(mkdtemp(), verbose=0), random_state=0
)
booster = HistGradientBoostingClassifier(max_iter=60, random_state=0)
pipe = make_pipeline(StandardScaler(), FilteredEstimator(booster, selector))
fractions = [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]
parameter = "filteredestimator__selector__rule__fraction"
search = GridSearchCV(
    pipe,
    {parameter: fractions},
    cv=StratifiedKFold(3, shuffle=True, random_state=0),
)

# %%
# One row in five gets a wrong label. The labels of the folds are as noisy as the others, so the
# search sees accuracies that are too low; what matters is whether it chooses well. Clean test rows,
# which the search never sees, tell. Five repetitions, as single splits of a small table differ.
X, y = load_breast_cancer(return_X_y=True)
seen, true, chosen, gain = [], [], [], []
for seed in range(5):
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, stratify=y, random_state=seed
    )
    y_noisy, is_wrong = flip_labels(y_train, 0.2, random_state=seed)
    search.fit(X_train, y_noisy)
    seen.append(search.cv_results_["mean_test_score"])
    true.append(
        [
            pipe.set_params(**{parameter: fraction})
            .fit(X_train, y_noisy)
            .score(X_test, y_test)
            for fraction in fractions
        ]
    )
    chosen.append(search.best_params_[parameter])
    gain.append(search.score(X_test, y_test) - true[-1][0])
print("chosen shares:", chosen)
print("accuracy gained on clean test rows:", [f"{g:+.3f}" for g in gain])

# %%
import matplotlib.pyplot as plt
import numpy as np

figure, ax = plt.subplots(layout="constrained")
for scores, style, colour, label in [
    (true, "o-", "#0072B2", "clean test rows, not seen by the search"),
    (seen, "s--", "#D55E00", "cross-validation on noisy rows"),
]:
    error = np.std(scores, axis=0, ddof=1) / len(scores) ** 0.5
    ax.errorbar(
        fractions,
        np.mean(scores, axis=0),
        error,
        fmt=style,
        color=colour,
        label=label,
        capsize=3,
    )
ax.set(
    xlabel="share of the training rows dropped",
    ylabel="accuracy of the boosted trees",
)
ax.set_title("mean and standard error of five splits, 20 % wrong labels")
ax.legend(frameon=False, loc="center right")
plt.show()

# %%
# The fitted pipeline tells which rows it was fitted on.
final = search.best_estimator_[-1]
dropped = ~final.selector_.support_
print(
    f"{is_wrong[dropped].sum()} of {dropped.sum()} dropped rows had a wrong label"
)
