import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.exact.tangent_equations import TangentEquations

M = fm.measurements
RNG = np.random.default_rng(0)


def gaussian(*shape, is_complex=False):
    return RNG.standard_normal(shape) + (1j * RNG.standard_normal(shape) if is_complex else 0.0)


def basis(d, r, is_complex=False):
    return np.linalg.qr(gaussian(d, r, is_complex=is_complex))[0]


def maps():
    A = gaussian(40, 6, 6)
    cells = RNG.choice(42, 36, replace=False)
    yield "dense", TangentEquations(M.Dense(gaussian(40, 7, 6)), basis(7, 2), basis(6, 2))
    yield "vectors", TangentEquations(M.RankOne(gaussian(40, 7), gaussian(40, 6)), basis(7, 2), basis(6, 2))
    entries = M.Entries(*np.divmod(cells, 6), (7, 6), gaussian(36))
    yield "cells", TangentEquations(entries, basis(7, 2), basis(6, 2))
    yield "symmetric", TangentEquations(M.Dense(A + A.transpose(0, 2, 1)), P := basis(6, 2), P, hermitian=True)
    yield "real", TangentEquations(M.RankOne(gaussian(40, 6)), P := gaussian(6, 2), P, hermitian=True)
    vectors = gaussian(60, 6, is_complex=True)
    yield "complex", TangentEquations(M.RankOne(vectors), P := gaussian(6, 2, is_complex=True), P, hermitian=True)


MAPS = dict(maps())
each = pytest.mark.parametrize("tangent", MAPS.values(), ids=MAPS)


@each
def test_the_derivative_is_the_map(tangent):
    x = RNG.standard_normal(tangent.size)
    F, E = tangent.parts(x)
    change = tangent.P @ E.conj().T + F @ tangent.Q.conj().T
    expected = tangent.measurement.forward(change)
    np.testing.assert_allclose(tangent.forward(x), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(tangent.derivative @ x, expected, rtol=1e-10, atol=1e-10)


@each
def test_the_adjoint_is_the_transposed_derivative(tangent):
    y = RNG.standard_normal(tangent.measurement.size)
    np.testing.assert_allclose(tangent.adjoint(y), tangent.derivative.T @ y, rtol=1e-10, atol=1e-10)


@each
def test_injectivity_is_just_below_the_smallest_eigenvalue(tangent):
    least = np.linalg.eigvalsh(tangent.normal)[0]
    assert 0.9 * least < tangent.injectivity < least


@each
def test_the_gauge_moves_no_matrix_but_the_normal_matrix_sees_it(tangent):
    J = tangent.derivative
    J = J.toarray() if hasattr(J, "toarray") else J
    r = tangent.P.shape[1]
    free = r * r if not tangent.hermitian else r * (r - 1) // 2
    free = r * r if np.iscomplexobj(tangent.P) else free
    values = np.linalg.svd(J)[1]
    assert np.sum(values > 1e-10 * values[0]) == tangent.size - free
    assert np.linalg.eigvalsh(tangent.normal)[0] > 1e-6 * values[0] ** 2


@each
def test_least_squares_are_solved(tangent):
    target = tangent.adjoint(RNG.standard_normal(tangent.measurement.size))
    np.testing.assert_allclose(tangent.adjoint(tangent.dual_step(target)), target, rtol=1e-9, atol=1e-9)
    reachable = tangent.forward(RNG.standard_normal(tangent.size))
    np.testing.assert_allclose(tangent.forward(tangent.step(reachable)), reachable, rtol=1e-9, atol=1e-9)


def test_large_maps_are_solved_without_matrices(monkeypatch):
    monkeypatch.setattr("flatmin.proofs.exact.tangent_equations.LARGEST_TANGENT", 0)
    tangent = TangentEquations(M.Dense(gaussian(40, 7, 6)), basis(7, 2), basis(6, 2))
    assert tangent.normal is None
    assert tangent.injectivity == 0
    target = tangent.adjoint(RNG.standard_normal(40))
    np.testing.assert_allclose(tangent.adjoint(tangent.dual_step(target)), target, rtol=1e-9, atol=1e-9)
    reachable = tangent.forward(RNG.standard_normal(tangent.size))
    np.testing.assert_allclose(tangent.forward(tangent.step(reachable)), reachable, rtol=1e-9, atol=1e-9)


def test_too_few_measurements_are_not_injective():
    tangent = TangentEquations(M.Dense(gaussian(10, 7, 6)), basis(7, 2), basis(6, 2))
    assert tangent.injectivity == 0
