"""Active learning: choose the unlabeled rows whose labels are most useful.

The *utility* of an unlabeled row says how useful its label would be. Two utilities are computed
from one fitted net:

- how easily the predicted label of the row flips: `least_disagree_metric`, used by `LDMQuery`,
- how much the label of the row would change the loss on reference rows: `influence_query_scores`,
  used by `InfluenceQuery`.

`LDMQuery` and `InfluenceQuery` have the same interface as the pool strategies of scikit-activeml.
"""

from skinfluence.active._ldm import least_disagree_metric
from skinfluence.active._query import InfluenceQuery, LDMQuery
from skinfluence.active._utility import influence_query_scores

__all__ = ["InfluenceQuery", "LDMQuery", "influence_query_scores", "least_disagree_metric"]
