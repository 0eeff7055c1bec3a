"""Which training digits shaped a generated digit? Scores of a diffusion model against retraining.

    python benchmarks/diffusion_lds.py --output docs/_static

A denoising diffusion model is trained on 1,000 of scikit-learn's digits. The reference rows are 16
digits that the model generates and 16 held-out digits. To measure the true effects, the model is
fitted from scratch to 50 stratified halves of the training rows, with three seeds per half. Three
outcomes are measured for each reference digit: the training loss over fixed draws of time and
noise, the variational bound, and the bound's coarse terms. The benchmark takes a quarter of an hour
on one thread of an idle core.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from intervals import shown_bounds
from scipy.stats import rankdata
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances
from sklearn.model_selection import train_test_split
from skorch.callbacks import LRScheduler

from skinfluence import InfluenceScorer
from skinfluence.curvature import EKFAC, DataInf
from skinfluence.diffusion import DenoisingDiffusion
from skinfluence.ensembles import Checkpoints, Snapshots
from skinfluence.metrics import linear_datamodeling_score
from skinfluence.pairwise import influence_matrix
from skinfluence.retraining import draw_subsets, retrain

N_QUERIES = 16  # generated, and as many held out
KINDS = {"generated": slice(0, N_QUERIES), "held out": slice(N_QUERIES, 2 * N_QUERIES)}
COARSE = (21, 100)  # steps of 100; in the first ones there is too little noise to hide the shape
OUTCOMES = ("loss", "bound", "coarse")
ARMS = {
    "inner product": {},
    "cosine": {"normalize": "both"},
    "inner product, 6 checkpoints": {"ensemble": Checkpoints()},
    "DataInf": {"curvature": DataInf()},
    "EK-FAC": {"curvature": EKFAC()},
}
CHANGED = ("inner product", "EK-FAC")  # also with the loss as target, and as means over nets


def digits():
    """Training and held-out rows of X, then of y."""
    X, y = load_digits(return_X_y=True)
    X = (X / 8 - 1).astype(np.float32)
    return train_test_split(X, y, train_size=1000, stratify=y, random_state=0)


def new_net(epochs, *callbacks):
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR
    silent = ("epoch_timer", "train_loss", "valid_loss", "print_log")
    return DenoisingDiffusion(
        max_epochs=epochs,
        callbacks=[("anneal", LRScheduler(schedule, T_max=epochs)), *callbacks],
        **{f"callbacks__{name}": None for name in silent},
    )


def targets(net):
    """The target of each outcome; None is the training loss."""
    bounds = net.variational_bound(), net.variational_bound(COARSE)
    return dict(zip(OUTCOMES, (None, *bounds), strict=True))


def all_outcomes(fitted, X, y):
    """All outcomes: each takes its part of the rows, and all parts hold the same images."""
    found = []
    parts = np.split(X, len(OUTCOMES))
    for target, images in zip(targets(fitted).values(), parts, strict=True):
        if target is None:
            found.append(-fitted.score_samples(images))
        else:
            found.append(target.of_images(fitted.forward(images)).numpy())
    return np.concatenate(found)


def score(net, params, X, y, queries):
    """{outcome: matrix (n, m)}, and the seconds per matrix."""
    start, found = time.perf_counter(), {}
    scorer = InfluenceScorer(FrozenEstimator(net), random_state=0, **params)
    scorer.fit(X, y, X_val=queries, y_val=np.zeros(len(queries)))
    prepared = time.perf_counter() - start
    for outcome, target in targets(net).items():
        found[outcome] = influence_matrix(scorer.retarget(target, X, y), X, y)
    return found, prepared + (time.perf_counter() - start - prepared) / len(OUTCOMES)


def score_all(nets, X, y, queries):
    """{arm: one dict of matrices per net}, {arm: seconds}."""
    scores, seconds = {}, {}
    for name, params in ARMS.items():
        made = [score(net, params, X, y, queries) for net in nets]
        found, seconds[name] = [matrices for matrices, _ in made], made[-1][1]
        scores[name] = found
        if name in CHANGED:
            scores[f"{name}, asked for the loss"] = [
                dict.fromkeys(OUTCOMES, matrices["loss"]) for matrices in found
            ]
            scores[f"{name}, {len(nets)} nets"] = [
                {o: np.mean([matrices[o] for matrices in found], axis=0) for o in OUTCOMES}
            ]
        print(f"{name}: {seconds[name]:.0f} s", flush=True)
    return scores, seconds


def pixels(X, queries):
    similar = {
        "pixels, cosine": cosine_similarity(X + 1, queries + 1),  # of the ink
        "pixels, minus square distance": -euclidean_distances(X, queries, squared=True),
    }
    return {name: [dict.fromkeys(OUTCOMES, matrix)] for name, matrix in similar.items()}


def retrained(n_subsets, n_seeds, epochs, X, y, queries):
    """Subsets, and {outcome: (n_seeds, n_subsets, m)}."""
    kept = draw_subsets(len(X), n_subsets, stratify=y, random_state=0)
    again = np.tile(queries, (len(OUTCOMES), 1))  # one part per outcome
    told = partial(retrain, new_net(epochs), X, y, kept, again, outcome=all_outcomes)
    truth = np.array([told(np.zeros(len(again)), random_state=s) for s in range(n_seeds)])
    return kept, dict(zip(OUTCOMES, np.split(truth, len(OUTCOMES), axis=2), strict=True))


def ceiling(truth):
    """The largest LDS that the noise of retraining allows; truth is (n_seeds, n_subsets, m)."""
    n_seeds, pairs = len(truth), np.triu_indices(len(truth), 1)
    ranks = rankdata(truth, axis=1)
    one = np.mean([np.corrcoef(r)[pairs].mean() for r in ranks.transpose(2, 0, 1)])
    return np.sqrt(max(n_seeds * one / (1 + (n_seeds - 1) * one), 0))  # Spearman and Brown


def agreement(of_nets, kept, truth):
    """LDS with the bounds of its interval, all averaged over the nets."""
    reports = [
        linear_datamodeling_score(matrix, kept, truth.mean(0), random_state=0) for matrix in of_nets
    ]
    return shown_bounds(*(np.mean([r[key] for r in reports]) for key in ("lds", "low", "high")))


def table(scores, seconds, kept, truth):
    rows = [{"scores": "ceiling"}, *({"scores": arm} for arm in scores)]
    for kind, queries in KINDS.items():
        for outcome in OUTCOMES:
            told, title = truth[outcome][:, :, queries], f"{kind}: {outcome}"
            rows[0][title] = f"{ceiling(told):.2f}"
            for row, of_nets in zip(rows[1:], scores.values(), strict=True):
                row[title] = agreement([m[outcome][:, queries] for m in of_nets], kept, told)
    for row in rows:
        row["seconds"] = f"{seconds[row['scores']]:.0f}" if row["scores"] in seconds else ""
    return pd.DataFrame(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subsets", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3, help="retrainings of each subset")
    parser.add_argument("--nets", type=int, default=2, help="nets to score with")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--output", type=Path, help="directory for diffusion_lds.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    X, X_rest, y, _ = digits()
    nets = []
    for seed in range(options.nets):
        torch.manual_seed(100 + seed)
        nets.append(new_net(options.epochs, ("snapshots", Snapshots(6))).fit(X))
    drawn = nets[0].sample(N_QUERIES, random_state=0)
    queries = np.concatenate([drawn, X_rest[:N_QUERIES]])
    for name, rows in {"training rows": X, "held out": X_rest, "generated": drawn}.items():
        print(f"loss, {name}: {-nets[0].score(rows):.4f}", flush=True)
    scores, seconds = score_all(nets, X, y, queries)
    scores |= pixels(X, queries)
    print(f"scored after {time.perf_counter() - start:.0f} s", flush=True)
    kept, truth = retrained(options.subsets, options.seeds, options.epochs, X, y, queries)
    found = table(scores, seconds, kept, truth)
    print(found.to_string(index=False))
    print(f"{time.perf_counter() - start:.0f} s in total")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        found.to_csv(options.output / "diffusion_lds.csv", index=False)


if __name__ == "__main__":
    main()
