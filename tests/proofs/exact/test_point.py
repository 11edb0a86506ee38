import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.point import accurate_forward, polished
from tests.proofs.exact.test_tangent_equations import MAPS

FAMILIES = {
    "matrix_sensing": ((9, 7), 1, 50),
    "bilinear_sensing": ((9, 7), 1, 60),
    "matrix_completion": ((12, 10), 1, 100),
    "phase_retrieval": (8, 1, 60),
    "covariance": (8, 2, 60),
    "quadratic_network": (8, 2, 36),
}


def relative_residual(problem, point):
    values = accurate_forward(problem.measurement, point.L, np.diagonal(point.C), point.R)
    return np.linalg.norm((values - problem.data).astype(float)) / np.linalg.norm(problem.data)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_rough_solution_is_polished(name):
    problem = getattr(fm.families, name).sample(*FAMILIES[name]).problem
    solution = fm.flat_minimum(problem)
    rng = np.random.default_rng(0)
    rough = tuple(F * (1 + 1e-7 * rng.standard_normal(F.shape)) for F in solution.factors)
    point = polished(ExplicitProblem.from_problem(problem), rough)
    assert np.linalg.norm(problem.residual(rough)) / np.linalg.norm(problem.data) > 1e-9
    assert relative_residual(problem, point) < 1e-15
    assert point.misfit == pytest.approx(relative_residual(problem, point))
    assert point.rank == solution.rank
    assert np.linalg.norm(point.matrix - solution.matrix) < 1e-5 * np.linalg.norm(solution.matrix)


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("name", ["matrix_sensing", "bilinear_sensing", "matrix_completion", "quadratic_network"])
def test_bases_are_orthonormal_in_the_metric(name, power):
    problem = getattr(fm.families, name).sample(*FAMILIES[name]).problem
    explicit = ExplicitProblem.from_problem(problem, 0.0, power)
    point = polished(explicit, fm.flat_minimum(problem, metric_power=power).factors)
    for F, G in zip((point.L, point.R), explicit.squares, strict=True):
        G = np.diag(G) if G.ndim == 1 else G
        np.testing.assert_allclose(F.T @ G @ F, np.eye(point.rank), atol=1e-11)


def test_columns_that_are_rounding_errors_are_dropped():
    problem = fm.families.matrix_sensing.sample((9, 7), 1, 50).problem
    L, R = fm.flat_minimum(problem).factors
    rng = np.random.default_rng(0)
    wide = np.hstack([L, 1e-5 * rng.standard_normal((9, 1))]), np.hstack([R, 1e-5 * rng.standard_normal((7, 1))])
    point = polished(ExplicitProblem.from_problem(problem), wide)
    assert point.rank == 1
    assert point.misfit < 1e-15


def test_the_zero_matrix_is_none():
    problem = fm.families.matrix_sensing.sample((9, 7), 1, 50).problem
    assert polished(ExplicitProblem.from_problem(problem), (np.zeros((9, 1)), np.zeros((7, 1)))) is None


def test_penalised_points_are_not_moved():
    problem = fm.families.matrix_sensing.sample((9, 7), 1, 50).problem
    solution = fm.flat_minimum(problem, alpha=0.1)
    point = polished(ExplicitProblem.from_problem(problem, alpha=0.1), solution.factors)
    np.testing.assert_allclose(point.matrix, solution.matrix, rtol=1e-10, atol=1e-10)
    assert point.misfit > 1e-4


@pytest.mark.parametrize("tangent", MAPS.values(), ids=MAPS)
def test_accurate_values_are_the_measurements(tangent):
    core = np.array([2.0, -1.0])
    values = accurate_forward(tangent.measurement, tangent.P, core, tangent.Q)
    expected = tangent.measurement.forward((tangent.P * core) @ tangent.Q.conj().T)
    np.testing.assert_allclose(values.astype(float), expected, rtol=1e-11, atol=1e-11)
