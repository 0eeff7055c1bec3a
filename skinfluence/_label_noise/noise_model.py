"""From beliefs about the true label to the odds that the given one is right."""

from __future__ import annotations

import numpy as np

_FLOOR = 1e-6  # no single evidence rules a label out


def combined(*evidence: np.ndarray) -> np.ndarray:
    """Add the logarithms of distributions over the labels, each (n, n_classes): their own again."""
    return softmax(np.sum([np.log(np.maximum(p, _FLOOR)) for p in evidence], axis=0))


def softmax(values: np.ndarray) -> np.ndarray:
    """Rows that sum to 1."""
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


class NoiseModel:
    """Which class is given the label of which: learned from beliefs, by expectation maximisation.

    ``transitions[c, l]`` is the share of the rows of true class c that carry label l. A label is
    suspect where another class is believed in *and* is known to be given this label: one class
    that is often taken for one other is told from rows that are merely hard.

    Parameters
    ----------
    belief : ndarray of shape (n_samples, n_classes)
        Distribution over the true labels; it need not be the truth about any single row.
    given : ndarray of shape (n_samples,)
        Position of each row's given label.
    """

    def __init__(self, belief: np.ndarray, given: np.ndarray, n_iter: int = 50) -> None:
        n, k = belief.shape
        is_given = np.eye(k)[given]
        # Worth a tenth of the rows, half of it on right labels: small classes need something.
        prior = 0.1 * n / k * (0.5 * np.eye(k) + 0.5 / k)
        self.transitions = np.where(np.eye(k) == 1, 0.8, 0.2 / max(k - 1, 1))
        for _ in range(n_iter):
            true = belief * self.transitions[:, given].T
            true /= true.sum(1, keepdims=True)
            counts = true.T @ is_given + prior
            self.transitions = counts / counts.sum(1, keepdims=True)

    def log_odds(self, belief: np.ndarray) -> np.ndarray:
        """Log-odds that each label, were it given, is right: (n, n_classes)."""
        right = belief * np.diag(self.transitions)
        wrong = belief @ (self.transitions * (1 - np.eye(len(self.transitions))))
        return np.log(np.maximum(right, 1e-300)) - np.log(np.maximum(wrong, 1e-300))
