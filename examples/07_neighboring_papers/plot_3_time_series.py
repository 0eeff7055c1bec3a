"""
How many components of a time series should a net see?
======================================================

If the inputs are reduced to a lower intrinsic dimension, a net may become
harder to attack (arXiv 2006.10885, *The Dilemma Between Data Transformations
and Adversarial Robustness for Time Series Application Systems*). Here the
attack does the least harm if the net sees as many principal components as
there are signals. It is hard to say which training rows help the attacker,
because two fits agree on few of these rows, even with the same number of
components.
"""

# %%
# Each series has 16 channels, which are mixtures of three signals plus noise.
# The first two signals are waves of the same frequency. There are four
# classes: the frequency is low or high, and the second wave is ahead of the
# first wave or behind it. The third signal is constant within a series and
# independent of the class. Amplitudes, frequencies and phases vary. A tenth of
# the training labels are wrong.
import numpy as np

STEPS, CHANNELS, SIGNALS = 16, 16, 3


def make_series(n, mix, rng):
    y = rng.randint(4, size=n)
    frequency = np.where(y < 2, 1, 2) * rng.uniform(0.9, 1.1, n)
    time = frequency[:, None] * np.arange(STEPS) / STEPS
    time += rng.uniform(size=(n, 1))
    lag = np.where(y % 2, 0.25, -0.25)[:, None]
    level = rng.standard_normal((n, 1)) * np.ones(STEPS)
    waves = np.sin(2 * np.pi * time), np.sin(2 * np.pi * (time + lag)), level
    signals = np.stack(waves, -1) * rng.uniform(0.7, 1.3, (n, 1, SIGNALS))
    noise = 0.5 * rng.standard_normal((n, STEPS, CHANNELS))
    return (signals @ mix + noise).astype(np.float32), y


# %%
# A principal component analysis, fitted to all time steps together, reduces
# the 16 channels to fewer components. An LSTM classifies the series of
# components. The attacker changes the channels, so the attack needs one net
# for the whole pipeline. We get this net by writing the principal component
# analysis as a linear layer in front of the LSTM.
from functools import partial

import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from skorch import NeuralNetClassifier
from torch import nn

from skinfluence.nets import table_batches


class PCAPerStep(TransformerMixin, BaseEstimator):
    def __init__(self, n_components):
        self.n_components = n_components

    def fit(self, X, y=None):
        self.pca_ = PCA(self.n_components).fit(X.reshape(-1, X.shape[2]))
        return self

    def transform(self, X):
        components = self.pca_.transform(X.reshape(-1, X.shape[2]))
        return components.reshape(*X.shape[:2], -1)


class LSTM(nn.Module):
    def __init__(self, n_inputs):
        super().__init__()
        self.lstm = nn.LSTM(n_inputs, 16, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, X):
        return self.head(self.lstm(X)[0][:, -1])


make_net = partial(
    NeuralNetClassifier,
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.01,
    batch_size=32,
    max_epochs=20,
    iterator_train=table_batches,
    iterator_valid__batch_size=512,
    classes=range(4),
    train_split=None,
    verbose=0,
)


def whole(pipe):
    """One net from channels to classes."""
    pca = pipe[0].pca_
    front = nn.Linear(CHANNELS, pca.n_components_)
    front.weight.data = torch.tensor(pca.components_)
    front.bias.data = torch.tensor(-pca.components_ @ pca.mean_)
    return make_net(nn.Sequential(front, pipe[1].module_)).initialize()


# %%
# The intrinsic dimension is estimated by maximum likelihood (Levina and
# Bickel), from how fast the number of neighbors grows with the distance. The
# attack is :class:`~skinfluence.attacks.PGD`. The accuracy is measured on
# attacked test rows. The scores are computed on attacked reference rows, so
# training rows with low scores help the attack. We draw three tables of series
# and train each net from two random starts.
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import NearestNeighbors

from skinfluence import InfluenceScorer
from skinfluence.attacks import PGD
from skinfluence.targets import Robustness


def intrinsic_dimension(X, k=10):
    distances = NearestNeighbors(n_neighbors=k).fit(X).kneighbors()[0]
    growth = np.log(distances[:, -1:] / distances[:, :-1]).sum(1)
    return (k - 2) / growth.mean()


COMPONENTS, TABLES, STARTS, WORST = (2, 3, 5, 8, 16), 3, 2, 24
attack = PGD(0.1, n_steps=5)
shape = TABLES, len(COMPONENTS), STARTS
clean, attacked, dimension, wrong = np.zeros((4, *shape))
worst = np.zeros((*shape, WORST), dtype=int)
for at in np.ndindex(shape):
    table, c, start = at
    rng = np.random.RandomState(table)
    mix = 2 * np.linalg.qr(rng.standard_normal((CHANNELS, SIGNALS)))[0].T
    (X, y), (X_val, y_val), (X_test, y_test) = (
        make_series(n, mix, rng) for n in (240, 120, 300)
    )
    is_wrong = rng.uniform(size=len(y)) < 0.1
    y = np.where(is_wrong, (y + rng.randint(1, 4, len(y))) % 4, y)

    torch.manual_seed(start)
    k = COMPONENTS[c]
    lstm = make_net(LSTM, module__n_inputs=k)
    pipe = make_pipeline(PCAPerStep(k), lstm).fit(X, y)
    net = whole(pipe)
    clean[at] = pipe.score(X_test, y_test)
    attacked[at] = net.score(attack(net, X_test, y_test), y_test)
    reduced = pipe[0].transform(X).reshape(len(X), -1)
    dimension[at] = intrinsic_dimension(reduced)
    scorer = InfluenceScorer(
        FrozenEstimator(net), target=Robustness(attack), parameters="1.*"
    )
    scores = scorer.fit(X, y, X_val=X_val, y_val=y_val).scores_
    worst[at] = scores.argsort()[:WORST]
    wrong[at] = is_wrong[worst[at]].mean()

# %%
# The figure shows the test accuracy. Each point is a table, and lines are
# means over the tables.
import matplotlib.pyplot as plt

line = range(len(COMPONENTS))


def draw(ax, values, color, label):
    look = {"color": color, "linewidth": 2, "label": label}
    ax.plot(line, values.mean((0, 2)), **look)
    ax.plot(line, values.mean(2).T, "o", color=color, alpha=0.5)
    ax.set(xlabel="principal components", ylim=(0, None))
    ax.set_xticks(line, COMPONENTS)


figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
draw(ax, clean, "tab:blue", "clean")
draw(ax, attacked, "tab:orange", "attacked")
ax.set_ylabel("test accuracy")
ax.legend(frameon=False, loc="lower right")
plt.show()

# %%
# The *worst rows* of a fit are the 24 rows with the lowest scores. Left: the
# intrinsic dimension of the inputs after the reduction. Right: for each pair
# of numbers of components, the share of worst rows that two fits have in
# common. On the diagonal, the two fits differ only in the random start.
shared = np.zeros((TABLES, len(COMPONENTS), len(COMPONENTS)))
for table, a, b in np.ndindex(shared.shape):
    pairs = zip(worst[table, a], worst[table, b, ::-1], strict=True)
    shared[table, a, b] = np.mean(
        [np.isin(one, other).mean() for one, other in pairs]
    )

figure, (left, right) = plt.subplots(
    1, 2, figsize=(8, 4), layout="constrained"
)
draw(left, dimension, "tab:green", None)
left.set_ylabel("intrinsic dimension")
right.imshow(shared.mean(0), vmin=0, vmax=1, cmap="Blues")
for (i, j), value in np.ndenumerate(shared.mean(0)):
    right.text(j, i, f"{value:.2f}", ha="center", va="center")
right.set(xlabel="components", ylabel="components", title="worst rows shared")
right.set_xticks(line, COMPONENTS)
right.set_yticks(line, COMPONENTS)
plt.show()

# %%
print("components            ", *(f"{n:5d}" for n in COMPONENTS))
for name, values in [
    ("accuracy", clean),
    ("accuracy, attacked", attacked),
    ("intrinsic dimension", dimension),
    ("wrong among the worst", wrong),
]:
    means = values.mean((0, 2))
    print(f"{name:22s}", *(f"{mean:5.2f}" for mean in means))
same = np.eye(len(COMPONENTS), dtype=bool)
print(f"worst rows shared, per table (by chance: {WORST / len(y):.2f})")
print("    same number of components   ", shared[:, same].mean(1).round(2))
print("    other number of components  ", shared[:, ~same].mean(1).round(2))

# %%
# Discussion
# ----------
# The attack does the least harm to the net with three components, as many as
# there are signals. The estimated dimension is also lowest with three
# components. With two components, the classes cannot be told apart, and the
# estimated dimension is not lower. With more than three components, the
# accuracy without an attack hardly changes, but the attack does more harm: the
# additional components contain only noise, and the net uses this noise.
#
# Many of the worst rows have wrong labels, with three components and with 16.
# But two fits agree on few of the worst rows, even if they differ only in the
# random start. If a list of worst rows comes from one net, do not trust its
# single entries. Because of this noise, we cannot see whether the number of
# components changes the list.
#
# Here the noise has the same variance in all channels, and the signals are
# strong. If the classes instead differ in directions of little variance, a
# principal component analysis drops these directions first.
