"""
Which labels of this table are wrong?
=====================================

A table of real measurements (breast cancer, 569 rows, 30 columns), in which we plant wrong labels
in one row out of ten. The detector is not told which; it needs no more than the rows and their
labels, and says what each suspect should have been.
"""

# %%
from sklearn.datasets import load_breast_cancer

from skinfluence.datasets import flip_labels

X, y_true = load_breast_cancer(return_X_y=True, as_frame=True)
y_true = y_true.map({0: "malignant", 1: "benign"})
y, is_wrong = flip_labels(y_true, 0.1, random_state=0)

# %%
# Five nets are trained, each on four fifths of the rows. Every row is judged by nets that were
# trained with it, on reference rows that it is no part of.
from skinfluence import NoisyLabelDetector

detector = NoisyLabelDetector(contamination=0.1, random_state=0)
flags = detector.fit_predict(X, y)  # +1 clean, -1 suspect
detector.issues_.sort_values("score").head(8)

# %%
found = int(is_wrong[flags == -1].sum())
right = (detector.suggested_labels_ == y_true)[(flags == -1) & is_wrong].mean()
print(
    f"{found} of {is_wrong.sum()} wrong labels are among the {(flags == -1).sum()} suspects"
)
print(f"{right:.0%} of these have the right label as suggestion")

# %%
# The lower the score, the more suspect. Left of the threshold nearly all rows are ones whose label
# we changed; few of those are missed.
import matplotlib.pyplot as plt

from skinfluence.plotting import (
    DetectionCurveDisplay,
    ScoreDistributionDisplay,
)

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 3.8), layout="constrained"
)
ScoreDistributionDisplay.from_detector(detector, is_noisy=is_wrong, ax=left)
DetectionCurveDisplay.from_detector(detector, is_wrong, ax=right)
plt.show()
