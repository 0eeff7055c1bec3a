"""Compact row gradients give the same numbers as the gradients themselves."""

import pytest
import torch

from skinfluence._core.factors import Lookup, Outer


def outer(steps, groups, n_in, n_out, n=5):
    generator = torch.Generator().manual_seed(0)
    shape = (n, steps, groups)
    a = torch.randn(*shape, n_in, generator=generator, dtype=torch.float64)
    return Outer(a, torch.randn(*shape, n_out, generator=generator, dtype=torch.float64))


# (steps, groups, in, out): one step; few steps of wide vectors, which take the products of all
# pairs of steps; many steps of narrow ones, which take the dense gradients
SHAPES = [(1, 1, 6, 4), (1, 3, 2, 2), (2, 1, 20, 30), (2, 3, 20, 30), (50, 1, 3, 4), (50, 2, 3, 4)]


def test_the_shapes_take_every_branch():
    takes_gram = [steps * (i + o) < i * o for steps, _, i, o in SHAPES if steps > 1]
    assert takes_gram == [True, True, False, False]


@pytest.mark.parametrize("shape", SHAPES)
def test_square_norms_of_outer_products_are_those_of_the_dense_sum(shape):
    factor = outer(*shape)
    want = factor.dense().flatten(1).square().sum(1)
    torch.testing.assert_close(factor.square_norms(), want, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_gram_of_outer_products_is_that_of_the_dense_sum(shape):
    left = outer(*shape)
    right = Outer(left.a[:3].flip(0), left.d[:3])
    want = left.dense().flatten(1) @ right.dense().flatten(1).T
    torch.testing.assert_close(left.gram(right), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("k", [1, 40])
def test_products_of_outer_products_with_directions_are_those_of_the_dense_sum(shape, k):
    factor = outer(*shape)
    rows = factor.dense().flatten(1)
    generator = torch.Generator().manual_seed(1)
    V = torch.randn(k, rows.shape[1], generator=generator, dtype=rows.dtype)
    c = torch.randn(len(rows), k, generator=generator, dtype=rows.dtype)
    torch.testing.assert_close(factor.inner(V), rows @ V.T, rtol=1e-10, atol=1e-10)
    combined = factor.combine(c)
    assert combined.shape == (k, *factor.dense().shape[1:])
    torch.testing.assert_close(combined.flatten(1), c.T @ rows, rtol=1e-10, atol=1e-10)


def test_steps_with_the_same_index_of_a_lookup_are_summed():
    d = torch.tensor([[[1.0], [2.0], [4.0]]])
    factor = Lookup(torch.tensor([[1, 1, 3]]), d, 5)
    assert factor.dense().flatten().tolist() == [0, 3, 0, 4, 0]
    assert factor.square_norms().tolist() == [25]
    assert factor.gram(factor).tolist() == [[25]]
