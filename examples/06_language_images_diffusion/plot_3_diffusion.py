"""
Which training digits shaped a generated digit?
===============================================

A diffusion model has no labels, and its training loss is random: each image
gets a random time and random noise. Outside of training,
:class:`~skinfluence.diffusion.DenoisingDiffusion` makes the loss deterministic
by averaging it over fixed draws of time and noise. The training rows can then
be scored as for any other net. We find the training digits that shaped a
generated digit. Only some of these training digits are nearest neighbors of
the generated digit.
"""

# %%
# The training set has a thousand digits of 8 × 8 pixels, scaled to [-1, 1].
# The digit to explain is the first of sixteen that the model generates.
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.metrics.pairwise import euclidean_distances
from skorch.callbacks import LRScheduler

from skinfluence import InfluenceScorer
from skinfluence.curvature import EKFAC
from skinfluence.diffusion import DenoisingDiffusion
from skinfluence.pairwise import top_rows

X, y = load_digits(return_X_y=True)
X, y = (X[:1000] / 8 - 1).astype(np.float32), y[:1000]
torch.manual_seed(0)
anneal = LRScheduler("CosineAnnealingLR", T_max=150)
net = DenoisingDiffusion(max_epochs=150, callbacks=[("anneal", anneal)])
generated = net.fit(X).sample(16, random_state=0)[:1]

# %%
# The generated digit is the only reference row. The target is the variational
# bound on the likelihood of this digit, not the training loss. The scorer
# requires a ``y``, although a diffusion model ignores it.
scorer = InfluenceScorer(
    FrozenEstimator(net),
    target=net.variational_bound(),
    curvature=EKFAC(),
    random_state=0,
)
scorer.fit(X, y, X_val=generated, y_val=[0])
top = top_rows(scorer, X, y, k=5)
proponents, opponents = top.proponents[0], top.opponents[0]
nearest = euclidean_distances(generated, X)[0].argsort()[:5]

# %%
# The number below each training digit is its label, which the model does not
# see. "Helped" marks the digits with the highest scores, and "opposed" the
# digits with the lowest scores.
import matplotlib.pyplot as plt

kinds = {
    "helped": (proponents, "tab:blue"),
    "opposed": (opponents, "tab:orange"),
    "nearest": (nearest, "tab:gray"),
}
figure, axes = plt.subplots(
    3, 6, figsize=(6, 3.8), layout="constrained", width_ratios=[1.5, *[1] * 5]
)


def show(ax, image, **frame):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=-1, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(**frame)


for ax in axes[[0, 2], 0]:
    ax.axis("off")
show(axes[1, 0], generated, linewidth=2)
axes[1, 0].set_title("generated", fontsize=13)
for row_of_axes, (kind, (rows, color)) in zip(
    axes[:, 1:], kinds.items(), strict=True
):
    row_of_axes[0].set_ylabel(kind, fontsize=13, color=color)
    for ax, row in zip(row_of_axes, rows, strict=True):
        show(ax, X[row], color=color, linewidth=3)
        ax.set_xlabel(y[row], fontsize=12, labelpad=2)
plt.show()

# %%
print("labels of the digits that shaped it:", y[proponents])
print("labels of the digits that opposed it:", y[opponents])
print("labels of the nearest digits:", y[nearest])
print("shaped it and are nearest:", np.intersect1d(proponents, nearest).size)

# %%
# The generated digit looks partly like a 3, an 8 and a 9. Most of the training
# digits that shaped it are a 3, an 8 or a 9. The training digits that opposed
# it are curved the other way. :doc:`/guide/diffusion` measures whether such
# scores predict the outcome of training without some of the digits.
