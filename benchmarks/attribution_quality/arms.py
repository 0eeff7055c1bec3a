"""The methods of this library: scores of (training row, reference row) pairs, and of rows."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from problem import Kind, Net, Problem
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from skinfluence import InfluenceScorer, NoisyLabelDetector
from skinfluence.curvature import CG, EKFAC, DataInf, Exact, LiSSA
from skinfluence.ensembles import Checkpoints, Dropout, Seeds, WeightNoise
from skinfluence.methods import LayerAware, Loss, Margin, OutlierGradients, SelfInfluence
from skinfluence.pairwise import influence_matrix

try:
    from cleanlab.rank import get_label_quality_scores
except ImportError:
    get_label_quality_scores = None

CHEAP = 2.0  # seconds; what takes less is timed three times


def with_pairs(kind: Kind) -> dict[str, dict[str, Any]]:
    """Arguments of the scorers that compare rows with reference rows.

    By default, EKFAC draws one label per row from the net's predictions. One draw says little
    where the net predicts its labels with probabilities near 1, so 20 draws are measured too.

    Damping is the published one where there is one ("auto"). `Exact` and `CG` use the weight decay,
    which is what the Hessian of the penalized loss adds to the diagonal. With that damping, LiSSA
    would need scale / damping = 10,000 steps; it gets ten times the damping and 200 steps.
    """
    decay = kind.weight_decay
    linear = kind.module.__name__ == "Logistic"
    return {
        "IP": {},
        "IP, unit rows": {"normalize": "rows"},
        "IP, cosine": {"normalize": "both"},
        "IP Ensemble": {"ensemble": WeightNoise() if linear else Dropout()},
        "Checkpoints": {"ensemble": Checkpoints()},
        "Seeds": {"ensemble": Seeds(5)},
        "LayerAware": {"method": LayerAware()},
        "DataInf": {"curvature": DataInf()},
        "KFAC": {"curvature": EKFAC(corrected=False)},
        "EKFAC": {"curvature": EKFAC()},
        "EKFAC, 20 draws": {"curvature": EKFAC(n_samples=20)},
        "EKFAC, Seeds": {"curvature": EKFAC(), "ensemble": Seeds(5)},
        "EKFAC, 20 draws, Seeds": {"curvature": EKFAC(n_samples=20), "ensemble": Seeds(5)},
        "LiSSA": {"curvature": LiSSA(damping=max(10 * decay, 1e-2), n_steps=200)},
        "CG": {"curvature": CG(damping=decay, max_iter=300, tol=1e-3)},
        "Exact": {"curvature": Exact(kind.matrix, damping=decay)},
    }


# Methods with one score per row, without pairs.
OF_ROWS = {
    "IP, class-wise unit": {"normalize": "reference", "classwise": True},
    "IP, class-wise unit, Checkpoints": {
        "normalize": "reference",
        "classwise": True,
        "ensemble": Checkpoints(),
    },
    "SelfInfluence": {"method": SelfInfluence()},
    "SelfInfluence, EKFAC": {"method": SelfInfluence(), "curvature": EKFAC()},
    "SelfInfluence, Checkpoints": {"method": SelfInfluence(), "ensemble": Checkpoints()},
    "OutlierGradients": {"method": OutlierGradients()},
    "OutlierGradients, l1": {"method": OutlierGradients("l1")},
    "OutlierGradients, l2": {"method": OutlierGradients("l2")},
    "Loss": {"method": Loss()},
    "Loss, Checkpoints": {"method": Loss(), "ensemble": Checkpoints()},
    "Margin, Checkpoints": {"method": Margin(), "ensemble": Checkpoints()},
}

# The curvatures that `Comparison.sweep` tries with each damping; nothing above is chosen by it.
SWEEP = {
    "EKFAC, 20 draws": lambda damping: EKFAC(damping, n_samples=20),
    "CG": lambda damping: CG(damping=damping, max_iter=300, tol=1e-3),
}
DAMPINGS = (1e-3, 1e-2, 1e-1, 1.0)


def fitted(problem: Problem, y: np.ndarray, options: dict[str, Any]) -> InfluenceScorer:
    scorer = InfluenceScorer(problem.net, random_state=0, check_gradients=False, **options)
    return scorer.fit(problem.X, y, **problem.reference)


def pairs(problem: Problem, options: dict[str, Any], y: np.ndarray | None = None) -> np.ndarray:
    """Influence of each training row on each reference row, (n, m)."""
    y = problem.y if y is None else y
    scorer = fitted(problem, y, options)
    if "method" not in options:
        return influence_matrix(scorer, problem.X, y)
    X_ref, y_ref = problem.X_ref, problem.y_ref
    of = [
        scorer.retarget(None, problem.X, y, X_val=X_ref[[j]], y_val=y_ref[[j]])
        for j in range(len(y_ref))
    ]
    return np.stack([other.scores_ for other in of], 1)


def of_rows(problem: Problem, options: dict[str, Any]) -> np.ndarray:
    """Scores of the rows where a fifth of the labels are wrong; reference rows are clean."""
    return fitted(problem, problem.y_noisy, options).scores_


def detector(problem: Problem, **reference: Any) -> np.ndarray:
    found = NoisyLabelDetector(problem.net, random_state=0)
    return found.fit(problem.X, problem.y_noisy, **reference).scores_


def cleanlab(problem: Problem) -> np.ndarray:
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    args = problem.net, problem.X, problem.y_noisy
    with torch.random.fork_rng():
        torch.manual_seed(0)
        probabilities = cross_val_predict(*args, cv=folds, method="predict_proba")
    return get_label_quality_scores(problem.y_noisy, probabilities)


def timed(make: Any) -> tuple[Any, float, int]:
    """What `make` returns, its seconds without the trainings, and the number of trainings."""
    times, begun = [], time.perf_counter()
    while not times or (len(times) < 3 and time.perf_counter() - begun < CHEAP):
        trained, before, start = Net.trainings, Net.seconds, time.perf_counter()
        found = make()
        times.append(time.perf_counter() - start - (Net.seconds - before))
    return found, float(np.median(times)), Net.trainings - trained
