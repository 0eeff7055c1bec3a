"""Pairwise influence: of every row on every reference row, from a fitted `InfluenceScorer`.

Let n be the number of training rows, g_i the gradient of the loss of row i, and P the inverse
curvature or, without a curvature, the identity. Entry (i, j) of the influence matrix is ::

    <g_i, P g_j>

With a curvature, entry (i, j) divided by n is a first-order estimate of how much the loss of
reference row j would rise if training row i were left out. Without a curvature, the entry is how
much the same loss would rise, per unit of learning rate, if one gradient step on row i were undone.
Use such entries only to rank rows. These sentences are about the mean loss over the reference rows.
For another target, they hold for the term of reference row j in the target. The score of training
row i is the mean of the entries (i, j) over all reference rows j.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skinfluence._core.members import Member
from skinfluence._core.pairs import Block, pair_blocks, reference_pairs, unit_pairs
from skinfluence._core.projection import Projection
from skinfluence._core.tensors import n_rows
from skinfluence._data.params import check_int, read_random_state
from skinfluence._fitting.isolation import threads_for
from skinfluence._scorer import InfluenceScorer, fitted_parts
from skinfluence.methods import InnerProduct
from skinfluence.methods._choice import method_of
from skinfluence.stream._output import check_output, reserve

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TopRows", "gradient_features", "influence_matrix", "top_rows"]

_SHOWN_LINES = 20  # when a TopRows is printed


def influence_matrix(
    scorer: InfluenceScorer,
    X: Any,
    y: Any,
    X_val: Any = None,
    y_val: Any = None,
    *,
    out: Any = None,
) -> Any:
    """Compute the influence of each row on each reference row.

    The matrix uses the scorer's target, curvature, parameters and normalization. With an ensemble,
    the matrix is the weighted mean over the members. The inner products are exact. For linear,
    convolutional, embedding and normalization layers, they are computed from layer inputs and
    output gradients, without forming per-row gradients. With a curvature, the gradients of a few
    reference rows are formed at a time.

    Parameters
    ----------
    scorer : InfluenceScorer
        Fitted scorer without ``method``.
    X, y : see :meth:`InfluenceScorer.fit`
        Rows and their labels.
    X_val, y_val : like X and y, default=None
        Reference rows and their labels. None: the reference rows of the scorer's fit.
    out : array of shape (n_samples, n_reference), default=None
        Array into which blocks of the matrix are written: a :class:`numpy.memmap`, a Zarr or HDF5
        array, or any object with ``shape`` and ``out[rows, columns] = block``. None: a new array.

    Returns
    -------
    matrix : ndarray of shape (n_samples, n_reference), float64, or `out`

    Raises
    ------
    OSError
        If `out` is a memmap, and the disk has too little space for it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.pairwise import influence_matrix
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = InfluenceScorer(random_state=0).fit(X[10:], y[10:], X_val=X[:10], y_val=y[:10])
    >>> matrix = influence_matrix(scorer, X[10:], y[10:])
    >>> matrix.shape
    (140, 10)
    >>> bool(np.allclose(matrix.mean(axis=1), scorer.scores_, rtol=1e-4, atol=1e-6))
    True
    """
    pairs = _Pairs(scorer, X, y, X_val, y_val)
    if out is None:
        out = np.empty(pairs.shape)
    else:
        hint = ": one row per row of X, and one column per reference row"
        check_output(out, pairs.shape, hint)
    reserve(out)
    with threads_for(scorer.estimator):
        for rows, columns, block in pairs.blocks():
            out[rows, columns] = block
    return out


@dataclass(repr=False)
class TopRows:
    """The rows that help and the rows that hurt each reference row most, strongest first.

    Attributes
    ----------
    proponents, opponents : ndarray of shape (n_reference, k), int
        Positions in X of the rows that help (proponents) and of the rows that hurt (opponents).
    proponent_scores, opponent_scores : ndarray of shape (n_reference, k)
        Influence of these rows on the reference row.
    """

    proponents: np.ndarray
    proponent_scores: np.ndarray
    opponents: np.ndarray
    opponent_scores: np.ndarray

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one line per reference row and rank.

        Returns
        -------
        frame : pandas.DataFrame
            Indexed by ``reference`` and ``rank``; columns ``proponent``, ``proponent_score``,
            ``opponent`` and ``opponent_score``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        import pandas as pd

        m, k = self.proponents.shape
        index = pd.MultiIndex.from_product([range(m), range(k)], names=["reference", "rank"])
        columns = {
            "proponent": self.proponents.ravel(),
            "proponent_score": self.proponent_scores.ravel(),
            "opponent": self.opponents.ravel(),
            "opponent_score": self.opponent_scores.ravel(),
        }
        return pd.DataFrame(columns, index=index)

    def __repr__(self) -> str:
        """A table with one line per reference row and rank, cut after `_SHOWN_LINES` lines."""
        m, k = self.proponents.shape
        lines = [
            f"{'reference':>9} {'rank':>4}  {'proponent':>9} {'score':>10}  "
            f"{'opponent':>9} {'score':>10}"
        ]
        for j, rank in list(np.ndindex(m, k))[:_SHOWN_LINES]:
            lines.append(
                f"{j:>9} {rank:>4}  {self.proponents[j, rank]:>9} "
                f"{self.proponent_scores[j, rank]:>10.3g}  {self.opponents[j, rank]:>9} "
                f"{self.opponent_scores[j, rank]:>10.3g}"
            )
        if m * k > _SHOWN_LINES:
            lines.append(f"... {m * k} lines in all; to_frame() has every one")
        return "\n".join(lines)


def top_rows(
    scorer: InfluenceScorer,
    X: Any,
    y: Any,
    X_val: Any = None,
    y_val: Any = None,
    *,
    k: int = 10,
) -> TopRows:
    """Find the rows that help (proponents) and hurt (opponents) each reference row most.

    The influence matrix is computed block by block. It is never held in memory as a whole.

    Parameters
    ----------
    scorer, X, y, X_val, y_val : see `influence_matrix`
    k : int, default=10
        Number of proponents and of opponents per reference row.

    Returns
    -------
    top : TopRows
        Among equal scores, the first row comes first.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.pairwise import top_rows
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = InfluenceScorer(normalize="rows", random_state=0).fit(X, y)
    >>> top = top_rows(scorer, X, y, X[:2], y[:2], k=3)
    >>> top.proponents.shape
    (2, 3)
    >>> y[top.proponents].tolist()  # rows of their own class help them
    [[0, 0, 0], [0, 0, 0]]
    """
    pairs = _Pairs(scorer, X, y, X_val, y_val)
    n, m = pairs.shape
    k = check_int("k", k, 1, n, hint=", the number of rows")
    best, worst = ([_Top(k) for _ in range(m)] for _ in range(2))
    with threads_for(scorer.estimator):
        for rows, columns, block in pairs.blocks():
            index = np.arange(rows.start, rows.stop)
            for j, values in zip(range(columns.start, columns.stop), block.T, strict=True):
                best[j].add(index, -values)
                worst[j].add(index, values)
    return TopRows(
        np.stack([top.index for top in best]),
        -np.stack([top.values for top in best]),
        np.stack([top.index for top in worst]),
        np.stack([top.values for top in worst]),
    )


def gradient_features(
    scorer: InfluenceScorer,
    X: Any,
    y: Any,
    *,
    n_components: int = 1000,
    random_state: Any = None,
) -> np.ndarray:
    """Project per-row gradients to a few features whose inner products approximate influence.

    Use this function if the exact matrix takes too much memory or time. The gradient g_i of each
    row is multiplied by a sparse random matrix [1]_. ``features @ features_val.T`` then
    approximates the matrix of plain inner products <g_i, g_j>. The error of an entry is of the
    order of ``‖g_i‖ ‖g_j‖ / sqrt(n_components)``.

    Parameters
    ----------
    scorer : InfluenceScorer
        Fitted scorer. Gradients are taken at the first net of its ensemble; its curvature is not
        used.
    X, y : see :meth:`InfluenceScorer.fit`
    n_components : int, default=1000
        Number of features. If gradients have at most this many entries, they are returned
        unchanged.
    random_state : int, RandomState instance or None, default=None
        Seeds the random matrix. Features from two calls are comparable only with the same seed.

    Returns
    -------
    features : ndarray of shape (n_samples, n_components or fewer)

    References
    ----------
    .. [1] Li, Hastie, Church, "Very Sparse Random Projections", KDD 2006.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceScorer
    >>> from skinfluence.pairwise import gradient_features
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = InfluenceScorer(random_state=0).fit(X, y)
    >>> gradient_features(scorer, X, y, n_components=100, random_state=0).shape
    (150, 100)
    """
    parts = fitted_parts(scorer)
    n_components = check_int("n_components", n_components, 1)
    X, y = parts.read(X, y)
    projection = Projection(parts.fnet, n_components, read_random_state(random_state))
    with threads_for(scorer.estimator):
        return projection.rows(parts.fnet, X, y, parts.progress(X))


class _Pairs:
    """Blocks of the influence matrix of a scorer, averaged over its members."""

    def __init__(self, scorer: InfluenceScorer, X: Any, y: Any, X_val: Any, y_val: Any) -> None:
        self.parts = fitted_parts(scorer)
        method = method_of(scorer)
        if not isinstance(method, InnerProduct):
            raise ValueError(
                f"method={scorer.method!r}: pairwise influence is an inner product of gradients; "
                "fit a scorer without method=."
            )
        self.method = method
        self.X, self.y = self.parts.read(X, y)
        self.objective = self.parts.objective(X_val, y_val)
        self.shape = (n_rows(self.X), n_rows(self.objective.X))

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of the matrix, as weighted means over the members."""
        members = self.parts.members
        weights = np.array([member.weight for member in members])
        # The target is a mean over the m reference rows; a column is m times that row's term.
        weights *= self.shape[1] / weights.sum()
        for together in zip(*(self._of(member) for member in members), strict=True):
            rows, columns, _ = together[0]
            yield rows, columns, np.tensordot(weights, [block for *_, block in together], 1)

    def _of(self, member: Member) -> Iterator[Block]:
        at = self.parts.fnet.at(member.state)
        reference = reference_pairs(at, self.objective)
        if self.method.normalizes_reference:
            m = self.shape[1]
            reference = [(Xr, G / m) for Xr, G in unit_pairs(at, reference)]
        return pair_blocks(
            at,
            reference,
            self.X,
            self.y,
            normalize=self.method.normalizes_rows,
            solve=member.solve,
            progress=self.parts.progress(self.X),
        )


class _Top:
    """The k lowest values so far, and their positions; among equal values, the first are kept."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.index, self.values = np.empty(0, dtype=int), np.empty(0)

    def add(self, index: np.ndarray, values: np.ndarray) -> None:
        index = np.concatenate([self.index, index])
        values = np.concatenate([self.values, values])
        least = np.argsort(values, kind="stable")[: self.k]
        self.index, self.values = index[least], values[least]
