"""Do scores agree with retraining as the width, depth and weight decay of the net vary?

    python benchmarks/fragility.py --output docs/_static

arXiv 2006.14651 asks this question. The data are 400 training rows and 25 reference rows of digits.
Each net is fitted from scratch to 50 stratified halves of the training rows, with two seeds per
half. Three kinds of scores are computed: inner products, scores with EKFAC, and scores with
conjugate gradients on the Gauss-Newton matrix. Each is computed for three nets that are fitted to
all rows. The benchmark measures the linear datamodeling score (LDS) of each kind. It takes about
seven minutes on one thread.
"""

import argparse
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from intervals import shown_bounds, unbroken
from scipy.stats import rankdata
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn

from skinfluence import InfluenceScorer
from skinfluence.curvature import CG, EKFAC
from skinfluence.metrics import linear_datamodeling_score
from skinfluence.nets import table_batches
from skinfluence.pairwise import influence_matrix
from skinfluence.retraining import draw_subsets, retrain

EXTRA_DAMPING = 1e-3  # added to the weight decay, which is the penalty's own second derivative
COLORS = {"inner product": "#0072B2", "EKFAC": "#D55E00", "CG": "#009E73"}


class Net(nn.Module):
    def __init__(self, depth=1, width=32):
        super().__init__()
        widths, layers = [64] + [width] * depth, []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 10))
        for layer in self.layers:
            if isinstance(
                layer, nn.Linear
            ):  # four layers do not train from torch's own initialization
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, X):
        return self.layers(X)


class Setting(NamedTuple):
    depth: int = 1
    width: int = 32
    decay: float = 1e-3

    @property
    def name(self):
        return f"{self.depth} × {self.width}" if self.depth else "linear"

    @property
    def curvatures(self):
        cg = CG(damping=self.decay + EXTRA_DAMPING, tol=1e-2, max_iter=300)
        return {"inner product": None, "EKFAC": EKFAC(), "CG": cg}

    def net(self, epochs):
        silent = {f"callbacks__{name}": None for name in ("epoch_timer", "train_loss", "print_log")}
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR
        return NeuralNetClassifier(
            Net,
            module__depth=self.depth,
            module__width=self.width,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,  # its weight_decay goes into the gradient: an L2 penalty
            optimizer__weight_decay=self.decay,
            lr=0.03,
            max_epochs=epochs,
            batch_size=-1,
            iterator_train=table_batches,
            train_split=None,
            verbose=0,
            callbacks=[("anneal", LRScheduler(schedule, T_max=epochs))],
            callbacks__valid_acc=None,
            callbacks__valid_loss=None,
            **silent,
        )


PANELS = {
    "width of one hidden layer": ("width", [Setting(1, width) for width in (8, 32, 128)]),
    "hidden layers": ("depth", [Setting(depth) for depth in (0, 1, 2, 4)]),
    "weight decay, one hidden layer": (
        "decay",
        [Setting(1, 32, decay) for decay in (0.0, 1e-4, 1e-3, 1e-2)],
    ),
    "weight decay, four hidden layers": (
        "decay",
        [Setting(4, 32, decay) for decay in (0.0, 1e-3, 1e-2)],
    ),
}
SETTINGS = sorted({setting for _, settings in PANELS.values() for setting in settings})


def digits():
    """Training, reference and test rows, in this order, of X and of y."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    X, X_rest, y, y_rest = train_test_split(X, y, train_size=400, stratify=y, random_state=0)
    return (X, X_rest[:25], X_rest[25:]), (y, y_rest[:25], y_rest[25:])


def cross_entropy(fitted, X, y):
    """Loss of each row, from logits in double precision: float32 probabilities round to 1."""
    logits = fitted.forward(X).double()
    return nn.functional.cross_entropy(logits, torch.from_numpy(y), reduction="none").numpy()


def measure(setting, n_subsets, n_seeds, n_nets, epochs):
    """Outcomes of retraining, and how well the scores of several nets agree with them."""
    (X, X_ref, X_test), (y, y_ref, y_test) = digits()
    kept = draw_subsets(len(X), n_subsets, stratify=y, random_state=0)
    told = partial(retrain, setting.net(epochs), X, y, kept, X_ref, y_ref, outcome=cross_entropy)
    truth = np.array([told(random_state=seed) for seed in range(n_seeds)])
    found = {"setting": setting, **self_agreement(truth)}
    found |= {name: [] for name in setting.curvatures}
    fitted = [
        InfluenceScorer(setting.net(epochs), random_state=100 + i).fit(
            X, y, X_val=X_ref, y_val=y_ref
        )
        for i in range(n_nets)
    ]
    nets = [scorer.estimator_ for scorer in fitted]
    found["test accuracy"] = np.mean([net.score(X_test, y_test) for net in nets])
    found["training loss"], found["gradient"] = np.mean(
        [stationarity(net, setting.decay, X, y) for net in nets], axis=0
    )
    for net in nets:
        for name, curvature in setting.curvatures.items():
            scorer = InfluenceScorer(FrozenEstimator(net), curvature=curvature, random_state=0)
            matrix = influence_matrix(scorer.fit(X, y, X_val=X_ref, y_val=y_ref), X, y)
            report = linear_datamodeling_score(matrix, kept, truth.mean(0), random_state=0)
            found[name].append(report)
    return found


def self_agreement(truth):
    """Rank correlation between seeds for each reference row, and the largest LDS that it allows."""
    n_seeds, m = len(truth), truth.shape[2]
    ranks = rankdata(truth, axis=1)
    pairs = np.triu_indices(n_seeds, 1)
    one = np.array([np.corrcoef(ranks[..., j])[pairs].mean() for j in range(m)])
    of_mean = n_seeds * one.mean() / (1 + (n_seeds - 1) * one.mean())  # Spearman and Brown
    return {"seeds": one, "ceiling": np.sqrt(max(of_mean, 0))}


def stationarity(net, decay, X, y):
    """Training loss, and the norm of the gradient of the loss with its penalty."""
    module = net.module_.eval()
    loss = nn.functional.cross_entropy(module(torch.from_numpy(X)), torch.from_numpy(y))
    params = list(module.parameters())
    gradient = torch.autograd.grad(loss, params)
    whole = [g + decay * p.detach() for g, p in zip(gradient, params, strict=True)]
    return loss.item(), torch.cat([g.flatten() for g in whole]).norm().item()


def agreement(found):
    """A row of the first table: LDS with the mean bounds of the nets' intervals."""
    row = name_of(found) | {"ceiling": f"{found['ceiling']:.2f}"}
    for name in COLORS:
        means = (np.mean([r[key] for r in found[name]]) for key in ("lds", "low", "high"))
        row[name] = shown_bounds(*means)
    return row


def spread(found):
    """A row of the second table: fit of the nets, agreement between seeds, quartiles of the LDS."""
    row = name_of(found) | {
        "test accuracy": f"{found['test accuracy']:.2f}",
        "training loss": f"{found['training loss']:.3f}",
        "between seeds": f"{found['seeds'].mean():.2f}",
    }
    for name in COLORS:
        low, high = np.nanquantile(per_reference(found[name]), [0.25, 0.75])
        row[name] = unbroken(f"{low:.2f} to {high:.2f}")
    return row


def name_of(found):
    setting = found["setting"]
    return {"hidden": setting.name, "weight decay": f"{setting.decay:g}"}


def per_reference(reports):
    """LDS of each reference row, averaged over the nets."""
    return np.nanmean([report["per_reference"] for report in reports], axis=0)


def draw(measured, path):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 7), sharey=True, layout="constrained")
    for ax, (title, (field, settings)) in zip(axes.flat, PANELS.items(), strict=True):
        for at, setting in enumerate(settings):
            draw_setting(ax, at, measured[setting])
        ticks = [f"{getattr(setting, field):g}" for setting in settings]
        ax.set_xticks(range(len(settings)), ticks)
        ax.axhline(0, color="#767676", linewidth=0.8, linestyle=":", zorder=0)
        ax.set_xlabel(title)
    for ax in axes[:, 0]:
        ax.set_ylabel("LDS: rank correlation with retraining")
    handles, names = ax.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    figure.legend(
        unique.values(), unique.keys(), loc="outside upper center", ncols=4, frameon=False
    )
    figure.savefig(path, dpi=150)


def draw_setting(ax, at, found):
    ax.plot(
        [at - 0.4, at + 0.4],
        [found["ceiling"]] * 2,
        color="black",
        linewidth=1.5,
        label="ceiling, given the noise of retraining",
    )
    for k, (name, color) in enumerate(COLORS.items()):
        values, x = per_reference(found[name]), at + 0.26 * (k - 1)
        jitter = np.random.RandomState(0).uniform(-0.08, 0.08, len(values))
        ax.scatter(x + jitter, values, s=9, color=color, alpha=0.4, linewidths=0)
        low, high = (np.mean([r[key] for r in found[name]]) for key in ("low", "high"))
        ax.plot([x, x], [low, high], color=color, linewidth=2.5)
        mean = np.nanmean(values)
        look = {"edgecolors": "white", "linewidths": 0.8, "zorder": 3, "label": name}
        ax.scatter([x], [mean], s=48, color=color, **look)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subsets", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=2, help="retrainings of each subset")
    parser.add_argument("--nets", type=int, default=3, help="nets to score with")
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--output", type=Path, help="directory for fragility*.csv and .png")
    options = parser.parse_args()
    torch.set_num_threads(1)
    measured, start = {}, time.perf_counter()
    sizes = (options.subsets, options.seeds, options.nets, options.epochs)
    for i, setting in enumerate(SETTINGS):
        found = measured[setting] = measure(setting, *sizes)
        seconds = time.perf_counter() - start
        print(f"[{i + 1}/{len(SETTINGS)}, {seconds:.0f} s] {agreement(found)}", flush=True)
        print(f"    norm of the gradient {found['gradient']:.4f}", flush=True)
    report(measured, options.output)


def report(measured, folder):
    tables = {
        "fragility": pd.DataFrame([agreement(found) for found in measured.values()]),
        "fragility_spread": pd.DataFrame([spread(found) for found in measured.values()]),
    }
    for name, table in tables.items():
        print(f"\n{name}\n{table.to_string(index=False)}")
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            table.to_csv(folder / f"{name}.csv", index=False)
    if folder:
        draw(measured, folder / "fragility.png")


if __name__ == "__main__":
    main()
