"""Flatness of any point, against the dense Hessian by finite differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flatmin as fm
from tests.measurements.samples import SAMPLES
from tests.referee import hessian, nuclear, objective


def _problem(name, shape=(4, 3), m=9, seed=0, clean=None):
    rng = np.random.default_rng(seed)
    A = SAMPLES[name](rng, shape, m, float)
    return fm.Problem(A, rng.standard_normal(A.size) if clean is None else A.forward_factors(*clean))


def _factors(shape, k, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal((d, k)) for d in shape)


@pytest.mark.parametrize("name", SAMPLES)
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
