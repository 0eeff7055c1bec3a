"""
Which rows should be labeled next?
==================================

We have a thousand handwritten digits and labels for forty of them, and can ask
for a hundred more labels, in batches of twenty. After each batch the net is
fitted again, and a *query* chooses the rows of the next batch. Queries that
choose rows near the decision boundary work best in this example: margin
sampling and :class:`~skinfluence.active.LDMQuery`.
:class:`~skinfluence.active.InfluenceQuery` improves less on random rows, and
only if the rows of a batch are spread out.
"""

# %%
# We compare queries that choose
#
# - random rows;
# - the rows for which the two most probable classes are closest (margin);
# - the rows whose predicted label changes with the smallest change of the last
#   layer (:class:`~skinfluence.active.LDMQuery`);
# - the rows that would lower the loss most if they were added with their
#   predicted label (:class:`~skinfluence.active.InfluenceQuery`).
#
# The rows that a query ranks highest are often similar, so the labels of
# twenty such rows tell hardly more than one label. ``LDMQuery`` and
# ``InfluenceQuery`` therefore *spread* a batch: they take the hundred best
# rows, and choose twenty of them that differ. We try margins and influence
# both with and without the spread, to separate the effect of the spread from
# the effect of the query. The fitted net is passed as a frozen net, so the
# queries do not fit it again.
import numpy as np
import torch
from sklearn.cluster import kmeans_plusplus
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from skinfluence import InfluenceScorer
from skinfluence.active import InfluenceQuery, LDMQuery
from skinfluence.nets import TabularClassifier, split_head

BATCH, ROUNDS, REPETITIONS = 20, 5, 4


def random_rows(X, y, net, seed):
    unlabeled = np.flatnonzero(np.isnan(y))
    return np.random.RandomState(seed).choice(unlabeled, BATCH, replace=False)


def margin(X, y, net, seed, spread=1):
    unlabeled = np.flatnonzero(np.isnan(y))
    p = np.sort(net.predict_proba(X[unlabeled]), axis=1)
    gap = p[:, -1] - p[:, -2]
    best = unlabeled[np.argsort(gap)[: spread * BATCH]]
    if spread == 1:
        return best
    embed, _ = split_head(net)
    E = embed(X[best])
    E /= np.linalg.norm(E, axis=1, keepdims=True)
    return best[kmeans_plusplus(E, BATCH, random_state=seed)[1]]


def margin_spread(X, y, net, seed):
    return margin(X, y, net, seed, spread=5)


def ldm(X, y, net, seed):
    query = LDMQuery(FrozenEstimator(net), random_state=seed)
    return query.query(X, y, batch_size=BATCH)


def influence(X, y, net, seed, spread=1):
    scorer = InfluenceScorer(FrozenEstimator(net), check_gradients=False)
    query = InfluenceQuery(scorer, spread=spread, random_state=seed)
    return query.query(X, y, batch_size=BATCH)


def influence_spread(X, y, net, seed):
    return influence(X, y, net, seed, spread=5)


QUERIES = {
    "random": random_rows,
    "margin": margin,
    "margin, spread": margin_spread,
    "LDM, spread": ldm,
    "influence": influence,
    "influence, spread": influence_spread,
}

# %%
# Within a repetition, every query starts from the same forty labels.
X, y_true = load_digits(return_X_y=True)
X = X.astype(np.float32)
accuracy = np.zeros((len(QUERIES), REPETITIONS, ROUNDS + 1))
for seed in range(REPETITIONS):
    pool, test = train_test_split(
        np.arange(len(X)), train_size=1000, random_state=seed
    )
    start, _ = train_test_split(
        np.arange(1000),
        train_size=40,
        stratify=y_true[pool],
        random_state=seed,
    )
    for q, query in enumerate(QUERIES.values()):
        y = np.full(1000, np.nan)
        y[start] = y_true[pool][start]
        for k in range(ROUNDS + 1):
            known = ~np.isnan(y)
            torch.manual_seed(seed)
            net = TabularClassifier(
                max_epochs=20, lr=1e-2, batch_size=32, module__hidden=(64,)
            )
            net.fit(X[pool][known], y[known].astype(int))
            accuracy[q, seed, k] = net.score(X[test], y_true[test])
            if k < ROUNDS:
                chosen = query(X[pool], y, net, 100 * seed + k)
                y[chosen] = y_true[pool][chosen]

# %%
# The figure shows the accuracy on test digits after each batch, as a mean over
# four repetitions.
import matplotlib.pyplot as plt

labels = 40 + BATCH * np.arange(ROUNDS + 1)
colors = ["gray", "blue", "blue", "green", "orange", "orange"]
lines = [":", "--", "-", "-", "--", "-"]
figure, ax = plt.subplots(figsize=(6, 4.4), layout="constrained")
for name, values, color, line in zip(
    QUERIES, accuracy, colors, lines, strict=True
):
    look = {"color": f"tab:{color}", "linewidth": 2.5}
    ax.plot(labels, values.mean(0), line, label=name, **look)
ax.set(xlabel="labeled rows", ylabel="test accuracy")
ax.grid(alpha=0.3)
ax.legend(frameon=False, loc="lower right")
plt.show()

# %%
# How much higher is the accuracy than with random rows? The numbers are means
# over the batches, with standard errors over the repetitions:
for name, values in zip(QUERIES, accuracy, strict=True):
    gain = (values - accuracy[0])[:, 1:].mean(1)
    error = gain.std(ddof=1) / REPETITIONS**0.5
    print(f"{name:18s} {gain.mean():+.3f} ± {error:.3f}")

# %%
# Discussion
# ----------
# In this example, influence is worse than margin sampling. Without the spread,
# influence is hardly better than random rows. The reason is presumably that
# the scores of all rows are inner products with the same direction, so the
# best rows all correct the same error. With the spread, influence is better,
# but still worse than margin sampling. Margins and the least disagree metric
# (LDM) both choose rows near the decision boundary. Four repetitions cannot
# show which of these two is better.
#
# If the aim is accuracy, use ``LDMQuery`` or margins. ``InfluenceQuery`` has
# other uses: it can choose the rows that lower the loss on trusted rows from
# another source, or that narrow a gap between groups.
