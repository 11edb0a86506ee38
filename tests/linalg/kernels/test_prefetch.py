"""Loops that ask for rows of a large table in advance return what they return for a small one."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from flatmin.linalg.kernels.cells import Cells
from flatmin.linalg.kernels.cross_products import cross_product
from flatmin.linalg.kernels.prefetch import AHEAD, SMALL


@pytest.mark.parametrize("k", [1, 3, 40])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_large_tables(k, kind):
    rng, shape = np.random.default_rng(0), (30, SMALL // k + 10)
    places = np.sort(rng.choice(shape[0] * shape[1], 40 * AHEAD, replace=False))
    rows, cols = np.divmod(places, shape[1])
    cells = Cells.from_positions(rows, cols, shape)
    values, L, R, D = (
        rng.standard_normal(size).astype(kind) for size in (len(rows), (30, k), (shape[1], k), (shape[1], k))
    )
    V, close = csr_array((values, (rows, cols)), shape=shape), {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(cells.product(values, R), V @ R, **close)
    np.testing.assert_allclose(cells.sampled(L, R), np.einsum("ij,ij->i", L[rows], R[cols]), **close)
    grams = np.zeros((30, k, k), kind)
    np.add.at(grams, rows, R[cols][:, :, None] * R[cols][:, None, :])
    np.testing.assert_allclose(cells.grams(R), grams, **close)
    pulled = np.zeros((30, k))
    np.add.at(pulled, rows, (values**2 * np.einsum("ij,ij->i", L[rows], D[cols]))[:, None] * R[cols])
    np.testing.assert_allclose(cross_product(cells, values**2, L, R, D), pulled, **close)


def test_values_in_another_order():
    order = np.random.default_rng(0).permutation(2 * SMALL)
    cells = Cells(
        (1, 2 * SMALL), np.array([0, 2 * SMALL]), np.arange(2 * SMALL, dtype=np.int32), order.astype(np.int32)
    )
    values = order + 0.5
    np.testing.assert_array_equal(cells.arranged(values), values[order])
    np.testing.assert_array_equal(cells.returned(cells.arranged(values)), values)
