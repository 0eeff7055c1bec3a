"""
Many nets instead of one: ensembles
===================================

An influence score is a statement about one parameter vector. An ensemble asks several and averages:
masked copies of the net, earlier epochs of its training, or nets trained from other seeds. Which of
them is worth its price depends on what the score is for; here wrong labels are looked for, with
reference rows whose labels are right, and with reference rows that are as wrong as the others.
"""

# %%
# Handwritten digits, one label in five wrong, and a net trained until it has memorised them all.
# Two scores: the plain inner product of the paper, and class-wise directions of unit reference
# gradients. One training serves all ensembles of one net (it kept snapshots on its way), and
# ``retarget`` puts other questions without another training.
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
    "weight noise, sigma .01": WeightNoise(),
    "dropout, rates up to .01": Dropout(),
    "dropout, rates up to .5": Dropout(max_rate=0.5),
    "6 checkpoints": Checkpoints(6),
    "6 checkpoints, ranks": Checkpoints(6, aggregate="ranks"),
    "3 seeds": Seeds(3),
    "3 seeds x 6 checkpoints": Seeds(3, each=Checkpoints(6)),
}
scores = {
    "inner product": {"classwise": False, "normalize": None},
    "class-wise, unit reference rows": {
        "classwise": True,
        "normalize": "reference",
    },
}

X, y = load_digits(return_X_y=True)
X = X.astype("float32")
found = np.zeros(
    (len(scores), 2, len(ensembles), 3)
)  # score, reference, ensemble, repetition
for seed in range(found.shape[3]):
    X_train, X_val, y_train, y_val = train_test_split(
        X, y, train_size=700, test_size=200, random_state=seed
    )
    y_train, is_wrong = flip_labels(y_train, 0.2, random_state=seed)
    references = y_val, flip_labels(y_val, 0.2, random_state=seed + 100)[0]
    net = TabularClassifier(max_epochs=30, lr=4e-3)
    torch.manual_seed(seed)
    keeping = clone(net).set_params(callbacks=[Snapshots(6)])
    trained = FrozenEstimator(keeping.fit(X_train, y_train))
    for e, ensemble in enumerate(ensembles.values()):
        estimator = net if isinstance(ensemble, Seeds) else trained
        scorer = InfluenceScorer(
            estimator, ensemble=ensemble, random_state=seed
        )
        scorer.fit(X_train, y_train, X_val=X_val, y_val=y_val)
        for s, options in enumerate(scores.values()):
            scorer.set_params(**options)
            for r, y_reference in enumerate(references):
                asked = scorer.retarget(
                    None, X_train, y_train, X_val=X_val, y_val=y_reference
                )
                found[s, r, e, seed] = average_precision_score(
                    is_wrong, -asked.scores_
                )

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(
    1, 2, figsize=(9, 3.8), sharey=True, layout="constrained"
)
at = -np.arange(len(ensembles))
for ax, name, of_score in zip(axes, scores, found, strict=True):
    for values, marker, colour, label in [
        (of_score[0], "o", "#0072B2", "right"),
        (of_score[1], "s", "#D55E00", "as wrong as the rest"),
    ]:
        error = values.std(1, ddof=1) / values.shape[1] ** 0.5
        ax.errorbar(
            values.mean(1),
            at,
            xerr=error,
            fmt=marker,
            color=colour,
            label=label,
            capsize=3,
        )
    ax.axvline(0.2, color="#7F7F7F", linestyle=":")
    ax.set(
        title=name, xlabel="average precision (dotted: by lot)", xlim=(0, 1.02)
    )
    ax.grid(axis="x", alpha=0.3)
axes[0].set_yticks(at, list(ensembles))
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(
    handles,
    [f"labels of the reference rows are {label}" for label in labels],
    loc="outside lower center",
    ncols=2,
    frameon=False,
)
plt.show()

# %%
# What each costs: masks and noise only more scoring, checkpoints the memory of the snapshots, and
# seeds a training each.
for name, of_score in zip(scores, found.mean(3), strict=True):
    print(name)
    for ensemble, clean, noisy in zip(ensembles, *of_score, strict=True):
        print(f"    {ensemble:26s} right {clean:.3f}   wrong {noisy:.3f}")
