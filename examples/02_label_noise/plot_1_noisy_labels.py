"""
Wrong labels: the detector and its rivals
=========================================

Wrong labels that fall anywhere are easy to find. Those that people make fall on the hard rows: a 4
that looks like a 9 is taken for a 9. Here the labels of one handwritten digit in seven are wrong in
that way, and the default of :class:`~skinfluence.NoisyLabelDetector` is set beside simpler scores
of the same nets.
"""

# %%
# ``kind="instance"`` plants errors where a linear model is in doubt, with the label that it would
# have taken instead.
import warnings

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict, train_test_split

from skinfluence import NoisyLabelDetector
from skinfluence.datasets import flip_labels
from skinfluence.nets import TabularClassifier

X, y_true = load_digits(return_X_y=True)
X, y_true = X[:1200], y_true[:1200]
y, is_wrong = flip_labels(y_true, 0.15, kind="instance", X=X, random_state=0)

net = TabularClassifier(max_epochs=30)
detector = NoisyLabelDetector(net, random_state=0).fit(X, y)
print(
    f"{is_wrong.mean():.1%} of the labels are wrong; estimated: {detector.contamination_:.1%}"
)

# %%
# The rivals: the loss of the row over the epochs of the training, the plain inner product of the
# paper (which needs trusted rows to be of any use; here it gets none), and the confidence in the
# given label of nets that did not see the row, the usual baseline.
scores = {"detector": detector.scores_}
for method in ("loss", "inner_product"):
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="method='inner_product' without"
        )
        scores[method] = (
            NoisyLabelDetector(net, method=method, random_state=0)
            .fit(X, y)
            .scores_
        )
p = cross_val_predict(net, X.astype("float32"), y, method="predict_proba")
scores["out-of-fold confidence"] = p[np.arange(len(y)), y]

# %%
import matplotlib.pyplot as plt

from skinfluence.plotting import (
    DetectionCurveDisplay,
    ScoreDistributionDisplay,
)

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4), layout="constrained"
)
ScoreDistributionDisplay.from_detector(detector, is_noisy=is_wrong, ax=left)
colours = ["#0072B2", "#D55E00", "#7F7F7F", "#CC79A7"]
for name, values in scores.items():
    colour = colours.pop(0)
    DetectionCurveDisplay.from_scores(
        is_wrong, values, name=name, ax=right, color=colour
    )
plt.show()

# %%
# The most suspect digits, with the label that was given and the one that is suggested. In green:
# the label is indeed wrong.
figure, axes = plt.subplots(2, 10, figsize=(10, 2.9), layout="constrained")
for ax, row in zip(axes.ravel(), np.argsort(detector.scores_), strict=False):
    ax.imshow(X[row].reshape(8, 8), cmap="gray_r")
    colour = "#009E73" if is_wrong[row] else "#D55E00"
    title = f"given {y[row]}\nbetter {detector.suggested_labels_[row]}"
    ax.set_title(title, fontsize=9, color=colour)
    ax.axis("off")
plt.show()

# %%
# Does it help? The net is fitted again without the suspects, and with the suggested labels in their
# place, and tested on digits of which all labels are right.
suspect = ~detector.inlier_mask_
X_test, y_test = (a[1200:] for a in load_digits(return_X_y=True))
X_test = X_test.astype("float32")
by_lot = train_test_split(
    np.arange(len(y)), train_size=(~suspect).sum(), random_state=0
)[0]
relabelled = np.where(suspect, detector.suggested_labels_, y)
for name, rows, labels in [
    ("all rows", np.arange(len(y)), y),
    ("as many dropped by lot", by_lot, y),
    ("suspects dropped", np.flatnonzero(~suspect), y),
    ("suspects relabelled", np.arange(len(y)), relabelled),
]:
    torch.manual_seed(0)
    fitted = TabularClassifier(max_epochs=30).fit(
        X[rows].astype("float32"), labels[rows]
    )
    print(
        f"{name:24s} accuracy {(fitted.predict(X_test) == y_test).mean():.3f}"
    )
