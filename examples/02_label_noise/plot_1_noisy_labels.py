"""
The detector compared with simpler scores
=========================================

If wrong labels are at random rows, they are easy to find. But people mislabel
the hard rows: a 4 that looks like a 9 is labeled 9. In this example, 15 % of
the labels of handwritten digits are wrong in this way.
:class:`~skinfluence.NoisyLabelDetector` with default settings finds more of
these labels than three simpler scores do. If the suspects are relabeled, the
net becomes more accurate.
"""

# %%
# ``kind="instance"`` changes the labels of rows for which a linear model is
# unsure. The new label is the wrong label that this model finds most probable.
import warnings

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict

from skinfluence import NoisyLabelDetector
from skinfluence.datasets import flip_labels
from skinfluence.methods import InnerProduct, Loss
from skinfluence.nets import TabularClassifier

digits, labels = load_digits(return_X_y=True)
digits = digits.astype("float32")
X, X_test = digits[:1200], digits[1200:]
y_true, y_test = labels[:1200], labels[1200:]
y, is_wrong = flip_labels(y_true, 0.15, kind="instance", X=X, random_state=0)

net = TabularClassifier(max_epochs=30)
detector = NoisyLabelDetector(net, random_state=0).fit(X, y)
print(f"share of wrong labels: {is_wrong.mean():.1%}")
print(f"as estimated by the detector: {detector.contamination_:.1%}")

# %%
# The figure shows the most suspect digits. Each title reads "given → suggested
# label". A title is green if the given label is wrong, and orange if it is
# right. Here all 18 given labels are wrong.
import matplotlib.pyplot as plt

figure, axes = plt.subplots(3, 6, figsize=(6, 3.8), layout="constrained")
worst = np.argsort(detector.scores_)
for ax, row in zip(axes.flat, worst, strict=False):
    ax.imshow(X[row].reshape(8, 8), cmap="gray_r")
    color = "tab:green" if is_wrong[row] else "tab:orange"
    title = f"{y[row]} → {detector.suggested_labels_[row]}"
    ax.set_title(title, fontsize=14, color=color)
    ax.axis("off")
plt.show()

# %%
# For comparison, we compute three simpler scores:
#
# - the loss of the row, averaged over the epochs of the training;
# - the plain inner product of gradients, which is meant for trusted reference
#   rows and gets none here;
# - the out-of-sample probability of the given label, the usual baseline.
scores = {"detector": detector.scores_}
for name, method in (("loss", Loss()), ("inner product", InnerProduct())):
    rival = NoisyLabelDetector(net, method=method, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"method=InnerProduct")
        scores[name] = rival.fit(X, y).scores_
p = cross_val_predict(net, X, y, method="predict_proba")
scores["out-of-sample probability"] = p[np.arange(len(y)), y]

# %%
from skinfluence.plotting import DetectionCurveDisplay

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
colors = ["tab:blue", "tab:orange", "tab:gray", "tab:purple"]
for (name, values), color in zip(scores.items(), colors, strict=True):
    DetectionCurveDisplay.from_scores(
        is_wrong, values, name=name, ax=ax, color=color
    )
plt.show()

# %%
# Does cleaning help? We train the net without the suspects, and on all rows
# with the suggested labels for the suspects. For comparison, we also train it
# on all rows with the given labels, and without as many random rows as there
# are suspects. All labels of the test digits are right.
is_suspect = ~detector.inlier_mask_
keep = ~is_suspect
relabeled = np.where(is_suspect, detector.suggested_labels_, y)
random_rows = np.random.RandomState(0).permutation(len(y))[: keep.sum()]
for name, rows, given in [
    ("all rows", np.arange(len(y)), y),
    ("as many dropped at random", random_rows, y),
    ("suspects dropped", np.flatnonzero(keep), y),
    ("suspects relabeled", np.arange(len(y)), relabeled),
]:
    torch.manual_seed(0)
    fitted = TabularClassifier(max_epochs=30).fit(X[rows], given[rows])
    print(f"{name:26s} accuracy {fitted.score(X_test, y_test):.3f}")
