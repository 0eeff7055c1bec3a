r"""
Why plain inner products work: the angle
========================================

A score is the inner product of a row's gradient with a direction. The
direction of this library and the direction of classical influence functions
can form a large angle, even for a linear model. Yet both directions find the
wrong labels, as long as the damped Hessian is positive definite and not nearly
singular.

Let :math:`v` be the gradient of the reference loss, :math:`H` the Hessian of
the training loss and :math:`\lambda` a damping. By default, this library uses
the direction :math:`v`. Classical influence functions use the direction

.. math:: u = (H + \lambda I)^{-1} v.

How large is the angle between :math:`u` and :math:`v`, do the two directions
rank rows alike, and do both find wrong labels?
"""

# %%
# We compare three models, all with one output and binary cross-entropy: a
# logistic regression on half moons (3 parameters), a logistic regression on
# breast cancer (31 parameters), and a net on half moons with three hidden
# layers of 16 units. The net has only 609 parameters, so its Hessian can be
# computed.
import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier
from torch import nn

from skinfluence.datasets import flip_labels, make_noisy_moons


class Net(nn.Module):
    """Hidden layers with ReLU, or none: a logistic regression."""

    def __init__(self, n_features=2, hidden=()):
        super().__init__()
        widths = [n_features, *hidden]
        layers = []
        for n_in, n_out in zip(widths[:-1], hidden, strict=True):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, X):
        return self.layers(X).squeeze(1)


def make_net(lr=0.02, **module):
    torch.manual_seed(0)
    return NeuralNetBinaryClassifier(
        Net,
        **{f"module__{name}": value for name, value in module.items()},
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=lr,
        batch_size=32,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )


def train(net, data, epochs):
    """Train for some more epochs."""
    X, y = (a.astype("float32") for a in data[:2])
    return net.set_params(max_epochs=epochs).partial_fit(X, y)


moons = make_noisy_moons()

X, y = load_breast_cancer(return_X_y=True)
X, X_val, y, y_val = train_test_split(X, y, test_size=0.3, random_state=0)
scaler = StandardScaler().fit(X)
y_noisy, is_wrong = flip_labels(y, 0.1, random_state=0)
cancer = scaler.transform(X), y_noisy, scaler.transform(X_val), y_val, is_wrong

# %%
# For each model we compute the vector :math:`v`, the gradients of all rows,
# and the eigenvalues and eigenvectors of :math:`H`. With these, the scores for
# any damping take almost no time.
from copy import deepcopy

from scipy.stats import spearmanr
from torch.func import functional_call, grad, jacrev, vmap

from skinfluence.metrics import detection_report


class Comparison:
    """Scores along v and along (H + damping I)^-1 v."""

    def __init__(self, net, data):
        self.module = deepcopy(net.module_).double()
        named = self.module.named_parameters()
        self.names, self.tensors = zip(*named, strict=True)
        theta = torch.cat([p.detach().reshape(-1) for p in self.tensors])
        X, y, X_val, y_val = (
            torch.as_tensor(a, dtype=torch.float64) for a in data[:4]
        )
        self.gradients = vmap(grad(self.row_loss), (None, 0, 0))(theta, X, y)
        self.v = grad(self.loss)(theta, X_val, y_val)
        H = jacrev(grad(self.loss))(theta, X, y).detach()
        self.eigenvalues, self.basis = torch.linalg.eigh(H)
        self.is_wrong = data[4]

    def loss(self, theta, X, y):
        parts = theta.split([p.numel() for p in self.tensors])
        shapes = [p.shape for p in self.tensors]
        named = zip(self.names, parts, shapes, strict=True)
        params = {name: part.reshape(shape) for name, part, shape in named}
        output = functional_call(self.module, params, (X,))
        return nn.functional.binary_cross_entropy_with_logits(output, y)

    def row_loss(self, theta, x, label):
        return self.loss(theta, x[None], label[None])

    def at(self, damping):
        """Cosine of the directions, rank agreement of the scores, AUC."""
        inverse = 1 / (self.eigenvalues + damping)
        u = self.basis @ (inverse * (self.basis.T @ self.v))
        plain, scores = (self.gradients @ d for d in (self.v, u))
        return (
            float(torch.cosine_similarity(self.v, u, dim=0)),
            float(spearmanr(plain, scores)[0]),
            detection_report(self.is_wrong, scores)["roc_auc"],
        )

    def is_positive(self, damping):
        return bool(self.eigenvalues[0] + damping > 0)


EPOCHS = np.array([5, 10, 20, 50, 100, 200, 350, 500])
net = make_net(hidden=(16, 16, 16), lr=0.01)
history = []
for epochs in np.diff(EPOCHS, prepend=0):
    history.append(Comparison(train(net, moons, int(epochs)), moons))

linear_net = train(make_net(n_features=30), cancer, 100)
models = {
    "logistic, half moons": Comparison(train(make_net(), moons, 100), moons),
    "logistic, breast cancer": Comparison(linear_net, cancer),
    "net, half moons": history[-1],
}
for name, model in models.items():
    low, high = model.eigenvalues[[0, -1]].tolist()
    print(f"{name}: eigenvalues of H from {low:.2g} to {high:.2g}")

# %%
# The angle depends on the damping
# --------------------------------
# A positive definite matrix turns a vector by less than 90°. If :math:`\kappa`
# is the condition number of the matrix, Kantorovich's inequality bounds the
# angle (dotted lines in the figure):
#
# .. math:: \cos(v, u) \geq \frac{2 \sqrt{\kappa}}{1 + \kappa}
#
# - For the model with three well-scaled parameters, the two directions are
#   nearly the same even without damping.
# - For the model with 31 correlated parameters, the angle is large, although
#   the model is linear. The angle depends on the spread of the eigenvalues,
#   not on depth.
# - For the net, the damped Hessian is indefinite if the damping is small
#   (hollow points). The bound does not hold at these points.
import matplotlib.pyplot as plt

dampings = np.logspace(-4, 2, 25)
curves = {
    name: np.array([model.at(damping) for damping in dampings])
    for name, model in models.items()
}
styles = (("tab:blue", "o"), ("tab:green", "s"), ("tab:orange", "^"))


def draw_points(ax, x, y, is_positive, name, color, marker):
    """A line; hollow where the damped Hessian is indefinite."""
    ax.plot(x, y, color=color, linewidth=1)
    look = {"marker": marker, "color": color, "linestyle": "none"}
    ax.plot(x[is_positive], y[is_positive], label=name, **look)
    ax.plot(x[~is_positive], y[~is_positive], mfc="white", **look)


def draw_models(ax, column):
    for (name, model), (color, marker) in zip(
        models.items(), styles, strict=True
    ):
        ok = np.array([model.is_positive(damping) for damping in dampings])
        values = curves[name][:, column]
        draw_points(ax, dampings, values, ok, name, color, marker)
    ax.set(xscale="log", xlabel="damping λ")


figure, ax = plt.subplots(figsize=(6, 4.4), layout="constrained")
draw_models(ax, 0)
for model, (color, _) in zip(models.values(), styles, strict=True):
    if model.is_positive(0):
        low, high = (float(model.eigenvalues[i]) + dampings for i in (0, -1))
        bound = 2 * np.sqrt(low * high) / (low + high)
        ax.plot(dampings, bound, color=color, linestyle=":")
ax.axhline(0, color="tab:gray", linewidth=0.8)
ax.set(ylim=(-0.25, 1.05), ylabel="cosine of the two directions")
figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
plt.show()

# %%
# If the two directions agree, the ranks of the scores also agree. The AUC is
# the probability that a row with a wrong label scores lower than a row with a
# right label. On breast cancer, plain inner products (dashed) have a higher
# AUC than scores with little damping, and a slightly lower AUC than scores
# with the best damping. For the net, both directions find all wrong labels if
# the damped Hessian is positive definite.
figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for k, ax in enumerate(axes):
    draw_models(ax, k + 1)
# a huge damping leaves the direction of v, so the scores are inner products
plain = models["logistic, breast cancer"].at(1e9)[2]
axes[1].axhline(plain, color="tab:green", linestyle="--")
axes[0].set(ylim=(-0.25, 1.05), ylabel="rank agreement of the scores")
axes[1].set(ylim=(0, 1.05), ylabel="ROC AUC for the wrong labels")
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(
    handles, labels, loc="outside upper center", ncols=3, frameon=False
)
plt.show()

# %%
# The angle grows over the epochs
# -------------------------------
# A damping of 1 or 10 exceeds the absolute value of all negative eigenvalues
# at every epoch. With such a damping, the two directions are close in the
# first epochs. The angle grows as the largest eigenvalue grows. At some
# epochs, the ranks of the scores agree less than the directions do. With a
# damping of 0.1, the damped Hessian is indefinite at some epochs, and the
# agreement varies erratically.
figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for damping, color, marker in (
    (0.1, "tab:orange", "^"),
    (1.0, "tab:green", "s"),
    (10.0, "tab:blue", "o"),
):
    values = np.array([model.at(damping) for model in history])
    ok = np.array([model.is_positive(damping) for model in history])
    for ax, column in zip(axes, values.T, strict=False):
        name = f"λ = {damping:g}"
        draw_points(ax, EPOCHS, column, ok, name, color, marker)
for ax, name in zip(axes, ("cosine", "rank agreement"), strict=True):
    ax.axhline(0, color="tab:gray", linewidth=0.8)
    ax.set(xscale="log", xlabel="epochs", ylabel=name, ylim=(-0.45, 1.05))
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(
    handles, labels, loc="outside upper center", ncols=3, frameon=False
)
plt.show()

# %%
# From the tenth epoch on, both directions find nearly all wrong labels if the
# damping is 1 or more, whatever the angle is. So a large angle alone does not
# make a score bad, but a matrix that is indefinite or nearly singular does.
print("epochs     plain   λ = 1                    λ = 10")
print("           AUC     cosine  ranks  AUC       cosine  ranks  AUC")
for epochs, model in zip(EPOCHS, history, strict=True):
    one, ten = (
        "{:.2f}    {:.2f}   {:.3f}".format(*model.at(damping))
        for damping in (1, 10)
    )
    print(f"{epochs:6d}     {model.at(1e9)[2]:.3f}   {one}     {ten}")
