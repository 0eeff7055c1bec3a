"""NoisyLabelDetector: which rows carry a label that the other rows do not believe."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skinfluence import _validation as check
from skinfluence._evidence import METHODS, Trusted, evidences, reference_direction
from skinfluence._functional import FunctionalNet
from skinfluence._influence import predicted_outputs
from skinfluence._selfcheck import check_net
from skinfluence._table import Table, read_rows, read_table
from skinfluence._training import State, fit_net, in_one_thread


class NoisyLabelDetector(BaseEstimator):
    """Find rows whose label is likely wrong, and say which label they should have.

    Each row is judged by nets that were trained with it and by reference rows that it is no part
    of: the rows are split into `cv` folds, and in turn each fold is the reference for the others
    (or trusted ``X_val, y_val`` are, for all). A judge looks at the row at several epochs of the
    training, early ones included, before the net has memorised wrong labels; the ranks of its
    class-wise influence [1]_ and of its training loss are averaged.

    Conventions are those of :class:`sklearn.neighbors.LocalOutlierFactor` with ``novelty=False``:
    the lower the score, the more abnormal; +1 is clean, -1 is suspect.

    Parameters
    ----------
    estimator : skorch net, default=None
        Classifier or regressor; clones of it are fitted. None: a
        :class:`~skinfluence.nets.TabularClassifier` or
        :class:`~skinfluence.nets.TabularRegressor`, as y asks.
    contamination : float, default=0.1
        Share of the rows to call suspect, in (0, 0.5].
    method : {"auto", "influence", "inner_product", "loss", "self_influence"}, default="auto"
        "auto" adds the ranks of "influence" (class-wise, with unit reference gradients) and
        "loss"; for a regressor those of "loss" and "self_influence". "inner_product" is the plain
        score of the paper, which needs trusted reference rows: without them a warning says so.
    cv : int, default=5
        Number of folds; not used with ``X_val``. The cost is that of training `cv` nets.
    checkpoints : int, default=6
        Number of epochs to look at, spaced geometrically; the last one always is among them.
    parameters : str or list of str, default="*"
        Globs over the names of the parameters whose gradients count.
    random_state : int, RandomState instance or None, default=None
        Seeds the folds and the nets.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Mean rank, between 0 (most suspect) and 1, of the rows given to `fit`.
    offset_ : float
        Rows with ``scores_ < offset_`` are suspect.
    inlier_mask_ : ndarray of shape (n_samples,), bool
        True for the rows that are not suspect.
    suggested_labels_ : ndarray of shape (n_samples,)
        The label (or number) that nets which did not see the row's own label predict for it; with
        ``X_val`` the nets did see it, at epochs early ones included.
    estimators_ : list of skorch nets
        One fitted net a fold.
    classes_ : ndarray of shape (n_classes,)
        Class labels; only for classifiers.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Only when X has string column names.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, "Revisit, Extend, and Enhance Hessian-Free Influence Functions",
       arXiv 2405.17490.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skinfluence import NoisyLabelDetector
    >>> from skinfluence.datasets import flip_labels
    >>> X, y = load_wine(return_X_y=True)
    >>> y, is_noisy = flip_labels(y, 0.1, random_state=0)
    >>> flags = NoisyLabelDetector(random_state=0).fit_predict(X, y)
    >>> int(is_noisy.sum()), bool((flags[is_noisy] == -1).sum() > 13)  # most of 18 are found
    (18, True)
    """

    # With metadata routing enabled, reference rows come without having to be asked for.
    __metadata_request__fit = {"X_val": True, "y_val": True}

    def __init__(
        self,
        estimator: Any = None,
        *,
        contamination: float = 0.1,
        method: str = "auto",
        cv: int = 5,
        checkpoints: int = 6,
        parameters: str | list[str] = "*",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.contamination = contamination
        self.method = method
        self.cv = cv
        self.checkpoints = checkpoints
        self.parameters = parameters
        self.random_state = random_state
        self.verbose = verbose

    @in_one_thread
    def fit(self, X: Any, y: Any = None, *, X_val: Any = None, y_val: Any = None) -> Any:
        """Fit the nets and score every row.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), DataFrame, Tensor, dict of arrays or Dataset
        y : array-like of shape (n_samples,)
            Labels, some of them wrong; None only where a Dataset carries them.
        X_val, y_val : like X and y, default=None
            Trusted reference rows, none of them in X; 1-tuples are accepted.

        Returns
        -------
        self : NoisyLabelDetector
        """
        self._check_parameters()
        table = read_table(self, X, y, X_val, y_val)
        self._labels, self._dtype = table.labels, table.dtype
        self._y_dtype = table.y.dtype
        if table.labels.is_classification:
            self.classes_ = table.labels.classes_
        self._index = getattr(X, "index", None)
        self._given = table.given
        self._warn_of_weak_references(table)
        total, judges, beliefs = _Mean(len(table.y)), [], _Mean(len(table.y))
        for train, judge in self._progress(self._judges(table)):
            judges.append(judge)
            rows = check.take(table.X, train)
            total.add(train, judge.scores(rows, table.y[train]))
            held = np.setdiff1d(np.arange(len(table.y)), train)
            asked = held if len(held) else train
            beliefs.add(asked, judge.belief(check.take(table.X, asked)))
        # The only row of its class is held out nowhere: the last judge is asked.
        alone = np.flatnonzero(beliefs.counts == 0)
        if len(alone):
            beliefs.add(alone, judge.belief(check.take(table.X, alone)))
        self._judged_by, self.estimators_ = judges, [judge.net for judge in judges]
        self.scores_ = total.value()
        self.offset_ = float(np.quantile(self.scores_, self.contamination))
        self.inlier_mask_ = self.scores_ >= self.offset_
        self.suggested_labels_ = self._read(beliefs.value())
        return self

    def fit_predict(self, X: Any, y: Any = None, *, X_val: Any = None, y_val: Any = None) -> Any:
        """Fit, and return +1 for clean rows and -1 for suspect ones.

        Parameters
        ----------
        X, y, X_val, y_val : see `fit`

        Returns
        -------
        flags : ndarray of shape (n_samples,), int
        """
        return np.where(self.fit(X, y, X_val=X_val, y_val=y_val).inlier_mask_, 1, -1)

    @in_one_thread
    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """Score rows, old or new, by all the judges; the lower, the more suspect.

        The scores of the rows given to `fit` are `scores_`: there each row is judged only by the
        nets that were trained with it.

        Parameters
        ----------
        X : like X in `fit`
        y : array-like of shape (n_samples,), default=None
            None: the labels that the nets predict.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
        """
        check_is_fitted(self)
        X, y = read_rows(self, X, y, self._labels, self._dtype)
        if y is None:
            belief = np.mean([judge.belief(X) for judge in self._judged_by], axis=0)
            y = self._labels.encode(self._read(belief))
        return np.mean([judge.scores(X, y) for judge in self._judged_by], axis=0)

    @in_one_thread
    def score_labels(self, X: Any) -> np.ndarray:
        """Score rows under each label: column c is `score_samples` with label ``classes_[c]``.

        Parameters
        ----------
        X : like X in `fit`

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes), float64
        """
        check_is_fitted(self)
        if not self._labels.is_classification:
            raise ValueError("score_labels needs classes; this detector was fitted on numbers.")
        X, _ = read_rows(self, X, None, self._labels, self._dtype)
        labels = self._labels.codes_.astype(self._y_dtype)
        return np.mean([judge.scores(X, None, labels) for judge in self._judged_by], axis=0)

    def decision_function(self, X: Any, y: Any = None) -> np.ndarray:
        """Return ``score_samples(X, y) - offset_``: negative is suspect."""
        return self.score_samples(X, y) - self.offset_

    @property
    def issues_(self) -> Any:
        """A pandas DataFrame of the rows given to `fit`, in their order and with their index.

        Columns: ``row`` (position), ``given_label``, ``suggested_label``, ``score``,
        ``is_suspect``.
        """
        check_is_fitted(self)
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                "issues_ is a pandas DataFrame; install it: pip install pandas (scores_, "
                "inlier_mask_ and suggested_labels_ hold the same as arrays)."
            ) from error
        columns = {
            "row": np.arange(len(self.scores_)),
            "given_label": list(self._given),
            "suggested_label": list(self.suggested_labels_),
            "score": self.scores_,
            "is_suspect": ~self.inlier_mask_,
        }
        return pd.DataFrame(columns, index=self._index)

    def _judges(self, table: Table) -> Iterator[tuple[np.ndarray, _Judge]]:
        everything = np.arange(len(table.y))
        if table.reference is not None:
            yield everything, self._judge(table, table.X, table.y, table.reference, table.seed)
            return
        rng = np.random.RandomState(table.seed)
        fold = check.folds(table.y, self.cv, rng, stratify=table.stratify)
        for k in range(self.cv):
            X, y, reference = table.split(np.flatnonzero(fold == k))
            seed = int(rng.randint(np.iinfo(np.int32).max))
            yield np.flatnonzero(fold != k), self._judge(table, X, y, reference, seed)

    def _judge(self, table: Table, X: Any, y: np.ndarray, reference: Any, seed: int) -> _Judge:
        net, states = fit_net(table.net, X, y, reference, seed, self.checkpoints)
        trusted = Trusted(*reference, table.labels.is_classification)
        fnet = FunctionalNet(net, self.parameters)
        check_net(fnet, reference_direction(fnet, trusted), X, y)
        judge = _Judge(net, states, trusted, self.parameters, self.method)
        judge.calibrate(X, y)
        return judge

    def _read(self, belief: np.ndarray) -> np.ndarray:
        """Turn mean outputs into the user's labels."""
        if self._labels.is_classification:
            return self._labels.decode(belief[:, self._labels.codes_].argmax(1))
        return belief.reshape(len(belief), *self._given.shape[1:])

    def _progress(self, judges: Iterator[Any]) -> Iterator[Any]:
        number = 1 if self._single else self.cv
        return tqdm(judges, desc="judges", total=number, disable=not self.verbose)

    def _check_parameters(self) -> None:
        if not (isinstance(self.contamination, Real) and 0 < self.contamination <= 0.5):
            raise ValueError(
                f"contamination={self.contamination!r}: expected a share of the rows in (0, 0.5]."
            )
        if self.method not in METHODS:
            raise ValueError(f"method={self.method!r}: expected one of {sorted(METHODS)}.")
        for name, least in (("cv", 2), ("checkpoints", 1)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise ValueError(f"{name}={value!r}: expected an integer, {least} or more.")

    def _warn_of_weak_references(self, table: Table) -> None:
        self._single = table.reference is not None
        if self._single:
            return
        if self.method == "inner_product":
            warnings.warn(
                "method='inner_product' without X_val, y_val: if the rows' labels are wrong as "
                "often as those of the reference rows, which are rows too, plain inner products "
                "find wrong labels worse than chance. Give trusted rows, or use method='auto'.",
                UserWarning,
                stacklevel=3,
            )
        if isinstance(table.net, FrozenEstimator):
            warnings.warn(
                "a frozen net has seen all the rows it may have been fitted on, so these rows "
                "judge themselves, and only one epoch can be looked at. Give the unfitted net, or "
                "rows that it was not fitted on as X_val, y_val.",
                UserWarning,
                stacklevel=3,
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


@dataclass
class _Judge:
    """One fitted net with its snapshots, and the reference rows that it was not trained on."""

    net: Any
    states: list[State]
    reference: Trusted
    parameters: str | list[str]
    method: str
    ranks: list[_Ranks] = field(default_factory=list)

    def calibrate(self, X: Any, y: np.ndarray) -> None:
        """Remember how the evidences are spread over the rows of the training."""
        self.ranks = [_Ranks(values) for values in self.evidence(X, y)]

    def evidence(self, X: Any, y: Any, labels: np.ndarray | None = None) -> list[np.ndarray]:
        """Each evidence, mean over the snapshots."""
        fnet = FunctionalNet(self.net, self.parameters)
        kinds = evidences(self.method, is_classification=self.reference.is_classification)
        sums = [np.float64(0.0)] * len(kinds)
        for state in self.states:
            at = fnet.at(state)
            for k, evidence in enumerate(kinds):
                sums[k] = sums[k] + evidence(at, self.reference, X, y, labels)
        return [total / len(self.states) for total in sums]

    def scores(self, X: Any, y: Any, labels: np.ndarray | None = None) -> np.ndarray:
        """Mean over the evidences of the rank among the training rows, in [0, 1]."""
        found = self.evidence(X, y, labels)
        return np.mean([rank(v) for rank, v in zip(self.ranks, found, strict=True)], axis=0)

    def belief(self, X: Any) -> np.ndarray:
        """Return class probabilities or predictions, mean over the snapshots: (n, n_outputs)."""
        fnet = FunctionalNet(self.net, self.parameters)
        found = [
            predicted_outputs(fnet.at(s), X, self.reference.is_classification) for s in self.states
        ]
        return np.mean(found, axis=0)


class _Ranks:
    """Share of known values below a value, ties counting half, linear in between.

    Linear, so that the rounding of a batch does not make a rank jump.
    """

    def __init__(self, known: np.ndarray) -> None:
        self._values, counts = np.unique(known, return_counts=True)
        self._ranks = (np.cumsum(counts) - counts / 2) / len(known)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return np.interp(values, self._values, self._ranks)


class _Mean:
    """Mean of what several judges say about the rows, each about some of them."""

    def __init__(self, n: int) -> None:
        self.counts = np.zeros(n)
        self._sum: Any = 0.0

    def add(self, rows: np.ndarray, values: np.ndarray) -> None:
        if np.isscalar(self._sum):
            self._sum = np.zeros((len(self.counts), *values.shape[1:]))
        self._sum[rows] += values
        self.counts[rows] += 1

    def value(self) -> np.ndarray:
        return self._sum / self.counts.reshape(-1, *[1] * (self._sum.ndim - 1))
