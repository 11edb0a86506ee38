"""Deep models with noise: loss + alpha · trace against cvxpy, its certificates, and noise of unknown level."""

import warnings

import cvxpy as cp
import numpy as np
import pytest

import flatmin as fm


def regression(m, n, depth, *, seed=0, noise=0.3):
    rng = np.random.default_rng(seed)
    A, x = rng.standard_normal((m, n)), np.zeros(n)
    A[:, -1] *= 5
    x[:3] = 3, -2, 1
    return fm.Problem(fm.measurements.Dense(A), A @ x + noise * rng.standard_normal(m), fm.Hadamard(depth)), A, x


def solved(objective):
    program = cp.Problem(cp.Minimize(objective))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # exponents are approximated by rational numbers
        program.solve(solver=cp.CLARABEL)
    return program.value


@pytest.mark.parametrize("alpha", [1e-4, 0.01, 0.3, 30.0])
@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("shape", [(12, 30), (40, 10)], ids=["wide", "tall"])
def test_vectors(shape, depth, alpha):
    problem, A, _ = regression(*shape, depth)
    s = fm.flat_minimum(problem, alpha=alpha)
    x, weights, p = cp.Variable(shape[1]), np.mean(A**2, axis=0), 2 - 2 / depth
    powers = cp.abs(x) if depth == 2 else cp.power(cp.abs(x), p)
    value = solved(cp.sum_squares(A @ x - problem.data) / shape[0] + 2 * depth * alpha * (weights @ powers))
    c = s.certificate
    assert (s.status, c.objective, c.unique) == (fm.Status.regularized_minimum, "penalised", True)
    assert abs(c.relative_gap) <= 1e-11
    assert c.value == pytest.approx(value, rel=1e-6)
    assert c.lower_bound <= value * (1 + 1e-9)
    assert s.flatness.loss + alpha * s.flatness.hessian_trace == pytest.approx(c.value, rel=1e-12)
    assert c.radius <= 1e-5 * max(1, np.linalg.norm(s.matrix))


@pytest.mark.parametrize("depth", [2, 3])
def test_other_points_and_multipliers_prove_less(depth):
    problem, *_ = regression(12, 30, depth)
    s, rng = fm.flat_minimum(problem, alpha=0.05), np.random.default_rng(1)
    best = s.certificate.value
    for size in (1e-3, 0.1, 10.0):
        dual = s.certificate.dual + size * rng.standard_normal(12)
        proof = fm.certify(problem, s.factors, dual, alpha=0.05)
        assert proof.lower_bound < best
        assert not proof.holds
        moved = s.matrix + size * rng.standard_normal(s.matrix.shape)
        proof = fm.certify(problem, moved, s.certificate.dual, alpha=0.05)
        assert proof.value > best
        if proof.radius is not None:
            assert np.linalg.norm(moved - s.matrix) <= proof.radius
    assert fm.certify(problem, s.factors, alpha=0.05).holds
    assert not fm.certify(problem, s.factors, s.certificate.dual, alpha=0.06).holds


@pytest.mark.parametrize("depth", [2, 3])
def test_the_radius_reaches_the_minimiser(depth):
    problem, *_ = regression(12, 30, depth)
    s, rng = fm.flat_minimum(problem, alpha=0.05), np.random.default_rng(1)
    for size in (1e-7, 1e-6, 1e-5, 1e-4):
        moved = s.matrix + size * rng.standard_normal(s.matrix.shape) * (s.matrix != 0)
        proof = fm.certify(problem, moved, s.certificate.dual, alpha=0.05)
        assert proof.radius is None or np.linalg.norm(moved - s.matrix) <= proof.radius
        assert size > 1e-6 or proof.radius is not None


def test_equal_columns_make_the_lasso_ambiguous():
    A = np.random.default_rng(0).standard_normal((10, 4))
    A = np.hstack([A, A[:, :1]])
    problem = fm.Problem(fm.measurements.Dense(A), A @ [1.0, 0, 0, 0, 1.0], fm.Hadamard(2))
    c = fm.flat_minimum(problem, alpha=0.01).certificate
    assert c.holds
    assert c.unique is not True
    assert fm.flat_minimum(fm.Problem(problem.measurement, problem.data, fm.Hadamard(3)), alpha=0.01).certificate.unique


@pytest.mark.parametrize("alpha", [1e-4, 0.01, 0.3, 30.0])
@pytest.mark.parametrize("depth", [2, 3, 4])
def test_chains_of_the_whole_matrix(depth, alpha):
    rng = np.random.default_rng(0)
    data = (rng.standard_normal((7, 2)) @ rng.standard_normal((2, 5)) + 0.1 * rng.standard_normal((7, 5))).ravel()
    problem = fm.Problem(fm.measurements.Identity((7, 5)), data, fm.Chain((5,) * (depth - 1)))
    s = fm.flat_minimum(problem, alpha=alpha)
    X = cp.Variable((7, 5))
    power = cp.normNuc(X) if depth == 2 else cp.power(cp.normNuc(X), 2 - 2 / depth)
    trace = 2 * depth / 35 * 35 ** (1 / depth) * power
    value = solved(cp.sum_squares(cp.vec(X, order="C") - data) / 35 + alpha * trace)
    c = s.certificate
    assert (s.status, c.objective, c.unique) == (fm.Status.regularized_minimum, "penalised", True)
    assert abs(c.relative_gap) <= 1e-10
    assert c.value == pytest.approx(value, rel=1e-6)
    assert s.flatness.loss + alpha * s.flatness.hessian_trace == pytest.approx(c.value, rel=1e-10)
    rng = np.random.default_rng(1)
    for size in (1e-3, 1.0):
        proof = fm.certify(problem, s.factors, c.dual + size * rng.standard_normal(35), alpha=alpha)
        assert proof.lower_bound <= value * (1 + 1e-9)
    moved = fm.certify(problem, s.matrix * (1 + 1e-8), c.dual, alpha=alpha)
    assert np.linalg.norm(s.matrix) * 1e-8 <= moved.radius


def test_two_layers_and_any_measurements():
    rng = np.random.default_rng(0)
    A = fm.measurements.Dense(rng.standard_normal((25, 7, 5)))
    data = A.forward(np.outer(rng.standard_normal(7), rng.standard_normal(5))) + 0.1 * rng.standard_normal(25)
    problem = fm.Problem(A, data, fm.Chain((4,)))
    s = fm.flat_minimum(problem, alpha=0.02)
    product = fm.flat_minimum(fm.Problem(A, data), alpha=0.02 * np.sqrt(35))
    np.testing.assert_allclose(s.matrix, product.matrix, atol=1e-6)
    assert s.certificate.value == pytest.approx(product.certificate.value, rel=1e-9)
    assert s.flatness.loss + 0.02 * s.flatness.hessian_trace == pytest.approx(s.certificate.value, rel=1e-9)
    assert s.settings["alpha"] == 0.02
    assert fm.certify(problem, s.factors, s.certificate.dual, alpha=0.02).holds


def test_what_cannot_be_is_refused():
    narrow = fm.Problem(fm.measurements.Identity((4, 4)), np.eye(4).ravel(), fm.Chain((2, 2)))
    problem, *_ = regression(12, 30, 3)
    for call, message in (
        (lambda: fm.flat_minimum(narrow, alpha=1e-3), "rank 4, expected hidden widths"),
        (lambda: fm.flat_minimum(problem, alpha="auto"), r"expected Hadamard\(2\)"),
        (lambda: fm.flat_minimum(narrow, alpha="auto"), "alpha is 'auto' for Chain"),
        (lambda: fm.flat_minimum(problem, alpha=0.1, metric_power=0.5), "metric_power"),
    ):
        with pytest.raises(fm.InputError, match=message):
            call()
