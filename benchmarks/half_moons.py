"""Do inner products or inverse Hessians find the 20 wrong labels on two half moons?

    python benchmarks/half_moons.py

This is the full setup of the Hessian-free influence paper (arXiv 2405.17490): a net 2-32-32-32-1
with ReLU, SGD with a learning rate of 0.001 and momentum 0.9, batches of 32, 5,000 epochs. The
inverse Hessians are computed with several dampings. The first table shows the ROC AUC, the
probability that a row with a wrong label scores below a row with a right label. It has one row per
score and one column per seed. After it, the cosines between the directions and the smallest
eigenvalues of the matrices are printed. The benchmark takes four minutes.
"""

import argparse
from itertools import pairwise

import numpy as np
import torch
from skorch import NeuralNetBinaryClassifier
from torch import nn

from skinfluence import InfluenceScorer
from skinfluence.datasets import make_noisy_moons
from skinfluence.metrics import detection_report

DAMPINGS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


class SmallNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        hidden = []
        for n_in, n_out in pairwise([2, width, width, width]):
            hidden += [nn.Linear(n_in, n_out), nn.ReLU()]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, 1))

    def forward(self, X):
        return self.layers(X).squeeze(1)


class DenseDerivatives:
    """Dense gradients (n, p), Hessian and Gauss-Newton matrix (p, p) of a small net.

    They use torch.func in double precision and nothing of the library, as an independent check.
    """

    def __init__(self, module):
        module = module.double()
        self.names, tensors = zip(*module.named_parameters(), strict=True)
        self.shapes = [t.shape for t in tensors]
        self.theta = torch.cat([t.detach().reshape(-1) for t in tensors])
        self.module = module

    def outputs(self, theta, X):
        parts = theta.split([shape.numel() for shape in self.shapes])
        named = zip(self.names, parts, self.shapes, strict=True)
        params = {name: part.reshape(shape) for name, part, shape in named}
        return torch.func.functional_call(self.module, params, (X,))

    def loss(self, theta, X, y):
        return nn.functional.binary_cross_entropy_with_logits(self.outputs(theta, X), y)

    def row_gradients(self, X, y):
        def one(theta, x, label):
            return self.loss(theta, x[None], label[None])

        return torch.func.vmap(torch.func.grad(one), (None, 0, 0))(self.theta, X, y)

    def gradient(self, X, y):
        return torch.func.grad(self.loss)(self.theta, X, y)

    def hessian(self, X, y):
        return torch.func.hessian(self.loss)(self.theta, X, y).detach()

    def gauss_newton(self, X):
        """Mean of p (1 - p) ∇f ∇fᵀ: the Hessian without the curvature of the net itself."""
        jacobian = torch.func.jacrev(self.outputs)(self.theta, X).detach()
        p = torch.sigmoid(self.outputs(self.theta, X)).detach()
        return jacobian.T @ (jacobian * (p * (1 - p))[:, None]) / len(X)


def auc(is_noisy, scores):
    return detection_report(is_noisy, np.asarray(scores))["roc_auc"]


def run(data_seed, net_seed, epochs, lr):
    """AUC of each score, cosines and eigenvalues, by name in the order of the table."""
    X, y, X_val, y_val, is_noisy = make_noisy_moons(random_state=data_seed)
    net = NeuralNetBinaryClassifier(
        SmallNet,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=lr,
        batch_size=32,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    scorer = InfluenceScorer(net, random_state=net_seed)
    scorer.fit(X.astype(np.float32), y, X_val=X_val.astype(np.float32), y_val=y_val)
    found = {"inner product (InfluenceScorer)": auc(is_noisy, scorer.scores_)}

    rows = [torch.as_tensor(a, dtype=torch.float64) for a in (X, y, X_val, y_val)]
    dense = DenseDerivatives(scorer.estimator_.module_)
    G, v = dense.row_gradients(*rows[:2]), dense.gradient(*rows[2:])
    matrices = {"Hessian": dense.hessian(*rows[:2]), "Gauss-Newton": dense.gauss_newton(rows[0])}
    cosines = {}
    for name, matrix in matrices.items():
        eigenvalues, basis = torch.linalg.eigh(matrix)
        for damping in DAMPINGS:
            u = basis @ ((basis.T @ v) / (eigenvalues + damping))
            found[f"({name} + {damping:g} I)^-1"] = auc(is_noisy, G @ u)
            cosines[f"cosine with v, {name} + {damping:g} I"] = float(
                torch.cosine_similarity(u, v, dim=0)
            )
        cosines[f"smallest eigenvalue, {name}"] = float(eigenvalues[0])
    margins = (2 * rows[1] - 1) * dense.outputs(dense.theta, rows[0]).detach()
    found["training loss"] = auc(is_noisy, margins)
    found["share of wrong labels learned"] = float((margins[is_noisy] > 0).double().mean())
    return found | cosines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-seeds", type=int, nargs="+", default=[42, 0, 1, 2, 3])
    parser.add_argument("--epochs", type=int, default=5000)
    parser.add_argument("--lr", type=float, default=1e-3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = [run(seed, i, options.epochs, options.lr) for i, seed in enumerate(options.data_seeds)]
    seeds = "".join(f"{f'seed {seed}':>9}" for seed in options.data_seeds)
    print(f"{'':36}{seeds}{'mean':>9}")
    for name in runs[0]:
        values = [r[name] for r in runs]
        cells = "".join(f"{value:9.3f}" for value in [*values, np.mean(values)])
        print(f"{name:36}{cells}")


if __name__ == "__main__":
    main()
