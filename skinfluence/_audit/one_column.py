"""How well a label follows from one column, or from a few, by a shallow tree."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

SURE = 0.98  # skill of a column that gives the label away

MAX_LEAVES = 128


def as_numbers(values: pd.Series) -> np.ndarray:
    """A typed column for a tree: texts as codes, missing values below all others."""
    if not is_numeric_dtype(values):
        return pd.factorize(values, sort=True)[0].astype(np.float64)
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    lowest = np.nanmin(numbers) if not np.isnan(numbers).all() else 0.0
    return np.nan_to_num(numbers, nan=lowest - 1.0)


def tree_skill(X: np.ndarray, y: np.ndarray, is_regression: bool, n_folds: int = 5) -> float:
    """Out-of-sample skill of a shallow tree: 0 for a constant prediction, 1 for a perfect one."""
    model = DecisionTreeRegressor if is_regression else DecisionTreeClassifier
    tree = model(max_leaf_nodes=MAX_LEAVES, min_samples_leaf=2, random_state=0)
    # StratifiedKFold refuses classes that all have fewer rows than there are folds.
    is_stratified = not is_regression and np.bincount(y).max() >= n_folds
    folds = StratifiedKFold if is_stratified else KFold
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        cv = folds(n_folds, shuffle=True, random_state=0)
        predicted = cross_val_predict(tree, X, y, cv=cv)
    return skill_of(predicted, y, is_regression)


def skill_of(predicted: np.ndarray, y: np.ndarray, is_regression: bool) -> float:
    """Share of the errors of a constant prediction that a prediction avoids."""
    if is_regression:
        error, constant = np.mean((predicted - y) ** 2), np.var(y)
    else:
        error, constant = (
            np.mean(predicted != y),
            1 - pd.Series(y).value_counts(normalize=True).max(),
        )
    return float(1 - error / constant) if constant > 0 else 0.0
