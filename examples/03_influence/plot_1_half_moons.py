"""
Half moons: is the inverse Hessian needed?
==========================================

Classical influence functions multiply the gradient of the reference loss by
the inverse Hessian of the training loss. This library leaves the Hessian out
by default. On the synthetic data set of arXiv 2405.17490, plain inner products
find all wrong labels. With the inverse Hessian, the result depends on the
damping, a number that is added to the Hessian's diagonal. With too little
damping the result is poor; with enough damping, all wrong labels are found.
"""

# %%
# The data set has two half moons and 250 training rows. Twenty of these rows
# have wrong labels: ten on the back of each moon. These rows lie close
# together, so a net that is trained for many epochs begins to learn their
# labels.
import torch
from skorch import NeuralNetBinaryClassifier
from torch import nn

from skinfluence import InfluenceScorer
from skinfluence.datasets import make_noisy_moons

X, y, X_val, y_val, is_wrong = make_noisy_moons()


class SmallNet(nn.Sequential):
    """2-32-32-32-1, as in the paper."""

    def __init__(self):
        super().__init__(
            nn.Linear(2, 32), nn.ReLU(),
            nn.Linear(32, 32), nn.ReLU(),
            nn.Linear(32, 32), nn.ReLU(),
            nn.Linear(32, 1), nn.Flatten(0),
        )  # fmt: skip


# %%
# The paper trains for 5,000 epochs with a learning rate of 0.001. We train for
# a tenth of the epochs with ten times the rate, which gives a similar figure.
# ``benchmarks/half_moons.py`` in the repository uses the values of the paper.
net = NeuralNetBinaryClassifier(
    SmallNet,
    optimizer=torch.optim.SGD,
    optimizer__momentum=0.9,
    lr=0.01,
    batch_size=32,
    max_epochs=500,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)
scorer = InfluenceScorer(net, random_state=0)
scorer.fit(X, y, X_val=X_val, y_val=y_val)
learned = scorer.estimator_.predict(X.astype("float32")) == y
print(f"wrong labels that the net has learned: {learned[is_wrong].mean():.0%}")

# %%
# Inner products
# --------------
# Computing the scores takes one backward pass over the 100 reference rows and
# one forward-mode pass over the 250 training rows. In the figure, brown rows
# are harmful, rings mark the wrong labels, and the line is the decision
# boundary of the net.
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import CenteredNorm

side = np.linspace(-2.4, 2.4, 200)
grid = np.stack(np.meshgrid(side, side), -1).astype("float32")
p = scorer.estimator_.predict_proba(grid.reshape(-1, 2))[:, 1]


def draw_scores(ax, scores, title):
    """Training rows colored by score; a fourth root shortens long tails."""
    shade = np.abs(scores / np.abs(scores).max()) ** 0.25 * np.sign(scores)
    look = {"cmap": "PuOr", "norm": CenteredNorm(0, 1), "edgecolors": "grey"}
    points = ax.scatter(*X.T, c=shade, s=40, linewidths=0.3, **look)
    rings = {"facecolors": "none", "edgecolors": "black"}
    ax.scatter(*X[is_wrong].T, s=110, label="wrong label", **rings)
    ax.contour(side, side, p.reshape(200, 200), [0.5], colors="black")
    ax.set(title=title, xlabel="$x_1$", ylabel="$x_2$")
    ax.legend(loc="upper right")
    return points


figure, ax = plt.subplots(figsize=(6, 4.4), layout="constrained")
points = draw_scores(ax, scorer.scores_, "scores by inner products")
figure.colorbar(points, label="score over the largest, fourth root")
plt.show()

lowest = np.argsort(scorer.scores_)[:20]
print(f"wrong labels among the 20 lowest scores: {is_wrong[lowest].sum()}")

# %%
# Scores with an inverse Hessian
# ------------------------------
# Let :math:`v` be the gradient of the reference loss and :math:`H` the Hessian
# of the training loss. The classical score of a row is the inner product of
# its gradient with the vector :math:`u` that solves
#
# .. math:: (H + \lambda I)\, u = v
#
# for a damping :math:`\lambda`. This net has only 2,241 parameters, so we can
# compute :math:`H`. For a net with a million parameters, :math:`H` would take
# 4 TB of memory.
from copy import deepcopy

from torch.func import functional_call, grad, hessian, vmap

module = deepcopy(scorer.estimator_.module_).double()
names, tensors = zip(*module.named_parameters(), strict=True)
theta = torch.cat([p.detach().reshape(-1) for p in tensors])


def loss(theta, X, y):
    """Mean loss as a function of all parameters in one vector."""
    parts = theta.split([p.numel() for p in tensors])
    named = zip(names, parts, tensors, strict=True)
    params = {name: part.reshape(p.shape) for name, part, p in named}
    output = functional_call(module, params, (X,))
    return nn.functional.binary_cross_entropy_with_logits(output, y)


def row_loss(theta, x, label):
    return loss(theta, x[None], label[None])


X_t, y_t, X_val_t, y_val_t = (
    torch.as_tensor(a, dtype=torch.float64) for a in (X, y, X_val, y_val)
)
v = grad(loss)(theta, X_val_t, y_val_t)
gradients = vmap(grad(row_loss), (None, 0, 0))(theta, X_t, y_t)
H = hessian(loss)(theta, X_t, y_t).detach()
eigenvalues, basis = torch.linalg.eigh(H)


def hessian_scores(damping):
    """Score of each training row, <its gradient, (H + damping I)^-1 v>."""
    direction = basis @ ((basis.T @ v) / (eigenvalues + damping))
    return (gradients @ direction).numpy()


least, largest = float(eigenvalues[0]), float(eigenvalues[-1])
print(f"eigenvalues of H: {least:.2f} to {largest:.0f}")
print(f"negative eigenvalues: {(eigenvalues < 0).sum()}")

# %%
# The Hessian of a net is not positive definite, however long the net is
# trained. If the damping is smaller than the absolute value of the least
# eigenvalue, :math:`H + \lambda I` is indefinite (gray area of the figure).
# The figure shows the AUC, the probability that a row with a wrong label
# scores lower than a row with a right label. In the gray area, a small change
# of the damping can change the AUC a lot. The paper reports scores with an
# inverse Hessian that have an AUC of 0.45.
#
# **With more damping, the scores find all wrong labels.** As the damping
# grows, the order of the rows approaches their order by plain inner products.
# Inner products need neither a Hessian nor a choice of :math:`\lambda`.
from skinfluence.metrics import detection_report

dampings = np.logspace(-4, 2, 37)
plain = detection_report(is_wrong, scorer.scores_)["roc_auc"]
found = [
    detection_report(is_wrong, hessian_scores(damping))["roc_auc"]
    for damping in dampings
]

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.axvspan(dampings[0], -least, color="tab:gray", alpha=0.15)
ax.text(1.3e-4, 0.13, "H + λI is not\npositive definite")
wide = {"color": "tab:blue", "linewidth": 5, "alpha": 0.6}
ax.axhline(plain, label="inner product", **wide)
ax.plot(dampings, found, "o-", color="tab:orange", label="inverse Hessian")
ax.axhline(0.5, color="tab:gray", linestyle=":", label="random order")
ax.set(xscale="log", xlim=dampings[[0, -1]], ylim=(0, 1.05))
ax.set(xlabel="damping λ", ylabel="ROC AUC for the wrong labels")
ax.legend(loc="lower right", frameon=False)
plt.show()

# %%
# With too little damping, rows with wrong labels get scores of either sign,
# and so do neighboring rows with right labels. There are two reasons. Along an
# eigenvector with a negative eigenvalue, the inverse reverses the sign of the
# component of :math:`v`. Along an eigenvector with an eigenvalue near zero,
# the inverse magnifies the component of :math:`v` without limit.
# :ref:`sphx_glr_auto_examples_03_influence_plot_4_angle.py` examines the angle
# between :math:`v` and :math:`u`.
figure, axes = plt.subplots(
    1, 2, figsize=(8, 4), sharex=True, sharey=True, layout="constrained"
)
for ax, damping in zip(axes, (0.001, 1.0), strict=True):
    title = f"inverse Hessian, λ = {damping:g}"
    draw_scores(ax, hessian_scores(damping), title)
    ax.label_outer()
plt.show()
