"""InfluenceScorer: fits a net, asks the target of reference rows, scores any rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skinfluence import _validation as check
from skinfluence._functional import FunctionalNet, n_rows
from skinfluence._influence import directions, label_scores, predictions, row_scores
from skinfluence._selfcheck import check_net
from skinfluence._table import read_rows, read_table
from skinfluence._training import fit_net, in_one_thread
from skinfluence.targets import check_target

_NORMALIZE = (None, "rows", "reference", "both")


class InfluenceScorer(TransformerMixin, BaseEstimator):
    """Score rows by how much they help a net on reference rows: higher is more helpful.

    The score of a row is the inner product of two gradients, <∇ loss of the row, ∇ target>, the
    influence function with the inverse Hessian replaced by the identity [1]_ (TracIn with one
    checkpoint [2]_). To first order it says how much the target (by default the mean loss over
    the reference rows) would rise if the row were left out; negative rows are detrimental. All
    rows are scored by one forward-mode pass; no row's gradient is ever formed.

    Parameters
    ----------
    estimator : skorch net, default=None
        Classifier or regressor; a clone of it is fitted. A fitted net in
        :class:`sklearn.frozen.FrozenEstimator` is scored as it is. None: a
        :class:`~skinfluence.nets.TabularClassifier` or
        :class:`~skinfluence.nets.TabularRegressor`, as y asks.
    target : Target or callable, default=None
        What the reference rows are asked, larger is worse; None is
        :class:`~skinfluence.targets.Utility`. A callable gets ``(outputs, y)`` of the reference
        rows and returns a scalar tensor.
    normalize : {None, "rows", "reference", "both"}, default=None
        Divide by the norm of the scored row's gradient, by each reference row's before they are
        added, or both (the mean cosine). None is the paper's inner product, which rows with large
        gradients dominate.
    classwise : bool, default=False
        Keep one direction a class of reference rows, and take a row's worst score over them.
    parameters : str or list of str, default="*"
        Globs over parameter names, such as ``"head.*"``: the parameters whose gradients count.
    validation_fraction : float, default=0.2
        Share of the rows split off as reference rows (of each class alike) when `fit` gets no
        ``X_val``. The net is not trained on them.
    check_gradients : bool, default=True
        Check a few rows against plain autograd in `fit`, and raise where they differ.
    random_state : int, RandomState instance or None, default=None
        Seeds the split, the net's initial weights and its training.
    verbose : int, default=0
        1 shows a progress bar over the batches that are scored.

    Attributes
    ----------
    estimator_ : skorch net
        The fitted net.
    scores_ : ndarray of shape (n_samples,)
        Scores of the rows given to `fit`. Rows in `reference_indices_` have a part in the
        direction that scores them.
    reference_indices_ : ndarray or None
        Rows that were split off as reference rows; None when ``X_val`` was given.
    classes_ : ndarray of shape (n_classes,)
        Class labels; only for classifiers.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Only when X has string column names.

    Warns
    -----
    RuntimeWarning
        When the net has an operation without a forward-mode rule, and scoring takes twice as long.

    Notes
    -----
    Reference rows decide the sign. With wrong labels among them as often as among the rest, plain
    inner products find wrong labels worse than chance does; give trusted ``X_val, y_val``, or use
    ``normalize="reference", classwise=True``, or :class:`NoisyLabelDetector`, which is made for it.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, "Revisit, Extend, and Enhance Hessian-Free Influence Functions",
       arXiv 2405.17490.
    .. [2] Pruthi, Liu, Kale, Sundararajan, "Estimating Training Data Influence by Tracing
       Gradient Descent", NeurIPS 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceScorer
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = InfluenceScorer(random_state=0).fit(X, y)
    >>> scorer.score_samples(X, y).shape
    (150,)
    >>> scorer.transform(X[:2]).shape  # the score under each of the three labels
    (2, 3)
    """

    # With metadata routing enabled, reference rows come without having to be asked for.
    __metadata_request__fit = {"X_val": True, "y_val": True}

    def __init__(
        self,
        estimator: Any = None,
        *,
        target: Any = None,
        normalize: str | None = None,
        classwise: bool = False,
        parameters: str | list[str] = "*",
        validation_fraction: float = 0.2,
        check_gradients: bool = True,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.target = target
        self.normalize = normalize
        self.classwise = classwise
        self.parameters = parameters
        self.validation_fraction = validation_fraction
        self.check_gradients = check_gradients
        self.random_state = random_state
        self.verbose = verbose

    @in_one_thread
    def fit(self, X: Any, y: Any = None, *, X_val: Any = None, y_val: Any = None) -> Any:
        """Fit the net, find the direction of the target, and score the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), DataFrame, Tensor, dict of arrays or Dataset
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels or numbers; None only where a Dataset carries them.
        X_val, y_val : like X and y, default=None
            Trusted reference rows, none of them in X. A 1-tuple ``(X_val,)`` is the same and is
            not sliced by a cross-validation. None: reference rows are split off X.

        Returns
        -------
        self : InfluenceScorer
        """
        self._check_parameters()
        target = check_target(self.target)
        table = read_table(self, X, y, X_val, y_val)
        self._labels, self._dtype = table.labels, table.dtype
        if table.labels.is_classification:
            self.classes_ = table.labels.classes_
        if table.reference is None:
            rng = np.random.RandomState(table.seed)
            held = check.hold_out(table.y, self.validation_fraction, rng, stratify=table.stratify)
            X_fit, y_fit, reference = table.split(held)
            check.check_reference_size(reference[1], table.labels.classes_)
            self.reference_indices_ = held
        else:
            X_fit, y_fit, reference = table.X, table.y, table.reference
            self.reference_indices_ = None
        self.estimator_, _ = fit_net(table.net, X_fit, y_fit, reference, table.seed)
        fnet = self._functional_net()
        u = directions(
            fnet,
            target,
            *reference,
            is_classification=table.labels.is_classification,
            groups=reference[1].astype(int) if self._by_class() else None,
            normalize=self.normalize in ("reference", "both"),
        )
        if self.check_gradients:
            check_net(fnet, u, X_fit, y_fit)
        self._directions = {name: value.cpu() for name, value in u.items()}
        self._y_dtype = table.y.dtype
        self.scores_ = self._score(fnet, table.X, table.y)
        return self

    @in_one_thread
    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """Score rows; higher is more helpful, negative is detrimental.

        Parameters
        ----------
        X : like X in `fit`
            Rows, of the training set or new.
        y : array-like of shape (n_samples,), default=None
            Their labels. None: the labels that the net predicts.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float64
        """
        check_is_fitted(self)
        X, y = read_rows(self, X, y, self._labels, self._dtype)
        fnet = self._functional_net()
        if y is None:
            if not self._labels.is_classification:
                raise ValueError(
                    "score_samples needs y for a regressor: a row whose target is what the net "
                    "predicts has no gradient, and no influence."
                )
            y = predictions(fnet, X).astype(self._y_dtype)
        return self._score(fnet, X, y)

    @in_one_thread
    def transform(self, X: Any) -> np.ndarray:
        """Score each row under every label, from the same single pass; no y needed.

        Column c holds what `score_samples` gives with label ``classes_[c]``; a row's best column
        is the label that would help most.

        Parameters
        ----------
        X : like X in `fit`

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes), float64
        """
        self._check_has_classes()
        X, _ = read_rows(self, X, None, self._labels, self._dtype)
        fnet = self._functional_net()
        return label_scores(
            fnet,
            self._directions_on(fnet),
            X,
            self._labels.codes_.astype(self._y_dtype),
            normalize=self.normalize in ("rows", "both"),
        )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the columns of `transform`: ``influence_<label>``."""
        self._check_has_classes()
        return np.array([f"influence_{label}" for label in self.classes_], dtype=object)

    def _score(self, fnet: FunctionalNet, X: Any, y: np.ndarray) -> np.ndarray:
        return row_scores(
            fnet,
            self._directions_on(fnet),
            X,
            y,
            normalize=self.normalize in ("rows", "both"),
            progress=self._progress(fnet, n_rows(X)),
        )

    def _check_has_classes(self) -> None:
        check_is_fitted(self)
        if not self._labels.is_classification:
            raise ValueError(
                "transform gives the score under each class label; this scorer was fitted with a "
                "regressor: use score_samples(X, y)."
            )

    def _functional_net(self) -> FunctionalNet:
        return FunctionalNet(self.estimator_, self.parameters)

    def _directions_on(self, fnet: FunctionalNet) -> dict[str, torch.Tensor]:
        return {name: value.to(fnet.device) for name, value in self._directions.items()}

    def _by_class(self) -> bool:
        return bool(self.classwise) and self._labels.is_classification

    def _progress(self, fnet: FunctionalNet, n: int) -> Callable[[Iterator[Any]], Iterator[Any]]:
        total = -(-n // fnet.batch_size) if fnet.batch_size > 0 else 1
        return lambda batches: iter(
            tqdm(batches, desc="scoring", total=total, disable=not self.verbose, leave=False)
        )

    def _check_parameters(self) -> None:
        if self.normalize not in _NORMALIZE:
            raise ValueError(
                f"normalize={self.normalize!r}: expected None, 'rows', 'reference' or 'both'."
            )
        fraction = self.validation_fraction
        if not (isinstance(fraction, Real) and 0 < fraction < 1):
            raise ValueError(
                f"validation_fraction={fraction!r}: expected a number between 0 and 1."
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags
