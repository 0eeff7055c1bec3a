"""Methods: how `InfluenceScorer` and `NoisyLabelDetector` score a row.

A method states which of the scorer's other arguments it uses. It computes the scores of the rows
with each member of an ensemble. For every method, a higher score means a more helpful or less
suspect row.
"""

from skinfluence.methods._base import Method
from skinfluence.methods._inner_product import InnerProduct
from skinfluence.methods._layer_aware import LayerAware
from skinfluence.methods._losses import Loss, Margin, SelfInfluence
from skinfluence.methods._outliers import OutlierGradients

__all__ = [
    "InnerProduct",
    "LayerAware",
    "Loss",
    "Margin",
    "Method",
    "OutlierGradients",
    "SelfInfluence",
]
