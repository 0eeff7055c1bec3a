"""Short gradients are not projected; the projection of long ones preserves inner products."""

import numpy as np
import pytest
import torch
from zoo import assert_close, loop_gradients, make

from skinfluence._core.net import FunctionalNet
from skinfluence._core.projection import Projection, flat_rows


@pytest.fixture(scope="module")
def case():
    net, X, y = make("mlp", batch_size=3)
    return FunctionalNet(net), X, y, loop_gradients(net, X, y)


def test_gradients_with_few_numbers_are_not_projected(case):
    fnet, X, y, rows = case
    projection = Projection(fnet, rows.shape[1], np.random.RandomState(0))
    assert_close(projection.rows(fnet, X, y), rows)


def test_projected_gradients_are_those_of_the_loop_times_the_matrix(case):
    fnet, X, y, rows = case
    projection = Projection(fnet, 10, np.random.RandomState(0))
    got = projection.rows(fnet, X, y)
    assert got.shape == (len(y), 10)
    assert_close(got, rows @ projection.matrix.T)


def test_inner_products_are_preserved_on_average_over_the_matrices(case):
    fnet, X, y, rows = case
    products = []
    for seed in range(200):
        short = Projection(fnet, 40, np.random.RandomState(seed)).rows(fnet, X, y)
        products.append(short @ short.T)
    error = np.mean(products, axis=0) - rows @ rows.T
    assert np.abs(error).max() < 5 * (np.std(products, axis=0) / 200**0.5).max()


def test_flat_rows_put_the_parameters_side_by_side():
    rows = {"weight": torch.arange(8).reshape(2, 2, 2), "bias": torch.zeros(2, 1)}
    assert flat_rows(rows).tolist() == [[0, 1, 2, 3, 0], [4, 5, 6, 7, 0]]
