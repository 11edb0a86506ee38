"""All rectangular matrices."""

import numpy as np
import pytest

from flatmin.cones import Rectangular
from flatmin.measurements import Entries

CONE = Rectangular()


def test_the_dual_norm_is_the_operator_norm():
    S = np.random.default_rng(0).standard_normal((5, 7))
    norm = np.linalg.norm(S, 2)
    assert CONE.largest_value(S) == pytest.approx(norm)
    assert CONE.rough_largest_value(S) == CONE.rough_largest_value(S.T) == pytest.approx(norm)
    assert CONE.spectrum(S, S[:, :0], S.T[:, :0], unit=1 - 1e-4).norm == pytest.approx(norm)


def test_normal_matrices_and_blocks_are_those_of_the_derivative():
    rng = np.random.default_rng(1)
    A = Entries(*np.nonzero(np.ones((4, 3))), (4, 3))
    model, x = CONE.quadratic_map(A, 0.5), rng.standard_normal((7, 2))
    J = np.stack([model.bilinear(x, E) for E in np.eye(14).reshape(14, 7, 2)], axis=1).reshape(12, 7, 2)
    P = np.diag(rng.uniform(1, 2, 7))
    want = np.einsum("mnk,np,qpk->mq", J, P, J)
    np.testing.assert_allclose(np.tril(model.normal_matrix((x @ x.T)[None], P[None])), np.tril(want), atol=1e-10)
    np.testing.assert_allclose(model.blocks(x), np.einsum("mnk,mnl->nkl", J, J), atol=1e-10)
    for found, want in zip(model.opposite(x), model.split(x)[::-1], strict=True):
        np.testing.assert_array_equal(found, want)


def test_lifted_maps_are_those_of_factors():
    rng = np.random.default_rng(2)
    model, x = CONE.quadratic_map(Entries(*np.nonzero(np.ones((4, 3))), (4, 3)), 0.5), rng.standard_normal((7, 2))
    W = (x @ x.T)[None]
    np.testing.assert_allclose(model.lifted_value(W), model.value(x), atol=1e-12)
    y = rng.standard_normal(12)
    assert y @ model.lifted_value(W) == pytest.approx(np.vdot(model.dual_blocks(y), W) / 2)
    for found, want in zip(model.lifted_canonical(W), model.canonical(x), strict=True):
        np.testing.assert_allclose(np.abs(found[..., :2]), np.abs(want), atol=1e-12)
