"""``X = L Rᵀ``: what its traces are, and which factors are flattest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flatmin as fm
from flatmin.linalg.metric import Metric
from flatmin.testing import check_parametrization
from tests.referee import nuclear


def _factors(shape, k, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal((d, k)) for d in shape)


def _metric(shape, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(Metric.root((F := rng.standard_normal((d, d + 1))) @ F.T) for d in shape)


def _scaled_trace(factors, metric):
    """The measurement has no part in it but its metric."""
    return fm.Product().scaled_trace(factors, fm.measurements.Identity((1, 1)), metric)


@pytest.mark.parametrize("seed", range(3))
def test_check_parametrization(seed):
    check_parametrization(fm.Product(), seed=seed)


def test_every_parametrization_passes_the_public_check():
    for name in fm.parametrizations.names():
        check_parametrization(fm.parametrizations.find(name)(*([(3, 4)] if name == "Chain" else [])))


@given(d1=st.integers(1, 5), d2=st.integers(1, 5), k=st.integers(1, 7), seed=st.integers(0, 99))
def test_fibre_minimum_is_the_weighted_nuclear_norm(d1, d2, k, seed):
    factors, metric = _factors((d1, d2), k, seed), _metric((d1, d2), seed)
    Z = metric[0].dense @ factors[0] @ factors[1].T @ metric[1].dense
    model = fm.Product()
    assert model.fibre_minimum(factors, metric) == pytest.approx(4 * nuclear(Z))
    flat = model.flattest(*model.singular(factors, metric), metric)
    assert _scaled_trace(flat, metric) == pytest.approx(4 * nuclear(Z))
    np.testing.assert_allclose(model.matrix(flat), model.matrix(factors), atol=1e-8)


def test_no_factors_of_the_same_matrix_are_flatter_however_wide():
    """Descend over all invertible changes of basis, and over padded factors: the minimum is never passed."""
    from scipy.optimize import minimize

    (L, R), metric, model = _factors((4, 3), 2), _metric((4, 3)), fm.Product()
    minimum = model.fibre_minimum((L, R), metric)

    def trace(g):
        G = g.reshape(2, 2)
        return _scaled_trace((L @ G, R @ np.linalg.inv(G).T), metric)

    best = minimize(trace, np.eye(2).ravel(), tol=1e-12).fun
    assert best == pytest.approx(minimum, rel=1e-6)
    assert best >= minimum * (1 - 1e-12)
    wider = np.hstack([L, np.ones((4, 1))]), np.hstack([R, np.zeros((3, 1))])
    assert model.fibre_minimum(wider, metric) == pytest.approx(minimum)
    assert _scaled_trace(wider, metric) > minimum


@pytest.mark.parametrize("c", [1e-3, 1e3])
def test_rescaling_the_factors_changes_the_trace_but_not_the_fibre(c):
    (L, R), metric, model = _factors((4, 3), 2), _metric((4, 3)), fm.Product()
    other = (c * L, R / c)
    assert model.fibre_minimum(other, metric) == pytest.approx(model.fibre_minimum((L, R), metric))
    left, right = _scaled_trace((L, 0 * R), metric), _scaled_trace((0 * L, R), metric)
    assert _scaled_trace(other, metric) == pytest.approx(c**2 * left + right / c**2)


def test_balance_and_norm_excess():
    model, (L, R) = fm.Product(), _factors((5, 4), 2)
    U, s, Vt = np.linalg.svd(L @ R.T, full_matrices=False)
    balanced = U[:, :2] * np.sqrt(s[:2]), Vt[:2].T * np.sqrt(s[:2])
    assert model.balance(balanced) == pytest.approx(0, abs=1e-12)
    assert model.norm_excess(balanced) == pytest.approx(0, abs=1e-12)
    assert model.balance((L, R)) == pytest.approx(nuclear(L.T @ L - R.T @ R))
    excess = (np.sum(L**2) + np.sum(R**2)) / (2 * nuclear(L @ R.T)) - 1
    assert model.norm_excess((L, R)) == pytest.approx(excess)
    assert excess > 0


def test_factors_of_zero():
    model, metric = fm.Product(), _metric((3, 2))
    none, lopsided = (np.zeros((3, 0)), np.zeros((2, 0))), (np.ones((3, 1)), np.zeros((2, 1)))
    assert model.width(none) == 0
    assert model.norm_excess(none) == _scaled_trace(none, metric) == model.balance(none) == 0
    assert model.norm_excess(lopsided) == np.inf
    np.testing.assert_array_equal(model.matrix(none), np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (np.ones((3, 1)), "pair"),
        ((np.ones((3, 1)),), "pair"),
        ((np.ones((3, 1)), np.ones((2, 2))), "expected"),
        ((np.ones((2, 1)), np.ones((3, 1))), r"L has shape \(2, 1\)"),
        ((np.ones(3), np.ones(2)), "expected"),
        ((np.full((3, 1), np.nan), np.ones((2, 1))), "L contains NaN"),
        ((np.ones((3, 1)), 1j * np.ones((2, 1))), "R is complex"),
    ],
)
def test_factors_that_do_not_fit_are_refused(factors, message):
    with pytest.raises(fm.InputError, match=message):
        fm.Product().check(factors, (3, 2))


def test_factors_are_converted():
    L, R = fm.Product().check([[[1], [2], [3]], np.ones((2, 1), np.float32)], (3, 2))
    assert L.dtype == R.dtype == float


@pytest.mark.parametrize("rank", [0, -1, 1.5, "2"])
def test_bad_ranks_are_refused(rank):
    with pytest.raises(fm.InputError, match="expected a positive whole number or None"):
        fm.Product(rank)
