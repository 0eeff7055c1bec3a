"""NoisyLabelDetector: which rows carry a label that the other rows do not believe."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skinfluence._base import Estimator
from skinfluence._core.net import FunctionalNet
from skinfluence._core.selfcheck import check_net
from skinfluence._data.reference import folds
from skinfluence._fitting.fit import fit_net
from skinfluence._fitting.isolation import in_one_thread
from skinfluence._fitting.training_data import Table, read_rows, read_table, read_unlabelled
from skinfluence._label_noise.evidence import METHODS, Trusted
from skinfluence._label_noise.fold_net import Judge
from skinfluence._label_noise.label_scores import Verdict, open_verdict


class NoisyLabelDetector(Estimator):
    """Find rows whose label is likely wrong, and say which label they should have.

    The rows are split into `cv` folds and one net is trained without each, as for cross-validated
    predictions. Three things are then known about every row, each a distribution over the labels,
    and each over several epochs of the training, which count the more the better the net foretold
    the rows it had not seen: what nets believe that were trained with the row, what the net
    believes that was not, and how well each label's gradient agrees with the gradients of the rows
    of every class (class-wise influence [1]_). Their product is held against a model of the noise,
    learned from them all: which class is given the label of which, and how often.

    Conventions are those of :class:`sklearn.neighbors.LocalOutlierFactor` with ``novelty=False``:
    the lower the score, the more abnormal; +1 is clean, -1 is suspect.

    Parameters
    ----------
    estimator : skorch net, default=None
        Classifier or regressor; clones of it are fitted. None: a
        :class:`~skinfluence.nets.TabularClassifier` or
        :class:`~skinfluence.nets.TabularRegressor`, as y asks.
    contamination : "auto" or float, default="auto"
        Share of the rows to call suspect, in (0, 0.5]. "auto", for classes: the share whose label
        is not the one most believed in. For numbers it is 0.1.
    method : {"auto", "influence", "inner_product", "loss", "self_influence"}, default="auto"
        "auto" is what is described above; for numbers, the mean of the ranks by "loss" and
        "self_influence". The others are ranks by a single evidence, plain means over the epochs:
        "influence" is class-wise influence, "inner_product" is the plain score of the paper, which
        needs trusted reference rows: without them a warning says so.
    cv : int, default=5
        Number of folds; the cost is that of training `cv` nets. If ``X_val`` is given, there is
        one judge only, and no folds, for a frozen net, for a `method` other than "auto" and for
        numbers as targets.
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
        Log-odds that the label is right: below 0 it is rather wrong. They order the rows well; as
        odds they are too sure of themselves, since the evidences are not independent. For numbers
        and for a `method` other than "auto": mean rank, between 0 (most suspect) and 1.
    contamination_ : float
        Share of the rows that was asked for, or estimated.
    offset_ : float
        Rows with ``scores_ < offset_`` are suspect.
    inlier_mask_ : ndarray of shape (n_samples,), bool
        True for the rows that are not suspect.
    suggested_labels_ : ndarray of shape (n_samples,)
        The label (or number) that the net which did not see the row's own label predicts for it;
        where there is one judge only, the judge that did.
    estimators_ : list of skorch nets
        One fitted net a fold, trained on the rows of the others; or the only one.
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

    # With metadata routing enabled, reference rows come without having to be asked for.
    __metadata_request__fit = {"X_val": True, "y_val": True}

    def __init__(
        self,
        estimator: Any = None,
        *,
        contamination: str | float = "auto",
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
        vars(self).pop("suggested_labels_", None)
        self._check_parameters()
        table = read_table(self, X, y, X_val, y_val)
        self._labels, self._dtype = table.labels, table.dtype
        if table.labels.is_classification:
            self.classes_ = table.labels.classes_
        index = getattr(X, "index", None)
        self._index = None if callable(index) else index  # a list has a method of that name
        self._given = table.given
        self._single = self._has_one_judge(table)
        self._warn_of_weak_references(table)
        verdict = open_verdict(self.method, table.y, self._codes(table))
        for train, judge in self._progress(self._judges(table)):
            verdict.hear(judge, table.X, train)
        verdict.close()
        self._verdict, self.estimators_ = verdict, [judge.net for judge in verdict.judges]
        self.scores_ = verdict.scores
        self.contamination_ = self._share_of_suspects(verdict)
        self.offset_ = float(np.quantile(self.scores_, self.contamination_))
        self.inlier_mask_ = self.scores_ >= self.offset_
        self.suggested_labels_ = self._read(verdict.unseen)
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

        The scores of the rows given to `fit` are `scores_`. New rows no net was trained with: what
        nets believe that never saw the row counts twice in their place. Rows of `fit` are treated
        as new ones here, though most of the nets have seen them.

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
            y = self._labels.encode(self._read(self._verdict.belief(X)))
        return self._verdict.score(X, y)

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
        X = read_unlabelled(self, X, self._labels, self._dtype)
        return self._verdict.score_labels(X)

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

    def _judges(self, table: Table) -> Iterator[tuple[np.ndarray, Judge]]:
        if self._single:
            everything = np.arange(len(table.y))
            yield everything, self._judge(table, table.X, table.y, table.reference, table.seed)
            return
        rng = np.random.RandomState(table.seed)
        fold = folds(table.y, self.cv, rng, stratify=table.stratify)
        for k in range(self.cv):
            X, y, held = table.split(np.flatnonzero(fold == k))
            seed = int(rng.randint(np.iinfo(np.int32).max))
            yield np.flatnonzero(fold != k), self._judge(table, X, y, table.reference or held, seed)

    def _judge(self, table: Table, X: Any, y: np.ndarray, reference: Any, seed: int) -> Judge:
        net, states = fit_net(table.net, X, y, reference, seed, self.checkpoints)
        X_ref, y_ref = reference
        trusted = Trusted(X_ref, y_ref, table.labels.is_classification)
        fnet = FunctionalNet(net, self.parameters)
        check_net(fnet, X, y)
        return Judge(net, states, trusted, self.parameters, self._codes(table))

    @staticmethod
    def _codes(table: Table) -> np.ndarray | None:
        """How the net calls the classes, in the dtype that its criterion takes."""
        codes = table.labels.codes_
        return None if codes is None else codes.astype(table.y.dtype)

    def _share_of_suspects(self, verdict: Verdict) -> float:
        if self.contamination != "auto":
            return float(self.contamination)
        # More than half of the labels disputed: the net has learned nothing that could judge them.
        return min(verdict.disputed(), 0.5) if self._labels.is_classification else 0.1

    def _read(self, belief: np.ndarray) -> np.ndarray:
        """Turn mean outputs into the user's labels."""
        if self._labels.is_classification:
            return self._labels.decode(belief.argmax(1))
        return belief.reshape(len(belief), *self._given.shape[1:])

    def _progress(self, judges: Iterator[Any]) -> Iterator[Any]:
        number = 1 if self._single else self.cv
        return tqdm(judges, desc="judges", total=number, disable=not self.verbose)

    def _check_parameters(self) -> None:
        share = self.contamination
        if share != "auto" and not (isinstance(share, Real) and 0 < share <= 0.5):
            raise ValueError(
                f"contamination={share!r}: expected 'auto' or a share of the rows in (0, 0.5]."
            )
        if self.method not in METHODS:
            raise ValueError(f"method={self.method!r}: expected one of {sorted(METHODS)}.")
        for name, least in (("cv", 2), ("checkpoints", 1)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise ValueError(f"{name}={value!r}: expected an integer, {least} or more.")

    def _has_one_judge(self, table: Table) -> bool:
        """Whether no rows are held out, as the reference rows are others."""
        if table.reference is None:
            return False
        by_beliefs = self.method == "auto" and table.labels.is_classification
        return isinstance(table.net, FrozenEstimator) or not by_beliefs

    def _warn_of_weak_references(self, table: Table) -> None:
        if table.reference is not None:
            return
        if self.method == "inner_product":
            warnings.warn(
                "method='inner_product' without X_val, y_val: if the rows' labels are wrong as "
                "often as those of the reference rows, which are rows too, plain inner products "
                "can find wrong labels worse than chance. Give trusted rows, or use method='auto'.",
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

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(
            self, "suggested_labels_"
        )  # the last that fit sets: a fit that was stopped is none

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
