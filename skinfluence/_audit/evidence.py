"""From predictions to statements about rows: wrong, unclear or right, and how far to trust them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from skinfluence._audit.one_column import SURE, as_numbers, tree_skill

STATES = WRONG, UNCLEAR, RIGHT = ("wrong", "unclear", "right")

ODDS = 3  # a label is called wrong, or right, if the odds are at least 3 to 1

FAR, NEAR = 4.0, 2.5  # standard deviations of a wrong number, and of a right one

NEIGHBORS = 200  # rows with similar predictions that share one estimate of the usual error

MIN_Z = 3.0  # a link between predictions and labels is real from 3 standard errors on


@dataclass(frozen=True)
class Trust:
    """How well the nets predict labels of rows that they were not trained on.

    Attributes
    ----------
    measure : {"accuracy", "R²"}
        What `value` is.
    value : float
        Accuracy or R² on held-out rows.
    margin : float
        Half of the 95% interval of the accuracy; 0 for R².
    chance : float
        Accuracy of always predicting the most frequent class; 0 for R².
    has_learned : bool
        Whether held-out predictions are linked to the labels at all. If not, no row can be judged.
    tied : int
        Number of rows that share their score with another row.
    sole_columns : list of str
        Columns of the frame that predict the label almost perfectly, each by itself.
    """

    measure: str
    value: float
    margin: float
    chance: float
    has_learned: bool
    tied: int
    sole_columns: list[str]


def class_states(scores: np.ndarray, given: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """State of each label, from log-odds and out-of-sample probabilities.

    A label is wrong if both say so at odds of at least 3 to 1: the log-odds, which combine all
    signals but are overconfident where classes overlap, and the nets that were not trained on the
    row, compared with the label that they suggest. A label is right if the log-odds favor it at 3
    to 1 and the nets suggest it. All others are unclear.
    """
    best = probabilities.argmax(1)
    of_given = probabilities[np.arange(len(given)), given]
    is_sure = probabilities.max(1) >= ODDS * of_given
    is_wrong = (scores <= -np.log(ODDS)) & (best != given) & is_sure
    is_right = (scores >= np.log(ODDS)) & (best == given)
    return _states(is_wrong, is_right)


def number_scores(given: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Minus the error of each prediction, in standard deviations of the usual error.

    The usual error is the median absolute error of about 200 rows with similar predictions: large
    prices, for example, are predicted less exactly than small ones. The medians of neighboring
    groups of rows are interpolated. They are at least a twentieth of the median of all rows.
    """
    error = np.abs(given - predicted)
    order = np.argsort(predicted, kind="stable")
    groups = np.array_split(order, max(1, round(2 * len(order) / NEIGHBORS) - 1))
    pairs = [np.concatenate(groups[i : i + 2]) for i in range(max(1, len(groups) - 1))]
    centers = [np.median(predicted[pair]) for pair in pairs]
    usual = np.interp(predicted, centers, [np.median(error[pair]) for pair in pairs])
    floor = max(np.median(error) / 20, np.finfo(float).tiny)
    return -error / (1.4826 * np.maximum(usual, floor))  # 1.4826: to a normal standard deviation


def number_states(scores: np.ndarray) -> np.ndarray:
    """State of each number, from `number_scores`."""
    return _states(scores <= -FAR, scores >= -NEAR)


def class_trust(
    scores: np.ndarray, given: np.ndarray, probabilities: np.ndarray, frame: pd.DataFrame
) -> Trust:
    """Trust in held-out predictions of classes.

    Predictions are linked to the labels if the given label gets a higher probability than it would
    get if predictions and labels were paired at random. Unlike the accuracy, this also works
    if one class is so frequent that it is always predicted.
    """
    n = len(given)
    shares = np.bincount(given, minlength=probabilities.shape[1]) / n
    gain = probabilities[np.arange(n), given] - probabilities @ shares
    accuracy = float((probabilities.argmax(1) == given).mean())
    return Trust(
        measure="accuracy",
        value=accuracy,
        margin=float(1.96 * np.sqrt(accuracy * (1 - accuracy) / n)),
        chance=float(shares.max()),
        has_learned=bool(gain.mean() > MIN_Z * gain.std() / np.sqrt(n)),
        tied=_count_tied(scores),
        sole_columns=_sole_columns(frame, given) if accuracy >= 0.98 else [],
    )


def number_trust(scores: np.ndarray, given: np.ndarray, predicted: np.ndarray) -> Trust:
    """Trust in held-out predictions of numbers: they are linked if their ranks are correlated."""
    is_constant = predicted.max() == predicted.min()
    correlation = 0.0 if is_constant else spearmanr(given, predicted).statistic
    return Trust(
        measure="R²",
        value=float(1 - ((given - predicted) ** 2).mean() / given.var()),
        margin=0.0,
        chance=0.0,
        has_learned=bool(correlation > MIN_Z / np.sqrt(len(given))),
        tied=_count_tied(scores),
        sole_columns=[],
    )


def _states(is_wrong: np.ndarray, is_right: np.ndarray) -> np.ndarray:
    return np.array(STATES, dtype=object)[np.where(is_wrong, 0, np.where(is_right, 2, 1))]


def _count_tied(scores: np.ndarray) -> int:
    _, counts = np.unique(scores, return_counts=True)
    return int(counts[counts > 1].sum())


def _sole_columns(frame: pd.DataFrame, given: np.ndarray, most: int = 20_000) -> list[str]:
    """Columns from which the labels of held-out rows follow almost perfectly."""
    rows = np.linspace(0, len(given) - 1, min(len(given), most)).astype(int)

    def skill(name: str) -> float:
        column = as_numbers(frame[name].iloc[rows])
        return tree_skill(column[:, None], given[rows], is_regression=False, n_folds=2)

    return [name for name in map(str, frame) if skill(name) >= SURE]
