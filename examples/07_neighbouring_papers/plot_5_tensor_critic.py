"""
Which transitions make a critic wrong about the best joint action?
==================================================================

Several agents act together and get one reward. A table of the value of every joint action grows
exponentially with the agents, and a critic of low rank does not: it has a vector for each action of
each agent, multiplies them, and sums the product (the CP form of the critics of arXiv 2106.00136,
*Tesseract: Tensorised Actors for Multi-Agent Reinforcement Learning*). Transitions then share
parameters. When the sensor of one agent fails, which of them make the critic wrong about the best
joint action, and does it see them when its rank is too low, or too high?
"""

# %%
# The critic: three agents, five actions each.
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
        vectors = [
            factor(X[:, agent]) for agent, factor in enumerate(self.factors)
        ]
        return torch.stack(vectors).prod(0).sum(1)


def critic(rank):
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
# A game of one step, whose true values have rank 3 and a maximum of 5. Five hundred transitions are
# drawn at random. The sensor fails when the first agent takes the action that is best for all:
# two in five of these rewards are recorded as 0.
#
# One reference row, the best joint action with its true value, asks for the squared error of the
# critic there. That is an oracle: in a game of which less is known, it takes some trusted plays.
from skinfluence import InfluenceScorer
from skinfluence.retraining import retrain


def make_game(seed, n=500):
    rng = np.random.RandomState(seed)
    Q = np.einsum(
        "ak,bk,ck->abc", *rng.standard_normal((AGENTS, ACTIONS, RANK))
    )
    Q *= 5 / Q.max()
    best = np.array(np.unravel_index(Q.argmax(), Q.shape))
    X = rng.randint(ACTIONS, size=(n, AGENTS))
    y = Q[tuple(X.T)] + 0.3 * rng.standard_normal(n)
    is_lost = (X[:, 0] == best[0]) & (rng.uniform(size=n) < 0.4)
    return X, np.where(is_lost, 0, y).astype(np.float32), best, is_lost


def error(fitted, X, y):
    return fitted.predict(X) - y


GAMES, RANKS, REMOVED = 5, (1, RANK, 20), (0, 10, 20, 40)
errors = np.zeros((len(RANKS), GAMES, len(REMOVED) + 2))
reach = np.zeros((len(RANKS), GAMES, AGENTS + 1))
lost = np.zeros((2, len(RANKS), GAMES))
for r, g in np.ndindex(len(RANKS), GAMES):
    X, y, best, is_lost = make_game(g)
    trusted = best[None], np.array([5], dtype=np.float32)
    scorer = InfluenceScorer(critic(RANKS[r]), random_state=g)
    scores = scorer.fit(X, y, X_val=trusted[0], y_val=trusted[1]).scores_
    misfit = np.abs(scorer.estimator_.predict(X) - y)
    order, by_misfit = scores.argsort(), (-misfit).argsort()
    lot = np.random.RandomState(100 + g).permutation(len(y))
    left_out = [order[:k] for k in REMOVED] + [lot[:40], is_lost.nonzero()[0]]
    kept = np.array([~np.isin(np.arange(len(y)), rows) for rows in left_out])
    fits = retrain(
        critic(RANKS[r]), X, y, kept, *trusted, outcome=error, random_state=g
    )
    errors[r, g] = fits[:, 0]
    reach[r, g] = (
        np.bincount((best == X).sum(1), np.abs(scores), AGENTS + 1)
        / np.abs(scores).sum()
    )
    lost[:, r, g] = is_lost[order[:20]].mean(), is_lost[by_misfit[:20]].mean()

# %%
# Left: whose scores are large. Right: a thin line is a game, a point the mean over the games.
import matplotlib.pyplot as plt

from skinfluence.plotting import BLUE, GREEN, GREY, VERMILION

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4), width_ratios=[1, 1.6], layout="constrained"
)
chance = [
    comb(AGENTS, k) * (ACTIONS - 1) ** (AGENTS - k) for k in range(AGENTS + 1)
]
bars = np.vstack([np.divide(chance, ACTIONS**AGENTS), reach.mean(1)])
names = ["all transitions", *(f"scores, rank {rank}" for rank in RANKS)]
for k, colour in enumerate(("#DDDDDD", "#9ECAE1", "#4292C6", "#08519C")):
    left.barh(
        names, bars[:, k], left=bars[:, :k].sum(1), color=colour, label=k
    )
left.invert_yaxis()
left.set(
    xlabel="share of the transitions, or of the absolute scores", xlim=(0, 1)
)
figure.legend(
    title="actions shared with the best joint action",
    ncols=4,
    frameon=False,
    loc="outside upper left",
)
for rank, of_rank, colour in zip(
    RANKS, errors, (VERMILION, BLUE, GREEN), strict=True
):
    right.plot(of_rank[:, :4].T, color=colour, linewidth=0.8, alpha=0.4)
    right.plot(
        of_rank[:, :4].mean(0),
        color=colour,
        marker="o",
        linewidth=2,
        label=f"rank {rank}",
    )
    right.plot([4, 5], of_rank[:, 4:].mean(0), "o", color=colour)
right.axhline(0, color=GREY, linestyle=":")
right.set_xticks(
    range(6), [*REMOVED[:-1], "40 lowest", "40 by lot", "all lost\nrewards"]
)
right.set(
    xlabel="transitions left out", ylabel="error at the best joint action"
)
right.legend(frameon=False, loc="lower right")
plt.show()

# %%
# The error at the best joint action, mean and standard error over the games, and the share of lost
# rewards among the 20 lowest scores and among the 20 rewards that the critic fits worst.
print(
    "left out:   none           20 lowest      40 by lot      all lost       lost among the 20"
)
for r, rank in enumerate(RANKS):
    mean, deviation = errors[r].mean(0), errors[r].std(0, ddof=1) / GAMES**0.5
    text = "".join(
        f"{mean[k]:+.2f} ± {deviation[k]:.2f}   " for k in (0, 2, 4, 5)
    )
    print(
        f"rank {rank:2d}     {text}",
        *(f"{share:.0%}" for share in lost[:, r].mean(1)),
    )

# %%
# What is to be seen
# ------------------
# Half of the transitions share no action with the best joint action. They move vectors that its
# value does not use, and their score is exactly zero. At rank 20 most of the score is in the few
# transitions that are the joint action itself, as it would be in a table; at lower ranks more of it
# is spread over their neighbours.
#
# At ranks 3 and 20, a few of the lowest transitions bring the error down as far as leaving out
# every lost reward does, and twice as many by lot change little. The rewards that the critic fits
# worst are less often the lost ones. Rank 1 cannot hold the game: its error stays large without the
# lost rewards too.
#
# The zero is one of first order: in a critic that is trained again, a transition that shares no
# action may count through the vectors of other agents' actions. And the fault here pushes one way.
# With rewards lost at random, errors may cancel, and what has the lowest score is then often right.
