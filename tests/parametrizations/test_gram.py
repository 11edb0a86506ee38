"""``X = U U*`` and ``X = U₊ U₊ᵀ − U₋ U₋ᵀ``: what their traces are, and which factors are flattest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.optimize import minimize

import flatmin as fm
from flatmin.linalg.metric import Metric
from flatmin.testing import check_parametrization
from tests.referee import nuclear


def _draw(rng, shape, dtype=float):
    X = rng.standard_normal(shape)
    return X + 1j * rng.standard_normal(shape) if dtype is complex else X


def _hermitian(rng, m, d, dtype=float):
    A = _draw(rng, (m, d, d), dtype)
    return fm.measurements.Dense(A + A.conj().transpose(0, 2, 1))


def _root(A):
    """Return ``D^½`` of ``D = (1/m) Σ A_i²`` from the definition."""
    values, Q = np.linalg.eigh(np.einsum("mij,mjk->ik", A.matrices(), A.matrices()) / A.size)
    return (Q * np.sqrt(np.maximum(values, 0))) @ Q.conj().T


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("model", [fm.Gram(), fm.SignedGram()])
def test_check_parametrization(model, seed):
    check_parametrization(model, seed=seed)


@pytest.mark.parametrize("dtype", [float, complex])
@given(d=st.integers(1, 5), k=st.integers(1, 6), seed=st.integers(0, 99))
def test_every_factor_of_a_gram_matrix_is_as_flat(dtype, d, k, seed):
    """The trace is ``8 tr(D X)``: rotating, padding or splitting the columns does not change it."""
    rng = np.random.default_rng(seed)
    A, U, model = _hermitian(rng, 6, d, dtype), _draw(rng, (d, k), dtype), fm.Gram()
    metric, root = model.metric(A), _root(A)
    np.testing.assert_allclose(np.asarray(metric[0]), root, atol=1e-9 * np.linalg.norm(root))
    want = 8 * np.trace(root @ U @ U.conj().T @ root).real
    wide = U @ np.linalg.qr(_draw(rng, (k + 2, k), dtype))[0].conj().T
    flat = model.flattest(*model.singular((U,), metric), metric)
    for factors in ((U,), (wide,), flat):
        assert model.scaled_trace(factors, A, metric) == pytest.approx(want)
        assert model.fibre_minimum(factors, metric) == pytest.approx(want)
        np.testing.assert_allclose(model.matrix(factors), U @ U.conj().T, atol=1e-9 * (1 + want))
        assert model.balance(factors) == pytest.approx(0, abs=1e-9)
        assert model.norm_excess(factors) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("signature", [(1, 1), (2, 1), (2, 2)])
def test_no_factors_of_the_same_symmetric_matrix_are_flatter(signature):
    """Descend over all hyperbolic turns of the columns, started at random: the minimum is reached, never passed.

    A turn is ``exp G`` with ``G J + J Gᵀ = 0``, J being the signs of the columns.
    """
    rng = np.random.default_rng(sum(signature))
    k, signs = sum(signature), np.repeat([1.0, -1.0], signature)
    A, columns, model = _hermitian(rng, 8, 4), rng.standard_normal((4, k)), fm.SignedGram()
    metric, root = model.metric(A), _root(A)
    X = columns * signs @ columns.T
    minimum = model.fibre_minimum((columns[:, signs > 0], columns[:, signs < 0]), metric)
    assert minimum == pytest.approx(8 * nuclear(root @ X @ root))

    def turned(g):
        G = np.zeros((k, k))
        G[np.triu_indices(k, 1)] = g
        moved = columns @ expm(G - signs[:, None] * G.T * signs)
        return moved[:, signs > 0], moved[:, signs < 0]

    def trace(g):
        return model.scaled_trace(turned(g), A, metric)

    best = min(
        (minimize(trace, rng.standard_normal(k * (k - 1) // 2), tol=1e-13) for _ in range(3)), key=lambda r: r.fun
    )
    np.testing.assert_allclose(model.matrix(turned(best.x)), X, atol=1e-8 * np.linalg.norm(X))
    assert best.fun == pytest.approx(minimum, rel=1e-7)
    assert best.fun >= minimum * (1 - 1e-12)
    assert trace(rng.standard_normal(k * (k - 1) // 2)) > 1.01 * minimum, "turns do change the trace"


@given(d=st.integers(1, 5), plus=st.integers(0, 4), minus=st.integers(0, 4), seed=st.integers(0, 99))
def test_the_flattest_factors_of_a_symmetric_matrix(d, plus, minus, seed):
    rng = np.random.default_rng(seed)
    A, model = _hermitian(rng, 6, d), fm.SignedGram()
    factors = rng.standard_normal((d, plus)), rng.standard_normal((d, minus))
    metric, root, X = model.metric(A), _root(A), model.matrix(factors)
    np.testing.assert_allclose(X, factors[0] @ factors[0].T - factors[1] @ factors[1].T, atol=1e-12 * (1 + d))
    U, s, V = model.singular(factors, metric)
    np.testing.assert_allclose((U * s) @ V.T, root @ X @ root, atol=1e-9 * (1 + np.linalg.norm(X)))
    np.testing.assert_allclose(np.abs(np.einsum("ij,ij->j", U, V)), 1, atol=1e-9)
    flat = model.flattest(U, s, V, metric)
    np.testing.assert_allclose(model.matrix(flat), X, atol=1e-8 * (1 + np.linalg.norm(X)))
    assert model.scaled_trace(flat, A, metric) == pytest.approx(8 * nuclear(root @ X @ root), abs=1e-9)
    assert model.signature(factors) == [plus, minus]
    assert model.width(factors) == plus + minus


def test_orthogonal_columns_are_balanced_and_shortest():
    """``X = diag(2, −3)`` from columns along the axes; a hyperbolic turn makes them longer."""
    model, t = fm.SignedGram(), 0.7
    plus, minus = np.array([[np.sqrt(2)], [0]]), np.array([[0], [np.sqrt(3)]])
    assert model.balance((plus, minus)) == pytest.approx(0, abs=1e-12)
    assert model.norm_excess((plus, minus)) == pytest.approx(0, abs=1e-12)
    moved = plus * np.cosh(t) + minus * np.sinh(t), plus * np.sinh(t) + minus * np.cosh(t)
    np.testing.assert_allclose(model.matrix(moved), np.diag([2.0, -3.0]), atol=1e-12)
    assert model.norm_excess(moved) == pytest.approx(np.cosh(2 * t) - 1)
    assert model.balance(moved) == pytest.approx(4 * abs((moved[0].T @ moved[1]).item()))


@pytest.mark.parametrize("model", [fm.Gram(), fm.SignedGram()])
def test_factors_of_zero(model):
    metric = (Metric(np.ones(3)),) * 2
    none = tuple(np.zeros((3, 0)) for _ in model.names)
    assert model.width(none) == 0
    assert model.norm_excess(none) == model.fibre_minimum(none, metric) == model.balance(none) == 0
    np.testing.assert_array_equal(model.matrix(none), np.zeros((3, 3)))


def test_columns_that_cancel_are_infinitely_longer_than_needed():
    column = np.array([[1.0], [2.0]])
    assert fm.SignedGram().norm_excess((column, column)) > 1e12


@pytest.mark.parametrize(
    ("model", "factors", "message"),
    [
        (fm.Gram(), (np.ones((3, 1)), np.ones((3, 1))), "2 factors were found, expected one"),
        (fm.Gram(), (np.ones((2, 1)),), r"U has shape \(2, 1\), expected \(3, k\)"),
        (fm.Gram(), (np.ones(3),), r"U has shape \(3,\), expected \(3, k\)"),
        (fm.Gram(), (np.full((3, 1), np.nan),), "U contains NaN"),
        (fm.SignedGram(), np.ones((3, 1)), "pair"),
        (fm.SignedGram(), (np.ones((3, 1)),), "pair"),
        (fm.SignedGram(), (np.ones((3, 1)), np.ones((2, 1))), r"U_minus has shape \(2, 1\), expected \(3, k\)"),
        (fm.SignedGram(), (np.full((3, 1), np.inf), np.ones((3, 1))), "U_plus contains NaN or infinity"),
    ],
)
def test_factors_that_do_not_fit_are_refused(model, factors, message):
    with pytest.raises(fm.InputError, match=message) as caught:
        model.check(factors, (3, 3))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", [fm.Gram, fm.SignedGram])
@pytest.mark.parametrize("rank", [0, -1, 1.5, "2", True])
def test_bad_ranks_are_refused(model, rank):
    with pytest.raises(fm.InputError, match="expected a positive whole number or None"):
        model(rank)


NOT_SYMMETRIC = np.array([[[0.0, 1.0], [0.0, 0.0]]])


@pytest.mark.parametrize(
    ("model", "measurement", "message"),
    [
        (fm.Gram(), fm.measurements.Dense(NOT_SYMMETRIC), r"not symmetric, expected A_i = A_i\* for Gram; use"),
        (fm.SignedGram(), fm.measurements.Dense(NOT_SYMMETRIC), "not symmetric, expected .* for SignedGram; use"),
        (fm.Gram(), fm.measurements.Dense(1j * np.eye(2)[None]), "not symmetric"),
        (fm.Gram(), fm.measurements.Dense([[[0, 1j], [1j, 0]]]), "not symmetric"),
        (fm.SignedGram(), fm.measurements.Dense([[[0, 1j], [-1j, 0]]]), "complex, expected real ones for SignedGram"),
        (fm.SignedGram(), fm.measurements.RankOne([[1j, 1.0]]), "complex, expected real ones for SignedGram"),
        (fm.Gram(), fm.measurements.RankOne([[1.0, 2.0]], [[2.0, 1.0]]), "not symmetric"),
        (fm.Gram(), fm.measurements.Dense(np.ones((1, 3, 2))), r"shape \(3, 2\), expected a square one for Gram"),
        (fm.SignedGram(), fm.measurements.Entries([0], [1], (2, 2)), "not symmetric"),
        (fm.Product(), fm.measurements.RankOne([[1j, 1.0]]), "complex, expected real ones for Product"),
    ],
)
def test_measurements_that_do_not_fit_are_refused(model, measurement, message):
    with pytest.raises(fm.InputError, match=message) as caught:
        fm.Problem(measurement, np.ones(measurement.size), model)
    assert "\n" not in str(caught.value)


def test_every_asymmetry_is_seen():
    """One of many matrices differs from symmetric by a thousandth."""
    A = np.repeat(np.eye(3)[None], 40, axis=0)
    for i in (0, 17, 39):
        wrong = A.copy()
        wrong[i, 0, 1] = 1e-3
        with pytest.raises(fm.InputError, match="not symmetric"):
            fm.Problem(fm.measurements.Dense(wrong), np.ones(40), fm.Gram())


@pytest.mark.parametrize("model", [fm.Gram(), fm.SignedGram()])
def test_real_measurements_need_real_factors(model):
    """Imaginary parts are invisible to them, so a complex matrix would pass for its real part."""
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((2, 3))
    X = np.outer(u, u) + np.outer(v, v)
    A = _hermitian(rng, 6, 3)
    p = fm.Problem(A, A.forward(X), model)
    s = fm.flat_minimum(p)
    assert s.certificate.unique is True
    wave = (u + 1j * v)[:, None]
    np.testing.assert_allclose((wave @ wave.conj().T).real, X)
    factors = (wave,) if len(model.names) == 1 else (wave, np.zeros((3, 0)))
    for call in (
        lambda: fm.certify(p, factors),
        lambda: fm.certify(p, wave @ wave.conj().T),
        lambda: fm.flat_minimum(p, warm_start=factors),
    ):
        with pytest.raises(fm.InputError, match="factors are complex, expected real ones for real sensing matrices"):
            call()
