"""Products with one number in each row of a matrix."""

import numpy as np
import pytest

from flatmin.linalg.kernels.merging import Merging


@pytest.mark.parametrize("valued", [False, True])
def test_products_are_those_of_the_dense_matrix(valued):
    rng = np.random.default_rng(0)
    columns, values = rng.integers(0, 4, 7), rng.standard_normal(7)
    Q = Merging(columns, 5, values if valued else None)
    dense = np.zeros((7, 5))
    dense[np.arange(7), columns] = values if valued else 1
    y, z = rng.standard_normal(5), rng.standard_normal(7)
    np.testing.assert_allclose(Q @ y, dense @ y, atol=1e-15)
    np.testing.assert_allclose(Q.T @ z, dense.T @ z, atol=1e-15)
    np.testing.assert_allclose(abs(Q).T @ z, abs(dense).T @ z, atol=1e-15)
    np.testing.assert_allclose(abs(Q).T.T @ y, abs(dense) @ y, atol=1e-15)
