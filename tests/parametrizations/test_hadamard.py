"""``x = u_1 ∘ … ∘ u_N``: its trace, and which factors are flattest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

import flatmin as fm
from flatmin.testing import check_parametrization
from tests import referee


def _draw(n, m, depth, seed=0):
    rng = np.random.default_rng(seed)
    rows, b = rng.standard_normal((m, n)), rng.standard_normal(m)
    problem = fm.Problem(fm.measurements.Dense(rows), b, fm.Hadamard(depth))
    return problem, rows, tuple(rng.standard_normal((n, 1)) for _ in range(depth))


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_check_parametrization(depth):
    check_parametrization(fm.Hadamard(depth), seed=depth)


@pytest.mark.parametrize("wrong", ["gauss_newton_trace", "fibre_minimum", "flattest"])
def test_the_public_check_can_fail(wrong):
    class Wrong(fm.Hadamard):
        def _broken(self, *arguments):
            right = getattr(fm.Hadamard, wrong)(self, *arguments)
            return 1.001 * right if isinstance(right, float) else (2 * right[0], right[1] / 2, *right[2:])

    setattr(Wrong, wrong, Wrong._broken)
    with pytest.raises(AssertionError):
        check_parametrization(Wrong(3))


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_trace_is_that_of_the_dense_hessian_at_any_point(depth):
    problem, rows, factors = _draw(3, 5, depth)

    def loss(theta):
        x = np.prod(theta.reshape(depth, 3), axis=0)
        return np.mean((rows @ x - problem.data) ** 2)

    H = referee.hessian(loss, np.concatenate(factors).ravel())
    f = fm.flatness(problem, factors)
    assert f.hessian_trace == pytest.approx(np.trace(H), rel=1e-6)
    assert f.hessian_trace == f.gauss_newton_trace == f.scaled_trace


@given(n=st.integers(1, 6), m=st.integers(1, 6), depth=st.integers(2, 7), seed=st.integers(0, 99))
def test_fibre_minimum_is_attained_and_never_passed(n, m, depth, seed):
    problem, rows, factors = _draw(n, m, depth, seed)
    model, x = problem.parametrization, np.prod(np.stack(factors), axis=0)
    weights = np.mean(rows**2, axis=0)
    minimum = 2 * depth * weights @ np.abs(x[:, 0]) ** (2 - 2 / depth)
    f = fm.flatness(problem, factors)
    assert f.fibre_minimum == pytest.approx(minimum)
    assert f.scaled_trace >= minimum * (1 - 1e-12)
    flat = model.flattest(*model.singular(factors, problem.metric), problem.metric)
    np.testing.assert_allclose(model.matrix(flat), x, rtol=1e-9)
    best = fm.flatness(problem, flat)
    assert best.scaled_trace == pytest.approx(minimum)
    assert best.balance == pytest.approx(0, abs=1e-12)
    assert best.norm_excess == pytest.approx(0, abs=1e-12)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_no_factors_of_the_same_vector_are_flatter(depth):
    """Descend over all positive rescalings of the factors, from several starts."""
    problem, _, factors = _draw(3, 5, depth)
    minimum = fm.flatness(problem, factors).fibre_minimum

    def trace(a):
        a = a.reshape(depth - 1, 3, 1)
        scales = np.exp(np.concatenate([a, -a.sum(axis=0, keepdims=True)]))
        return fm.flatness(problem, tuple(scales * np.stack(factors))).scaled_trace

    for seed in range(3):
        start = np.random.default_rng(seed).standard_normal(3 * (depth - 1))
        best = minimize(trace, start, tol=1e-12).fun
        assert best == pytest.approx(minimum, rel=1e-6)
        assert best >= minimum * (1 - 1e-12)


def test_zeros_in_factors():
    problem, _, (u, v, w) = _draw(4, 6, 3)
    u[0] = v[0] = 0  # two zeros: this coordinate bends the loss nowhere
    u[1] = 0  # one zero: it bends along u alone
    f = fm.flatness(problem, (u, v, w))
    weights = np.mean(problem.measurement.matrices()[:, :, 0] ** 2, axis=0)
    terms = (v * w) ** 2 + (u * w) ** 2 + (u * v) ** 2
    assert f.scaled_trace == pytest.approx(2 * weights @ terms[:, 0])
    assert terms[0] == 0
    assert f.norm_excess > 0
    zeros = tuple(np.zeros((4, 1)) for _ in range(3))
    assert fm.flatness(problem, zeros).norm_excess == fm.flatness(problem, zeros).scaled_trace == 0
    assert fm.flatness(problem, (u, 0 * v, w)).norm_excess == np.inf


def test_two_factors_are_the_product_of_diagonal_matrices():
    """As the diagonal of L Rᵀ, measured by diagonal matrices: the same balance and norm excess."""
    problem, _, (u, v) = _draw(4, 6, 2)
    diagonal = np.diag(u[:, 0]), np.diag(v[:, 0])
    assert problem.parametrization.balance((u, v)) == pytest.approx(fm.Product().balance(diagonal))
    assert problem.parametrization.norm_excess((u, v)) == pytest.approx(fm.Product().norm_excess(diagonal))


def test_width_counts_what_is_not_zero():
    x = np.array([[1.0], [0.0], [-2.0]])
    assert fm.Hadamard(2).width((x, x)) == 2


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_condition_is_that_of_the_weights(scale):
    A = fm.measurements.Dense(scale * np.diag([1.0, 2.0, 4.0]))
    f = fm.flatness(fm.Problem(A, np.ones(3), fm.Hadamard(2)), (np.ones(3), np.ones(3)))
    assert f.condition == pytest.approx(16)


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (1, "depth is 1, expected at least 2: a single factor is linear"),
        (0, "depth is 0, expected a whole number of at least 2"),
        (2.5, "depth is 2.5"),
        ("3", "depth is '3'"),
        (True, "depth is True"),
        (None, "depth is None"),
    ],
)
def test_bad_depths_are_refused(depth, message):
    with pytest.raises(fm.InputError, match=message):
        fm.Hadamard(depth)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ((np.ones(3),), r"are 2 vectors \(u_1, …, u_2\)"),
        (np.ones(3), "are 2 vectors"),
        ((np.ones(3), np.ones(4)), r"u_2 has shape \(4,\), expected \(3, 1\)"),
        ((np.ones((1, 3)), np.ones(3)), r"u_1 has shape \(1, 3\)"),
        ((np.ones(3), np.full(3, np.nan)), "u_2 contains NaN"),
        ((np.ones(3), 1j * np.ones(3)), "u_2 is complex"),
    ],
)
def test_factors_that_do_not_fit_are_refused(factors, message):
    with pytest.raises(fm.InputError, match=message):
        fm.Hadamard(2).check(factors, (3, 1))


def test_only_real_vectors_can_be_measured():
    with pytest.raises(fm.InputError, match=r"has shape \(3, 2\), expected one column, \(n, 1\), for Hadamard"):
        fm.Problem(fm.measurements.Identity((3, 2)), np.ones(6), fm.Hadamard(2))
    with pytest.raises(fm.InputError, match="complex, expected real ones for Hadamard"):
        fm.Problem(fm.measurements.Dense(1j * np.ones((2, 3))), np.ones(2), fm.Hadamard(2))


def test_any_measurement_of_one_column_will_do():
    rows = np.eye(3)[[0, 2]]
    entries = fm.Problem(fm.measurements.Entries([0, 2], [0, 0], (3, 1)), [1.0, 2.0], fm.Hadamard(3))
    dense = fm.Problem(fm.measurements.Dense(rows), [1.0, 2.0], fm.Hadamard(3))
    factors = tuple(np.random.default_rng(0).standard_normal((3, 3, 1)))
    assert fm.flatness(entries, factors) == fm.flatness(dense, factors)


def test_settings_are_plain_numbers():
    assert fm.Hadamard(np.int64(3)) == fm.Hadamard(3)
    assert vars(fm.Hadamard(np.int64(3))) == {"depth": 3}
    assert fm.Hadamard(3).names == ("u_1", "u_2", "u_3")
