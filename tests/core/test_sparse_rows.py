"""Rows of a sparse matrix."""

import numpy as np
import pytest
import scipy.sparse as sp

from skinfluence._core.sparse_rows import SparseRows
from skinfluence._core.tensors import is_sliceable, n_rows, slice_rows

DENSE = np.array([[0.0, 1.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 3.0]])


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csr_array])
def test_rows_are_cut_without_becoming_dense(form):
    X = SparseRows(form(DENSE))
    assert (n_rows(X), X.shape, X.dtype) == (3, (3, 3), np.float64)
    assert is_sliceable(X)
    for rows in (slice(1, 3), np.array([2, 0])):
        part = slice_rows(X, rows)
        assert sp.issparse(part.matrix)
        np.testing.assert_array_equal(part.toarray(), DENSE[rows])
    np.testing.assert_array_equal(X[1], DENSE[1])  # a single row, for a DataLoader


def test_a_silent_dense_copy_is_refused():
    with pytest.raises(TypeError, match=r"Give X\.toarray\(\), or put TruncatedSVD in front"):
        np.asarray(SparseRows(sp.csr_matrix(DENSE)))
