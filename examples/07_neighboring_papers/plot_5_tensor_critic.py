"""
Which transitions make a critic wrong about the best joint action?
==================================================================

Several agents act together and get one reward. A *transition* is a joint
action with its reward. The *critic* is a model that predicts the reward of a
joint action. A sensor fails sometimes, and some rewards are recorded as 0.
Which transitions make the critic wrong about the best joint action? If the
critic has enough parameters (a high enough rank), these are the transitions
with the lowest scores. Without the twenty lowest-scored transitions, the error
nearly vanishes. If the rank is too low, the error stays large.
"""

# %%
# A table with the value of every joint action grows exponentially with the
# number of agents. A critic of low rank grows only linearly. It has one vector
# for each action of each agent; the length of the vectors is the rank. To get
# the value of a joint action, the vectors of its actions are multiplied
# elementwise, and the entries of the product are summed. This is the CP form
# of arXiv 2106.00136 (*Tesseract: Tensorised Actors for Multi-Agent
# Reinforcement Learning*). In this form, transitions with a common action
# share parameters. There are three agents with five actions each.
from math import comb

import numpy as np
import torch
from skorch import NeuralNetRegressor
from torch import nn

from skinfluence.nets import table_batches

AGENTS, ACTIONS, RANK = 3, 5, 3


class Critic(nn.Module):
    def __init__(self, rank):
        super().__init__()
        self.factors = nn.ModuleList(
            nn.Embedding(ACTIONS, rank) for _ in range(AGENTS)
        )
        for factor in self.factors:
            nn.init.normal_(factor.weight, std=rank ** (-0.5 / AGENTS))

    def forward(self, X):
        vectors = [f(X[:, agent]) for agent, f in enumerate(self.factors)]
        return torch.stack(vectors).prod(0).sum(1)


def make_critic(rank):
    return NeuralNetRegressor(
        Critic,
        module__rank=rank,
        optimizer=torch.optim.Adam,
        optimizer__weight_decay=1e-3,
        lr=0.05,
        max_epochs=100,
        batch_size=-1,
        iterator_train=table_batches,
        train_split=None,
        verbose=0,
    )


# %%
# The game has one step. Its true values have rank 3 and a maximum of 5. Five
# hundred transitions are drawn at random. The sensor may fail only if the
# first agent takes its part of the best joint action: two in five of these
# rewards are *lost*, that is, recorded as 0.
#
# The reference row is the best joint action with its true value, so the target
# is the squared error of the critic for this joint action. In practice this
# row is unknown; use some trusted transitions as reference rows instead.
from skinfluence import InfluenceScorer
from skinfluence.retraining import retrain


def make_game(seed, n=500):
    rng = np.random.RandomState(seed)
    factors = rng.standard_normal((AGENTS, ACTIONS, RANK))
    Q = np.einsum("ak,bk,ck->abc", *factors)
    Q *= 5 / Q.max()
    best = np.array(np.unravel_index(Q.argmax(), Q.shape))
    X = rng.randint(ACTIONS, size=(n, AGENTS))
    y = Q[tuple(X.T)] + 0.3 * rng.standard_normal(n)
    is_lost = (X[:, 0] == best[0]) & (rng.uniform(size=n) < 0.4)
    return X, np.where(is_lost, 0, y).astype(np.float32), best, is_lost


def error(fitted, X, y):
    return fitted.predict(X) - y


GAMES, RANKS, COUNTS = 5, (1, RANK, 20), (0, 10, 20, 40)
errors = np.zeros((len(RANKS), GAMES, len(COUNTS) + 2))
reach = np.zeros((len(RANKS), GAMES, AGENTS + 1))
lost = np.zeros((2, len(RANKS), GAMES))
for r, g in np.ndindex(len(RANKS), GAMES):
    X, y, best, is_lost = make_game(g)
    reference = best[None], np.array([5], dtype=np.float32)
    critic = make_critic(RANKS[r])
    scorer = InfluenceScorer(critic, random_state=g)
    scorer.fit(X, y, X_val=reference[0], y_val=reference[1])
    scores = scorer.scores_
    misfit = np.abs(scorer.estimator_.predict(X) - y)
    order, worst_fit = scores.argsort(), (-misfit).argsort()
    random = np.random.RandomState(100 + g).permutation(len(y))
    dropped = [order[:k] for k in COUNTS]
    dropped += [random[:40], is_lost.nonzero()[0]]
    kept = [~np.isin(np.arange(len(y)), rows) for rows in dropped]
    fits = retrain(
        critic,
        X,
        y,
        np.array(kept),
        *reference,
        outcome=error,
        random_state=g,
    )
    errors[r, g] = fits[:, 0]
    size, shared = np.abs(scores), (best == X).sum(1)
    reach[r, g] = np.bincount(shared, size, AGENTS + 1) / size.sum()
    lost[:, r, g] = is_lost[order[:20]].mean(), is_lost[worst_fit[:20]].mean()

# %%
# The figure shows the error of the critic for the best joint action. Each thin
# line is a game, and each point is the mean over the games.
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
colors = ("tab:orange", "tab:blue", "tab:green")
for rank, of_rank, color in zip(RANKS, errors, colors, strict=True):
    mean = of_rank.mean(0)
    ax.plot(of_rank[:, :4].T, color=color, linewidth=0.8, alpha=0.4)
    look = {"color": color, "markersize": 8, "linewidth": 2}
    ax.plot(mean[:4], "o-", label=f"rank {rank}", **look)
    ax.plot([4, 5], mean[4:], "o", **look)
ax.axhline(0, color="tab:gray", linestyle=":")
names = [*COUNTS[:-1], "40\nlowest", "40\nrandom", "all lost\nrewards"]
ax.set_xticks(range(6), names)
ax.set(xlabel="transitions dropped", ylabel="error")
figure.legend(loc="outside upper center", ncols=3, frameon=False)
plt.show()

# %%
# The transitions are grouped by the number of actions that they share with the
# best joint action. The first bar shows the share of each group in the number
# of transitions. The other bars show the share of each group in the sum of
# absolute scores:
chance = [
    comb(AGENTS, k) * (ACTIONS - 1) ** (AGENTS - k) for k in range(AGENTS + 1)
]
bars = np.vstack([np.divide(chance, ACTIONS**AGENTS), reach.mean(1)])
names = ["transitions", *(f"scores, rank {rank}" for rank in RANKS)]
figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for k, color in enumerate(("0.85", "lightblue", "tab:blue", "navy")):
    ax.barh(names, bars[:, k], left=bars[:, :k].sum(1), color=color, label=k)
ax.invert_yaxis()
ax.set(xlabel="share", xlim=(0, 1))
figure.legend(
    title="actions shared with the best joint action",
    ncols=4,
    frameon=False,
    loc="outside upper center",
)
plt.show()

# %%
# The first table shows the error for the best joint action, as mean and
# standard error over the games. Then follows the share of lost rewards among
# the twenty transitions with the lowest scores, and among the twenty
# transitions that the critic fits worst:
print("dropped     none           20 lowest      40 random      all lost")
for rank, of_rank in zip(RANKS, errors, strict=True):
    mean, deviation = of_rank.mean(0), of_rank.std(0, ddof=1) / GAMES**0.5
    pairs = (f"{mean[k]:+.2f} ± {deviation[k]:.2f}  " for k in (0, 2, 4, 5))
    print(f"rank {rank:2d}    ", *pairs)
print("share of lost rewards among the 20 transitions with")
for name, of_way in zip(("lowest scores", "worst fit"), lost, strict=True):
    pairs = zip(RANKS, of_way.mean(1), strict=True)
    text = ", ".join(f"{share:.0%} (rank {rank})" for rank, share in pairs)
    print(f"    {name:15s} {text}")

# %%
# Discussion
# ----------
# Half of the transitions share no action with the best joint action. They
# change only vectors that the value of the best joint action does not use, so
# their score is exactly zero. At rank 20, most of the sum of absolute scores
# comes from the few transitions with the best joint action itself, as it would
# with a table of values. At lower ranks, more of this sum comes from
# transitions that share one or two actions.
#
# At ranks 3 and 20, dropping the twenty transitions with the lowest scores
# reduces the error as much as dropping all lost rewards. Dropping forty random
# transitions changes little. The transitions with the lowest scores have lost
# rewards more often than the transitions that the critic fits worst. A critic
# of rank 1 cannot represent the game: its error stays large even if all lost
# rewards are dropped.
#
# A score of zero means no effect only to first order. If the critic is trained
# again, a transition that shares no action may still change the error, through
# vectors that it shares with other transitions. Also, all lost rewards are
# errors in the same direction here. If rewards were lost at random, errors
# could cancel, and the transitions with the lowest scores would often have
# right rewards.
