"""What the tables of a few seeds show of each number."""

import numpy as np
from scipy import stats


def shown(values, sign=""):
    """Mean, and half the width of its 95 % interval by Student's t; `sign` "+" shows it always."""
    n = len(values)
    half = stats.sem(values) * stats.t.ppf(0.975, n - 1) if n > 1 else np.nan
    return f"{np.mean(values):{sign}.3f} ± {half:.3f}"
