"""InfluenceScorer: fits a net, asks the target of reference rows, scores any rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from skinfluence import _validation as check
from skinfluence._functional import FunctionalNet, n_rows
from skinfluence._influence import directions, predictions, reference_pairs
from skinfluence._panel import Mean, Panel, Ranks, Voices, Votes
from skinfluence._selfcheck import check_net
from skinfluence._table import Table, read_rows, read_table
from skinfluence._training import Snapshots, fit_net, in_one_thread, snapshots_of
from skinfluence.attacks import attack_rows
from skinfluence.curvature import check_curvature
from skinfluence.ensembles import Ensemble, Training, check_ensemble
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
        :class:`~skinfluence.targets.Utility`. See :mod:`skinfluence.targets` for fairness and
        robustness. A callable gets ``(outputs, y)`` of the reference rows (and
        ``sensitive_features=``, where they were given) and returns a scalar tensor.
    ensemble : Ensemble, default=None
        Where gradients are taken: at several members instead of the one fitted net; see
        :mod:`skinfluence.ensembles`.
    curvature : Curvature, default=None
        What the direction of the target is multiplied with, an estimate of the inverse Hessian of
        the training loss; see :mod:`skinfluence.curvature`. None is the identity.
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
        Seeds the split, the net's initial weights and its training, and the ensemble.
    verbose : int, default=0
        1 shows progress bars: over trainings, members, and the batches that are scored.

    Attributes
    ----------
    estimator_ : skorch net
        The fitted net (of several, the first).
    estimators_ : list of skorch nets
        All fitted nets; more than one only with :class:`~skinfluence.ensembles.Seeds`.
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
    __metadata_request__fit = dict.fromkeys(check.REFERENCE_ARGUMENTS, True)

    def __init__(
        self,
        estimator: Any = None,
        *,
        target: Any = None,
        ensemble: Any = None,
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
        sensitive_features : array-like of shape (n_samples,) or (n_samples, k), default=None
            Group of each row of X, for a target that compares groups; several columns are crossed.
            The split takes its share from each group.
        sensitive_features_val : like `sensitive_features`, default=None
            Group of each row of ``X_val``.

        Returns
        -------
        self : InfluenceScorer
        """
        self._check_parameters()
        target, ensemble = check_target(self.target), check_ensemble(self.ensemble)
        curvature = check_curvature(self.curvature)
        table = read_table(self, X, y, X_val, y_val)
        self._labels, self._dtype, self._y_dtype = table.labels, table.dtype, table.y.dtype
        if table.labels.is_classification:
            self.classes_ = table.labels.classes_
        of_rows, of_val = check.check_groups(
            sensitive_features, sensitive_features_val, len(table.y), table.reference
        )
        X_fit, y_fit, (X_ref, y_ref) = self._part(table, of_rows)
        groups = of_val
        if of_rows is not None:
            groups = of_rows[self.reference_indices_] if of_val is None else of_val
            check.check_groups_present(groups, of_rows)
        trainings = self._train(table, ensemble, X_fit, y_fit, (X_ref, y_ref))
        fnet = self._functional_net()
        question = {
            "target": target,
            "X": attack_rows(target, self.estimator_, X_ref, y_ref),
            "y": y_ref,
            "is_classification": table.labels.is_classification,
            "classes": table.labels.columns_,
            "metadata": {} if groups is None else {"sensitive_features": groups},
        }
        if self.check_gradients:
            check_net(fnet, directions(fnet, **question), X_fit, y_fit)
        rng = np.random.RandomState(table.seed)
        members = ensemble.members(trainings, fnet, next(iter(fnet.batches(X_fit)))[0], rng)
        bend = curvature and partial(curvature.prepare, X=X_fit, y=y_fit, rng=rng)
        self._panel = self._convene(ensemble.aggregate, fnet, members, question, bend)
        self.scores_ = self._panel.learn(fnet, table.X, table.y, self._progress(fnet, table.X))
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
        return self._panel.scores(fnet, X, y, self._progress(fnet, X))

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
        return self._panel.label_scores(fnet, X, self._labels.codes_.astype(self._y_dtype))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return names of the columns of `transform`: ``influence_<label>``."""
        self._check_has_classes()
        return np.array([f"influence_{label}" for label in self.classes_], dtype=object)

    def _part(self, table: Table, groups: np.ndarray | None) -> tuple[Any, Any, tuple[Any, Any]]:
        """Return rows and labels to train on, and the reference."""
        self.reference_indices_ = None
        if table.reference is not None:
            return table.X, table.y, table.reference
        rng = np.random.RandomState(table.seed)
        held = check.hold_out(
            table.y, self.validation_fraction, rng, stratify=table.stratify, groups=groups
        )
        X, y, reference = table.split(held)
        check.check_reference_size(reference[1], table.labels.classes_)
        self.reference_indices_ = held
        return X, y, reference

    def _train(
        self, table: Table, ensemble: Ensemble, X: Any, y: Any, reference: tuple[Any, Any]
    ) -> list[Training]:
        """Fit the net as often as the ensemble asks, and keep the states that it asks for."""
        number, trainings = ensemble.n_fits, []
        frozen = isinstance(table.net, FrozenEstimator)
        if frozen and number > 1:
            raise ValueError(
                f"ensemble={ensemble!r} trains the net {number} times, but a frozen net is not "
                "trained: give the unfitted net, or Dropout(), WeightNoise() or Checkpoints()."
            )
        later = np.random.RandomState(table.seed).randint(np.iinfo(np.int32).max, size=number - 1)
        self.estimators_ = []
        for seed in tqdm(
            [table.seed, *map(int, later)], "trainings", disable=not self.verbose or number == 1
        ):
            recorder = Snapshots(ensemble.n_snapshots, ensemble.snapshot_directory(len(trainings)))
            net, states = fit_net(table.net, X, y, reference, seed, recorder)
            if frozen and ensemble.n_snapshots > 1:
                states, rates = _kept_by(net, ensemble.n_snapshots)
            else:
                rates = recorder.learning_rates_ if len(states) > 1 else [1.0]
            self.estimators_.append(net)
            trainings.append(Training(states, rates))
        self.estimator_ = self.estimators_[0]
        return trainings

    def _convene(
        self,
        aggregate: str,
        fnet: FunctionalNet,
        members: list[Any],
        question: dict[str, Any],
        bend: Callable[[FunctionalNet], Any] | None,
    ) -> Panel:
        """Put the question to each member; `bend` gives what multiplies directions at a net."""
        normalize = self.normalize in ("rows", "both")
        bar = tqdm(members, "members", disable=not self.verbose or len(members) == 1)
        if aggregate == "votes":
            if bend is not None:
                raise ValueError(
                    f"curvature={self.curvature!r} multiplies one direction, but votes have one "
                    "for each reference row; use aggregate='mean' or 'ranks'."
                )
            asked = [reference_pairs(fnet.at(m.state), **question) for m in bar]
            rows = [Xb for Xb, _ in asked[0]]  # one copy for all, in memory and in a pickle
            asked = [
                [(Xb, G) for Xb, (_, G) in zip(rows, of_member, strict=True)] for of_member in asked
            ]
            return Votes(members, asked, normalize=normalize)
        of_classes = self.classwise and self._labels.is_classification
        options = {
            "groups": question["y"].astype(int) if of_classes else None,
            "normalize": self.normalize in ("reference", "both"),
        }
        found = []
        for member in bar:
            at = fnet.at(member.state)
            v = directions(at, **question, **options)
            found.append(v if bend is None else bend(at)(v))
        U = [{name: value.cpu() for name, value in u.items()} for u in found]
        voices = Voices(members, U, normalize=normalize)
        return Ranks(voices) if aggregate == "ranks" else Mean(voices)

    def _check_has_classes(self) -> None:
        check_is_fitted(self)
        if not self._labels.is_classification:
            raise ValueError(
                "transform gives the score under each class label; this scorer was fitted with a "
                "regressor: use score_samples(X, y)."
            )

    def _functional_net(self) -> FunctionalNet:
        return FunctionalNet(self.estimator_, self.parameters)

    def _progress(self, fnet: FunctionalNet, X: Any) -> Callable[[Iterator[Any]], Iterator[Any]]:
        total = -(-n_rows(X) // fnet.batch_size) if fnet.batch_size > 0 else 1
        return lambda batches: iter(
            tqdm(batches, desc="scoring", total=total, disable=not self.verbose, leave=False)
        )

    def _check_parameters(self) -> None:
        if self.normalize not in _NORMALIZE:
            raise ValueError(
                f"normalize={self.normalize!r}: expected None, 'rows', 'reference' or 'both'."
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _kept_by(net: Any, number: int) -> tuple[list[Any], list[float]]:
    """At most `number` of the snapshots that a fitted net kept, the last one among them."""
    recorder = snapshots_of(net)
    if recorder is None:
        raise ValueError(
            "the frozen net has no snapshots of its training; fit it with "
            "callbacks=[skinfluence.ensembles.Snapshots(6)], or give the unfitted net."
        )
    states, rates = recorder.states_, recorder.learning_rates_
    chosen = np.unique(np.round(np.linspace(len(states) - 1, 0, number)).astype(int))
    return [states[k] for k in chosen], [rates[k] for k in chosen]
