"""What the tables of a few seeds show of each number."""

import numpy as np
from scipy import stats


def shown(values, sign=""):
    """Mean, and half the width of its 95 % interval by Student's t; `sign` "+" shows it always."""
    n = len(values)
    half = stats.sem(values) * stats.t.ppf(0.975, n - 1) if n > 1 else np.nan
    return f"{np.mean(values):{sign}.3f} ± {half:.3f}"


def shown_ratio(values):
    """Geometric mean of ratios, with its 95 % interval by Student's t on their logarithms."""
    logs = np.log(values)
    half = stats.sem(logs) * stats.t.ppf(0.975, len(logs) - 1) if len(logs) > 1 else np.nan
    low, mean, high = np.exp(np.mean(logs) + half * np.array([-1, 0, 1]))
    return f"{mean:.2f} ({low:.2f} to {high:.2f})"
