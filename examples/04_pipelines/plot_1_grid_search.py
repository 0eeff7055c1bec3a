"""
How many rows should be dropped? Let a grid search choose
=========================================================

:class:`~skinfluence.FilteredEstimator` drops rows in ``fit`` only, so the test
folds of a cross-validation stay whole. The share of rows to drop is a
parameter that a grid search can choose. In this example, 20 % of the labels
are wrong. The grid search drops 20 % to 25 % of the rows, and boosted trees
become more accurate on clean test rows.
"""

# %%
# The grid includes zero, so the search can choose to drop nothing. The scores
# do not depend on the share of rows to drop. With ``memory``, they are
# therefore computed once per split and used for the whole grid.
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

memory = Memory(mkdtemp(), verbose=0)
selector = InfluenceSampleSelector(
    rule=Budget(), cv=3, memory=memory, random_state=0
)
trees = HistGradientBoostingClassifier(max_iter=60, random_state=0)
pipe = make_pipeline(StandardScaler(), FilteredEstimator(trees, selector))
parameter = "filteredestimator__selector__rule__fraction"
fractions = [0, 0.1, 0.15, 0.2, 0.25, 0.3]
folds = StratifiedKFold(3, shuffle=True, random_state=0)
search = GridSearchCV(pipe, {parameter: fractions}, cv=folds)

# %%
# One training row in five gets a wrong label. The labels of the validation
# folds are as noisy as the labels that the trees are fitted to, so the
# accuracies in the search are too low. But does the search choose a good
# share? To find out, we also score every candidate on clean test rows that the
# search does not use. Results vary between splits of a small table, so we
# repeat this for three splits.
X, y = load_breast_cancer(return_X_y=True)
seen, true, chosen, gain = [], [], [], []
for seed in range(3):
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, stratify=y, random_state=seed
    )
    y_noisy, is_wrong = flip_labels(y_train, 0.2, random_state=seed)
    search.fit(X_train, y_noisy)
    seen.append(search.cv_results_["mean_test_score"])
    on_clean = []
    for fraction in fractions:
        candidate = pipe.set_params(**{parameter: fraction})
        fitted = candidate.fit(X_train, y_noisy)
        on_clean.append(fitted.score(X_test, y_test))
    true.append(on_clean)
    chosen.append(search.best_params_[parameter])
    gain.append(search.score(X_test, y_test) - on_clean[0])
print("chosen shares:", chosen)
print("gain on clean test rows:", [f"{g:+.3f}" for g in gain])

# %%
# The accuracy on the validation folds and the accuracy on the clean test rows
# reach their maximum at similar shares. Bars are standard errors over the
# splits.
import matplotlib.pyplot as plt
import numpy as np

figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
for scores, style, color, label in [
    (true, "o-", "tab:blue", "clean test rows"),
    (seen, "s--", "tab:orange", "cross-validation on noisy rows"),
]:
    error = np.std(scores, axis=0, ddof=1) / len(scores) ** 0.5
    look = {"fmt": style, "color": color, "linewidth": 2, "capsize": 3}
    ax.errorbar(fractions, np.mean(scores, axis=0), error, label=label, **look)
ax.set(xlabel="share of the training rows dropped", ylabel="accuracy")
ax.legend(frameon=False, loc="center right")
plt.show()

# %%
# The attribute ``support_`` of the fitted selector marks the rows that were
# kept.
final = search.best_estimator_[-1]
dropped = ~final.selector_.support_
print(f"rows dropped in the last split: {dropped.sum()}")
print(f"of these with a wrong label: {is_wrong[dropped].sum()}")
