"""
Do attacks that see only labels stay nearer to the data?
========================================================

An attacker to whom a net tells nothing but labels finds adversarial rows all the same. arXiv
2103.03325 (*Hard-label Manifolds*) holds that such rows lie nearer to the data manifold than rows
made with gradients, above all where the search is confined to few directions. Here both kinds are
made and measured. And they are traced back: which training rows make them possible, and are these
the same for each attack?
"""

# %%
# Handwritten digits. The net takes the pixels as they are: standardised, a corner pixel that hardly
# ever changes would be a lever that leads off any manifold.
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
# :class:`~skinfluence.attacks.Crossing` has the gradient: it steps across the nearest border.
# HopSkipJump asks for labels only; :class:`~skinfluence.attacks.FromART` brings it from the
# adversarial-robustness-toolbox. It starts at any row that the net takes for something else and
# walks towards the row that it attacks: here from noise, or from a training row. All rows are given
# in the coordinates of a principal component analysis, to a net with one more linear layer in front
# that turns them back: few directions are the first 16 of them.
from art.attacks.evasion import HopSkipJump

from skinfluence.attacks import Crossing, FromART

QUERIES = {"max_iter": 3, "max_eval": 100, "init_eval": 30}


def hop_skip_jump(classifier, given, **params):
    """The attack with a mask and with starts, for which FromART has no argument."""
    attack = HopSkipJump(classifier, **params)
    attack.generate = partial(attack.generate, **given)
    return attack


def labels_only(net, Z, y, mask, candidates):
    """Attack each row from the first candidate that the net takes for something else."""
    starts = np.where(mask, candidates, Z[:, None])
    fools = (
        net.predict(starts.reshape(-1, 64)).reshape(starts.shape[:2])
        != y[:, None]
    )
    starts = starts[np.arange(len(Z)), fools.argmax(1)]
    params = {"given": {"mask": mask, "x_adv_init": starts}, "verbose": False}
    return FromART(hop_skip_jump, params | QUERIES)(net, Z, y)


def directions(net, X_train, X, y, seed):
    """Unit vectors along which each attack moves each row."""
    pca = PCA(random_state=0).fit(X_train)
    back = nn.Linear(64, 64)
    back.weight.data, back.bias.data = map(
        torch.tensor, (pca.components_.T, pca.mean_)
    )
    net_of_Z = make_net(nn.Sequential(back, net.module_)).initialize()
    noise = (
        np.random.RandomState(seed).uniform(size=(200, 64)).astype(np.float32)
    )
    Z, noise, some = map(pca.transform, (X, noise, X_train[:200]))
    crossed, found = Crossing()(net_of_Z, Z, y), {}
    for n in (64, 16):
        mask = (np.arange(64) < n).astype(np.float32)
        found[f"gradient, {n} directions"] = (crossed - Z) * mask
        found[f"labels, from noise, {n}"] = (
            labels_only(net_of_Z, Z, y, mask, noise) - Z
        )
        found[f"labels, from a row, {n}"] = (
            labels_only(net_of_Z, Z, y, mask, some) - Z
        )
    d = np.array(list(found.values())) @ pca.components_
    return list(found), d / np.linalg.norm(d, axis=2, keepdims=True)


# %%
# Each attack gives a direction only, in which the row is moved to where its label changes first,
# its border. How far it has gone from the manifold is the mean distance to the five nearest
# training rows in the net's embedding, over what the gradient attack makes of it.
#
# A row on its border is a reference row, and :func:`~skinfluence.pairwise.influence_matrix` has the
# score of each training row for it. Two attacks are made possible by the same training rows if the
# ranks of these scores agree. Three nets, each with training rows of its own.
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
    way = np.clip(
        rows + np.linspace(0, 2, 51)[:, None, None, None] * d, 0, 1
    ).astype(np.float32)
    wrong = net.predict(way.reshape(-1, 64)).reshape(way.shape[:3]) != labels
    at = np.take_along_axis(way, wrong.argmax(0)[None, ..., None], 0)[0]
    shape, flat = at.shape[:2], at.reshape(-1, 64)

    embed, _ = split_head(net)
    near = NearestNeighbors(n_neighbors=5).fit(embed(X_train))
    far = near.kneighbors(embed(flat))[0].mean(1).reshape(shape)

    scorer = InfluenceScorer(
        FrozenEstimator(net), normalize="rows", random_state=0
    )
    scorer.fit(X_train, y_train, X_val=rows, y_val=labels)
    asked = {"X_ref": flat, "y_ref": np.tile(labels, len(at))}
    scores = influence_matrix(scorer, X_train, y_train, **asked)
    said = net.predict(flat).reshape(shape)
    blamed = (
        y_train[scores.argsort(0)[:WORST]].reshape(-1, *shape) == said
    ).mean(0)
    agree = (
        spearmanr(scores)
        .statistic[:, :ROWS]
        .reshape(-1, ROWS, ROWS)
        .diagonal(0, 1, 2)
    )
    found.append(
        (
            far,
            np.linalg.norm(at - rows, axis=2),
            said == said[0],
            agree,
            blamed,
        )
    )
far, length, same, agree, blamed = np.concatenate(found, -1)
agree, same = (
    agree[1:],
    same[1:].astype(bool),
)  # the first attack agrees with itself

# %%
# Left: means over rows with 95 % intervals. Right: a point is a row.
import matplotlib.pyplot as plt

from skinfluence.plotting import BLUE, GREY, VERMILION


def ratio(values):
    """Mean ratio to the gradient attack and its 95 % interval."""
    log = np.log(values / values[0])
    return np.exp(
        log.mean(1)
        + log.std(1, ddof=1) / log.shape[1] ** 0.5 * np.c_[[0, -1.96, 1.96]]
    )


figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4.2), sharey=True, layout="constrained"
)
mean, low, high = ratio(far)
line = np.arange(len(attacks))
left.errorbar(
    mean,
    -line,
    xerr=[mean - low, high - mean],
    fmt="o",
    color="black",
    capsize=4,
)
left.axvline(1, color=GREY, linestyle=":", linewidth=1)
left.set_yticks(-line, attacks)
left.set(
    xlabel="distance from the manifold on the border,\nover that of the first attack"
)
high, low = 0.1 - line[1:, None] + 0 * agree, -0.1 - line[1:, None] + 0 * agree
right.plot(
    agree[same],
    high[same],
    "o",
    color=BLUE,
    alpha=0.3,
    label="the same wrong label",
)
right.plot(
    agree[~same],
    low[~same],
    "s",
    color=VERMILION,
    alpha=0.3,
    label="another wrong label",
)
right.set(
    xlabel="rank correlation of the training rows' scores\nwith those for the first attack"
)
right.legend(frameon=False, loc="upper left")
plt.show()

# %%
print(
    "over the first attack: distance from the manifold and length of the change"
)
for name, of_far, of_length in zip(
    attacks, ratio(far).T, ratio(length).T, strict=True
):
    print(
        f"{name:24s}",
        *(
            "  {:.2f} ({:.2f} to {:.2f})".format(*v)
            for v in (of_far, of_length)
        ),
    )
print(
    f"wrong label of the first attack: {same.mean():.0%} of the rows; rank correlation",
    end=" ",
)
print(
    f"{np.median(agree[same]):.2f} (median), with another {np.median(agree[~same]):.2f}"
)
print(
    f"of the {WORST} lowest scores, {blamed.mean():.0%} belong to rows with that wrong label"
)

# %%
# What is to be seen
# ------------------
# Attacks that see only labels do not stay nearer to the data here. A search from noise ends farther
# off than a gradient leads, one from a training row about as far; 16 directions change little. The
# changes made from labels are longer, as the search stops after few queries; after three times as
# many steps they are shorter, and the distances from the manifold as they were. What makes an
# attack possible is the class that it ends in: nearly all rows with low scores carry the wrong
# label, and two attacks that end in the same label are put down to the same rows.
#
# This is a small net with one measure of distance, in its embedding. Larger images, of which few
# directions leave out much more, may behave otherwise.
