"""Rows in each form are sliced, joined and counted alike."""

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from skinfluence._core.tensors import (
    IGNORED,
    as_matrix,
    as_real,
    cast_floats,
    floats_of,
    is_sliceable,
    join_rows,
    n_rows,
    slice_rows,
    wide,
)


def test_a_slice_of_dict_rows_takes_each_entry():
    X = {"a": np.arange(5), "b": torch.arange(5)}
    taken = slice_rows(X, slice(1, 3))
    assert taken["a"].tolist() == taken["b"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("X", "sliceable"),
    [
        (np.zeros((5, 2)), True),
        (torch.zeros(5, 2), True),
        ({"a": np.zeros((5, 2)), "b": torch.zeros(5)}, True),
        (TensorDataset(torch.zeros(5, 2)), False),
        ({"a": [[0.0]] * 5}, False),
    ],
    ids=["array", "tensor", "dict", "dataset", "dict of lists"],
)
def test_rows_of_each_form_are_counted(X, sliceable):
    assert n_rows(X) == 5
    assert is_sliceable(X) is sliceable


def test_shorter_sequences_are_padded_when_joined():
    joined = join_rows([torch.ones(1, 2, dtype=torch.int64), torch.ones(2, 3).long()], IGNORED)
    assert joined.tolist() == [[1, 1, IGNORED], [1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("dtype", "widened"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.int64, torch.int64),
    ],
)
def test_only_half_precision_is_widened(dtype, widened):
    assert wide(torch.zeros(2, dtype=dtype)).dtype is widened


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)], ids=str)
def test_a_complex_tensor_is_seen_as_its_parts_and_any_other_tensor_unchanged(shape):
    z = torch.randn(shape, dtype=torch.complex64)
    for value in (z, z.conj(), z.mT if z.ndim > 1 else z):
        assert torch.equal(as_real(value), torch.stack([value.real, value.imag], -1))
    assert as_real(z).data_ptr() == z.data_ptr()
    size = z.abs()
    assert as_real(size) is size


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 2), (0, 2)], ids=str)
def test_each_entry_of_the_first_axis_becomes_a_row_of_numbers(shape):
    t = torch.randn(shape)
    assert as_matrix(t).shape == (shape[0], int(np.prod(shape[1:])))
    assert torch.equal(as_matrix(t).flatten(), t.flatten())


def test_floats_of_a_dict_are_cast_and_integers_are_not():
    X = {"a": torch.zeros(2), "b": torch.arange(2), "c": ["x", "y"]}
    found = cast_floats(X, torch.float64)
    assert (found["a"].dtype, found["b"].dtype, found["c"]) == (torch.float64, torch.int64, X["c"])
    assert floats_of(X) == [X["a"]]
    assert cast_floats(X, None) is X
