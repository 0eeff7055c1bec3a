"""
Which images harm a convolutional net?
======================================

A thousand handwritten digits, and one label in ten is wrong. Which of them does a small
convolutional net suffer from, and would another label have helped it more? Two hundred other
digits, whose labels are right, are asked. For the net nothing has to be done: influence is made of
gradients, whatever the layers.
"""

# %%
# The wrong labels are those that a person would give: they fall where a linear model is in doubt,
# and are what it would have said instead.
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from skorch import NeuralNetClassifier
from torch import nn

from skinfluence import InfluenceScorer
from skinfluence.datasets import flip_labels
from skinfluence.nets import table_batches


class ConvNet(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(128, 10),
        )  # fmt: skip


net = NeuralNetClassifier(
    ConvNet,
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=3e-3,
    max_epochs=20,
    batch_size=64,
    iterator_train=table_batches,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)
images, digits = load_digits(return_X_y=True)
images = (images / 16).astype("float32").reshape(-1, 1, 8, 8)

# %%
# One net, three scores of each image. The plain inner product with the trusted images; how much
# better or worse the given label is for them than other labels would be (``classwise``), which also
# suggests the best one; and, as a yardstick, what the net itself gives for the label, which needs
# neither gradients nor trusted images.


def one_split(seed):
    X, X_rest, y_true, y_rest = train_test_split(
        images, digits, train_size=1000, stratify=digits, random_state=seed
    )
    trusted = {"X_val": X_rest[:200], "y_val": y_rest[:200]}
    y, is_wrong = flip_labels(
        y_true, 0.1, kind="instance", X=X, random_state=seed
    )
    torch.manual_seed(seed)
    fitted = FrozenEstimator(net.fit(X, y))
    plain = InfluenceScorer(fitted).fit(X, y, **trusted)
    labels = InfluenceScorer(
        fitted, classwise=True, normalize="reference"
    ).fit(X, y, **trusted)
    scores = {
        "inner product": plain.scores_,
        "over candidate labels": labels.scores_,
        "the net's probability": fitted.predict_proba(X)[np.arange(len(y)), y],
    }
    better = {
        "best candidate": labels.transform(X).argmax(1),
        "predicted": fitted.predict(X),
    }
    return X, y_true, y, is_wrong, scores, better


SPLITS, TOP = 4, 32
splits = [one_split(seed) for seed in range(SPLITS)]

# %%
# The images of the first split that are worst by their candidate labels, with the label that was
# given and the best one; green where the given label is wrong indeed.
import matplotlib.pyplot as plt

from skinfluence.plotting import (
    BLUE,
    GREEN,
    VERMILION,
    DetectionCurveDisplay,
    ImageGridDisplay,
)

X, y_true, y, is_wrong, scores, better = splits[0]
worst = np.argsort(scores["over candidate labels"])[:TOP]
names = [f"{y[row]} → {better['best candidate'][row]}" for row in worst]

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4.6), layout="constrained", width_ratios=[1.6, 1]
)
grid = ImageGridDisplay(X[worst], names, columns=8).plot(ax=left)
for caption, wrong in zip(grid.captions_, is_wrong[worst], strict=True):
    caption.set_color(GREEN if wrong else VERMILION)
for (name, values), colour in zip(
    scores.items(), (VERMILION, BLUE, "black"), strict=True
):
    DetectionCurveDisplay.from_scores(
        is_wrong, values, name=name, ax=right, color=colour
    )
right.legend(
    loc="lower center",
    bbox_to_anchor=(0.5, 1),
    ncols=2,
    frameon=False,
    fontsize="small",
)
plt.show()

# %%
# All splits: means, with standard errors.
from skinfluence.metrics import detection_report


def mean(values):
    return (
        f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / SPLITS**0.5:.3f}"
    )


print(
    f"AUC; share of wrong labels among the {TOP} lowest, and among the {TOP} highest:"
)
for name in scores:
    auc = [detection_report(w, s[name])["roc_auc"] for *_, w, s, _ in splits]
    sorted_ = [w[np.argsort(s[name])] for *_, w, s, _ in splits]
    ends = (
        mean([w[:TOP].mean() for w in sorted_]),
        mean([w[-TOP:].mean() for w in sorted_]),
    )
    print(f"    {name:22s}", mean(auc), *ends, sep="  ")
print("share of the wrong labels that are put right:")
for name in better:
    print(
        f"    {name:22s} ",
        mean([(b[name] == t)[w].mean() for _, t, _, w, _, b in splits]),
    )
by_heart = [(b["predicted"] == y)[w].mean() for _, _, y, w, _, b in splits]
print("share that the net has learnt by heart:", mean(by_heart))
hits = [
    (b["best candidate"] == t)[w & (b["predicted"] == y)]
    for _, t, y, w, _, b in splits
]
print(
    "    of these the best candidate puts right:",
    mean([hit.mean() for hit in hits]),
)

# %%
# What is to be seen
# ------------------
# The lowest inner products are mostly of images with a wrong label, and so is every other of the
# highest. Where the net is at odds with a label the gradient is large, and whether it points with
# the trusted images or against them is not much better than chance. Further down, the list is no
# better than any order. Over candidate labels each image is its own measure, and the wrong labels
# come first.
#
# For wrong labels alone none of this was needed: the net's own probability of the given label finds
# as many, without a trusted image, and what it predicts is right more often than the best
# candidate. Wrong labels that it has learnt by heart it cannot put right, and the best candidate
# does so for hardly any of them. For those ask nets that did not see the image, as
# :class:`~skinfluence.NoisyLabelDetector` does
# (:ref:`sphx_glr_auto_examples_plot_noisy_labels.py`).
