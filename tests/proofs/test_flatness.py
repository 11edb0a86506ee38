"""Flatness of any point, against the dense Hessian by finite differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flatmin as fm
from tests.measurements.samples import ALWAYS_COMPLEX, SAMPLES
from tests.referee import hessian, nuclear, objective


def _problem(name, shape=(4, 3), m=9, seed=0, clean=None):
    rng = np.random.default_rng(seed)
    A = SAMPLES[name](rng, shape, m, float)
    return fm.Problem(A, rng.standard_normal(A.size) if clean is None else A.forward_factors(*clean))


def _factors(shape, k, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal((d, k)) for d in shape)


@pytest.mark.sampled(20)
@pytest.mark.parametrize("name", sorted(set(SAMPLES) - ALWAYS_COMPLEX))
@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("interpolating", [False, True])
def test_traces_of_the_dense_hessian(name, width, interpolating):
    L, R = _factors((4, 3), width)
    p = _problem(name, clean=(L, R) if interpolating else None)
    T = p.measurement.matrices()

    def loss(theta):
        left, right = np.split(theta, [L.size])
        X = left.reshape(L.shape) @ right.reshape(R.shape).T
        return np.mean((np.tensordot(T, X) - p.data) ** 2)

    H = hessian(loss, np.concatenate([L.ravel(), R.ravel()]))
    left, right = np.split(np.diag(H), [L.size])
    found = fm.flatness(p, (L, R))
    assert found.hessian_trace == pytest.approx(np.trace(H), rel=1e-8)
    assert found.scaled_trace == pytest.approx(left.sum() / 4 + right.sum() / 3, rel=1e-8)
    assert found.loss == pytest.approx(loss(np.concatenate([L.ravel(), R.ravel()])))
    if interpolating:
        assert found.loss == pytest.approx(0, abs=1e-25)
        assert np.linalg.eigvalsh(H)[0] > -1e-8 * np.trace(H), "a zero-loss point is a minimum"
        assert found.gauss_newton_trace == pytest.approx(np.trace(H), rel=1e-8)


def _hermitian(rng, m, dtype):
    A = rng.standard_normal((m, 3, 3)) + (1j * rng.standard_normal((m, 3, 3)) if dtype is complex else 0)
    return fm.measurements.Dense(A + A.conj().transpose(0, 2, 1))


HERMITIAN = {
    "dense": lambda rng: _hermitian(rng, 6, float),
    "dense, complex": lambda rng: _hermitian(rng, 6, complex),
    "rank one": lambda rng: fm.measurements.RankOne(rng.standard_normal((6, 3))),
    "rank one, complex": lambda rng: fm.measurements.RankOne(rng.standard_normal((6, 3, 2)) @ [1, 1j]),
    "coded diffraction": lambda rng: fm.measurements.CodedDiffraction(rng.standard_normal((2, 3, 2)) @ [1, 1j]),
}


@pytest.mark.parametrize("name", HERMITIAN)
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("interpolating", [False, True])
def test_traces_of_the_dense_hessian_of_gram(name, width, interpolating):
    """``tr H = 8 tr(U* D U) + (4k/m) Σ r_i tr A_i``, in real coordinates with 8k where U is complex."""
    rng = np.random.default_rng(width)
    A, U = HERMITIAN[name](rng), rng.standard_normal((3, width))
    is_complex = np.issubdtype(A.dtype, np.complexfloating)
    if is_complex:
        U = U + 1j * rng.standard_normal(U.shape)
    T = A.matrices()
    measured = np.einsum("mij,jk,ik->m", T, U, U.conj()).real
    p = fm.Problem(A, measured if interpolating else rng.standard_normal(A.size), fm.Gram())

    def loss(theta):
        V = (theta[: U.size] + 1j * theta[U.size :] if is_complex else theta).reshape(U.shape)
        return np.mean((np.einsum("mij,jk,ik->m", T, V, V.conj()).real - p.data) ** 2)

    H = hessian(loss, np.concatenate([U.real.ravel(), U.imag.ravel()]) if is_complex else U.ravel())
    found, scale = fm.flatness(p, (U,)), np.abs(np.diag(H)).sum()
    assert found.hessian_trace == pytest.approx(np.trace(H), abs=1e-8 * scale)
    D = np.einsum("mij,mjk->ik", T, T) / A.size
    gauss_newton = 8 * np.trace(U.conj().T @ D @ U).real
    assert found.gauss_newton_trace == found.scaled_trace == pytest.approx(gauss_newton, rel=1e-10)
    assert found.fibre_minimum == pytest.approx(gauss_newton, rel=1e-10)
    bend = (8 if is_complex else 4) * width * np.mean((measured - p.data) * np.einsum("mii->m", T).real)
    assert found.hessian_trace == pytest.approx(gauss_newton + bend, abs=1e-9 * scale)
    if interpolating:
        assert found.hessian_trace == pytest.approx(gauss_newton, rel=1e-10)
        assert np.linalg.eigvalsh(H)[0] > -1e-8 * np.trace(H), "a zero-loss point is a minimum"
    else:
        assert abs(bend) > 1e-3 * gauss_newton, "off zero loss the two traces differ"


@pytest.mark.parametrize("name", ["dense", "rank one"])
@pytest.mark.parametrize("signature", [(1, 0), (0, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("interpolating", [False, True])
def test_traces_of_the_dense_hessian_of_signed_gram(name, signature, interpolating):
    """``tr H = 8 tr(D (U₊U₊ᵀ + U₋U₋ᵀ)) + (4 (k₊ − k₋)/m) Σ r_i tr A_i``."""
    rng = np.random.default_rng(sum(signature))
    A, columns = HERMITIAN[name](rng), rng.standard_normal((3, sum(signature)))
    T, signs = A.matrices(), np.repeat([1.0, -1.0], signature)
    measured = np.einsum("mij,jk,ik,k->m", T, columns, columns, signs)
    p = fm.Problem(A, measured if interpolating else rng.standard_normal(A.size), fm.SignedGram())

    def loss(theta):
        V = theta.reshape(columns.shape)
        return np.mean((np.einsum("mij,jk,ik,k->m", T, V, V, signs) - p.data) ** 2)

    H = hessian(loss, columns.ravel())
    found, scale = fm.flatness(p, (columns[:, signs > 0], columns[:, signs < 0])), np.abs(np.diag(H)).sum()
    assert found.hessian_trace == pytest.approx(np.trace(H), abs=1e-8 * scale)
    D = np.einsum("mij,mjk->ik", T, T) / A.size
    gauss_newton = 8 * np.trace(columns.T @ D @ columns)
    assert found.gauss_newton_trace == found.scaled_trace == pytest.approx(gauss_newton, rel=1e-10)
    bend = 4 * signs.sum() * np.mean((measured - p.data) * np.einsum("mii->m", T))
    assert found.hessian_trace == pytest.approx(gauss_newton + bend, abs=1e-9 * scale)
    values, Q = np.linalg.eigh(D)
    root = (Q * np.sqrt(values)) @ Q.T
    assert found.fibre_minimum == pytest.approx(8 * nuclear(root @ (columns * signs) @ columns.T @ root), rel=1e-9)
    assert found.loss == pytest.approx(loss(columns.ravel()), rel=1e-12, abs=1e-20)
    if interpolating:
        assert np.linalg.eigvalsh(H)[0] > -1e-8 * np.trace(H), "a zero-loss point is a minimum"


@given(seed=st.integers(0, 99), width=st.integers(1, 5))
def test_invariance_under_rotation(seed, width):
    p, (L, R) = _problem("Dense"), _factors((4, 3), width, seed)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))[0]
    before, after = fm.flatness(p, (L, R)), fm.flatness(p, (L @ Q, R @ Q))
    for name, value in vars(before).items():
        assert getattr(after, name) == pytest.approx(value, rel=1e-9, abs=1e-9), name


@given(seed=st.integers(0, 99), width=st.integers(1, 5))
def test_invertible_changes_keep_the_fibre_and_never_beat_its_minimum(seed, width):
    p, (L, R) = _problem("RankOne"), _factors((4, 3), width, seed)
    G = np.random.default_rng(seed).standard_normal((width, width)) + 3 * np.eye(width)
    before, after = fm.flatness(p, (L, R)), fm.flatness(p, (L @ G, R @ np.linalg.inv(G).T))
    assert after.fibre_minimum == pytest.approx(before.fibre_minimum, rel=1e-7)
    assert before.fibre_minimum == pytest.approx(objective(p, L @ R.T))
    assert min(after.scaled_trace, before.scaled_trace) >= before.fibre_minimum * (1 - 1e-12)


@given(seed=st.integers(0, 99))
def test_layer_rescaling_changes_every_trace(seed):
    """Dinh et al. 2017: no trace is a function of the matrix alone, which is why the fibre minimum is reported."""
    p, (L, R) = _problem("Dense"), _factors((4, 3), 2, seed)
    plain, scaled = fm.flatness(p, (L, R)), fm.flatness(p, (10 * L, R / 10))
    assert scaled.scaled_trace > 3 * plain.scaled_trace
    assert scaled.hessian_trace > 3 * plain.hessian_trace
    assert scaled.loss == pytest.approx(plain.loss)


def test_identity_makes_flat_balanced_and_norm_minimal_the_same():
    M = np.random.default_rng(0).standard_normal((4, 3))
    p = fm.Problem(fm.measurements.Identity((4, 3)), M.ravel())
    found = fm.flat_minimum(p).flatness
    assert found.condition == pytest.approx(1)
    assert found.balance == pytest.approx(0, abs=1e-7)
    assert found.norm_excess == pytest.approx(0, abs=1e-7)
    assert found.scaled_trace == pytest.approx(4 * nuclear(M) / 12, rel=1e-7)


def test_condition_bounds_the_norm_excess_of_flat_solutions():
    rng = np.random.default_rng(0)
    tensor = rng.standard_normal((30, 4, 3)) * np.array([1, 2, 4.0])
    p = fm.Problem(fm.measurements.Dense(tensor), np.tensordot(tensor, rng.standard_normal((4, 3))))
    found = fm.flat_minimum(p).flatness
    values = np.concatenate([np.asarray(D.values) for D in p.metric])
    assert found.condition == pytest.approx(values.max() / values.min())
    assert 1e-6 < found.norm_excess <= found.condition**2 - 1
    assert found.balance > 0


def test_factors_that_do_not_fit_are_refused():
    with pytest.raises(fm.InputError, match="expected"):
        fm.flatness(_problem("Dense"), _factors((3, 4), 2))
