"""InfluenceScorer: fits a net, and scores rows by their influence on a target."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skinfluence._base import Estimator
from skinfluence._core.aggregation import Aggregation
from skinfluence._core.directions import Objective
from skinfluence._core.influence import Progress, predicted_outputs, predictions
from skinfluence._core.members import Member
from skinfluence._core.net import FunctionalNet
from skinfluence._core.selfcheck import check_gradients
from skinfluence._data.params import check_bool, check_patterns, check_verbose
from skinfluence._data.reference import (
    REFERENCE_ARGUMENTS,
    check_groups,
    check_groups_present,
    check_reference,
    check_reference_size,
    hold_out,
)
from skinfluence._fitting.checkpoints import Snapshots, checkpoints_of
from skinfluence._fitting.fit import fit_net
from skinfluence._fitting.isolation import in_one_thread, outside_inference_mode
from skinfluence._fitting.training_data import (
    TrainingData,
    read_rows,
    read_training_data,
    read_unlabeled,
)
from skinfluence.attacks import attack_rows
from skinfluence.curvature import check_curvature
from skinfluence.ensembles import Ensemble, Training, check_ensemble
from skinfluence.methods._base import Case, Method
from skinfluence.methods._choice import aggregate, check_votes, method_of
from skinfluence.nets import is_ready_made
from skinfluence.targets import check_target


class InfluenceScorer(TransformerMixin, Estimator):
    """Score rows by how much each row helps a net on reference rows; higher is more helpful.

    The *target* is a number that says how bad the net is. By default, it is the mean loss over the
    reference rows. The score of a row is the inner product of two gradients: the gradient of the
    row's loss and the gradient of the target. This score is the influence function with the inverse
    Hessian replaced by the identity [1]_. It also equals TracIn with one checkpoint [2]_. To first
    order, the score measures how much the target would rise if the row were left out. A row with a
    negative score is therefore detrimental. Scoring takes one forward-mode pass and forms no
    per-row gradient.

    Parameters
    ----------
    estimator : skorch net, default=None
        Classifier or regressor; a clone of it is fitted. If the net has ``warm_start=True``, a
        second call of `fit` continues its training. A fitted net in
        :class:`sklearn.frozen.FrozenEstimator` is used without further training. None means a
        :class:`~skinfluence.nets.TabularClassifier` or a
        :class:`~skinfluence.nets.TabularRegressor`, depending on y.
    target : Target or callable, default=None
        Scalar function of the net's outputs on the reference rows; larger is worse. None means
        :class:`~skinfluence.targets.Utility`, the mean loss. See :mod:`skinfluence.targets` for
        fairness and robustness. A callable gets the outputs and labels of the reference rows,
        ``target(outputs, y)``, and returns a scalar tensor. If sensitive features were given to
        `fit`, the callable also gets ``sensitive_features=``.
    ensemble : Ensemble, default=None
        Rows are scored with the gradients of several nets, and the scores are aggregated. See
        :mod:`skinfluence.ensembles`. None uses the fitted net alone.
    method : Method, default=None
        Score to use instead of the inner product, such as self-influence, the outlier score of the
        gradient, or the loss; see :mod:`skinfluence.methods`. If the method needs no reference
        rows, all rows are used for training.
    curvature : Curvature, default=None
        Estimate of the Hessian of the training loss. The gradient of the target is multiplied by
        the inverse of this estimate; see :mod:`skinfluence.curvature`. None means the identity.
        `retarget` and :mod:`skinfluence.pairwise` reuse the fitted curvature.
    normalize : {None, "rows", "reference", "both"}, default=None
        Which gradients are divided by their norm. "rows": the gradient of the scored row.
        "reference": the gradient of each reference row, before these gradients are added. "both":
        all of them, so that the score is a mean cosine. None: none of them, as in [1]_; rows with
        large gradients then dominate.
    classwise : bool, default=False
        If True, the gradient of the target is computed for the reference rows of each class
        separately. A row then gets one score per class, and the lowest of them is its score.
    parameters : str or list of str, default="*"
        Glob patterns for parameter names, such as ``"head.*"``. Gradients are taken with respect to
        the matching parameters only.
    validation_fraction : float, default=0.2
        If `fit` gets no ``X_val``, it splits off this share of the rows as reference rows,
        stratified by class. The net is not trained on the reference rows.
    check_gradients : bool, default=True
        If True, `fit` also computes the scores of a few rows with plain autograd, and raises an
        error if the two results differ.
    random_state : int, RandomState instance or None, default=None
        Seeds the split, the net's initial weights and its training, and the ensemble.
    verbose : int, default=0
        1 shows progress bars for trainings, ensemble members and scored batches.

    Attributes
    ----------
    estimator_ : skorch net
        The fitted net; the first one if there are several.
    estimators_ : list of skorch nets
        All fitted nets. There is more than one only if the ensemble is
        :class:`~skinfluence.ensembles.Seeds`.
    scores_ : ndarray of shape (n_samples,)
        Scores of the rows given to `fit`. The rows in `reference_indices_` are scored as well,
        although their own gradients contribute to the gradient of the target.
    reference_indices_ : ndarray or None
        Positions of the rows that were split off as reference rows. None if ``X_val`` was given or
        the method needs no reference rows.
    encoder_ : ColumnEncoder or None
        Turns rows into numbers, fitted on the rows of the net; None unless X is a DataFrame of
        mixed columns.
    classes_ : ndarray of shape (n_classes,)
        Class labels; only for classifiers.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Only when X has string column names.

    Warns
    -----
    RuntimeWarning
        If PyTorch has no forward-mode derivative for an operation of the net. Scoring then takes
        twice as long.

    Notes
    -----
    The reference rows decide the sign of the scores. If reference labels are wrong as often as all
    other labels, plain inner products can be worse than chance at finding wrong labels. To avoid
    this, give trusted ``X_val, y_val``, or set ``normalize="reference", classwise=True``, or use
    :class:`NoisyLabelDetector`, which is designed for noisy labels.

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

    _last_fitted_attribute = "scores_"
    classes_: Any
    estimator_: Any
    estimators_: list[Any]

    # With metadata routing enabled, `fit` gets reference rows without a request for them.
    __metadata_request__fit = dict.fromkeys(REFERENCE_ARGUMENTS, True)

    def __init__(
        self,
        estimator: Any = None,
        *,
        target: Any = None,
        ensemble: Any = None,
        method: Any = None,
        curvature: Any = None,
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
        self.ensemble = ensemble
        self.method = method
        self.curvature = curvature
        self.normalize = normalize
        self.classwise = classwise
        self.parameters = parameters
        self.validation_fraction = validation_fraction
        self.check_gradients = check_gradients
        self.random_state = random_state
        self.verbose = verbose

    @in_one_thread
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sensitive_features: Any = None,
        sensitive_features_val: Any = None,
    ) -> Any:
        """Fit the net, compute the gradient of the target, and score the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...), DataFrame, Tensor, dict of arrays or Dataset
            Training rows. If no estimator is given, a DataFrame of pandas or polars may have
            columns of any kind and missing values; a :class:`~skinfluence.columns.ColumnEncoder`
            turns it into numbers. The ready-made nets also take a sparse matrix. Several inputs of
            a net may also be a tuple of arrays, which skorch passes to the module as one argument.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or numbers for regression. May be None only if X is a Dataset of (x, y)
            items.
        X_val, y_val : like X and y, default=None
            Trusted reference rows and their labels; none of these rows may be in X. Inside a
            cross-validation, wrap each of them in a 1-tuple, ``X_val=(X_val,), y_val=(y_val,)``. A
            1-tuple has the same meaning, but cross-validation does not slice it into folds. None:
            reference rows are split off X.
        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), default=None
            Group of each row of X, for a target that compares groups. If there are several columns,
            each combination of their values is a group. If reference rows are split off X, they
            contain the same share of each group.
        sensitive_features_val : like `sensitive_features`, default=None
            Group of each row of ``X_val``.

        Returns
        -------
        self : InfluenceScorer
        """
        self._forget_fit()
        method, ensemble = self._check_parameters()
        curvature = check_curvature(self.curvature)
        self.encoder_ = None  # rows are read without the encoder of an earlier fit
        table = read_training_data(self, X, y, X_val, y_val)
        self._labels, self._dtype, self._y_dtype = table.labels, table.dtype, table.y.dtype
        if table.labels.is_classification:
            self.classes_ = table.labels.classes_
        of_rows, of_val = check_groups(
            sensitive_features, sensitive_features_val, len(table.y), table.reference
        )
        table, X_fit, y_fit, (X_ref, y_ref) = self._part(table, of_rows)
        self.encoder_ = table.encoder
        if of_rows is not None and of_val is None:
            of_val = None if self.reference_indices_ is None else of_rows[self.reference_indices_]
        if of_rows is not None and of_val is not None:
            check_groups_present(of_val, of_rows)
        trainings = self._train(table, ensemble, X_fit, y_fit, (X_ref, y_ref))
        fnet, rng = self._functional_net(), np.random.RandomState(table.seed)
        self._objective = self._objective_on(self.target, X_ref, y_ref, of_val)
        at_net = _attacked(self._objective, self.estimator_)
        if self.check_gradients:
            check_gradients(fnet, X_fit, y_fit)
        if not self._needs_reference and table.reference is None:
            self._objective = at_net = self._objective_on(None, None, None)
        self._members = ensemble.members(trainings, fnet, next(iter(fnet.batches(X_fit)))[0], rng)
        if curvature is not None:
            for member in self._bar(self._members, "curvature"):
                member.solve = curvature.prepare(
                    fnet.at(member.state), X_fit, y_fit, rng, self._bar
                )
        return self._score_training_rows(method, fnet, at_net, table.X, table.y, rng)

    @in_one_thread
    def retarget(
        self,
        target: Any,
        X: Any,
        y: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sensitive_features_val: Any = None,
    ) -> Any:
        """Score rows for another target, with the fitted nets and the fitted curvature.

        Parameters
        ----------
        target : Target, callable or None
            As in the constructor.
        X, y : see `fit`
            Rows to score and their labels; normally the rows given to `fit`.
        X_val, y_val : like X and y, default=None
            New reference rows. None: the reference rows of `fit`.
        sensitive_features_val : array-like of shape (n_reference,) or (n_reference, k), \
                default=None
            Group of each reference row. If neither this argument nor ``X_val`` is given, the groups
            of `fit` are used.

        Returns
        -------
        scorer : InfluenceScorer
            A new fitted scorer. The original scorer does not change.
        """
        check_is_fitted(self)
        other = copy.copy(self).set_params(target=target)
        method, _ = other._check_parameters()
        known = self._objective
        if known.X is None:
            raise ValueError(
                f"method={self.method!r} has no target that could be replaced. Fit a scorer with a "
                "method that uses a target, such as method=None."
            )
        reference = check_reference(X_val, y_val)
        own = reference is None and sensitive_features_val is None
        groups = known.sensitive_features if own else None
        X_ref, y_ref = known.X, known.y
        if reference is not None:
            X_ref, y_ref = read_rows(self, *reference, self._labels, self._dtype)
            other.reference_indices_ = None
        if sensitive_features_val is not None:
            groups = check_groups(None, sensitive_features_val, 0, (X_ref, y_ref))[1]
        other._objective = self._objective_on(target, X_ref, y_ref, groups)
        X, y = read_rows(self, X, y, self._labels, self._dtype)
        if y is None:
            raise ValueError("retarget needs y, the labels of the rows to score, as fit does.")
        at_net = _attacked(other._objective, self.estimator_)
        rng = np.random.RandomState(0)
        return other._score_training_rows(method, self._functional_net(), at_net, X, y, rng)

    @in_one_thread
    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """Score rows; higher is more helpful, negative is detrimental.

        Parameters
        ----------
        X : like X in `fit`
            Training rows or new rows.
        y : array-like of shape (n_samples,), default=None
            Labels of the rows. None: the labels that the net predicts.

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
                    "score_samples needs y for a regressor. The predicted value cannot replace y, "
                    "because the gradient of the loss is zero at a perfect prediction."
                )
            y = predictions(fnet, X).astype(self._y_dtype)
        return self._aggregation.scores(fnet, X, y, self._progress(fnet, X))

    @in_one_thread
    def transform(self, X: Any) -> np.ndarray:
        """Score each row under every label; no y is needed.

        Column c holds the scores that `score_samples` gives when every row has the label
        ``classes_[c]``. The highest score of a row belongs to the label that would help most. Inner
        products, losses and margins are computed for all labels in one pass over the rows; other
        methods take one pass per label.

        Parameters
        ----------
        X : like X in `fit`

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes), float64
        """
        self._check_has_classes()
        X = read_unlabeled(self, X, self._labels, self._dtype)
        return self._aggregation.label_scores(self._functional_net(), X, self._label_codes())

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns of `transform`: ``influence_<label>``."""
        self._check_has_classes()
        return np.array([f"influence_{label}" for label in self.classes_], dtype=object)

    def _part(
        self, table: TrainingData, groups: np.ndarray | None
    ) -> tuple[TrainingData, Any, Any, tuple[Any, Any]]:
        """Return the data as numbers, training rows, their labels, and reference rows.

        If no reference rows are needed, the training rows are returned in their place.
        """
        self.reference_indices_ = None
        if table.reference is not None or not self._needs_reference:
            table = table.encoded()
            return table, table.X, table.y, table.reference or (table.X, table.y)
        rng = np.random.RandomState(table.seed)
        held = hold_out(
            table.y, self.validation_fraction, rng, stratify=table.stratify, groups=groups
        )
        held = held[~table.labels.is_ignored(table.y[held])]
        table = table.encoded(np.setdiff1d(np.arange(len(table.y)), held))
        X, y, reference = table.split(held)
        check_reference_size(reference[1], table.labels.classes_)
        self.reference_indices_ = held
        return table, X, y, reference

    def _train(
        self, table: TrainingData, ensemble: Ensemble, X: Any, y: Any, reference: tuple[Any, Any]
    ) -> list[Training]:
        """Fit the net as many times as the ensemble needs, and keep its checkpoints."""
        number = ensemble.n_fits
        trainings: list[Training] = []
        frozen = isinstance(table.net, FrozenEstimator)
        if frozen and number > 1:
            raise ValueError(
                f"ensemble={ensemble!r} trains the net {number} times, but a frozen net is not "
                "trained. Give the unfitted net, or use Dropout(), WeightNoise() or Checkpoints()."
            )
        warm = getattr(table.net, "warm_start", False) and len(getattr(self, "estimators_", ()))
        starts = self.estimators_ if warm == number else [None] * number
        later = np.random.RandomState(table.seed).randint(np.iinfo(np.int32).max, size=number - 1)
        self.estimators_ = []
        seeds = self._bar([table.seed, *map(int, later)], "trainings")
        for seed, start in zip(seeds, starts, strict=True):
            recorder = Snapshots(ensemble.n_snapshots, ensemble.snapshot_directory(len(trainings)))
            net, states = fit_net(table.net, X, y, reference, seed, recorder, start)
            if frozen and ensemble.n_snapshots > 1:
                states, rates = _kept_by(net, ensemble.n_snapshots)
            else:
                rates = recorder.learning_rates_ if len(states) > 1 else [1.0]
            self.estimators_.append(net)
            trainings.append(Training(states, rates))
        self.estimator_ = self.estimators_[0]
        return trainings

    @property
    def _needs_reference(self) -> bool:
        """Whether reference rows have an effect on the scores."""
        return self.method is None or "target" in self.method.uses

    def _objective_on(self, target: Any, X: Any, y: Any, groups: Any = None) -> Objective:
        labels = self._labels
        return Objective(
            check_target(target), X, y, labels.is_classification, labels.columns_, groups
        )

    def _score_training_rows(
        self,
        method: Method,
        fnet: FunctionalNet,
        objective: Objective,
        X: Any,
        y: np.ndarray,
        rng: np.random.RandomState,
    ) -> InfluenceScorer:
        labels = self._label_codes() if self._labels.is_classification else None
        case = Case(fnet, self._members, X, y, labels, objective, rng, self._bar)
        self._aggregation = aggregate(check_ensemble(self.ensemble).aggregate, method, case)
        if self.check_gradients:
            fnet.expect_recheck()
        self.scores_ = self._aggregation.learn(fnet, X, y, self._progress(fnet, X))
        return self

    def _label_codes(self) -> np.ndarray:
        """The classes, in the form that the net's criterion accepts."""
        codes = self._labels.codes_
        assert codes is not None
        return codes.astype(self._y_dtype)

    def _check_has_classes(self) -> None:
        check_is_fitted(self)
        if not self._labels.is_classification:
            raise ValueError(
                "transform returns scores under each label, but this scorer was fitted with a "
                "regressor; use score_samples(X, y)."
            )

    def _functional_net(self) -> FunctionalNet:
        fnet = FunctionalNet(self.estimator_, self.parameters)
        # `fit` compared a few rows only; a net with branches may treat the rows here differently.
        if self.check_gradients:
            fnet.expect_recheck(2)  # fewer than in fit, for calls with a few rows
        return fnet

    def _progress(self, fnet: FunctionalNet, X: Any) -> Progress:
        return lambda batches: iter(self._bar(batches, "scoring", fnet.n_batches(X)))

    @property
    def _bar(self) -> Callable[..., Any]:
        """Progress bar (items, desc, total=None) -> items; a single item shows no bar."""
        return partial(_show, bool(self.verbose))

    def _check_parameters(self) -> tuple[Method, Ensemble]:
        check_bool("check_gradients", self.check_gradients)
        check_bool("classwise", self.classwise)
        check_verbose(self.verbose)
        check_patterns(self.parameters)
        method, ensemble = method_of(self), check_ensemble(self.ensemble)
        check_votes(ensemble.aggregate, method)
        return method, ensemble

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        tags.input_tags.sparse = is_ready_made(self.estimator)
        return tags


@dataclass
class FittedParts:
    """The parts of a fitted scorer that `pairwise`, `subsets` and `active` may use."""

    scorer: InfluenceScorer
    fnet: FunctionalNet
    members: list[Member]
    aggregation: Aggregation

    def objective(self, X_val: Any = None, y_val: Any = None) -> Objective:
        """Return the target on the checked reference rows; None means the reference rows of fit.

        If the target has an attack, the reference rows are attacked.
        """
        found = self.scorer._objective
        if X_val is not None or y_val is not None:
            X, y = self.read(X_val, y_val, "_val")
            found = replace(found, X=X, y=y, sensitive_features=None)
        return _attacked(found, self.scorer.estimator_)

    def read(self, X: Any, y: Any, suffix: str = "") -> tuple[Any, np.ndarray]:
        """Check labeled rows, and return them in the form that the net accepts."""
        if X is None:
            raise ValueError(f"X{suffix} is None, but y{suffix} was given: give both.")
        scorer = self.scorer
        X, y = read_rows(scorer, X, y, scorer._labels, scorer._dtype)
        if y is None:
            raise ValueError(
                f"y{suffix} is needed: the score of a row depends on the gradient of its loss, and "
                "the loss depends on its label."
            )
        return X, y

    def progress(self, X: Any) -> Progress:
        """Progress bar over the batches of rows."""
        return self.scorer._progress(self.fnet, X)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Mean class probabilities of the fitted nets, (n, n_classes), for checked or new rows."""
        scorer = self.scorer
        rows = read_unlabeled(scorer, X, scorer._labels, scorer._dtype)
        nets = [FunctionalNet(net) for net in scorer.estimators_]
        found = [predicted_outputs(n, rows, is_classification=True) for n in nets]
        # If a frozen net was fitted on labels such as 0 and 2, it also has a column for label 1.
        return np.mean(found, axis=0)[:, scorer._labels.codes_]


def fitted_parts(scorer: Any) -> FittedParts:
    """Return the parts of a fitted scorer; raise TypeError if it is not an InfluenceScorer."""
    if not isinstance(scorer, InfluenceScorer):
        raise TypeError(
            f"scorer={scorer!r}: expected a fitted InfluenceScorer. To use a fitted skorch net, "
            "wrap it: InfluenceScorer(FrozenEstimator(net)).fit(X, y, X_val=X_val, y_val=y_val)."
        )
    check_is_fitted(scorer)
    with outside_inference_mode():  # the copies of the buffers are used with gradients
        fnet = scorer._functional_net()
    return FittedParts(scorer, fnet, scorer._members, scorer._aggregation)


def _attacked(objective: Objective, net: Any) -> Objective:
    """Return the objective; if its target has an attack, attack its reference rows at the net."""
    if objective.X is None:
        return objective
    return replace(objective, X=attack_rows(objective.target, net, objective.X, objective.y))


def _show(verbose: bool, items: Any, desc: str, total: int | None = None) -> Any:
    single = total is None and len(items) == 1
    return tqdm(items, desc, total, disable=not verbose or single, leave=False)


def _kept_by(net: Any, number: int) -> tuple[list[Any], list[float]]:
    """At most `number` of the checkpoints that a fitted net kept, including the last one."""
    recorder = checkpoints_of(net)
    if recorder is None:
        raise ValueError(
            "the frozen net kept no checkpoints of its training. Fit it with "
            "callbacks=[skinfluence.ensembles.Snapshots(6)], or give the unfitted net."
        )
    states, rates = recorder.states_, recorder.learning_rates_
    chosen = np.unique(np.round(np.linspace(len(states) - 1, 0, number)).astype(int))
    return [states[k] for k in chosen], [rates[k] for k in chosen]
