"""The truth about training rows: the estimator is fitted again without them.

Any scikit-learn estimator will do, a skorch net, a Pipeline or a model without gradients. All fits
of a call share their seeds, so that what differs between two of them is the rows. Signs are those
of the scores: the change of a loss when a row is left out is positive for a row that helps.
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
