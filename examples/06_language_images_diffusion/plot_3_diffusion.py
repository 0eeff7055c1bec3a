"""
Which training digits shaped a generated digit?
===============================================

A diffusion model has no labels, and no loss that is a function of a row: in training, each image
gets a time and a noise by lot. :class:`~skinfluence.diffusion.DenoisingDiffusion` takes the mean
over fixed draws instead wherever it is not trained, and then is a net like any other.
"""

# %%
# A thousand digits of 8 x 8 pixels, scaled to [-1, 1], and a digit that the model draws: the
# first of sixteen.
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
net = DenoisingDiffusion(max_epochs=150, callbacks=[("anneal", anneal)]).fit(X)
drawn = net.sample(16, random_state=0)[:1]

# %%
# The generated digit is the only reference row, and the target is not the training loss: it is the
# bound on its likelihood. (The scorer wants a y; a diffusion model does not look at it.)
scorer = InfluenceScorer(
    FrozenEstimator(net),
    target=net.variational_bound(),
    curvature=EKFAC(),
    random_state=0,
)
scorer.fit(X, y, X_val=drawn, y_val=[0])
top = top_rows(scorer, X, y, k=8)
near = euclidean_distances(drawn, X)[0].argsort()[:8]

# %%
import matplotlib.pyplot as plt

kinds = {
    "shaped it\nmost": (top.proponents[0], "#0072B2"),
    "opposed it\nmost": (top.opponents[0], "#D55E00"),
    "nearest\nin pixels": (near, "#595959"),
}
figure = plt.figure(figsize=(9, 3.4), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1, 3.6])


def show(ax, image, **frame):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=-1, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(**frame)


ax = left.subplots()
show(ax, drawn, linewidth=1)
ax.set_title("generated")
for axes, (kind, (rows, colour)) in zip(
    right.subplots(3, 8), kinds.items(), strict=True
):
    label = {
        "rotation": 0,
        "ha": "right",
        "va": "center",
        "fontsize": 11,
        "color": colour,
    }
    axes[0].set_ylabel(kind, **label)
    for ax, row in zip(axes, rows, strict=True):
        show(ax, X[row], color=colour, linewidth=2)
        ax.set_xlabel(y[row], fontsize=10, labelpad=2)
plt.show()

# %%
# It is an unclear digit, between a 3, an 8 and a 9. Most of those that shaped it are of these kinds
# (some of its nearest among them, but not all); 2s and 5s, which bend the other way, opposed it.
# Whether such scores foretell what a model does that was trained without the rows is another
# question, with an answer in numbers: :doc:`../guide/diffusion`.
