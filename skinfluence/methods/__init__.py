"""Methods: how `InfluenceScorer` and `NoisyLabelDetector` score a row.

A method says which of the scorer's other arguments it uses, and scores rows at each member of an
ensemble. Higher is more helpful, or at least less suspicious, for every method.
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
