"""Symmetric matrices: signs of eigenvalues."""

import numpy as np
import pytest

from flatmin.cones import Symmetric
from flatmin.measurements import Identity, RankOne

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


def test_lifted_maps_and_normal_matrices_are_those_of_factors():
    rng = np.random.default_rng(2)
    model = CONE.quadratic_map(RankOne(rng.standard_normal((6, 4))), 0.5)
    x = rng.standard_normal((8, 2)) * np.repeat([[1.0, 0.0], [0.0, 1.0]], 4, axis=0)
    W = np.stack([x[:4] @ x[:4].T, x[4:] @ x[4:].T])
    np.testing.assert_allclose(model.lifted_value(W), model.value(x), atol=1e-12)
    y = rng.standard_normal(6)
    assert y @ model.lifted_value(W) == pytest.approx(np.vdot(model.dual_blocks(y), W) / 2)
    np.testing.assert_allclose(model.lifted_canonical(W)[1][:2], model.canonical(x)[1], atol=1e-12)
    J = np.stack([model.bilinear(x, E) for E in np.eye(16).reshape(16, 8, 2)], axis=1).reshape(6, 8, 2)
    identity = np.broadcast_to(np.eye(4), (2, 4, 4))
    np.testing.assert_allclose(model.normal_matrix(W, identity), np.einsum("mnk,pnk->mp", J, J), atol=1e-10)
