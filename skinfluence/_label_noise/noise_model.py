"""Log-odds that the given label is right, computed from signals about the true label."""

from __future__ import annotations

import numpy as np

_FLOOR = 1e-6  # no single signal can rule a label out


def combined(*signals: np.ndarray) -> np.ndarray:
    """Return the normalized product of distributions over the labels, each (n, n_classes)."""
    return softmax(np.sum([np.log(np.maximum(p, _FLOOR)) for p in signals], axis=0))


def softmax(values: np.ndarray) -> np.ndarray:
    """Softmax of each row: its entries are positive and sum to 1."""
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


class NoiseModel:
    """How often each true class is given each label, estimated by expectation maximization.

    ``transitions[c, l]`` is the share of the rows of true class c that have label l. A given label
    l is suspect if another class c is more plausible *and* rows of class c are often given label l.
    This separates systematic mistakes from rows that are only hard to predict.

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples, n_classes)
        Distribution over the true label of each row. It may be wrong for single rows.
    given : ndarray of shape (n_samples,)
        Position of each row's given label.
    n_iter : int, default=50
        Number of iterations.
    """

    def __init__(self, probabilities: np.ndarray, given: np.ndarray, n_iter: int = 50) -> None:
        n, k = probabilities.shape
        # Sums over the rows of each given label take n k operations; products with a one-hot matrix
        # would take n k².
        order = np.argsort(given, kind="stable")
        present, starts = np.unique(given[order], return_index=True)
        counts = np.zeros((k, k))
        # The prior has the weight of a tenth of the rows: half of this weight is on right labels,
        # and half is spread evenly over all labels. Without a prior, the estimate would be
        # unreliable for small classes.
        prior = 0.1 * n / k * (0.5 * np.eye(k) + 0.5 / k)
        self.transitions = np.where(np.eye(k) == 1, 0.8, 0.2 / max(k - 1, 1))
        for _ in range(n_iter):
            true = probabilities * self.transitions[:, given].T
            true /= true.sum(1, keepdims=True)
            counts[:, present] = np.add.reduceat(true[order], starts).T
            self.transitions = counts + prior
            self.transitions /= self.transitions.sum(1, keepdims=True)

    def log_odds(self, probabilities: np.ndarray) -> np.ndarray:
        """Log-odds that each label would be right if it were the given label: (n, n_classes)."""
        right = probabilities * np.diag(self.transitions)
        wrong = probabilities @ (self.transitions * (1 - np.eye(len(self.transitions))))
        return np.log(np.maximum(right, 1e-300)) - np.log(np.maximum(wrong, 1e-300))
