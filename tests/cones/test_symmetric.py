"""Symmetric matrices: signs of eigenvalues."""

import numpy as np
import pytest

from flatmin.cones import Symmetric
from flatmin.measurements import Identity

CONE = Symmetric()


def test_decompositions_keep_signs_and_cores_do_not_mix_them():
    U, s, V = CONE.decompose(np.diag([3.0, -2.0, 1.0]), np.eye(3))
    np.testing.assert_allclose(s, [3, 2, 1])
    np.testing.assert_allclose((U * s) @ V.T, np.diag([3.0, -2.0, 1.0]), atol=1e-12)
    assert CONE.core_pairs(U, V) == [(0, 0), (0, 2), (1, 1), (2, 2)]


def test_the_dual_norm_is_the_largest_size_of_an_eigenvalue():
    S = np.diag([0.5, -3.0])
    assert CONE.largest_value(S) == CONE.rough_largest_value(S) == pytest.approx(3)


def test_every_matrix_fits_into_the_largest_width_and_columns_have_one_sign():
    assert CONE.max_width((4, 4)) == 8
    model = CONE.quadratic_map(Identity((3, 3)))
    x = np.zeros((6, 3))
    x[0, 0], x[4, 1] = 1.0, 2.0
    support = model.support(x)
    np.testing.assert_array_equal(support[:3, 0], 1)
    np.testing.assert_array_equal(support[3:, 1], 1)
    np.testing.assert_array_equal(np.sum(support, axis=0), 3)
