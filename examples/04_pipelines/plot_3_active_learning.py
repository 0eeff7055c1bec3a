"""
Which rows to have labelled next
================================

A thousand handwritten digits, labels for forty of them, and a budget for a hundred more, bought in
batches of twenty. After each batch the net is fitted again, and asked which rows it wants next.
Four ways to ask: by lot; the rows where the two most probable classes are closest (margin); the
rows that a small change of the last layer flips (:class:`~skinfluence.active.LDMQuery`); and the
rows whose predicted label would lower the loss most (:class:`~skinfluence.active.InfluenceQuery`).
"""

# %%
# The best rows are much alike, and a batch of them pays twenty times for nearly one answer. Both
# queries therefore spread a batch over its hundred best rows; margin sampling and influence are
# shown with that and without it, so that the utility and the spread can be told apart. The net of
# the round is at hand: frozen, it is asked as it is and not fitted once more.
import numpy as np
import torch
from sklearn.cluster import kmeans_plusplus
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split

from skinfluence import InfluenceScorer
from skinfluence.active import InfluenceQuery, LDMQuery
from skinfluence.nets import TabularClassifier, split_head

BATCH, ROUNDS, SEEDS = 20, 5, 4


def by_lot(X, y, net, seed):
    left = np.flatnonzero(np.isnan(y))
    return np.random.RandomState(seed).choice(left, BATCH, replace=False)


def margin(X, y, net, seed, spread=1):
    left = np.flatnonzero(np.isnan(y))
    p = np.sort(net.predict_proba(X[left]), axis=1)
    best = left[np.argsort(p[:, -1] - p[:, -2])[: spread * BATCH]]
    if spread == 1:
        return best
    embed, _ = split_head(net)
    E = embed(X[best])
    E /= np.linalg.norm(E, axis=1, keepdims=True)
    return best[kmeans_plusplus(E, BATCH, random_state=seed)[1]]


def margin_spread(X, y, net, seed):
    return margin(X, y, net, seed, spread=5)


def ldm(X, y, net, seed):
    return LDMQuery(FrozenEstimator(net), random_state=seed).query(
        X, y, batch_size=BATCH
    )


def influence(X, y, net, seed, spread=1):
    scorer = InfluenceScorer(FrozenEstimator(net), check_gradients=False)
    query = InfluenceQuery(scorer, spread=spread, random_state=seed)
    return query.query(X, y, batch_size=BATCH)


def influence_spread(X, y, net, seed):
    return influence(X, y, net, seed, spread=5)


WAYS = {
    "by lot": by_lot,
    "margin": margin,
    "margin, spread": margin_spread,
    "LDM, spread": ldm,
    "influence": influence,
    "influence, spread": influence_spread,
}

# %%
# Every way starts from the same forty labels.
X, y_true = load_digits(return_X_y=True)
X = X.astype(np.float32)
accuracy = np.zeros((len(WAYS), SEEDS, ROUNDS + 1))
for seed in range(SEEDS):
    pool, test = train_test_split(
        np.arange(len(X)), train_size=1000, random_state=seed
    )
    start, _ = train_test_split(
        np.arange(1000),
        train_size=40,
        stratify=y_true[pool],
        random_state=seed,
    )
    for w, way in enumerate(WAYS.values()):
        y = np.full(1000, np.nan)
        y[start] = y_true[pool][start]
        for k in range(ROUNDS + 1):
            known = ~np.isnan(y)
            torch.manual_seed(seed)
            net = TabularClassifier(
                max_epochs=20, lr=1e-2, batch_size=32, module__hidden=(64,)
            )
            net.fit(X[pool][known], y[known].astype(int))
            accuracy[w, seed, k] = net.score(X[test], y_true[test])
            if k < ROUNDS:
                asked = way(X[pool], y, net, 100 * seed + k)
                y[asked] = y_true[pool][asked]

# %%
import matplotlib.pyplot as plt

labels = 40 + BATCH * np.arange(ROUNDS + 1)
colours = ["#7F7F7F", "#0072B2", "#0072B2", "#009E73", "#D55E00", "#D55E00"]
lines = [":", "--", "-", "-", "--", "-"]
figure, ax = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
for name, of_way, colour, line in zip(
    WAYS, accuracy, colours, lines, strict=True
):
    mean, error = of_way.mean(0), of_way.std(0, ddof=1) / SEEDS**0.5
    ax.plot(labels, mean, line, color=colour, label=name, linewidth=2)
    ax.fill_between(
        labels,
        mean - error,
        mean + error,
        color=colour,
        alpha=0.12,
        linewidth=0,
    )
ax.set(
    xlabel="labelled rows",
    ylabel="test accuracy (band: standard error)",
    title=f"Digits, {SEEDS} repetitions",
)
ax.grid(alpha=0.3)
ax.legend(frameon=False, loc="lower right")
plt.show()

# %%
# The gain over labels by lot, averaged over the rounds; each repetition is a pair.
for name, of_way in zip(WAYS, accuracy, strict=True):
    gain = (of_way - accuracy[0])[:, 1:].mean(1)
    print(
        f"{name:18s} {gain.mean():+.3f} ± {gain.std(ddof=1) / SEEDS**0.5:.3f}"
    )

# %%
# Influence is behind margin sampling here, and without the spread little better than labels by lot:
# presumably as one direction scores all rows, so that the best of them mend the same fault. The
# spread helps it, and does not close the gap. Margins and the least disagree metric, which both
# look for rows near the boundary, cannot be told apart by so few repetitions. If the aim is
# accuracy, take ``LDMQuery`` or margins. ``InfluenceQuery`` can be asked for what a margin knows
# nothing of: a loss over trusted rows of another kind, or a gap between groups.
