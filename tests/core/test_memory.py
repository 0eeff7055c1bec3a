"""Batches that do not fit in memory are halved; bytes and precision are recorded."""

import pytest
import torch

from skinfluence._core.memory import (
    OutputWatch,
    WouldWrite,
    WriteGuard,
    in_halves_if_needed,
    is_out_of_memory,
)


def limited_to(n):
    """A function that runs out of memory above n rows, and the sizes of its calls."""
    sizes = []

    def doubled(X, y):
        sizes.append(len(X))
        if len(X) > n:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return X + y

    return doubled, sizes


@pytest.mark.parametrize(("limit", "sizes"), [(7, [7]), (4, [7, 3, 4]), (2, [7, 3, 1, 2, 4, 2, 2])])
def test_a_batch_that_does_not_fit_is_halved(limit, sizes):
    X = torch.arange(7)
    function, seen = limited_to(limit)
    assert torch.equal(in_halves_if_needed(function, X, X), 2 * X)
    assert seen == sizes


def test_a_single_row_that_does_not_fit_raises():
    X = torch.arange(7)
    with pytest.raises(torch.OutOfMemoryError):
        in_halves_if_needed(limited_to(0)[0], X, X)


def test_any_other_error_raises_at_once():
    calls = []

    def fails(X, y):
        calls.append(1)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        in_halves_if_needed(fails, torch.arange(7), torch.arange(7))
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ..."), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for a matmul"), False),
        (RuntimeError("could not execute a primitive"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling ..."), True),
        (RuntimeError("std::bad_alloc"), True),
        (ValueError("a column is named 'out of memory'"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
    ids=str,
)
def test_out_of_memory_errors_are_recognized(error, is_memory):
    assert is_out_of_memory(error) is is_memory


def test_bytes_and_precision_of_all_outputs_are_recorded():
    X = torch.ones(4, 2)
    with OutputWatch() as watch:
        (X + 1).to(torch.float16)
    assert watch.bytes == 8 * 4 + 8 * 2
    assert watch.eps == torch.finfo(torch.float16).eps


@pytest.mark.parametrize(
    "write",
    [
        lambda t: t.add_(1),
        lambda t: t.detach()[1:].zero_(),
        lambda t: torch.add(t, 1, out=t),
        lambda t: t.T.copy_(torch.zeros(2, 3)),
    ],
)
def test_a_guarded_tensor_is_not_written_to(write):
    guarded, other = torch.ones(3, 2), torch.ones(3, 2)
    with WriteGuard([guarded]):
        write(other)
        with pytest.raises(WouldWrite):
            write(guarded)
    assert torch.equal(guarded, torch.ones(3, 2))
    assert not torch.equal(other, guarded)
