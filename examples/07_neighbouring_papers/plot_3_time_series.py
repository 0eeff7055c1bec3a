"""
How many components of a time series should a net be shown?
===========================================================

A reduction that lowers the intrinsic dimension of the inputs may leave an attacker fewer ways
(arXiv 2006.10885, *The Dilemma Between Data Transformations and Adversarial Robustness for Time
Series Application Systems*). Here series of 16 channels, made from three signals, go through a
principal component analysis into an LSTM, and the attacker changes the channels. Does the number of
components decide, too, which training rows help the attacker?
"""

# %%
# Four classes: slow or fast waves, whose second signal runs ahead of the first or behind it. The
# third signal is a level that says nothing of the class. Amplitudes, frequencies and phases differ
# from series to series, there is noise in every channel, and a tenth of the training labels are
# wrong.
import numpy as np

STEPS, CHANNELS, SIGNALS = 16, 16, 3


def make_series(n, mix, rng):
    y = rng.randint(4, size=n)
    frequency = np.where(y < 2, 1, 2) * rng.uniform(0.9, 1.1, n)
    time = frequency[:, None] * np.arange(STEPS) / STEPS + rng.uniform(
        size=(n, 1)
    )
    lag = np.where(y % 2, 0.25, -0.25)[:, None]
    level = rng.standard_normal((n, 1)) * np.ones(STEPS)
    waves = np.sin(2 * np.pi * time), np.sin(2 * np.pi * (time + lag)), level
    signals = np.stack(waves, -1) * rng.uniform(0.7, 1.3, (n, 1, SIGNALS))
    noise = 0.5 * rng.standard_normal((n, STEPS, CHANNELS))
    return (signals @ mix + noise).astype(np.float32), y


# %%
# The reduction is learned on all time steps of all training series. An attack needs one net for
# the whole pipeline: a principal component analysis is a linear layer, so it is put in front.
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
        return self.pca_.transform(X.reshape(-1, X.shape[2])).reshape(
            *X.shape[:2], -1
        )


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
# The intrinsic dimension is estimated by maximum likelihood (Levina and Bickel), from how fast the
# number of neighbours grows with the distance. The attack is :class:`~skinfluence.attacks.PGD`, on
# test rows for the accuracy and on reference rows for the scores: low scores are those of training
# rows that make the attack succeed. Three tables, and two starts of each net.
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import NearestNeighbors

from skinfluence import InfluenceScorer
from skinfluence.attacks import PGD
from skinfluence.targets import Robustness


def intrinsic_dimension(X, k=10):
    distances = NearestNeighbors(n_neighbors=k).fit(X).kneighbors()[0]
    return (k - 2) / np.log(distances[:, -1:] / distances[:, :-1]).sum(
        1
    ).mean()


COMPONENTS, TABLES, STARTS, WORST = (2, 3, 5, 8, 16), 3, 2, 24
attack = PGD(0.1, n_steps=5)
clean, attacked, dimension, wrong = np.zeros(
    (4, TABLES, len(COMPONENTS), STARTS)
)
worst = np.zeros((TABLES, len(COMPONENTS), STARTS, WORST), dtype=int)
for at in np.ndindex(clean.shape):
    table, c, start = at
    rng = np.random.RandomState(table)
    mix = np.linalg.qr(rng.standard_normal((CHANNELS, SIGNALS)))[0].T * 2
    (X, y), (X_val, y_val), (X_test, y_test) = (
        make_series(n, mix, rng) for n in (240, 120, 300)
    )
    is_wrong = rng.uniform(size=len(y)) < 0.1
    y = np.where(is_wrong, (y + rng.randint(1, 4, len(y))) % 4, y)

    torch.manual_seed(start)
    k = COMPONENTS[c]
    pipe = make_pipeline(
        PCAPerStep(k), make_net(LSTM, module__n_inputs=k)
    ).fit(X, y)
    net = whole(pipe)
    clean[at] = pipe.score(X_test, y_test)
    attacked[at] = net.score(attack(net, X_test, y_test), y_test)
    dimension[at] = intrinsic_dimension(
        pipe[0].transform(X).reshape(len(X), -1)
    )
    scorer = InfluenceScorer(
        FrozenEstimator(net), target=Robustness(attack), parameters="1.*"
    )
    worst[at] = scorer.fit(X, y, X_val=X_val, y_val=y_val).scores_.argsort()[
        :WORST
    ]
    wrong[at] = is_wrong[worst[at]].mean()

# %%
# Right: the share of the worst rows, those with the lowest scores, that two fits have in common. On
# the diagonal the fits have the same number of components and differ in their start only.
import matplotlib.pyplot as plt

from skinfluence.plotting import BLUE, GREEN, VERMILION

line = range(len(COMPONENTS))
shared = np.zeros((TABLES, len(COMPONENTS), len(COMPONENTS)))
for table, a, b in np.ndindex(shared.shape):
    pairs = zip(worst[table, a], worst[table, b, ::-1], strict=True)
    shared[table, a, b] = np.mean(
        [np.isin(one, other).mean() for one, other in pairs]
    )

figure, (left, middle, right) = plt.subplots(
    1, 3, figsize=(12, 3.8), layout="constrained"
)
for values, colour, label, ax in (
    (clean, BLUE, "as it is", left),
    (attacked, VERMILION, "attacked", left),
    (dimension, GREEN, "intrinsic dimension", middle),
):
    ax.plot(line, values.mean((0, 2)), color=colour, label=label)
    ax.plot(line, values.mean(2).T, "o", color=colour, alpha=0.5)
    ax.set(xlabel="components", ylim=(0, None))
    ax.set_xticks(line, COMPONENTS)
    ax.legend(frameon=False, loc="lower right")
left.set_ylabel("test accuracy")
right.imshow(shared.mean(0), vmin=0, vmax=1, cmap="Blues")
for (i, j), value in np.ndenumerate(shared.mean(0)):
    right.text(j, i, f"{value:.2f}", ha="center", va="center")
right.set(
    xlabel="components",
    ylabel="components",
    title="shared among the worst rows",
)
right.set_xticks(line, COMPONENTS)
right.set_yticks(line, COMPONENTS)
plt.show()

# %%
for c, n_components in enumerate(COMPONENTS):
    means = [
        values[:, c].mean() for values in (clean, attacked, dimension, wrong)
    ]
    text = "accuracy {:.2f}, attacked {:.2f}, dimension {:.1f}, wrong labels among the worst {:.0%}"
    print(f"{n_components:2d} components:", text.format(*means))
same = np.eye(len(COMPONENTS), dtype=bool)
print(f"worst rows in common, table by table (by lot: {WORST / len(y):.2f})")
print(
    "    with the same number of components", shared[:, same].mean(1).round(2)
)
print(
    "    with another number               ", shared[:, ~same].mean(1).round(2)
)

# %%
# What is to be seen
# ------------------
# The attack does least harm to the net that sees three components, as many as there are signals.
# There the estimated dimension is lowest as well. With fewer, the classes cannot be told apart, and
# the dimension is no lower. Further components hardly change the accuracy, but open ways to the
# attacker: they hold nothing but noise, and the net uses it.
#
# Which rows help the attacker is another matter. Many of the worst rows have wrong labels, with
# three components and with 16. But two fits agree on few of these rows, and hardly on more where
# only their start differs: the list of one net is not to be trusted row by row, and what the
# reduction does to it is lost in that.
#
# The noise here is alike in all channels, and the signals are strong. Where the class lies in
# directions of little variance, a principal component analysis drops it first.
