"""Normal equations across factors, beside dense ones."""

import numpy as np
import pytest

from flatmin.linalg.kernels import Cells
from flatmin.linalg.kernels.cross_products import cross_product


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("k", [1, 3])
def test_cross_product_is_that_of_dense_matrices(k, threads, monkeypatch):
    monkeypatch.setattr("flatmin.linalg.kernels.parallel.LEAST_WORK", 10)
    rng = np.random.default_rng(0)
    seen = rng.random((9, 7)) < 0.5
    seen[3], seen[:, 2] = False, False
    squares = rng.uniform(0.5, 2, seen.sum())
    L, R, Q = rng.standard_normal((9, k)), rng.standard_normal((7, k)), rng.standard_normal((7, k))
    W = np.zeros(seen.shape)
    W[seen] = squares
    cells = Cells.from_positions(*np.nonzero(seen), seen.shape, threads)
    np.testing.assert_allclose(cross_product(cells, squares, L, R, Q), (W * (L @ Q.T)) @ R, atol=1e-12)
    P = rng.standard_normal((9, k))
    across = cells.transposed
    found = cross_product(across, across.arranged(squares), R, L, P)
    np.testing.assert_allclose(found, (W * (P @ R.T)).T @ L, atol=1e-12)
