"""
A fairer model by leaving rows out
==================================

A classifier of the Adult census rows predicts an income above 50,000 dollars for men far more often
than for women. Which training rows have it do so? :class:`~skinfluence.targets.DemographicParity`
asks the reference rows for the size of the gap, so rows with the lowest scores are those that widen
it. They are left out; no constraint enters the model, and its `fit` needs to know nothing of
groups.
"""

# %%
# Rows, labels and the sensitive feature. The model sees all columns, sex as well.
import numpy as np
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skinfluence.datasets import load_adult

adult = load_adult()
earns_more = (adult.target == ">50K").astype(
    int
)  # fairlearn's metrics take 1 for "yes"
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


def split(seed):
    """Training, reference and test rows: none is in two of them."""
    rows = np.random.RandomState(seed).permutation(len(earns_more))
    parts = rows[:4800], rows[4800:7200], rows[7200:12000]
    X = (
        encode.fit(adult.data.iloc[parts[0]])
        .transform(adult.data)
        .astype(np.float32)
    )
    y, sex = (
        earns_more.to_numpy(),
        adult.sensitive["sex"].astype(str).to_numpy(),
    )
    return [(X[part], y[part], sex[part]) for part in parts]


# %%
# Score once, then drop more and more. Gap and accuracy are those of a logistic regression's hard
# predictions on the test rows.
from fairlearn.metrics import demographic_parity_difference

from skinfluence import InfluenceScorer
from skinfluence.nets import TabularClassifier
from skinfluence.rules import Budget
from skinfluence.targets import DemographicParity

net = TabularClassifier(module__hidden=(), lr=1e-2)  # linear, like the model
budgets = np.arange(0, 0.21, 0.02)


def curve(scores, train, held):
    """Gap and accuracy on held rows for each budget."""
    found = []
    for budget in budgets:
        keep = Budget(budget).decide(scores, train[1]).keep
        model = LogisticRegression(max_iter=1000).fit(
            train[0][keep], train[1][keep]
        )
        says_yes = model.predict(held[0])
        gap = demographic_parity_difference(
            held[1], says_yes, sensitive_features=held[2]
        )
        found.append((gap, (says_yes == held[1]).mean()))
    return np.array(found)


curves, by_lot, chosen = [], [], []
for seed in range(5):
    train, reference, test = split(seed)
    scorer = InfluenceScorer(
        net, target=DemographicParity(), random_state=seed
    ).fit(
        train[0],
        train[1],
        X_val=reference[0],
        y_val=reference[1],
        sensitive_features_val=reference[2],
    )
    curves.append(curve(scorer.scores_, train, test))
    by_lot.append(
        curve(
            np.random.RandomState(seed).uniform(size=len(train[1])),
            train,
            test,
        )
    )
    # Dropping too many rows opens the gap to the other side: the reference rows say when to stop.
    seen = curve(scorer.scores_, train, reference)
    affordable = seen[:, 1] >= seen[0, 1] - 0.01
    chosen.append(int(np.where(affordable, seen[:, 0], np.inf).argmin()))

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for ax, k, name in zip(
    axes, (0, 1), ("gap between men and women", "accuracy"), strict=True
):
    for found, style, colour, label in [
        (curves, "o-", "#0072B2", "lowest scores dropped"),
        (by_lot, "s--", "#7F7F7F", "rows dropped by lot"),
    ]:
        values = np.array(found)[:, :, k]
        error = values.std(0, ddof=1) / len(values) ** 0.5
        ax.errorbar(
            budgets,
            values.mean(0),
            error,
            fmt=style,
            color=colour,
            label=label,
            capsize=3,
        )
    for seed, at in enumerate(chosen):
        label = "budget chosen on reference rows" if seed == 0 else None
        ax.plot(
            budgets[at],
            curves[seed][at, k],
            "*",
            color="#D55E00",
            ms=11,
            label=label,
        )
    ax.set(
        xlabel="share of the training rows dropped",
        ylabel=f"{name}, test rows",
    )
axes[0].set_ylim(bottom=0)
axes[1].set_ylim(0.78, 0.88)
axes[1].legend(frameon=False, loc="upper right")
figure.suptitle("mean and standard error of five splits")
plt.show()

# %%
before, after = (
    np.mean([c[0] for c in curves], axis=0),
    np.mean([c[at] for c, at in zip(curves, chosen, strict=True)], axis=0),
)
print(f"gap      {before[0]:.3f} -> {after[0]:.3f}")
print(f"accuracy {before[1]:.3f} -> {after[1]:.3f}")

# %%
# The same as one estimator, with the budget chosen by a grid search inside the training rows. With
# metadata routing, ``sensitive_features`` is cut along with the folds and reaches the selector,
# the scorer in it, and fairlearn's metric. `refit` picks the smallest gap among the budgets that
# cost at most one point of accuracy.
import sklearn
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV

from skinfluence import FilteredEstimator, InfluenceSampleSelector

sklearn.set_config(enable_metadata_routing=True)


def fairest_affordable(results):
    """Index of the candidate with the smallest gap among those that are accurate enough."""
    accuracy, gap = results["mean_test_accuracy"], -results["mean_test_gap"]
    return int(
        np.where(accuracy >= accuracy.max() - 0.01, gap, np.inf).argmin()
    )


gap = make_scorer(demographic_parity_difference, greater_is_better=False)
selector = InfluenceSampleSelector(
    InfluenceScorer(net, target=DemographicParity()),
    rule=Budget(),
    cv=2,
    random_state=0,
)
model = FilteredEstimator(LogisticRegression(max_iter=1000), selector)
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
rows = np.arange(4800)
search.fit(
    adult.data.iloc[rows],
    earns_more.iloc[rows],
    sensitive_features=adult.sensitive["sex"].iloc[rows],
)
sklearn.set_config(enable_metadata_routing=False)
search.best_params_
