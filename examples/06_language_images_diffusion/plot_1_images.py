"""
Which images harm a convolutional net?
======================================

Influence needs only gradients, so a convolutional net needs no special
treatment. Here a tenth of the labels of a thousand handwritten digits are
wrong, and 200 other digits with right labels serve as reference rows. Scores
that compare the given label with other candidate labels put the wrong labels
first; plain inner products do not. But the probability that the net predicts
for the given label finds as many wrong labels.
"""

# %%
# The wrong labels resemble mistakes of a person. They are given to images for
# which a linear model is unsure. Each wrong label is the label that this model
# finds most probable, apart from the right label.
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
# One net gives three scores for each image:
#
# - the plain inner product with the gradient of the reference images;
# - the score over candidate labels (``classwise``), which says how much better
#   the given label is for the reference images than other labels would be. The
#   best of these labels, the *best candidate*, is a suggested correction;
# - for comparison, the probability that the net predicts for the given label.
#   This probability needs neither gradients nor reference images.
SPLITS, TOP = 4, 32


def one_split(seed):
    X, X_rest, y_true, y_rest = train_test_split(
        images, digits, train_size=1000, stratify=digits, random_state=seed
    )
    reference = {"X_val": X_rest[:200], "y_val": y_rest[:200]}
    y, is_wrong = flip_labels(
        y_true, 0.1, kind="instance", X=X, random_state=seed
    )
    torch.manual_seed(seed)
    fitted = FrozenEstimator(net.fit(X, y))
    plain = InfluenceScorer(fitted).fit(X, y, **reference)
    labels = InfluenceScorer(fitted, classwise=True, normalize="reference")
    labels.fit(X, y, **reference)
    scores = {
        "inner product": plain.scores_,
        "candidate labels": labels.scores_,
        "probability": fitted.predict_proba(X)[np.arange(len(y)), y],
    }
    better = {
        "best candidate": labels.transform(X).argmax(1),
        "prediction": fitted.predict(X),
    }
    return X, y_true, y, is_wrong, scores, better


splits = [one_split(seed) for seed in range(SPLITS)]

# %%
# The figure shows the images of the first split with the lowest scores over
# candidate labels. Each caption reads "given label → best candidate". A
# caption is green if the given label is wrong, and orange if it is right.
import matplotlib.pyplot as plt

from skinfluence.plotting import ImageGridDisplay

X, y_true, y, is_wrong, scores, better = splits[0]
worst = np.argsort(scores["candidate labels"])[:TOP]
names = [f"{y[row]} → {better['best candidate'][row]}" for row in worst]
figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
grid = ImageGridDisplay(X[worst], names, columns=8).plot(ax=ax)
for caption, wrong in zip(grid.captions_, is_wrong[worst], strict=True):
    caption.set(color="tab:green" if wrong else "tab:orange", fontsize=12)
plt.show()

# %%
# The next figure shows the share of wrong labels found in the first split, if
# the images are inspected in order, starting with the lowest score:
from skinfluence.plotting import DetectionCurveDisplay

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
colors = ("tab:orange", "tab:blue", "black")
for (name, values), color in zip(scores.items(), colors, strict=True):
    DetectionCurveDisplay.from_scores(
        is_wrong, values, name=name, ax=ax, color=color
    )
plt.show()

# %%
# The numbers are means and standard errors over all splits. A wrong label is
# *memorized* if the net predicts it.
from skinfluence.metrics import detection_report


def mean(values):
    error = np.std(values, ddof=1) / SPLITS**0.5
    return f"{np.mean(values):.3f} ± {error:.3f}"


auc = {name: [] for name in scores}
lowest, highest = {name: [] for name in scores}, {name: [] for name in scores}
corrected, memorized, unlearned = {name: [] for name in better}, [], []
for _, y_true, y, is_wrong, scores, better in splits:
    for name, values in scores.items():
        auc[name].append(detection_report(is_wrong, values)["roc_auc"])
        in_order = is_wrong[np.argsort(values)]
        lowest[name].append(in_order[:TOP].mean())
        highest[name].append(in_order[-TOP:].mean())
    for name, labels in better.items():
        corrected[name].append((labels == y_true)[is_wrong].mean())
    is_memorized = is_wrong & (better["prediction"] == y)
    memorized.append(is_memorized.sum() / is_wrong.sum())
    is_right = better["best candidate"] == y_true
    unlearned.append(is_right[is_memorized].mean())

for name in scores:
    print(name)
    print("    ROC AUC for the wrong labels  ", mean(auc[name]))
    print(f"    wrong among the {TOP} lowest    ", mean(lowest[name]))
    print(f"    wrong among the {TOP} highest   ", mean(highest[name]))
print("wrong labels corrected")
for name in better:
    print(f"    by the {name:23s}", mean(corrected[name]))
print("wrong labels memorized            ", mean(memorized))
print("    corrected by the best candidate", mean(unlearned))

# %%
# Discussion
# ----------
# Most of the images with the lowest inner products have wrong labels. But half
# of the images with the highest inner products have wrong labels as well. If
# the net disagrees with a label, the gradient of the image is large. The inner
# product of this gradient with the gradient of the reference images is then
# large as well, but its sign is hardly better than a random sign. For all
# other images, the order says nothing. With candidate labels, each image is
# compared only with itself under other labels, and the wrong labels come
# first.
#
# To find wrong labels, you need neither of these scores. The probability that
# the net predicts for the given label finds as many wrong labels, without
# reference images. As corrections of wrong labels, the net's predictions are
# right more often than the best candidates. But neither the predictions nor
# the best candidates correct the wrong labels that the net has memorized. For
# memorized labels you need out-of-sample predictions, as
# :class:`~skinfluence.NoisyLabelDetector` uses them
# (:ref:`sphx_glr_auto_examples_02_label_noise_plot_1_noisy_labels.py`).
