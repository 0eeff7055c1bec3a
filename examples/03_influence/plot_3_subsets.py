"""
Is the worst set of rows the set of the worst rows?
===================================================

No. The rule ``Budget`` drops the k rows with the lowest scores, and each score
estimates the effect of dropping its row alone. But similar rows mask one
another: if one of them is dropped, little changes as long as the others stay.
To find sets with a larger effect, drop one row at a time and compute the
scores again after each row. :class:`~skinfluence.rules.AdaptiveGreedy` does
so, as proposed in arXiv 2409.18153 (*Most Influential Subset Selection*).
:func:`~skinfluence.subsets.group_influence` predicts the effect of a given
set.
"""

# %%
# The model is a linear net that is fitted in closed form, by least squares.
# Its fit is therefore exact, so any error below is due to the choice of the
# set.
import numpy as np
import torch
from skorch import NeuralNetRegressor
from torch import nn


class LeastSquares(NeuralNetRegressor):
    """A linear net that is fitted in closed form."""

    def fit(self, X, y, **fit_params):
        self.set_params(module__in_features=X.shape[1]).initialize()
        with_one = np.c_[X, np.ones(len(X))]
        solution = np.linalg.lstsq(with_one, np.ravel(y), rcond=None)[0]
        with torch.no_grad():
            self.module_.weight.copy_(torch.tensor(solution[:-1]))
            self.module_.bias.copy_(torch.tensor(solution[-1]))
        return self


net = LeastSquares(
    nn.Linear,
    module__in_features=1,
    module__out_features=1,
    module__dtype=torch.float64,
    train_split=None,
    verbose=0,
)

# %%
# The target is the prediction for one row: which training rows must be dropped
# to make this prediction as low as possible? The scores are classical
# influence functions with the exact Hessian.
from skinfluence import InfluenceSampleSelector, InfluenceScorer
from skinfluence.curvature import Exact
from skinfluence.retraining import leave_some_out
from skinfluence.rules import AdaptiveGreedy, Budget
from skinfluence.subsets import group_influence

scorer = InfluenceScorer(
    net,
    target=lambda outputs, y: outputs.mean(),
    curvature=Exact(damping=0.0),
    check_gradients=False,
)


def choose(rule, X, y, x):
    """Rows that a rule drops, by their influence on the prediction at x."""
    selector = InfluenceSampleSelector(scorer, rule)
    selector.fit(X, y, X_val=x, y_val=np.zeros(1))
    return np.flatnonzero(~selector.support_)


def predict(fitted, x, _):
    return fitted.predict(x)[:, 0]


def drop_without(groups, X, y, x):
    """How far the prediction at x drops without each group, by refitting."""
    return -leave_some_out(
        net, X, y, groups, x, np.zeros(1), outcome=predict
    ).ravel()


# %%
# Three similar rows
# ------------------
# Twelve of eighteen rows lie near a line. Three rows at the right lie above
# this line, all at the same place on the x-axis. Three more rows lie above the
# line, at different places. Which three rows must be dropped so that the
# prediction at the cross falls most? There are only 816 sets of three rows, so
# we can try them all.
from itertools import combinations

SETS = list(combinations(range(18), 3))
REST = np.array([np.setdiff1d(range(18), rows) for rows in SETS])
x = np.array([[1.3]])


def make_table(seed):
    rng = np.random.RandomState(seed)
    X = rng.uniform(0, 1, (18, 1))
    X[:3], X[3:6] = 1.6, rng.uniform(0.6, 1, (3, 1))
    lift = np.repeat([1.2, 0.9, 0], [3, 3, 12])
    return X, X[:, 0] + lift + 0.15 * rng.randn(18)


def drops_of_all_sets(X, y):
    """How far the prediction at x drops without each set, by the formula."""
    A, b = np.c_[X, np.ones(18)][REST], y[REST][..., None]
    T = A.swapaxes(1, 2)
    solutions = np.linalg.solve(T @ A, T @ b)[..., 0]
    return net.fit(X, y).predict(x)[0, 0] - solutions @ [x[0, 0], 1]


tables = [make_table(seed) for seed in range(30)]
rules = Budget(count=3), AdaptiveGreedy(count=3, step=1)
chosen = [[choose(rule, X, y, x) for rule in rules] for X, y in tables]
share = np.zeros((30, 2))  # of the drop without the best set
for k, (X, y) in enumerate(tables):
    of_all = drops_of_all_sets(X, y)
    of_chosen = [of_all[SETS.index(tuple(rows))] for rows in chosen[k]]
    share[k] = of_chosen / of_all.max()
is_best = share > 1 - 1e-9
for r, name in enumerate(("three lowest scores", "row by row")):
    print(f"{name:20s} the best set in {is_best[:, r].sum()} of 30 tables,")
    print(f"{'':20s} {share[:, r].mean():.0%} of its effect on average")

# %%
# The figure shows one of these tables. Of the three rows at the right, which
# mask one another, only one is among the three rows with the lowest scores
# (squares). If rows are chosen one by one, all three are found (circles).
import matplotlib.pyplot as plt

example = int(np.flatnonzero(~is_best[:, 0] & is_best[:, 1])[0])
X, y = tables[example]
ends = np.array([[0.0], [1.75]])
figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
ax.plot(X, y, "o", color="tab:gray")
ax.plot(ends, net.fit(X, y).predict(ends), color="black", label="all rows")
looks = [
    ("without the lowest scores", "tab:orange", "s", 11),
    ("without those chosen row by row", "tab:blue", "o", 15),
]
for rows, (name, color, marker, size) in zip(
    chosen[example], looks, strict=True
):
    rest = np.setdiff1d(range(18), rows)
    fitted = net.fit(X[rest], y[rest])
    ax.plot(ends, fitted.predict(ends), color=color, label=name, linewidth=2)
    ring = {"mfc": "none", "mew": 2, "markersize": size, "color": color}
    ax.plot(X[rows], y[rows], marker, **ring)
at_x = net.fit(X, y).predict(x)
ax.plot(x, at_x, "x", color="black", markersize=12, mew=3)
ax.set(xlabel="x", ylabel="y")
ax.legend(frameon=False, loc="upper left")
plt.show()

# %%
# Patients
# --------
# The second data set is larger: sixty rows and ten columns of the diabetes
# table. The target is the prediction for a patient who is not among the sixty.
# We leave out 1 to 20 rows, and repeat this for twelve patients, each with
# sixty other rows.
from sklearn.datasets import load_diabetes

X, y = load_diabetes(return_X_y=True, scaled=False)
COUNTS, PATIENTS = [1, 5, 10, 20], 12
WAYS = ("lowest scores", "row by row", "random rows")
drops = np.zeros((PATIENTS, len(WAYS), len(COUNTS)))
# predicted for the first two ways, by sums of scores and with of_rest=True
predicted = np.zeros((2, PATIENTS, 2, len(COUNTS)))
for k in range(PATIENTS):
    new, *rows = np.random.RandomState(k).permutation(len(y))[:61]
    given = X[rows], y[rows], X[[new]]
    fitted = scorer.fit(*given[:2], X_val=given[2], y_val=np.zeros(1))
    groups = [np.argsort(fitted.scores_)[:n] for n in COUNTS]
    groups += [choose(AdaptiveGreedy(count=n, step=1), *given) for n in COUNTS]
    for way, of_rest in zip(predicted, (False, True), strict=True):
        sums = group_influence(fitted, *given[:2], groups, of_rest=of_rest)
        way[k] = -sums.reshape(2, -1)
    groups += [np.arange(n) for n in COUNTS]
    drops[k] = drop_without(groups, *given).reshape(3, -1)

# %%
# Left: the mean drop of the prediction after refitting, with standard errors.
# Right: for each set, the drop after refitting against the predicted drop.
figure, (left, right) = plt.subplots(
    1, 2, figsize=(8, 4), layout="constrained"
)
looks = zip(WAYS, ("tab:orange", "tab:blue", "tab:gray"), "so^", strict=True)
for values, (name, color, marker) in zip(
    drops.transpose(1, 2, 0), looks, strict=True
):
    error = values.std(1, ddof=1) / PATIENTS**0.5
    look = {"color": color, "marker": marker, "label": name}
    left.errorbar(COUNTS, values.mean(1), error, **look)
left.set(xlabel="rows left out, of 60", ylabel="drop of the prediction")
left.legend(frameon=False, loc="upper left")

right.axline((0, 0), slope=1, color="tab:gray")
for way, marker, color, name in zip(
    predicted,
    "s.",
    ("tab:green", "black"),
    ("sum of scores", "of_rest=True"),
    strict=True,
):
    look = {"color": color, "mfc": "none", "label": name}
    right.plot(way.ravel(), drops[:, :2].ravel(), marker, **look)
right.set(xlabel="predicted drop", ylabel="drop after refitting")
right.legend(frameon=False, loc="lower right")
plt.show()

# %%
# How much more does the prediction drop if rows are chosen row by row instead
# of by the lowest scores? The numbers are means with standard errors:
more = drops[:, 1] - drops[:, 0]
error = more.std(0, ddof=1) / PATIENTS**0.5
for n, mean, half in zip(COUNTS, more.mean(0), error, strict=True):
    print(f"{n:2d} rows left out: {mean:4.1f} ± {half:.1f}")

# %%
# Discussion
# ----------
# We compare choosing rows by the lowest scores with choosing them row by row.
# If one row is dropped, both ways choose the same row. If five of sixty rows
# are dropped, the two choices have nearly the same effect. As more rows are
# dropped, choosing row by row has a growing advantage. If similar rows mask
# one another, as in the first data set, the advantage is large even for three
# rows. But choosing row by row does not try all sets. In some tables it misses
# the best set, though its own set seldom has a much smaller effect. It also
# costs one fit and one curvature per step.
#
# For all of these sets, the sum of the scores underestimates the effect,
# because a row matters more if similar rows have been dropped.
# ``of_rest=True`` computes the curvature over the rows that stay. The result
# is exact here, because the net is linear and the loss is the squared error.
# For other nets the result is one Newton step, and only refitting shows
# whether one step is enough.
