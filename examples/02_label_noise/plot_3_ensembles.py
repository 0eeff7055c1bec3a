"""
Do ensembles of nets find more wrong labels?
============================================

An influence score is computed from the parameters of one net. An ensemble
averages the scores of several members: copies of the net with noise on its
weights or under dropout masks, checkpoints of one training, or nets trained
with different seeds. Which ensemble is worth its cost? In this example,
class-wise scores over six checkpoints of one training find nearly all wrong
labels, even if the reference labels are noisy as well. With the checkpoints of
two more trainings, few more wrong labels are found. Noise on the weights and
weak dropout change the result very little, and with strong dropout, fewer
wrong labels are found.
"""

# %%
# The data are handwritten digits; one label in five is wrong. We compare two
# scores: the plain inner product of gradients, and the class-wise score. The
# class-wise score compares a row with the reference rows of one class at a
# time, and each reference gradient is divided by its norm. The labels of the
# reference rows are either right, or as noisy as the training labels.
#
# The net is trained once for all ensembles except ``Seeds``: the callback
# ``Snapshots`` keeps the checkpoints of this training. ``retarget`` computes
# scores for the same net with other reference labels.
import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import average_precision_score
from sklearn.model_selection import train_test_split

from skinfluence import InfluenceScorer
from skinfluence.datasets import flip_labels
from skinfluence.ensembles import (
    Checkpoints,
    Dropout,
    Seeds,
    Snapshots,
    WeightNoise,
)
from skinfluence.nets import TabularClassifier

ensembles = {
    "one net": None,
    "weight noise, sigma 0.01": WeightNoise(),
    "dropout, rates up to 0.01": Dropout(),
    "dropout, rates up to 0.5": Dropout(max_rate=0.5),
    "6 checkpoints": Checkpoints(6),
    "6 checkpoints, ranks": Checkpoints(6, aggregate="ranks"),
    "3 seeds": Seeds(3),
    "3 seeds × 6 checkpoints": Seeds(3, each=Checkpoints(6)),
}
scores = {
    "inner product": {"classwise": False, "normalize": None},
    "class-wise": {"classwise": True, "normalize": "reference"},
}
REPETITIONS = 3

X, y = load_digits(return_X_y=True)
X = X.astype("float32")
# average precision by score, reference labels, ensemble and repetition
found = np.zeros((len(scores), 2, len(ensembles), REPETITIONS))
for seed in range(REPETITIONS):
    X_train, X_val, y_train, y_val = train_test_split(
        X, y, train_size=500, test_size=200, random_state=seed
    )
    y_train, is_wrong = flip_labels(y_train, 0.2, random_state=seed)
    noisy_y_val, _ = flip_labels(y_val, 0.2, random_state=seed + 100)
    net = TabularClassifier(max_epochs=30, lr=4e-3)
    torch.manual_seed(seed)
    keeping = clone(net).set_params(callbacks=[Snapshots(6)])
    trained = FrozenEstimator(keeping.fit(X_train, y_train))
    for e, ensemble in enumerate(ensembles.values()):
        scorer = InfluenceScorer(
            net if isinstance(ensemble, Seeds) else trained,
            ensemble=ensemble,
            random_state=seed,
        )
        scorer.fit(X_train, y_train, X_val=X_val, y_val=y_val)
        for s, options in enumerate(scores.values()):
            scorer.set_params(**options)
            for r, y_ref in enumerate((y_val, noisy_y_val)):
                other = scorer.retarget(
                    None, X_train, y_train, X_val=X_val, y_val=y_ref
                )
                found[s, r, e, seed] = average_precision_score(
                    is_wrong, -other.scores_
                )

# %%
# The figure shows the average precision for the wrong labels. It is 1 for a
# perfect order of the rows, and 0.2 for a random order (dotted line). Bars are
# standard errors over three repetitions.
import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
at = -np.arange(len(ensembles))
looks = zip(scores, found, ("tab:orange", "tab:blue"), "so", strict=True)
for name, of_score, color, marker in looks:
    for values, fill, shift, kind in [
        (of_score[0], color, 0.15, "right"),
        (of_score[1], "white", -0.15, "noisy"),
    ]:
        ax.errorbar(
            values.mean(1),
            at + shift,
            xerr=values.std(1, ddof=1) / REPETITIONS**0.5,
            fmt=marker,
            color=color,
            mfc=fill,
            markersize=8,
            label=f"{name}, {kind} references",
        )
ax.axvline(0.2, color="tab:gray", linestyle=":")
ax.set(xlabel="average precision", xlim=(0, 1.02))
ax.set_yticks(at, list(ensembles))
ax.grid(axis="x", alpha=0.3)
figure.legend(loc="outside upper center", ncols=2, frameon=False)
plt.show()

# %%
# The ensembles differ in cost. Every member takes one more scoring pass.
# Checkpoints also take memory, and every seed takes one more training.
print("average precision              right   noisy references")
for name, of_score in zip(scores, found.mean(3), strict=True):
    print(name)
    for ensemble, right, noisy in zip(ensembles, *of_score, strict=True):
        print(f"    {ensemble:26s} {right:.3f}   {noisy:.3f}")
