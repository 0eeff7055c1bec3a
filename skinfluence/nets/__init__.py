"""Ready-made skorch nets for tables; fitting sets their widths, scales and number of classes.

- `TabularClassifier` and `TabularRegressor` are the nets, with the module `MLP`.
- `table_batches` cuts whole batches from arrays, for ``iterator_train`` of any skorch net.
- `split_head` splits a fitted net into an embedding and its last layer.

Like any skorch net, both nets can be cloned, grid-searched over ``lr`` or ``module__hidden``, put
into a Pipeline, or subclassed.
"""

from skinfluence.nets._batches import table_batches
from skinfluence.nets._mlp import MLP
from skinfluence.nets._split_head import split_head
from skinfluence.nets._tabular import TabularClassifier, TabularRegressor
from skinfluence.nets._tabular import is_ready_made as is_ready_made
from skinfluence.nets._tabular import is_small as is_small

__all__ = ["MLP", "TabularClassifier", "TabularRegressor", "split_head", "table_batches"]
