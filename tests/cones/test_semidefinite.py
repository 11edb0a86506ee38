"""Positive semidefinite matrices: the negative part counts nowhere."""

import numpy as np
import pytest

from flatmin.cones import Semidefinite

CONE = Semidefinite()


def test_decompositions_leave_out_the_negative_part():
    U, s, V = CONE.decompose(np.diag([3.0, -2.0, 1.0]), np.eye(3))
    np.testing.assert_allclose(s, [3, 1])
    np.testing.assert_array_equal(U, V)
    np.testing.assert_allclose((U * s) @ V.T, np.diag([3.0, 0.0, 1.0]), atol=1e-12)


def test_the_dual_norm_is_the_largest_eigenvalue():
    S = np.diag([0.5, -3.0])
    assert CONE.largest_value(S) == pytest.approx(0.5)
    assert CONE.rough_largest_value(-np.eye(2)) == 0
    assert CONE.spectrum(S, S[:, :0], S[:, :0], unit=1 - 1e-4).norm == pytest.approx(0.5)


def test_real_coordinates_of_complex_columns():
    rng = np.random.default_rng(0)
    from flatmin.measurements import Dense

    T = rng.standard_normal((5, 3, 3)) + 1j * rng.standard_normal((5, 3, 3))
    model = CONE.quadratic_map(Dense(T + T.conj().transpose(0, 2, 1)))
    U = rng.standard_normal((3, 2)) + 1j * rng.standard_normal((3, 2))
    assert model.is_complex
    np.testing.assert_array_equal(model.columns(model.real(U)), U)
