"""NoisyLabelDetector: finds rows whose label is likely wrong, by cross-fitted nets."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skinfluence._base import Estimator
from skinfluence._core.directions import Objective
from skinfluence._core.net import FunctionalNet
from skinfluence._core.selfcheck import check_gradients
from skinfluence._data.params import check_int, check_number, check_patterns, check_verbose, is_auto
from skinfluence._data.reference import folds
from skinfluence._extras import need
from skinfluence._fitting.fit import fit_net
from skinfluence._fitting.isolation import in_one_thread
from skinfluence._fitting.training_data import (
    TrainingData,
    read_rows,
    read_training_data,
    read_unlabeled,
)
from skinfluence._label_noise.fold_net import FoldNet
from skinfluence._label_noise.label_scores import LabelScores, make_label_scores
from skinfluence.methods import InnerProduct, Method
from skinfluence.methods._base import check_method
from skinfluence.nets import is_ready_made
from skinfluence.targets import Utility


class NoisyLabelDetector(Estimator):
    """Find rows whose label is likely wrong, and suggest a better label.

    The rows are split into `cv` folds. For each fold, one net is fitted on the other folds, as in
    cross-validated prediction. The nets give three signals for each row and each label:

    - the in-sample probability, from nets that were trained on the row,
    - the out-of-sample probability, from the net that was not trained on the row,
    - the class-wise influence [1]_: how well the row's gradient under the label agrees with the
      gradients of the rows of that class.

    Each signal is a weighted mean over checkpoints; checkpoints that predict held-out labels better
    have larger weights. The product of the three signals is the input of a noise model. The noise
    model estimates how often each class is given each label, and from this the log-odds that the
    given label of a row is right.

    As in :class:`sklearn.neighbors.LocalOutlierFactor` with ``novelty=False``, a lower score means
    a more abnormal row, and `fit_predict` returns +1 for clean rows and -1 for suspect rows.

    Parameters
    ----------
    estimator : skorch net, default=None
        Classifier or regressor; clones of it are fitted. None means a
        :class:`~skinfluence.nets.TabularClassifier` or a
        :class:`~skinfluence.nets.TabularRegressor`, depending on y.
    contamination : "auto" or float, default="auto"
        Share of the rows to flag as suspect, in (0, 0.5]. For classification, "auto" means the
        share of rows whose given label is not the most plausible one, but at most 0.5. For
        regression, "auto" means 0.1.
    method : Method, default=None
        For classification, None means the noise model described above. For regression, None means
        the mean of the ranks by :class:`~skinfluence.methods.Loss` and
        :class:`~skinfluence.methods.SelfInfluence`. If a method of :mod:`skinfluence.methods` is
        given, rows are ranked by that method alone, averaged over checkpoints. ``InnerProduct()``,
        the plain score of [1]_, needs trusted reference rows (``X_val, y_val``). If they are
        missing, a warning is issued.
    cv : int, default=5
        Number of folds, and of nets to fit. If ``X_val`` is given and at least one of the following
        holds, a single net is used for all rows instead: the net is frozen, `method` is not None,
        or y is numeric.
    checkpoints : int, default=6
        Number of checkpoints to use per net. Their epochs are spaced geometrically; the last epoch
        is always one of them.
    parameters : str or list of str, default="*"
        Glob patterns for parameter names. Gradients are taken with respect to the matching
        parameters only.
    random_state : int, RandomState instance or None, default=None
        Seeds the folds and the nets.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Log-odds that the given label is right; if negative, the label is more likely wrong than
        right. These scores rank rows well, but the odds are overconfident, since the signals are
        not independent. For regression, or if `method` is given, a score is a mean rank instead,
        between 0 (most suspect) and 1.
    contamination_ : float
        Share of suspect rows, as given or estimated.
    offset_ : float
        Rows with ``scores_ < offset_`` are suspect.
    inlier_mask_ : ndarray of shape (n_samples,), bool
        True for the rows that are not suspect.
    suggested_labels_ : ndarray of shape (n_samples,)
        The out-of-sample prediction for each row. If a single net is fitted on all rows, the
        in-sample prediction of this net is used instead.
    estimators_ : list of skorch nets
        One net per fold, fitted on the other folds; or the single net that is fitted on all rows.
    encoders_ : list of ColumnEncoder or None
        One encoder per net, fitted on the rows of the net; None for each net unless X is a
        DataFrame of mixed columns.
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
    >>> detector = NoisyLabelDetector(random_state=0).fit(X, y)
    >>> int(is_noisy.sum()), bool((~detector.inlier_mask_)[is_noisy].sum() > 13)  # most are found
    (18, True)
    >>> bool(0.05 < detector.contamination_ < 0.2)  # estimated; the truth is 0.1
    True
    """

    _last_fitted_attribute = "suggested_labels_"
    # With metadata routing enabled, `fit` gets reference rows without a request for them.
    __metadata_request__fit = {"X_val": True, "y_val": True}

    def __init__(
        self,
        estimator: Any = None,
        *,
        contamination: str | float = "auto",
        method: Method | None = None,
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
            If no estimator is given, a DataFrame of pandas or polars may have columns of any kind
            and missing values; a :class:`~skinfluence.columns.ColumnEncoder` turns it into numbers,
            fitted on the rows of each net. The ready-made nets also take a sparse matrix.
        y : array-like of shape (n_samples,)
            Labels, some of them wrong. May be None only if X is a Dataset of (x, y) items.
        X_val, y_val : like X and y, default=None
            Trusted reference rows and their labels; none of these rows may be in X. 1-tuples are
            accepted, as in :meth:`InfluenceScorer.fit`.

        Returns
        -------
        self : NoisyLabelDetector
        """
        self._forget_fit()
        self._check_parameters()
        table = read_training_data(self, X, y, X_val, y_val)
        table.labels.refuse_ignored(table.given, "y")
        table.labels.refuse_several(table.given)
        self._labels, self._dtype = table.labels, table.dtype
        if table.labels.is_classification:
            self.classes_ = table.labels.classes_
        index = getattr(X, "index", None)
        self._index = None if callable(index) else index  # X.index of a list is a method
        self._given = table.given
        self._single = self._fits_one_net(table)
        self._warn_of_weak_references(table)
        scores = make_label_scores(self.method, table.y, self._codes(table))
        for part, train, fold_net in self._progress(self._fold_nets(table)):
            scores.add(fold_net, part.X, train)
        scores.finish()
        self._label_scores, self.estimators_ = scores, [f.net for f in scores.fold_nets]
        self.encoders_ = [fold_net.encoder for fold_net in scores.fold_nets]
        self.scores_ = scores.scores
        self.contamination_ = self._share_of_suspects(scores)
        self.offset_ = float(np.quantile(self.scores_, self.contamination_))
        self.inlier_mask_ = self.scores_ >= self.offset_
        self.suggested_labels_ = self._as_labels(scores.out_of_sample)
        return self

    def fit_predict(self, X: Any, y: Any = None, *, X_val: Any = None, y_val: Any = None) -> Any:
        """Fit, and return +1 for clean rows and -1 for suspect rows.

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
        """Score training rows or new rows with all fitted nets; lower is more suspect.

        This method treats every row as a new row, even if it is a training row. New rows have no
        in-sample probabilities, so out-of-sample probabilities are used in their place. In
        contrast, `scores_` holds scores of the training rows that use both kinds of probabilities.

        Parameters
        ----------
        X : like X in `fit`
        y : array-like of shape (n_samples,), default=None
            Labels of the rows. None: the labels that the nets predict.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
        """
        check_is_fitted(self)
        X, y = read_rows(self, X, y, self._labels, self._dtype)
        if y is None:
            y = self._labels.encode(self._as_labels(self._label_scores.predict(X)))
        self._labels.refuse_ignored(y, "y")
        return self._label_scores.score(X, y)

    @in_one_thread
    def score_labels(self, X: Any) -> np.ndarray:
        """Score rows under each label; column c holds the scores under label ``classes_[c]``.

        Parameters
        ----------
        X : like X in `fit`

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes), float64
        """
        check_is_fitted(self)
        if not self._labels.is_classification:
            raise ValueError(
                "score_labels needs classes, but this detector was fitted on numeric y; use "
                "score_samples(X, y)."
            )
        X = read_unlabeled(self, X, self._labels, self._dtype)
        return self._label_scores.score_labels(X)

    @in_one_thread
    def predict_out_of_sample(self, X: Any) -> np.ndarray:
        """Predict the labels of new rows: the mean prediction of all fitted nets.

        Parameters
        ----------
        X : like X in `fit`
            Rows that are not in the training set; for training rows, see ``signals_``.

        Returns
        -------
        predicted : ndarray of shape (n_samples, n_classes) or (n_samples, ...), float64
            Probabilities of ``classes_``, or predicted numbers, in the shape of y.
        """
        check_is_fitted(self)
        X, _ = read_rows(self, X, None, self._labels, self._dtype)
        return self._as_numbers(self._label_scores.predict(X))

    def decision_function(self, X: Any, y: Any = None) -> np.ndarray:
        """Return ``score_samples(X, y) - offset_``: negative is suspect."""
        return self.score_samples(X, y) - self.offset_

    @property
    def signals_(self) -> dict[str, np.ndarray]:
        """The signals about each training row, by name, before they are combined into a score.

        ``"in_sample"`` and ``"out_of_sample"`` are probabilities of ``classes_``, of shape
        (n_samples, n_classes), or predicted numbers, in the shape of y. They are equal if a single
        net is fitted on all rows. The default method for classes also has ``"influence"``, the
        class-wise influence as probabilities.
        """
        check_is_fitted(self)
        signals = self._label_scores.signals()
        return {name: self._as_numbers(signal) for name, signal in signals.items()}

    @property
    def issues_(self) -> Any:
        """A pandas DataFrame with one line per row given to `fit`, in the order and index of X.

        The columns are ``row`` (position), ``given_label``, ``suggested_label``, ``score``,
        ``is_suspect``.
        """
        check_is_fitted(self)
        try:
            import pandas as pd
        except ImportError as error:
            raise need(
                "audit",
                "issues_ is a pandas DataFrame and needs pandas (scores_, inlier_mask_ and "
                "suggested_labels_ hold the same data as arrays)",
            ) from error
        columns = {
            "row": np.arange(len(self.scores_)),
            "given_label": list(self._given),
            "suggested_label": list(self.suggested_labels_),
            "score": self.scores_,
            "is_suspect": ~self.inlier_mask_,
        }
        return pd.DataFrame(columns, index=self._index)

    def _fold_nets(self, table: TrainingData) -> Iterator[tuple[TrainingData, np.ndarray, FoldNet]]:
        """Yield the data as numbers, the rows that each net is fitted on, and the net."""
        if self._single:
            part = table.encoded()
            net = self._fold_net(part, part.X, part.y, part.reference, table.seed)
            yield part, np.arange(len(table.y)), net
            return
        rng = np.random.RandomState(table.seed)
        fold = folds(table.y, self.cv, rng, stratify=table.stratify)
        for k in range(self.cv):
            train = np.flatnonzero(fold != k)
            part = table.encoded(train)
            X, y, held = part.split(np.flatnonzero(fold == k))
            seed = int(rng.randint(np.iinfo(np.int32).max))
            net = self._fold_net(part, X, y, part.reference or held, seed)
            yield part, train, net

    def _fold_net(
        self, table: TrainingData, X: Any, y: np.ndarray, reference: Any, seed: int
    ) -> FoldNet:
        net, states = fit_net(table.net, X, y, reference, seed, self.checkpoints)
        X_ref, y_ref = reference
        objective = Objective(Utility(), X_ref, y_ref, table.labels.is_classification)
        check_gradients(FunctionalNet(net, self.parameters), X, y)
        codes = self._codes(table)
        return FoldNet(net, states, objective, self.parameters, codes, seed, table.encoder)

    @staticmethod
    def _codes(table: TrainingData) -> np.ndarray | None:
        """The classes, in the form that the net's criterion accepts."""
        codes = table.labels.codes_
        return None if codes is None else codes.astype(table.y.dtype)

    def _share_of_suspects(self, scores: LabelScores) -> float:
        if not is_auto(self.contamination):
            return float(self.contamination)
        # If more than half of the labels are disputed, the net has not learned the classes.
        return min(scores.disputed(), 0.5) if self._labels.is_classification else 0.1

    def _as_labels(self, predicted: np.ndarray) -> np.ndarray:
        """Return the user's label for each row of probabilities, or the predicted numbers."""
        if self._labels.is_classification:
            return self._labels.decode(predicted.argmax(1))
        return self._as_numbers(predicted)

    def _as_numbers(self, predicted: np.ndarray) -> np.ndarray:
        """Return probabilities unchanged, and predicted numbers in the shape of y."""
        if self._labels.is_classification:
            return predicted
        return predicted.reshape(len(predicted), *self._given.shape[1:])

    def _progress(self, fold_nets: Iterator[Any]) -> Iterator[Any]:
        number = 1 if self._single else self.cv
        return tqdm(fold_nets, desc="folds", total=number, disable=not self.verbose)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = is_ready_made(self.estimator)
        return tags

    def _check_parameters(self) -> None:
        if not is_auto(self.contamination):
            wanted = "'auto' or a share of the rows in (0, 0.5]"
            check_number("contamination", self.contamination, wanted, lambda s: 0 < s <= 0.5)
        check_verbose(self.verbose)
        check_patterns(self.parameters)
        if self.method is not None:
            check_method(self.method)
        check_int("cv", self.cv, 2)
        check_int("checkpoints", self.checkpoints, 1)

    def _fits_one_net(self, table: TrainingData) -> bool:
        """Whether one net is used for all rows; only possible if reference rows are given."""
        if table.reference is None:
            return False
        uses_out_of_sample = self.method is None and table.labels.is_classification
        return isinstance(table.net, FrozenEstimator) or not uses_out_of_sample

    def _warn_of_weak_references(self, table: TrainingData) -> None:
        if table.reference is not None:
            return
        method = self.method
        if isinstance(method, InnerProduct) and not (method.classwise and method.normalize):
            warnings.warn(
                f"method={method!r} without X_val, y_val: the held-out rows serve as reference "
                "rows. If their labels are wrong as often as all other labels, plain inner "
                "products can be worse than chance at finding wrong labels. Give trusted X_val, "
                "y_val, or use method=None.",
                UserWarning,
                stacklevel=3,
            )
        if isinstance(table.net, FrozenEstimator):
            warnings.warn(
                "the frozen net may have been fitted on these rows. In this case, its predictions "
                "for them are in-sample, and they come from a single checkpoint. Give the "
                "unfitted net, or give rows that the net was not fitted on as X_val, y_val.",
                UserWarning,
                stacklevel=3,
            )
