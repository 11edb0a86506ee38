"""The penalised completion problem of cells, against the same problem as dense arrays."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.completion.regularised_cells import RegularisedCells, relative_alpha
from flatmin.solvers.task import Task


@pytest.fixture(params=[None, "weights"])
def problem(request):
    rng = np.random.default_rng(0)
    rows, cols = np.divmod(rng.choice(48, 30, replace=False), 6)
    weights = None if request.param is None else rng.uniform(0.5, 2, 30)
    A = fm.measurements.Entries(rows, cols, (8, 6), weights)
    return fm.Problem(A, 50 * rng.standard_normal(30))


@pytest.fixture
def factors():
    rng = np.random.default_rng(1)
    return rng.standard_normal((8, 3)), rng.standard_normal((6, 3))


def test_its_objective_is_that_of_the_task(problem, factors):
    alpha, m = 0.3, 30
    cells = RegularisedCells.from_task(Task(problem, alpha))
    L, R = factors
    root = np.sqrt(cells.unit)
    given = root * L, root * R
    trace = 2 * sum(np.sum((D @ F) ** 2) for D, F in zip(problem.metric, given, strict=True))
    expected = problem.loss.value(problem.residual(given)) + alpha * trace
    assert cells.objective(L, R) * cells.scale**2 / m == pytest.approx(expected)


def test_the_best_rows_minimise_it(problem, factors):
    cells = RegularisedCells.from_task(Task(problem, 0.3))
    L, gain = cells.rows.half(factors[1])
    value = cells.total - gain + float(cells.columns @ np.sum(factors[1] ** 2, axis=1))
    assert value == pytest.approx(cells.objective(L, factors[1]))
    for seed in range(3):
        other = L + 1e-3 * np.random.default_rng(seed).standard_normal(L.shape)
        assert cells.objective(other, factors[1]) > value


def test_factors_return_from_their_decomposition(problem, factors):
    cells = RegularisedCells.from_task(Task(problem, 0.3))
    U, s, V = cells.canonical(*factors)
    L, R = cells.factors(U, s, V)
    np.testing.assert_allclose(L @ R.T, factors[0] @ factors[1].T, atol=1e-12)
    assert cells.size(L, R) == pytest.approx(2 * s.sum())


def test_escapes_are_the_leading_triplets_outside():
    problem = fm.families.matrix_completion.sample((60, 50), 3, 1500, noise=0.5).problem
    rng = np.random.default_rng(1)
    factors = rng.standard_normal((60, 3)), rng.standard_normal((50, 3))
    cells = RegularisedCells.from_task(Task(problem, 0.3))
    S = cells.dual_matrix(cells.errors(*factors))
    U, _, V = cells.canonical(*factors)
    outside = (np.eye(60) - U @ U.T) @ (S @ np.eye(50)) @ (np.eye(50) - V @ V.T)
    exact = np.linalg.svd(outside, compute_uv=False)[0]
    for rough in (False, True):
        assert cells.escapes(S, U, V, 1, 0, rough=rough)[1][0] == pytest.approx(exact, rel=1e-2)


def test_new_columns_make_the_best_step_along_their_directions():
    problem = fm.families.matrix_completion.sample((60, 50), 3, 1500, noise=0.5).problem
    cells = RegularisedCells.from_task(Task(problem, 0.05))
    nothing = np.zeros((60, 0)), np.zeros((50, 0))
    u, s, v = cells.escapes(cells.dual_matrix(cells.rows.values), *nothing, 3, 0)
    L, R = cells.added(*nothing, cells.rows.values, (u, s, v))
    values = [cells.objective(share * L, share * R) for share in (0.95, 1.0, 1.05)]
    assert values[1] < min(values[0], values[2], cells.total)


def test_zero_is_the_solution_at_a_relative_alpha_of_one():
    problem = fm.families.matrix_completion.sample((12, 10), 1, 80, noise=0.3).problem
    alpha = fm.alpha_max(problem)
    assert relative_alpha(Task(problem, alpha)) <= 2.0
    assert relative_alpha(Task(problem, 2 * alpha)) == pytest.approx(2 * relative_alpha(Task(problem, alpha)))
