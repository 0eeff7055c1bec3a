"""
Do attacks that see only labels stay closer to the data?
========================================================

An attacker can find adversarial rows even if a net returns only labels. arXiv
2103.03325 (*Hard-label Manifolds*) argues that such rows are closer to the
data manifold than adversarial rows found with gradients, especially if the
search is restricted to few directions. In this example, they are not closer.
The scores also show which training rows make an attack possible: for every
attack, the training rows of the class that the net predicts after the attack.
"""

# %%
# The data are handwritten digits. The pixels are not standardized, because
# standardization would amplify the corner pixels, which hardly ever change.
from functools import partial

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from skorch import NeuralNetClassifier
from torch import nn

from skinfluence.nets import MLP, table_batches

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
make_net = partial(
    NeuralNetClassifier,
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=3e-3,
    max_epochs=30,
    iterator_train=table_batches,
    train_split=None,
    verbose=0,
)

# %%
# The attack :class:`~skinfluence.attacks.Crossing` uses the gradient: it steps
# across the nearest decision boundary. The attack HopSkipJump of the
# adversarial-robustness-toolbox, wrapped by
# :class:`~skinfluence.attacks.FromART`, uses labels only. It starts at a row
# with another predicted label and moves toward the row under attack. In this
# example, it starts at noise or at a training row.
#
# To restrict the search to few directions, we use the coordinates of a
# principal component analysis. The net gets an additional first layer that
# transforms these coordinates back to pixels. A restricted search changes only
# the first 16 of the 64 coordinates.
from art.attacks.evasion import HopSkipJump

from skinfluence.attacks import Crossing, FromART

QUERIES = {"max_iter": 3, "max_eval": 100, "init_eval": 30}


def hop_skip_jump(classifier, given, **params):
    """The attack with a mask and with starts, which FromART cannot pass."""
    attack = HopSkipJump(classifier, **params)
    attack.generate = partial(attack.generate, **given)
    return attack


def labels_only(net, Z, y, mask, candidates):
    """Attack each row; start at the first candidate with another label."""
    starts = np.where(mask, candidates, Z[:, None])
    labels = net.predict(starts.reshape(-1, 64)).reshape(starts.shape[:2])
    first = (labels != y[:, None]).argmax(1)
    starts = starts[np.arange(len(Z)), first]
    params = {"given": {"mask": mask, "x_adv_init": starts}, "verbose": False}
    return FromART(hop_skip_jump, params | QUERIES)(net, Z, y)


def directions(net, X_train, X, y, seed):
    """Unit vectors along which each attack moves each row."""
    pca = PCA(random_state=0).fit(X_train)
    back = nn.Linear(64, 64)
    back.weight.data = torch.tensor(pca.components_.T)
    back.bias.data = torch.tensor(pca.mean_)
    net_of_Z = make_net(nn.Sequential(back, net.module_)).initialize()
    noise = np.random.RandomState(seed).uniform(size=(200, 64))
    noise = noise.astype(np.float32)
    Z, noise, some = map(pca.transform, (X, noise, X_train[:200]))
    crossed, found = Crossing()(net_of_Z, Z, y), {}
    for n in (64, 16):
        mask = (np.arange(64) < n).astype(np.float32)
        found[f"gradient, {n}"] = (crossed - Z) * mask
        for start, candidates in (("noise", noise), ("a row", some)):
            moved = labels_only(net_of_Z, Z, y, mask, candidates)
            found[f"labels from {start}, {n}"] = moved - Z
    d = np.array(list(found.values())) @ pca.components_
    return list(found), d / np.linalg.norm(d, axis=2, keepdims=True)


# %%
# From each attack we use only the direction. We move the row along this
# direction until the predicted label changes, and call this point the
# *adversarial row*. We measure its distance from the data manifold by its mean
# distance to the five nearest training rows, in the embedding of the net. We
# report this distance divided by the same distance for the gradient attack.
#
# The adversarial rows are also reference rows:
# :func:`~skinfluence.pairwise.influence_matrix` gives the score of each
# training row for each adversarial row. If the ranks of these scores agree for
# two attacks, the same training rows make both attacks possible. We repeat
# this for three nets with different training rows.
from scipy.stats import spearmanr
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import NearestNeighbors

from skinfluence import InfluenceScorer
from skinfluence.nets import split_head
from skinfluence.pairwise import influence_matrix

NETS, ROWS, WORST = 3, 25, 20
found = []
for seed in range(NETS):
    X_train, X_rest, y_train, y_rest = train_test_split(
        X, y, train_size=1200, stratify=y, random_state=seed
    )
    torch.manual_seed(seed)
    net = make_net(
        MLP, module__n_inputs=64, module__n_outputs=10, module__hidden=(64, 32)
    )
    net.fit(X_train, y_train)
    right = np.flatnonzero(net.predict(X_rest) == y_rest)[:ROWS]
    rows, labels = X_rest[right], y_rest[right]
    attacks, d = directions(net, X_train, rows, labels, seed)

    # move along each direction until the label changes
    steps = np.linspace(0, 2, 51)[:, None, None, None]
    way = np.clip(rows + steps * d, 0, 1).astype(np.float32)
    predicted = net.predict(way.reshape(-1, 64)).reshape(way.shape[:3])
    first = (predicted != labels).argmax(0)
    at = np.take_along_axis(way, first[None, ..., None], 0)[0]
    shape, flat = at.shape[:2], at.reshape(-1, 64)

    embed, _ = split_head(net)
    neighbors = NearestNeighbors(n_neighbors=5).fit(embed(X_train))
    far = neighbors.kneighbors(embed(flat))[0].mean(1).reshape(shape)

    scorer = InfluenceScorer(
        FrozenEstimator(net), normalize="rows", random_state=0
    )
    scorer.fit(X_train, y_train, X_val=rows, y_val=labels)
    scores = influence_matrix(
        scorer, X_train, y_train, X_val=flat, y_val=np.tile(labels, len(at))
    )
    new_label = net.predict(flat).reshape(shape)
    of_lowest = y_train[scores.argsort(0)[:WORST]].reshape(-1, *shape)
    blamed = (of_lowest == new_label).mean(0)
    ranks = spearmanr(scores).statistic[:, :ROWS].reshape(-1, ROWS, ROWS)
    agree = ranks.diagonal(0, 1, 2)  # with the first attack on the same row
    length = np.linalg.norm(at - rows, axis=2)
    found.append((far, length, new_label == new_label[0], agree, blamed))
far, length, same, agree, blamed = np.concatenate(found, -1)
agree, same = agree[1:], same[1:].astype(bool)  # without the first itself

# %%
# The figure shows the distance of the adversarial rows from the data manifold,
# divided by the distance for the gradient attack in 64 directions. Points are
# means over rows, with 95 % intervals. The number after the name of each
# attack is its number of directions.
import matplotlib.pyplot as plt


def ratio(values):
    """Mean ratio to the gradient attack and its 95 % interval."""
    log = np.log(values / values[0])
    error = log.std(1, ddof=1) / log.shape[1] ** 0.5
    return np.exp(log.mean(1) + error * np.c_[[0, -1.96, 1.96]])


mean, low, high = ratio(far)
line = -np.arange(len(attacks))
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
bars = {"xerr": [mean - low, high - mean], "fmt": "o", "markersize": 9}
ax.errorbar(mean, line, color="tab:blue", linewidth=2, **bars)
ax.axvline(1, color="tab:gray", linestyle=":")
ax.set_yticks(line, attacks)
ax.set(xlabel="relative distance from the manifold")
plt.show()

# %%
# The next figure compares each attack with the first attack, the gradient
# attack in 64 directions. Each point is an attacked row. Its position shows
# the rank correlation between the scores of the training rows under the two
# attacks. A point is blue if both attacks lead to the same wrong label.
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for is_kind, shift, marker, color, label in [
    (same, 0.12, "o", "tab:blue", "same wrong label"),
    (~same, -0.12, "s", "tab:orange", "another wrong label"),
]:
    height = line[1:, None] + shift + 0 * agree
    look = {"color": color, "alpha": 0.35, "label": label}
    ax.plot(agree[is_kind], height[is_kind], marker, **look)
ax.set_yticks(line[1:], attacks[1:])
ax.set(xlabel="rank correlation with the first attack")
figure.legend(loc="outside upper center", ncols=2, frameon=False)
plt.show()

# %%
print("relative to the first attack   distance           length of change")
for name, *values in zip(attacks, ratio(far).T, ratio(length).T, strict=True):
    pairs = ("{:.2f} ({:.2f} to {:.2f})".format(*v) for v in values)
    print(f"{name:28s}", *pairs, sep="   ")
print(f"same wrong label as the first attack: {same.mean():.0%} of the rows")
print(f"    rank correlation (median): {np.median(agree[same]):.2f}")
print(f"    with another wrong label: {np.median(agree[~same]):.2f}")
print(f"rows of that wrong label among the {WORST} lowest scores:", end=" ")
print(f"{blamed.mean():.0%}")

# %%
# Discussion
# ----------
# Attacks that see only labels do not stay closer to the data here. If the
# search starts from noise, the adversarial row is farther from the manifold
# than the adversarial row of the gradient attack. If the search starts from a
# training row, the two distances are about the same. A restriction to 16
# directions changes the distances little. Attacks that see only labels change
# a row more than the gradient attack does, because the search stops after few
# queries. With three times as many steps the changes are smaller, but the
# distances from the manifold are the same.
#
# The class that is predicted after the attack decides which training rows make
# the attack possible. Nearly all training rows with low scores belong to this
# class. Two attacks that end in the same class depend on the same training
# rows.
#
# This example uses a small net and only one measure of distance, in the net's
# own embedding. Larger images may behave differently, because a restriction to
# few directions leaves out much more of a large image.
