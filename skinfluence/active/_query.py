"""The two query strategies: fit on labeled rows, rank unlabeled rows, choose a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet

from skinfluence._core.tensors import as_net_takes
from skinfluence._data.params import pass_seed
from skinfluence._data.rows import take
from skinfluence._fitting.isolation import in_one_thread, interruptible, seeded
from skinfluence._fitting.training_data import read_training_data
from skinfluence._scorer import InfluenceScorer
from skinfluence.active._ldm import least_disagree_metric
from skinfluence.active._pool import PoolQuery
from skinfluence.active._utility import check_aggregate, influence_query_scores
from skinfluence.nets import TabularClassifier


class InfluenceQuery(PoolQuery):
    """Query the labels that would change the reference loss most.

    At each query, an :class:`~skinfluence.InfluenceScorer` is fitted on the labeled rows, and the
    rows with the largest `influence_query_scores` are chosen [1]_. `query` has the same interface
    as the pool strategies of scikit-activeml; scikit-activeml need not be installed.

    Parameters
    ----------
    scorer : InfluenceScorer, default=None
        A clone of it is fitted. None: the default scorer, with a
        :class:`~skinfluence.nets.TabularClassifier`.
    aggregate : {"predicted", "expected", "worst"}, default="predicted"
        See :func:`influence_query_scores`.
    spread : int, default=5
        The best rows are often alike. A batch is therefore drawn from the ``spread * batch_size``
        best rows, by k-means++ seeding. The distance between two rows is the cosine distance
        between their inputs to the net's last layer. With ``spread=1``, the batch consists of the
        best rows.
    missing_label : object, default=np.nan
        Value in y that means "no label"; NaN, None and pandas' NA are equivalent.
    random_state : int, RandomState instance or None, default=None
        Seeds the drawing of the batch, the order of ties, and the scorer if its ``random_state`` is
        None.

    References
    ----------
    .. [1] Liu, Ding, Zhong, Li, Dai, He, "Influence Selection for Active Learning", ICCV 2021,
       arXiv 2108.09331.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence.active import InfluenceQuery
    >>> X, y_true = load_iris(return_X_y=True)
    >>> y = np.full(150, np.nan)
    >>> y[::15] = y_true[::15]
    >>> asked = InfluenceQuery(random_state=0).query(X, y, batch_size=5)
    >>> y[asked] = y_true[asked]
    >>> int(np.isnan(y).sum())
    135
    """

    def __init__(
        self,
        scorer: Any = None,
        *,
        aggregate: str = "predicted",
        spread: int = 5,
        missing_label: Any = np.nan,
        random_state: Any = None,
    ) -> None:
        self.scorer = scorer
        self.aggregate = aggregate
        self.spread = spread
        self.missing_label = missing_label
        self.random_state = random_state

    def query(
        self,
        X: Any,
        y: Any,
        candidates: Any = None,
        batch_size: int = 1,
        return_utilities: bool = False,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Any:
        """Choose the rows to label next.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), DataFrame, Tensor, dict of arrays or Dataset
            Rows with and without a label.
        y : array-like of shape (n_samples,)
            Labels; `missing_label` for a row without a label.
        candidates : array-like, default=None
            Rows to choose from: indices into X, a mask of shape (n_samples,), or new rows with the
            columns of X. None: the rows of X without a label.
        batch_size : int, default=1
            Number of rows to choose.
        return_utilities : bool, default=False
            Whether to return the utilities as well.
        X_val, y_val : like X and y, default=None
            Trusted reference rows and their labels. None: all labeled rows of X are used both for
            training and as reference rows, since a split would leave even fewer rows to learn from.

        Returns
        -------
        indices : ndarray of shape (batch_size,), int64
            Indices into X or, if `candidates` holds rows, into `candidates`.
        utilities : ndarray of shape (batch_size, n_samples), float64
            Only returned if `return_utilities` is True. If `candidates` holds rows, the shape is
            (batch_size, n_candidates). Entry (k, i) is NaN if row i is not a candidate, or if it
            was chosen before the k-th row of the batch.

        Raises
        ------
        ValueError
            When no row has a label, no candidate is left, or there are fewer candidates than
            `batch_size`.
        """
        reference = X_val, y_val
        return self._query(X, y, candidates, batch_size, return_utilities, reference)

    def _utilities(
        self, rows: Any, labeled: np.ndarray, y: np.ndarray, pool: Any, seed: int, reference: Any
    ) -> tuple[NeuralNet, np.ndarray]:
        check_aggregate(self.aggregate)
        scorer = InfluenceScorer() if self.scorer is None else self.scorer
        if not isinstance(scorer, InfluenceScorer):
            raise TypeError(
                f"scorer={self.scorer!r}: expected an InfluenceScorer. To use a net, wrap it: "
                "InfluenceScorer(net)."
            )
        scorer = clone(scorer)
        # The default net depends on y: a few labels of many classes could look like numbers.
        if scorer.estimator is None:
            scorer.set_params(estimator=TabularClassifier())
        pass_seed(seed, scorer)
        X_val, y_val = reference
        if X_val is None and y_val is None:
            X_val, y_val = take(rows, labeled), y
        scorer.fit(take(rows, labeled), y, X_val=X_val, y_val=y_val)
        return scorer.estimator_, influence_query_scores(scorer, pool, aggregate=self.aggregate)


class LDMQuery(PoolQuery):
    """Query the rows whose predicted labels flip most easily, by the least disagree metric [1]_.

    At each query, a net is fitted on the labeled rows, and the rows with the smallest
    :func:`least_disagree_metric` are chosen. All rows of X serve as reference rows of this metric.
    `query` has the same interface as the pool strategies of scikit-activeml; scikit-activeml need
    not be installed.

    Parameters
    ----------
    estimator : skorch classifier, default=None
        A clone of it is fitted. A fitted classifier in :class:`sklearn.frozen.FrozenEstimator` is
        used without training. None: a :class:`~skinfluence.nets.TabularClassifier`.
    sigmas, n_draws : default=None, 10
        See :func:`least_disagree_metric`.
    spread, missing_label : default=5, np.nan
        See :class:`InfluenceQuery`.
    random_state : int, RandomState instance or None, default=None
        Seeds the net, the draws of weights, the drawing of the batch, and the order of ties.

    Notes
    -----
    Here, a batch is drawn from the best ``spread * batch_size`` rows, without weights. LDM-S in
    [1]_ draws from all rows, with weights that decrease with the metric.

    References
    ----------
    .. [1] Cho, Kim, Lee, Shin, Yoo, "Querying Easily Flip-flopped Samples for Deep Active
       Learning", ICLR 2024, arXiv 2401.09787.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence.active import LDMQuery
    >>> X, y_true = load_iris(return_X_y=True)
    >>> y = np.full(150, np.nan)
    >>> y[::15] = y_true[::15]
    >>> LDMQuery(random_state=0).query(X, y, batch_size=5).shape
    (5,)
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        sigmas: Any = None,
        n_draws: int = 10,
        spread: int = 5,
        missing_label: Any = np.nan,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.sigmas = sigmas
        self.n_draws = n_draws
        self.spread = spread
        self.missing_label = missing_label
        self.random_state = random_state

    @in_one_thread
    def query(
        self,
        X: Any,
        y: Any,
        candidates: Any = None,
        batch_size: int = 1,
        return_utilities: bool = False,
    ) -> Any:
        """Choose the rows to label next.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), DataFrame, Tensor, dict of arrays or Dataset
            Rows with and without a label.
        y : array-like of shape (n_samples,)
            Labels; `missing_label` for a row without a label.
        candidates : array-like, default=None
            Rows to choose from: indices into X, a mask of shape (n_samples,), or new rows with the
            columns of X. None: the rows of X without a label.
        batch_size : int, default=1
            Number of rows to choose.
        return_utilities : bool, default=False
            Whether to return the utilities as well. The utility of a row is minus its metric.

        Returns
        -------
        indices : ndarray of shape (batch_size,), int64
            Indices into X or, if `candidates` holds rows, into `candidates`.
        utilities : ndarray of shape (batch_size, n_samples), float64
            As in :meth:`InfluenceQuery.query`.

        Raises
        ------
        ValueError
            When no row has a label, no candidate is left, or there are fewer candidates than
            `batch_size`.
        """
        return self._query(X, y, candidates, batch_size, return_utilities)

    def _utilities(
        self, rows: Any, labeled: np.ndarray, y: np.ndarray, pool: Any, seed: int, reference: Any
    ) -> tuple[NeuralNet, np.ndarray]:
        given = TabularClassifier() if self.estimator is None else self.estimator
        asked = clone(self).set_params(estimator=given, random_state=seed)
        table = read_training_data(asked, take(rows, labeled), y, None, None)
        if isinstance(table.net, FrozenEstimator):
            net = table.net.estimator
        else:
            net = clone(table.net)
            with interruptible(), seeded(seed, net.device):
                net.fit(as_net_takes(table.X), table.y)
        metric = least_disagree_metric(
            net,
            pool,
            X_val=rows,
            sigmas=self.sigmas,
            n_draws=self.n_draws,
            random_state=seed,
        )
        return net, -metric
