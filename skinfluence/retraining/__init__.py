"""The true effect of training rows, measured by fitting the estimator again without them.

Any scikit-learn estimator can be used, such as a skorch net, a Pipeline or a model without
gradients. All fits of a call use the same seeds, so that two fits differ only in their rows.
Changes have the same signs as scores: if a row that helps is left out, the loss rises, so its
change is positive.
"""

from skinfluence.retraining._brittleness import brittleness
from skinfluence.retraining._removal import RemovalCurve, removal_curve
from skinfluence.retraining._retrain import (
    draw_subsets,
    leave_one_out,
    leave_some_out,
    retrain,
    row_losses,
)

__all__ = [
    "RemovalCurve",
    "brittleness",
    "draw_subsets",
    "leave_one_out",
    "leave_some_out",
    "removal_curve",
    "retrain",
    "row_losses",
]
