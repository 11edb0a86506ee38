"""Least sharpness and least weighted norm of the fits of a sparse regression, against independent solvers."""

import numpy as np
import pytest
from scipy.optimize import linprog

import flatmin as fm
from flatmin.lab.recipes._least_sharpness import least_sharpness, least_weighted_norm, sharpness


def drawn(n=12, m=6, seed=2):
    problem = fm.families.sparse_regression.sample(n, 2, m, seed=seed).problem
    return problem.measurement.matrices()[:, :, 0], problem.data


def test_the_least_sharpness_is_the_one_of_a_semidefinite_programme():
    cvxpy = pytest.importorskip("cvxpy")
    A, b = drawn()
    found = least_sharpness(A, b)
    x, size = cvxpy.Variable(12), cvxpy.Variable(12)
    constraints = [A @ x == b, cvxpy.abs(x) <= size]
    least = cvxpy.Problem(cvxpy.Minimize(cvxpy.lambda_max(A @ cvxpy.diag(size) @ A.T)), constraints)
    value = 4 / 6 * least.solve(solver="CLARABEL")
    assert found.bound <= value * (1 + 1e-7)
    assert found.value >= value * (1 - 1e-7)
    assert found.value <= 1.002 * found.bound
    assert np.allclose(A @ found.x, b)
    root = np.sqrt(np.abs(found.x))
    assert sharpness(A, np.sign(found.x) * root, root) == pytest.approx(found.value)


def test_sharpness_is_the_largest_eigenvalue_of_the_hessian():
    rng = np.random.default_rng(0)
    A, u, v = rng.standard_normal((3, 4)), *rng.standard_normal((2, 4))
    b = A @ (u * v)

    def slope(w):
        residual = A @ (w[:4] * w[4:]) - b
        return 2 / 3 * np.concatenate([w[4:] * (A.T @ residual), w[:4] * (A.T @ residual)])

    w = np.concatenate([u, v])
    hessian = [(slope(w + 1e-6 * e) - slope(w - 1e-6 * e)) / 2e-6 for e in np.eye(8)]
    assert sharpness(A, u, v) == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-7)


def test_a_weighted_norm_is_the_one_of_a_linear_programme():
    A, b = drawn()
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 12)
    x, bound, _ = least_weighted_norm(A, b, weights)
    best = linprog(np.concatenate([weights, weights]), A_eq=np.hstack([A, -A]), b_eq=b).fun
    assert np.allclose(A @ x, b)
    assert weights @ np.abs(x) == pytest.approx(best)
    assert bound == pytest.approx(best)


def test_the_gap_is_certified_for_other_data_and_zero_at_the_least_sharpness():
    A, b = drawn()
    found = least_sharpness(A, b)
    assert 0 <= found.gap(A, *found.factors) <= 1e-3
    rng = np.random.default_rng(3)
    for _ in range(3):
        u, v = rng.standard_normal((2, 12))
        least = least_sharpness(A, A @ (u * v)).value
        assert found.gap(A, u, v) * found.bound >= sharpness(A, u, v) - least
