"""Every parameter of the public functions is checked, and the message names it.

Each case is a valid call; one parameter at a time is replaced by values that no number, array or
choice may have.
"""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from small import blobs, logits_net

from skinfluence import InfluenceScorer, NoisyLabelDetector
from skinfluence.attacks import FGSM, PGD, Crossing
from skinfluence.curvature import CG, EKFAC, DataInf, Exact, LiSSA
from skinfluence.datasets import corrupt_answers, flip_labels, make_noisy_moons
from skinfluence.ensembles import WeightNoise
from skinfluence.metrics import (
    detection_curve,
    leave_one_out_correlation,
    linear_datamodeling_score,
    precision_at_k,
)
from skinfluence.nets import MLP
from skinfluence.pairwise import gradient_features, influence_matrix, top_rows
from skinfluence.plotting import (
    DetectionCurveDisplay,
    ImageGridDisplay,
    InfluenceDisplay,
    RemovalCurveDisplay,
    ScoreDistributionDisplay,
    SuspectRowsDisplay,
    SuspectShareDisplay,
    rows_table,
)
from skinfluence.retraining import draw_subsets, leave_one_out, removal_curve, row_losses
from skinfluence.rules import AdaptiveGreedy, Budget, Reweight, Threshold
from skinfluence.stream import score_stream

N = 24
X, Y = blobs(N)
X = X.astype(np.float32)
SCORES = np.random.RandomState(0).randn(N)
NOISY = np.arange(N) % 3 == 0
MATRIX = np.random.RandomState(1).randn(N, 6)
KEPT = draw_subsets(N, 5, stratify=Y, random_state=0)
NET = logits_net(max_epochs=1).fit(X, Y)
FROZEN = FrozenEstimator(NET)
REFERENCE = {"X_val": X[:6], "y_val": Y[:6]}


def fit(**params):
    return InfluenceScorer(FROZEN, random_state=0, **params).fit(X, Y, **REFERENCE)


SCORER = fit()


def decide(rule, names):
    def call(scores=SCORES, y=Y, **params):
        rescore = [None, lambda rows: -rows] if rule is AdaptiveGreedy else []
        return rule(**params).decide(scores, y, *rescore)

    return call, names + " scores y"


def drawn(display, names):
    return lambda **params: display(**params).plot(), names


def with_curvature(make, names):
    return lambda **params: fit(curvature=make(**params)), names


LOGISTIC = LogisticRegression()
CASES = {
    "Budget": decide(Budget, "fraction per_class action"),
    "Threshold": decide(Threshold, "threshold action"),
    "Reweight": decide(Reweight, "strength"),
    "AdaptiveGreedy": decide(AdaptiveGreedy, "fraction step per_class"),
    "Exact": with_curvature(Exact, "matrix damping"),
    "CG": with_curvature(CG, "matrix damping max_iter tol"),
    "LiSSA": with_curvature(LiSSA, "matrix damping scale n_steps batch_size n_repeats"),
    "EKFAC": with_curvature(EKFAC, "damping corrected n_samples"),
    "DataInf": with_curvature(DataInf, "damping"),
    "InfluenceScorer": (
        fit,
        "normalize classwise parameters check_gradients verbose ensemble target method curvature",
    ),
    "NoisyLabelDetector": (
        lambda **params: NoisyLabelDetector(logits_net(), **params).fit(X, Y),
        "contamination cv checkpoints parameters verbose method random_state",
    ),
    "WeightNoise": (
        lambda **params: fit(ensemble=WeightNoise(**params)),
        "n_members sigma aggregate",
    ),
    "FGSM": (lambda **params: FGSM(**{"eps": 0.1, **params})(NET, X, Y), "eps clip"),
    "PGD": (lambda **params: PGD(**{"eps": 0.1, **params})(NET, X, Y), "eps n_steps step clip"),
    "Crossing": (lambda **params: Crossing(**params)(NET, X, Y), "gamma"),
    "MLP": (MLP, "n_inputs n_outputs hidden dropout"),
    "flip_labels": (
        lambda **p: flip_labels(**{"y": Y, "fraction": 0.5, **p}),
        "y fraction kind random_state",
    ),
    "corrupt_answers": (
        lambda **p: corrupt_answers(**{"answers": Y, "fraction": 0.5, **p}),
        "answers fraction random_state",
    ),
    "make_noisy_moons": (
        make_noisy_moons,
        "n_samples n_reference n_flipped noise reference_noise random_state",
    ),
    "detection_curve": (
        lambda **p: detection_curve(**{"is_noisy": NOISY, "scores": SCORES, **p}),
        "is_noisy scores",
    ),
    "precision_at_k": (
        lambda **p: precision_at_k(**{"is_noisy": NOISY, "scores": SCORES, "k": 3, **p}),
        "is_noisy scores k",
    ),
    "leave_one_out_correlation": (
        lambda **p: leave_one_out_correlation(**{"scores": MATRIX, "changes": MATRIX, **p}),
        "scores changes confidence n_resamples random_state",
    ),
    "linear_datamodeling_score": (
        lambda **p: linear_datamodeling_score(
            **{"scores": SCORES, "kept": KEPT, "outcomes": SCORES[:5], **p}
        ),
        "scores kept outcomes confidence n_resamples random_state",
    ),
    "draw_subsets": (
        lambda **p: draw_subsets(**{"n": N, "n_subsets": 2, **p}),
        "n n_subsets fraction random_state",
    ),
    "leave_one_out": (
        lambda **p: leave_one_out(**{"estimator": LOGISTIC, "X": X, "y": Y, **REFERENCE, **p}),
        "X y rows n_seeds X_val y_val random_state verbose",
    ),
    "removal_curve": (
        lambda **p: removal_curve(
            **{"estimator": LOGISTIC, "X": X, "y": Y, "scores": SCORES, **REFERENCE, **p}
        ),
        "scores fractions highest n_random n_seeds score random_state verbose",
    ),
    "row_losses": (
        lambda **p: row_losses(**{"fitted": LOGISTIC.fit(X, Y), "X": X, "y": Y, **p}),
        "y",
    ),
    "score_stream": (
        lambda **p: score_stream(**{"scorer": SCORER, "X": X, "y": Y, **p}),
        "y chunk_size out verbose",
    ),
    "influence_matrix": (
        lambda **p: influence_matrix(**{"scorer": SCORER, "X": X, "y": Y, **p}),
        "scorer y out",
    ),
    "top_rows": (lambda **p: top_rows(**{"scorer": SCORER, "X": X, "y": Y, **p}), "scorer y k"),
    "gradient_features": (
        lambda **p: gradient_features(**{"scorer": SCORER, "X": X, "y": Y, **p}),
        "scorer y n_components random_state",
    ),
    "InfluenceDisplay": drawn(lambda **p: InfluenceDisplay(**{"matrix": MATRIX, **p}), "matrix y"),
    "RemovalCurveDisplay": drawn(
        lambda **p: RemovalCurveDisplay(**{"fractions": [0, 0.1], "lowest": [1, 2], **p}),
        "lowest highest random",
    ),
    "ScoreDistributionDisplay": drawn(
        lambda **p: ScoreDistributionDisplay(**{"scores": SCORES, **p}),
        "scores threshold is_noisy",
    ),
    "DetectionCurveDisplay": drawn(
        lambda **p: DetectionCurveDisplay(**{"inspected": [0, 1], "found": [0, 1], **p}),
        "found noise_rate roc_auc contamination",
    ),
    "SuspectShareDisplay": drawn(
        lambda **p: SuspectShareDisplay(
            **{"classes": ["a", "b"], "n_rows": [3, 4], "n_suspects": [1, 2], **p}
        ),
        "n_rows n_suspects",
    ),
    "SuspectRowsDisplay": drawn(
        lambda **p: SuspectRowsDisplay(
            **{"names": ["a", "b"], "scores": [1.0, 2.0], "threshold": 1.5, **p}
        ),
        "names scores threshold",
    ),
    "ImageGridDisplay": drawn(
        lambda **p: ImageGridDisplay(**{"images": np.zeros((3, 2, 2)), **p}),
        "images captions columns",
    ),
    "rows_table": (lambda **p: rows_table(**{"scores": SCORES, "X": X, **p}), "scores y n"),
}
BAD = {
    "NaN": np.nan,
    "infinity": np.inf,
    "minus infinity": -np.inf,
    "NaN of NumPy": np.float32("nan"),
    "complex": 1j,
    "other text": "no such value",
    "object": object(),
    "dict": {"a": 1},
    "empty dict": {},
    "set": {1.5},
    "too long": np.full(N + 1, 0.5),
    "empty": np.empty(0),
    "NaN among numbers": np.where(np.arange(N) == 3, np.nan, 0.5),
    "four axes": np.zeros((N, 1, 2, 2, 2)),
}
ANY_TARGETS = ("NaN among numbers", "four axes")  # a rule that picks by score uses no labels
ACCEPTED = {
    ("Budget", "y"): ANY_TARGETS,
    ("Threshold", "y"): ANY_TARGETS,
    ("Reweight", "y"): ANY_TARGETS,
    ("AdaptiveGreedy", "y"): ANY_TARGETS,
    ("InfluenceScorer", "parameters"): ("other text",),  # a pattern; tested elsewhere
    ("NoisyLabelDetector", "parameters"): ("other text",),
    ("MLP", "hidden"): ("empty",),  # a linear model
    ("corrupt_answers", "answers"): ("too long", "empty"),
    ("flip_labels", "y"): ("too long",),
    ("leave_one_out", "X"): ("NaN among numbers", "four axes"),  # the estimator checks its rows
    ("leave_one_out", "rows"): ("empty",),
    ("removal_curve", "fractions"): ("too long",),
    ("score_stream", "out"): ("NaN among numbers",),  # overwritten
    ("ScoreDistributionDisplay", "scores"): ("too long", "empty"),
    ("rows_table", "y"): ("NaN among numbers",),
}
PAIRS = [(case, name) for case, (_, names) in CASES.items() for name in names.split()]


@pytest.mark.parametrize(("case", "name"), PAIRS)
def test_a_value_that_cannot_be_right_is_refused_by_name(case, name):
    for label, value in BAD.items():
        if label in ACCEPTED.get((case, name), ()):
            continue
        with pytest.raises((TypeError, ValueError)) as refused:
            CASES[case][0](**{name: np.copy(value) if isinstance(value, np.ndarray) else value})
        said = str(refused.value)
        # If two arrays differ in length, the message may name the other one.
        assert any(known in said for known in (name, "y has shape", "names has shape")), said


def test_losses_of_rows_are_refused_if_labels_are_missing():
    with pytest.raises(ValueError, match=r"y has shape .*, and X has 24 rows"):
        row_losses(LogisticRegression().fit(X, Y), X, Y[:-1])
    with pytest.raises(ValueError, match="y holds 1 NaN or infinite values"):
        row_losses(Ridge().fit(X, Y), X, np.where(np.arange(N) == 2, np.nan, Y))


@pytest.mark.parametrize("dtype", [int, np.float16, bool, complex, object])
def test_scores_are_written_to_floats_only(dtype):
    for call, shape in ((score_stream, N), (influence_matrix, (N, 6))):
        with pytest.raises(TypeError, match=r"out has dtype .*; scores need float64 or float32"):
            call(SCORER, X, Y, out=np.zeros(shape, dtype=dtype))


def test_scores_are_not_written_to_a_read_only_array():
    out = np.zeros(N)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        score_stream(SCORER, X, Y, out=out)
