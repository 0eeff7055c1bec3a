"""Write a number with its 95 % interval in a form that is not wrapped in a table."""

import numpy as np
from scipy import stats


def unbroken(text):
    """The text with no-break spaces, so that a browser keeps it on one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def shown(values, sign="", decimals=3):
    """Mean ± half the width of its 95 % interval (Student's t); `sign="+"` always writes a sign."""
    n = len(values)
    half = stats.sem(values) * stats.t.ppf(0.975, n - 1) if n > 1 else np.nan
    return unbroken(f"{np.mean(values):{sign}.{decimals}f} ± {half:.{decimals}f}")


def shown_ratio(values):
    """Geometric mean of ratios, with a 95 % interval by Student's t on their logarithms."""
    logs = np.log(values)
    half = stats.sem(logs) * stats.t.ppf(0.975, len(logs) - 1) if len(logs) > 1 else np.nan
    low, mean, high = np.exp(np.mean(logs) + half * np.array([-1, 0, 1]))
    return shown_bounds(mean, low, high)


def shown_bounds(value, low, high):
    """A value with the bounds of its interval."""
    return unbroken(f"{value:.2f} ({low:.2f} to {high:.2f})")
