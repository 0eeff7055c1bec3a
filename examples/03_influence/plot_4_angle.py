r"""
Why the identity does well: the angle
=====================================

Classical influence functions ask along :math:`u = (H + \lambda I)^{-1} v`, where :math:`v` is the
gradient of the reference loss and :math:`H` the Hessian of the training loss; this library asks
along :math:`v` itself. How far apart are the two directions, do they rank rows alike, and do both
find wrong labels? On linear models and on a net, over dampings and over the epochs of training.
"""

# %%
# Three models, all with one output and binary cross-entropy: logistic regressions on half moons (3
# parameters) and on breast cancer (31), and a net 2-16-16-16-1 on half moons (609, few enough to
# write the Hessian down).
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
    """Train for some epochs more."""
    X, y = data[:2]
    return net.set_params(max_epochs=epochs).partial_fit(
        X.astype("float32"), y.astype("float32")
    )


moons = make_noisy_moons()

X, y = load_breast_cancer(return_X_y=True)
X, X_val, y, y_val = train_test_split(X, y, test_size=0.3, random_state=0)
scaler = StandardScaler().fit(X)
y_noisy, is_wrong = flip_labels(y, 0.1, random_state=0)
cancer = scaler.transform(X), y_noisy, scaler.transform(X_val), y_val, is_wrong

# %%
# Everything about a model that the comparison needs: a gradient a row, :math:`v`, and the
# eigenvalues and eigenvectors of :math:`H`, with which every damping costs next to nothing.
from copy import deepcopy

from scipy.stats import spearmanr
from torch.func import functional_call, grad, jacrev, vmap

from skinfluence.metrics import detection_report


class Comparison:
    """Scores along v and along (H + damping I)^-1 v."""

    def __init__(self, net, data):
        self.module = deepcopy(net.module_).double()
        self.names, self.tensors = zip(
            *self.module.named_parameters(), strict=True
        )
        theta = torch.cat([p.detach().reshape(-1) for p in self.tensors])
        X, y, X_val, y_val = (
            torch.as_tensor(a, dtype=torch.float64) for a in data[:4]
        )
        one = grad(
            lambda theta, x, label: self.loss(theta, x[None], label[None])
        )
        self.gradients = vmap(one, (None, 0, 0))(theta, X, y)
        self.v = grad(self.loss)(theta, X_val, y_val)
        H = jacrev(grad(self.loss))(theta, X, y).detach()
        self.eigenvalues, self.basis = torch.linalg.eigh(H)
        self.is_wrong = data[4]

    def loss(self, theta, X, y):
        parts = theta.split([p.numel() for p in self.tensors])
        shapes = [p.shape for p in self.tensors]
        named = zip(self.names, parts, shapes, strict=True)
        params = {name: part.reshape(shape) for name, part, shape in named}
        outputs = functional_call(self.module, params, (X,))
        return nn.functional.binary_cross_entropy_with_logits(outputs, y)

    def at(self, damping):
        """Cosine of the two directions, rank agreement of the scores, AUC for wrong labels."""
        u = self.basis @ (
            (self.basis.T @ self.v) / (self.eigenvalues + damping)
        )
        plain, scores = (
            self.gradients @ direction for direction in (self.v, u)
        )
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

models = {
    "logistic regression, half moons": Comparison(
        train(make_net(), moons, 100), moons
    ),
    "logistic regression, breast cancer": Comparison(
        train(make_net(n_features=30), cancer, 100), cancer
    ),
    "net, half moons": history[-1],
}
for name, model in models.items():
    low, high = model.eigenvalues[[0, -1]].tolist()
    print(f"{name}: eigenvalues of H from {low:.2g} to {high:.2g}")

# %%
# Over the damping
# ----------------
# A positive definite matrix turns no vector by more than a right angle. By how much at most depends
# on its condition number :math:`\kappa` alone (Kantorovich's inequality):
# :math:`\cos(v, u) \geq 2 \sqrt{\kappa} / (1 + \kappa)`, drawn dotted.
#
# - With three well-scaled parameters the two directions are nearly the same without any damping.
# - With 31 correlated ones they are far apart, although the model is linear: the angle is a matter
#   of the spread of the eigenvalues, not of depth. The identity finds more of the wrong labels than
#   a Hessian with little damping, and slightly fewer than one with just enough.
# - The net's Hessian is indefinite up to a certain damping (hollow points). There is no bound and
#   no lasting agreement until then, and both find all wrong labels from then on.
import matplotlib.pyplot as plt

from skinfluence.plotting import BLUE, GREEN, GREY, VERMILION

LABELS = (
    "cosine of directions",
    "rank agreement of scores",
    "ROC AUC for wrong labels",
)
dampings = np.logspace(-4, 2, 25)
figure, axes = plt.subplots(1, 3, figsize=(9, 3.7), layout="constrained")
styles = ((BLUE, "o"), (GREEN, "s"), (VERMILION, "^"))
for (name, model), (colour, marker) in zip(
    models.items(), styles, strict=True
):
    values = np.array([model.at(damping) for damping in dampings])
    positive = np.array([model.is_positive(damping) for damping in dampings])
    for ax, column in zip(axes, values.T, strict=True):
        ax.plot(dampings, column, color=colour, linewidth=1)
        ax.plot(
            dampings[positive],
            column[positive],
            marker,
            color=colour,
            markersize=5,
            label=name,
        )
        ax.plot(
            dampings[~positive],
            column[~positive],
            marker,
            color=colour,
            mfc="white",
            ms=5,
        )
    if positive.all():
        low, high = (float(model.eigenvalues[i]) + dampings for i in (0, -1))
        axes[0].plot(
            dampings,
            2 * np.sqrt(low * high) / (low + high),
            color=colour,
            linestyle=":",
        )
for ax, label, chance in zip(axes, LABELS, (0, 0, 0.5), strict=True):
    ax.axhline(chance, color=GREY, linewidth=0.8)
    ax.set(
        title=label,
        xscale="log",
        xlabel="damping λ",
        ylim=(-0.25 if chance == 0 else 0, 1.05),
    )
figure.legend(
    *axes[0].get_legend_handles_labels(),
    loc="outside lower center",
    ncols=3,
    frameon=False,
)
plt.show()

# %%
# Over the epochs
# ---------------
# With a damping that outweighs the negative eigenvalues at all times, the two directions start out
# together and part as the largest eigenvalue grows; now and then ranks part more than directions.
# With the smallest damping the matrix is now definite, now not, and agreement comes and goes with
# that. From the tenth epoch on, both directions find all wrong labels at any damping of 1 or more,
# whatever the angle: a small cosine alone does not make a score a bad one, a matrix that is
# indefinite or nearly singular does.
figure, axes = plt.subplots(1, 3, figsize=(9, 3.7), layout="constrained")
for damping, colour, marker in (
    (0.1, VERMILION, "^"),
    (1.0, GREEN, "s"),
    (10.0, BLUE, "o"),
):
    values = np.array([model.at(damping) for model in history])
    positive = np.array([model.is_positive(damping) for model in history])
    for ax, column in zip(axes, values.T, strict=True):
        ax.plot(EPOCHS, column, color=colour, linewidth=1)
        ax.plot(
            EPOCHS[positive],
            column[positive],
            marker,
            color=colour,
            label=f"λ = {damping:g}",
        )
        ax.plot(
            EPOCHS[~positive],
            column[~positive],
            marker,
            color=colour,
            mfc="white",
        )
for ax, label, chance in zip(axes, LABELS, (0, 0, 0.5), strict=True):
    ax.axhline(chance, color=GREY, linewidth=0.8)
    ax.set(
        title=label,
        xscale="log",
        xlabel="epochs",
        ylim=(-0.45 if chance == 0 else 0, 1.05),
    )
figure.legend(
    *axes[0].get_legend_handles_labels(),
    loc="outside lower center",
    ncols=3,
    frameon=False,
)
plt.show()

cosines, ranks, found = np.transpose([model.at(1.0) for model in history])
for epochs, *values in zip(EPOCHS, cosines, ranks, found, strict=True):
    print(
        "λ = 1, {:3} epochs: cosine {:.2f}, rank agreement {:.2f}, AUC {:.3f}".format(
            epochs, *values
        )
    )
