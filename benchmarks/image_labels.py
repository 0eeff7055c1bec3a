"""Are wrong labels of images found in the embedding of a pretrained network?

    python benchmarks/image_labels.py --output docs/_static

A tenth of the labels is made wrong: at random ("symmetric"), or at hard rows, which get the most
probable wrong label ("instance"). The detector and the simpler scores get the same embedding. The
data are the digits of scikit-learn as images of 64 pixels, and patches of the two photographs of
scikit-learn. Self-confidence is the out-of-sample probability of the given label, by logistic
regression. `--mnist` adds digits of MNIST, and `--photographs` adds an NPZ file of your own with
`images` (n, height, width, 3), `labels` and `given`, labels by people of which some are wrong.

Needs `pip install "skinfluence[audit]" pillow` and the packages of requirements-data.txt.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from intervals import shown
from sklearn.datasets import load_digits, load_sample_images
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import NoisyLabelDetector
from skinfluence.datasets import flip_labels
from skinfluence.images import ImageEmbedder
from skinfluence.plotting import ImageGridDisplay

PLAIN = "self-confidence"
SCALED = "self-confidence, scaled columns"
FEW = "150 principal components"


def digits():
    data = load_digits()
    return np.rint(data.images * (255 / 16)).astype(np.uint8), data.target


def patches(side=24, per_photograph=400):
    """Patches of two photographs; the label is the third of the photograph that a patch is from."""
    rng = np.random.RandomState(0)
    images, labels = [], []
    for number, photograph in enumerate(load_sample_images().images):
        height, width, _ = photograph.shape
        for _ in range(per_photograph):
            top, left = rng.randint(height - side), rng.randint(width - side)
            images.append(photograph[top : top + side, left : left + side])
            labels.append(f"{number}, {3 * (top + side // 2) // height}")
    return np.stack(images), np.array(labels)


def mnist(folder, n=2000):
    read = [np.array(json.loads((folder / f"{d}.json").read_text())["data"]) for d in range(10)]
    images = np.concatenate([values.reshape(-1, 28, 28) for values in read])
    labels = np.repeat(np.arange(10), [len(values) // 784 for values in read])
    rows = np.random.RandomState(0).permutation(len(labels))[:n]
    return np.rint(images[rows] * 255).astype(np.uint8), labels[rows]


def scores_of(X, y, seed):
    """Scores of each method (lower is more suspect) and its seconds."""
    code = np.unique(y, return_inverse=True)[1]
    components = PCA(150, random_state=0).fit_transform(X)
    plain = LogisticRegression(max_iter=2000)

    def detector(rows):
        return NoisyLabelDetector(random_state=seed).fit(rows, y).scores_

    def confidence(model, rows):
        return cross_val_predict(model, rows, y, method="predict_proba")[np.arange(len(y)), code]

    methods = {
        "detector": lambda: detector(X),
        f"detector, {FEW}": lambda: detector(components),
        PLAIN: lambda: confidence(plain, X),
        SCALED: lambda: confidence(make_pipeline(StandardScaler(), plain), X),
        f"{PLAIN}, {FEW}": lambda: confidence(plain, components),
        "random": lambda: np.random.RandomState(seed).rand(len(y)),
    }
    found = {}
    for name, score in methods.items():
        start = time.perf_counter()
        found[name] = score(), time.perf_counter() - start
    return found


def compare(data, noise, X, y, is_wrong, seed, table):
    for name, (score, seconds) in scores_of(X, y, seed).items():
        ap = average_precision_score(is_wrong, -score)
        row = {"data": data, "noise": noise, "seed": seed, "method": name}
        table.append({**row, "AP": ap, "seconds": seconds})
        print(f"{data}, {noise}, seed {seed}, {name}: AP {ap:.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="draws of wrong labels (default: 5)")
    parser.add_argument("--size", type=int, default=64, help="pixels of the input (default: 64)")
    parser.add_argument("--mnist", type=Path, help="folder of the package mnist, src/digits")
    parser.add_argument("--photographs", type=Path, help="NPZ file, see above")
    parser.add_argument("--output", type=Path, help="directory for the table")
    args = parser.parse_args()
    sets = {"digits": digits(), "patches of photographs": patches()}
    if args.mnist:
        sets["MNIST"] = mnist(args.mnist)
    embedder, table = ImageEmbedder(size=args.size), []
    for data, (images, labels) in sets.items():
        X = embedder.fit_transform(images)
        for noise in ("symmetric", "instance"):
            for seed in range(args.seeds):
                y, is_wrong = flip_labels(labels, 0.1, kind=noise, X=X, random_state=seed)
                compare(data, noise, X, y, is_wrong, seed, table)
    if args.photographs:
        read = np.load(args.photographs)
        for seed in range(args.seeds):
            rows = np.random.RandomState(seed).permutation(len(read["labels"]))[:2000]
            X, y = embedder.transform(read["images"][rows]), read["given"][rows]
            compare("photographs", "human", X, y, y != read["labels"][rows], seed, table)
    table = pd.DataFrame(table)
    report(table, args.output)
    if args.output:
        draw(*sets["digits"], embedder, args.output)


def report(table, output):
    summary = table.groupby(["data", "noise", "method"], sort=False)
    summary = summary.agg({"AP": shown, "seconds": partial(shown, decimals=1)}).reset_index()
    print(summary.to_string(index=False))
    wide = table.pivot(index=["data", "noise", "seed"], columns="method", values="AP")
    best = wide[[name for name in wide if name.startswith(PLAIN)]].max(axis=1)
    for name in ("detector", f"detector, {FEW}"):
        losses = wide[wide[name] < best]
        print(f"\n{name}: below the best self-confidence in {len(losses)} of {len(wide)} draws")
        if len(losses):
            print(losses.round(3).to_string())
    if output:
        summary.to_csv(output / "image_labels.csv", index=False)


def draw(images, labels, embedder, output):
    """Draw the most suspect images of one draw of wrong labels."""
    y, _ = flip_labels(labels, 0.1, random_state=0)
    detector = NoisyLabelDetector(random_state=0).fit(embedder.transform(images), y)
    figure, ax = plt.subplots(figsize=(7, 2), layout="constrained")
    ImageGridDisplay.from_detector(detector, images, columns=10, top=20, ax=ax, cmap="gray")
    figure.savefig(output / "image_labels.png", dpi=150)


if __name__ == "__main__":
    main()
