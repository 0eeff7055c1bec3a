"""Find the training rows that hurt a model, and do something about them."""

from skinfluence._detector import NoisyLabelDetector
from skinfluence._filtered import FilteredEstimator
from skinfluence._scorer import InfluenceScorer
from skinfluence._selector import InfluenceSampleSelector

__all__ = [
    "FilteredEstimator",
    "InfluenceSampleSelector",
    "InfluenceScorer",
    "NoisyLabelDetector",
]
__version__ = "0.1.0.dev0"
