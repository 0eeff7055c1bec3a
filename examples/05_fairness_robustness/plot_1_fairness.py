"""
A fairer model by dropping rows
===============================

A classifier trained on the Adult census rows predicts an income above 50,000
dollars for men far more often than for women. Which training rows cause this
gap? The target :class:`~skinfluence.targets.DemographicParity` measures the
gap on reference rows, so the training rows with the lowest scores widen the
gap. Without these rows, the gap shrinks by more than half, and the accuracy
falls by about one percentage point. The model needs no fairness constraint,
and its ``fit`` needs no groups.
"""

# %%
# We load the rows and the labels. The sensitive feature is sex. The model sees
# all columns, including sex.
import numpy as np
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skinfluence.datasets import load_adult

adult = load_adult()
earns_more = (adult.target == ">50K").astype(int)  # fairlearn: 1 is "yes"
one_hot = OneHotEncoder(
    handle_unknown="infrequent_if_exist",
    min_frequency=50,
    sparse_output=False,
)
encode = make_column_transformer(
    (StandardScaler(), make_column_selector(dtype_include="number")),
    (one_hot, make_column_selector(dtype_exclude="number")),
)


def split(seed):
    """Training, reference and test rows; no row is in two parts."""
    rows = np.random.RandomState(seed).permutation(len(earns_more))
    parts = rows[:4000], rows[4000:6000], rows[6000:10000]
    encode.fit(adult.data.iloc[parts[0]])
    y, sex = earns_more.to_numpy(), adult.sensitive["sex"].astype(str)
    return [
        (
            encode.transform(adult.data.iloc[part]).astype(np.float32),
            y[part],
            sex.to_numpy()[part],
        )
        for part in parts
    ]


# %%
# For each split, the training rows are scored once. A logistic regression is
# then fitted without the lowest-scored rows. The *budget* is the share of rows
# that are dropped. Gap and accuracy are measured on test rows. If the budget
# is too large, the gap opens in favor of women. The budget is therefore chosen
# by the gap and the accuracy on the reference rows: among the budgets that
# lower the accuracy by at most one percentage point, we choose the budget with
# the smallest gap.
from fairlearn.metrics import demographic_parity_difference

from skinfluence import InfluenceScorer
from skinfluence.nets import TabularClassifier
from skinfluence.rules import Budget
from skinfluence.targets import DemographicParity

net = TabularClassifier(module__hidden=(), lr=1e-2)  # linear, like the model
budgets = np.arange(0, 0.21, 0.025)
SPLITS = 5


def curve(scores, train, *held_out):
    """Gap and accuracy on each held-out set, for each budget."""
    X, y, _ = train
    found = np.zeros((len(held_out), len(budgets), 2))
    for b, budget in enumerate(budgets):
        keep = Budget(budget).decide(scores, y).keep
        model = LogisticRegression(max_iter=300).fit(X[keep], y[keep])
        for h, (X_held, y_held, sex) in enumerate(held_out):
            predicted = model.predict(X_held)
            gap = demographic_parity_difference(
                y_held, predicted, sensitive_features=sex
            )
            found[h, b] = gap, (predicted == y_held).mean()
    return found


curves, by_random, chosen = [], [], []
for seed in range(SPLITS):
    train, reference, test = split(seed)
    scorer = InfluenceScorer(
        net, target=DemographicParity(), random_state=seed
    )
    scorer.fit(
        train[0],
        train[1],
        X_val=reference[0],
        y_val=reference[1],
        sensitive_features_val=reference[2],
    )
    on_reference, on_test = curve(scorer.scores_, train, reference, test)
    random_scores = np.random.RandomState(seed).uniform(size=len(train[1]))
    by_random.append(curve(random_scores, train, test)[0])
    curves.append(on_test)
    gap, accuracy = on_reference.T
    affordable = accuracy >= accuracy[0] - 0.01
    chosen.append(int(np.where(affordable, gap, np.inf).argmin()))

# %%
# The figure shows the gap on test rows: means and standard errors over five
# splits. Each star is the budget that is chosen on the reference rows of one
# split.
import matplotlib.pyplot as plt


def draw(k, name):
    """The gap (k = 0) or the accuracy (k = 1) over the budgets."""
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for found, style, color, label in [
        (curves, "o-", "tab:blue", "lowest scores"),
        (by_random, "s--", "tab:gray", "random rows"),
    ]:
        values = np.array(found)[..., k]
        error = values.std(0, ddof=1) / SPLITS**0.5
        look = {"fmt": style, "color": color, "linewidth": 2, "capsize": 3}
        ax.errorbar(budgets, values.mean(0), error, label=label, **look)
    pairs = zip(curves, chosen, strict=True)
    stars = [of_split[b, k] for of_split, b in pairs]
    look = {"color": "tab:orange", "markersize": 13, "label": "chosen"}
    ax.plot(budgets[chosen], stars, "*", zorder=3, **look)
    ax.set(xlabel="share of the training rows dropped", ylabel=name)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return ax


draw(0, "gap between men and women").set_ylim(bottom=0)
plt.show()

# %%
# The next figure shows the accuracy on the same rows:
draw(1, "accuracy").set_ylim(0.78, 0.88)
plt.show()

# %%
before = np.mean([of_split[0] for of_split in curves], axis=0)
after = np.mean(
    [of_split[b] for of_split, b in zip(curves, chosen, strict=True)], axis=0
)
print(f"gap      {before[0]:.3f} -> {after[0]:.3f}")
print(f"accuracy {before[1]:.3f} -> {after[1]:.3f}")

# %%
# All of this also works as one estimator. A grid search then chooses the
# budget by cross-validation on the training rows. Metadata routing splits
# ``sensitive_features`` into the same folds as the rows, and passes it to the
# selector, its scorer and fairlearn's metric. The function given as ``refit``
# picks the budget with the smallest gap among the budgets that lower the
# accuracy by at most one percentage point.
import sklearn
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV

from skinfluence import FilteredEstimator, InfluenceSampleSelector

sklearn.set_config(enable_metadata_routing=True)


def fairest_affordable(results):
    """Index of the smallest gap among the sufficiently accurate candidates."""
    accuracy = results["mean_test_accuracy"]
    gap = -results["mean_test_gap"]
    affordable = accuracy >= accuracy.max() - 0.01
    return int(np.where(affordable, gap, np.inf).argmin())


gap = make_scorer(demographic_parity_difference, greater_is_better=False)
selector = InfluenceSampleSelector(
    InfluenceScorer(net, target=DemographicParity()),
    rule=Budget(),
    cv=2,
    random_state=0,
)
model = FilteredEstimator(LogisticRegression(max_iter=300), selector)
search = GridSearchCV(
    make_pipeline(encode, model),
    {"filteredestimator__selector__rule__fraction": [0, 0.025, 0.05, 0.1]},
    scoring={
        "accuracy": "accuracy",
        "gap": gap.set_score_request(sensitive_features=True),
    },
    refit=fairest_affordable,
    cv=2,
)
rows = np.arange(4000)
search.fit(
    adult.data.iloc[rows],
    earns_more.iloc[rows],
    sensitive_features=adult.sensitive["sex"].iloc[rows],
)
sklearn.set_config(enable_metadata_routing=False)
search.best_params_
