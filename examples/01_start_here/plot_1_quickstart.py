"""
Which labels of this table are wrong?
=====================================

We make one label in ten of a real table wrong (breast cancer, 569 rows,
30 columns). :class:`~skinfluence.NoisyLabelDetector` gets only the rows and
these labels. It finds about nine of ten wrong labels, and suggests the right
label for the rows that it finds.
"""

# %%
from sklearn.datasets import load_breast_cancer

from skinfluence.datasets import flip_labels

X, y_true = load_breast_cancer(return_X_y=True, as_frame=True)
y_true = y_true.map({0: "malignant", 1: "benign"})
y, is_wrong = flip_labels(y_true, 0.1, random_state=0)

# %%
# The detector trains five nets, each on four fifths of the rows. The score of
# a row is the log-odds that its given label is right. It combines three
# signals. The in-sample probabilities are predicted by the four nets that were
# trained on the row. The out-of-sample probabilities are predicted by the net
# that was not trained on the row. The third signal is the influence of the
# row.
from skinfluence import NoisyLabelDetector

detector = NoisyLabelDetector(contamination=0.1, random_state=0)
flags = detector.fit_predict(X, y)  # +1 clean, -1 suspect
detector.issues_.sort_values("score").head(8)

# %%
is_suspect = flags == -1
found = int(is_wrong[is_suspect].sum())
is_right = detector.suggested_labels_ == y_true
print(f"wrong labels: {is_wrong.sum()}, suspects: {is_suspect.sum()}")
print(f"suspects with a wrong label: {found}")
print(f"right suggestions for these: {is_right[is_suspect & is_wrong].sum()}")

# %%
# Left: nearly all rows with a score below the threshold have a wrong label.
# Right: if you inspect the rows from the lowest score upwards, the first tenth
# of the rows contains nearly all wrong labels.
import matplotlib.pyplot as plt

from skinfluence.plotting import (
    DetectionCurveDisplay,
    ScoreDistributionDisplay,
)

figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
ScoreDistributionDisplay.from_detector(detector, is_noisy=is_wrong, ax=axes[0])
DetectionCurveDisplay.from_detector(detector, is_wrong, ax=axes[1])
plt.show()
