"""Active learning: which unlabelled rows are worth a label.

Two utilities of a row, both from one fitted net: how easily its predicted label flips
(`least_disagree_metric`), and how much its label would move the loss on reference rows
(`influence_query_scores`); and a query strategy for each, called as those of scikit-activeml are.
"""

from skinfluence.active._ldm import least_disagree_metric
from skinfluence.active._query import InfluenceQuery, LDMQuery
from skinfluence.active._utility import influence_query_scores

__all__ = ["InfluenceQuery", "LDMQuery", "influence_query_scores", "least_disagree_metric"]
