"""Ready-made skorch nets for tables: they learn the widths, the scales and the classes at fit.

They are skorch nets like any other: clone them, grid-search ``lr`` or ``module__hidden``, put
them into a Pipeline, or subclass them.
"""

from skinfluence.nets._batches import table_batches
from skinfluence.nets._mlp import MLP
from skinfluence.nets._split_head import split_head
from skinfluence.nets._tabular import TabularClassifier, TabularRegressor
from skinfluence.nets._tabular import is_small as is_small

__all__ = ["MLP", "TabularClassifier", "TabularRegressor", "split_head", "table_batches"]
