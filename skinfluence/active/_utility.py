"""Influence of a row whose label is not yet known."""

from __future__ import annotations

from typing import Any

import numpy as np

from skinfluence._core.influence import predicted_outputs
from skinfluence._core.net import FunctionalNet
from skinfluence._data.params import check_choice
from skinfluence._data.rows import cast
from skinfluence._scorer import InfluenceScorer, fitted_parts

_AGGREGATES = ("predicted", "expected", "worst")


def influence_query_scores(
    scorer: InfluenceScorer, X: Any, *, aggregate: str = "predicted"
) -> np.ndarray:
    """Utility of labeling each row: the influence that its label would have on the target.

    Let s(c) be the score of a row under label c, as returned by ``scorer.transform(X)``. It
    measures how much the target (by default the loss on the reference rows) would fall if the row
    were added to the training rows with label c. Let p(c) be the net's predicted probability of
    label c. Since the label is unknown, the scores are combined into one number per row.

    Parameters
    ----------
    scorer : InfluenceScorer
        Fitted scorer of a classifier.
    X : array-like of shape (n_samples, ...), DataFrame, Tensor, dict of arrays or Dataset
        Rows; no labels needed.
    aggregate : {"predicted", "expected", "worst"}, default="predicted"
        "predicted": the score under the most probable label (the pseudo-label of [1]_).
        "expected": ``Σ p(c) |s(c)|``, the expected change of the loss, up or down.
        "worst": the lowest score over the labels. It is highest for rows whose label the net
        predicts with near certainty, so it finds harmless rows, not rows worth labeling.

    Returns
    -------
    utilities : ndarray of shape (n_samples,), float64
        Higher is more useful to label. Utilities have the units of the scores.

    Raises
    ------
    TypeError
        When `scorer` is not an InfluenceScorer.
    ValueError
        When `aggregate` is unknown.

    Notes
    -----
    The expected score Σ p(c) s(c) is not offered because it is zero: for a negative log-likelihood,
    the gradients of a row average to zero under the net's own probabilities.

    References
    ----------
    .. [1] Liu, Ding, Zhong, Li, Dai, He, "Influence Selection for Active Learning", ICCV 2021,
       arXiv 2108.09331.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.active import influence_query_scores
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = InfluenceScorer(random_state=0).fit(X[::5], y[::5])
    >>> influence_query_scores(scorer, X).shape
    (150,)
    """
    check_aggregate(aggregate)
    parts = fitted_parts(scorer)
    scores = np.asarray(scorer.transform(X))
    if aggregate == "worst":
        return scores.min(1)
    p = parts.predict_proba(X)
    if aggregate == "expected":
        return (p * np.abs(scores)).sum(1)
    return np.take_along_axis(scores, p.argmax(1)[:, None], 1)[:, 0]


def probabilities(fnet: FunctionalNet, X: Any) -> np.ndarray:
    return predicted_outputs(fnet, cast(X, fnet.input_dtype(X)), is_classification=True)


def check_aggregate(aggregate: Any) -> None:
    check_choice("aggregate", aggregate, _AGGREGATES)
