"""Quadratic maps of every cone, against their definitions on dense matrices."""

import numpy as np
import pytest

from flatmin.cones import Rectangular, Semidefinite, Symmetric
from flatmin.measurements import Dense

CASES = [(Rectangular(), float), (Semidefinite(), float), (Semidefinite(), complex), (Symmetric(), float)]
cases = pytest.mark.parametrize(("cone", "dtype"), CASES, ids=lambda v: getattr(v, "__name__", type(v).__name__))


def _map(cone, dtype, m=11):
    rng = np.random.default_rng(0)
    T = rng.standard_normal((m, 4, 4)) + (1j * rng.standard_normal((m, 4, 4)) if dtype is complex else 0)
    T = T + T.conj().transpose(0, 2, 1) if cone.is_hermitian else T
    model = cone.quadratic_map(Dense(T), 0.7)
    U, s, V = cone.decompose(*(rng.standard_normal((4, 3)).astype(dtype),) * 2)
    x = model.stack(U, s, V)
    return model, x, model.support(x) * rng.standard_normal(x.shape)


@cases
def test_the_value_is_that_of_the_matrix_and_the_norm_half_the_square(cone, dtype):
    model, x, _ = _map(cone, dtype)
    U, s, V = model.canonical(x)
    Z = (U * s) @ V.conj().T
    np.testing.assert_allclose(model.value(x), 0.7 * model.whitened.forward(Z), atol=1e-10)
    assert np.sum(x**2) / 2 == pytest.approx(s.sum())
    np.testing.assert_allclose(s.sum(), np.linalg.norm(Z, "nuc"))


@cases
def test_the_derivative_is_that_of_the_value(cone, dtype):
    model, x, z = _map(cone, dtype)
    np.testing.assert_allclose(model.value(x + z) - model.value(x - z), 2 * model.bilinear(x, z), atol=1e-10)
    at = model.linearize(x)
    y = np.random.default_rng(1).standard_normal(model.whitened.size)
    np.testing.assert_allclose(at.forward(z), model.bilinear(x, z), atol=1e-10)
    assert np.vdot(at.adjoint(y), z) == pytest.approx(y @ at.forward(z))
    np.testing.assert_allclose(at.adjoint(y), model.apply(model.dual_matrix(y), x), atol=1e-10)
    operator = at.as_linear_operator()
    np.testing.assert_allclose(operator.matvec(z.T.ravel()), at.forward(z), atol=1e-10)


@cases
def test_curvature_and_resolvent_are_those_of_the_symmetric_matrix(cone, dtype):
    model, x, _ = _map(cone, dtype)
    S = model.dual_matrix(np.random.default_rng(2).standard_normal(model.whitened.size))
    S = S / np.linalg.norm(S, 2)
    K = model.curvature(S)
    np.testing.assert_allclose(K @ x, model.apply(S, x), atol=1e-12)
    a, root = model.resolvent(S, 1e-3)
    np.testing.assert_allclose(root @ root @ (a * np.eye(len(K)) - K), np.eye(len(K)), atol=1e-8)
    assert model.resolvent(2 * S, 1e-3) is None or not cone.is_semidefinite or np.linalg.eigvalsh(K)[-1] <= 0.75


@cases
def test_leading_directions_have_the_dual_norm(cone, dtype):
    model, _, _ = _map(cone, dtype)
    S = model.dual_matrix(np.random.default_rng(3).standard_normal(model.whitened.size))
    U, s, V = model.leading(S, 2, 0)
    np.testing.assert_allclose(np.einsum("ij,ij->j", U.conj(), S @ V).real, s, atol=1e-10)
    assert s[0] == pytest.approx(cone.largest_value(S))
    assert cone.rough_largest_value(np.asarray(S)) == pytest.approx(max(cone.largest_value(S), 0), rel=2e-3) or (
        dtype is complex
    )
    assert cone.spectrum(S, U, V, unit=1 - 1e-4).norm >= s[0] * (1 - 1e-12)
    escaping = model.escapes(S, U[:, :1], V[:, :1], 1, 0)
    assert escaping[1][0] < 1e-10 or abs(np.vdot(escaping[0], U[:, :1])) < 1e-10


@cases
def test_the_dual_spectrum_is_that_of_the_blocks(cone, dtype):
    model, _, _ = _map(cone, dtype)
    _assert_spectrum(model)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5)])
def test_the_dual_spectrum_of_matrices_of_any_shape(shape):
    _assert_spectrum(Rectangular().quadratic_map(Dense(np.random.default_rng(0).standard_normal((9, *shape))), 0.7))


def _assert_spectrum(model):
    y = np.random.default_rng(2).standard_normal(model.whitened.size)
    (values, Q), K = model.dual_spectrum(y), model.dual_blocks(y)
    assert np.all(np.diff(values) <= 1e-12)
    np.testing.assert_allclose(K @ Q, Q * values[:, None, :], atol=1e-10)
    np.testing.assert_allclose(Q.swapaxes(1, 2) @ Q, np.broadcast_to(np.eye(K.shape[1]), K.shape), atol=1e-12)
