"""Inner products of pairs of rows equal those of the loop, in blocks of any size."""

import numpy as np
import pytest
import torch
from core_cases import ask, each_batch_size, each_kind, fnet_of, gap
from zoo import assert_close, loop_gradients, make

from skinfluence._core import pairs
from skinfluence._core.directions import Objective
from skinfluence._core.influence import row_scores
from skinfluence._core.net import FunctionalNet
from skinfluence._core.pairs import (
    gradient_rows,
    pair_blocks,
    reference_pairs,
    self_influences,
    unit_pairs,
)
from skinfluence.targets import Utility


def matrix_of(blocks, n, m):
    """Assemble the blocks; each entry must come exactly once."""
    matrix, seen = np.full((n, m), np.nan), np.zeros((n, m), int)
    for rows, columns, block in blocks:
        matrix[rows, columns] = block
        seen[rows, columns] += 1
    assert (seen == 1).all()
    return matrix


def pairs_of(fnet, X, y, target=None):
    return reference_pairs(fnet, Objective(target or Utility(), X, y, True))


def symmetric(fnet, seed=0):
    """A dense P, and a function that multiplies directions with it."""
    width = sum(p.numel() for p in fnet.params.values())
    root = torch.randn(
        width, width, generator=torch.Generator().manual_seed(seed), dtype=fnet.dtype
    )
    P = root @ root.T / width

    def solve(V):
        flat = torch.cat([v.reshape(len(v), -1) for v in V.values()], 1) @ P
        parts = flat.split([v[0].numel() for v in V.values()], 1)
        return {n: u.reshape(v.shape) for (n, v), u in zip(V.items(), parts, strict=True)}

    return P.numpy(), solve


@pytest.mark.parametrize("target", [Utility(), gap], ids=["loss", "gap"])
@each_kind
@each_batch_size
def test_scores_of_pairs_add_up_to_the_score_of_the_row(name, batch_size, target):
    fnet, X, y, _ = fnet_of(name, batch_size=batch_size)
    blocks = list(pair_blocks(fnet, pairs_of(fnet, X[:5], y[:5], target), X, y))
    assert [len(block) for *_, block in blocks] == [len(yb) for _, yb in fnet.batches(X, y)]
    scores = row_scores(fnet, ask(fnet, target, X[:5], y[:5]), X, y)
    assert_close(matrix_of(blocks, len(y), 5).sum(1), scores)


@each_kind
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("held", [1, 2**26], ids=["one batch at a time", "all at once"])
def test_scores_of_pairs_are_the_inner_products_of_the_loop(name, normalize, held, monkeypatch):
    monkeypatch.setattr(pairs, "_MAX_REFERENCE_NUMBERS", held)
    fnet, X, y, net = fnet_of(name, batch_size=3)
    rows = loop_gradients(net, X, y)
    want = rows @ rows[:5].T / 5
    if normalize:
        want /= np.linalg.norm(rows, axis=1, keepdims=True)
    blocks = list(pair_blocks(fnet, pairs_of(fnet, X[:5], y[:5]), X, y, normalize=normalize))
    assert len(blocks) == 3 * (2 if held == 1 else 1)
    assert_close(matrix_of(blocks, len(y), 5), want)


@each_kind
@pytest.mark.parametrize("dense", [1, 2**24], ids=["one row at a time", "one batch at a time"])
def test_pairs_under_a_curvature_are_those_of_the_dense_matrix(name, dense, monkeypatch):
    monkeypatch.setattr(pairs, "_MAX_GRADIENT_NUMBERS", dense)
    fnet, X, y, net = fnet_of(name, batch_size=3)
    P, solve = symmetric(fnet)
    rows = loop_gradients(net, X, y)
    blocks = pair_blocks(fnet, pairs_of(fnet, X[:5], y[:5]), X, y, solve=solve)
    assert_close(matrix_of(blocks, len(y), 5), rows @ P @ rows[:5].T / 5)


def test_a_row_without_a_gradient_scores_0_even_if_normalized():
    net, X, y = make("mlp")
    fnet = FunctionalNet(net)
    pairs = pairs_of(fnet, X, y)
    with torch.no_grad():
        net.module_[2].weight.zero_()
        net.module_[2].bias.copy_(torch.tensor([1e4, 0.0, 0.0]))  # certain of class 0
    ((_, _, block),) = pair_blocks(fnet, pairs, X, y, normalize=True)
    assert (block[y == 0] == 0).all()
    assert np.abs(block[y != 0]).max() > 0


@each_kind
def test_unit_reference_rows_give_the_projection_on_each(name):
    fnet, X, y, net = fnet_of(name, batch_size=3)
    rows = loop_gradients(net, X, y)
    unit = rows[:5] / np.linalg.norm(rows[:5], axis=1, keepdims=True)
    blocks = pair_blocks(fnet, unit_pairs(fnet, pairs_of(fnet, X[:5], y[:5])), X, y)
    assert_close(matrix_of(blocks, len(y), 5), rows @ unit.T)


@each_kind
@pytest.mark.parametrize("dense", [1, 2**24])
def test_gradient_rows_are_those_of_the_loop(name, dense, monkeypatch):
    monkeypatch.setattr(pairs, "_MAX_GRADIENT_NUMBERS", dense)
    fnet, X, y, net = fnet_of(name, batch_size=3)
    found = list(gradient_rows(fnet, X, y))
    flat = [torch.cat([g.reshape(len(g), -1) for g in part.values()], 1) for part in found]
    got = torch.cat(flat)
    assert_close(got.numpy(), loop_gradients(net, X, y))


@each_kind
@each_batch_size
def test_self_influences_are_the_diagonal(name, batch_size):
    fnet, X, y, net = fnet_of(name, batch_size=batch_size)
    rows = loop_gradients(net, X, y)
    assert_close(self_influences(fnet, X, y), (rows**2).sum(1))
    P, solve = symmetric(fnet)
    assert_close(self_influences(fnet, X, y, solve), np.einsum("np,pq,nq->n", rows, P, rows))


def test_a_nan_in_a_pair_is_an_error():
    fnet, X, y, _ = fnet_of("mlp")
    pairs = pairs_of(fnet, X[:2], y[:2])
    X[3] = np.nan
    with pytest.raises(ValueError, match="1 of 7 rows have a NaN"):
        list(pair_blocks(fnet, pairs, X, y))
