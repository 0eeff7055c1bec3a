"""Active learning: which unlabeled rows are worth a label.

There are two utilities of an unlabeled row, both computed from one fitted net: how easily its
predicted label flips (`least_disagree_metric`), and how much its label would change the loss on
reference rows (`influence_query_scores`). Each has a query strategy with the interface of
scikit-activeml.
"""

from skinfluence.active._ldm import least_disagree_metric
from skinfluence.active._query import InfluenceQuery, LDMQuery
from skinfluence.active._utility import influence_query_scores

__all__ = ["InfluenceQuery", "LDMQuery", "influence_query_scores", "least_disagree_metric"]
