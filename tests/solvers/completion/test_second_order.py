"""Newton's method for penalised completion ends at a small gradient."""

import numpy as np

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.solvers.completion.regularised_cells import RegularisedCells
from flatmin.solvers.completion.second_order import newton_steps
from flatmin.solvers.task import Task


def _problem(seed=0, shape=(30, 22), m=330, weighted=False, repeated=True):
    """Return noisy entries of a matrix of rank three, some seen twice, one row and one column never."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((shape[0], 3)) @ rng.standard_normal((3, shape[1]))
    rows, cols = rng.integers(1, shape[0], m), rng.integers(0, shape[1] - 1, m)
    if not repeated:
        rows, cols = np.divmod(np.unique(rows * shape[1] + cols), shape[1])
    weights = rng.uniform(0.5, 2, len(rows)) if weighted else None
    A = fm.measurements.Entries(rows, cols, shape, weights)
    return fm.Problem(A, A.forward(X) + 0.3 * rng.standard_normal(len(rows)))


def test_newton_ends_at_a_small_gradient():
    problem = RegularisedCells.of(Task(_problem(5), 0.1))
    rng = np.random.default_rng(0)
    L, R = (rng.standard_normal((d, 6)) / np.sqrt(problem.unit) for d in (30, 22))
    for tol in (1e-2, 1e-5, 1e-9):
        point = newton_steps(problem, L, R, tol, Clock(), 40)
        L, R = point.L, point.R
        np.testing.assert_allclose(point.errors, problem.errors(L, R), atol=1e-10)
        assert point.gradient <= tol

    def value(t):
        e = problem.errors(L + t * P, R + t * Q)
        return float(e @ e) + problem.size(L + t * P, R + t * Q)

    P, Q = rng.standard_normal(L.shape), rng.standard_normal(R.shape)
    assert abs(value(1e-4) - value(-1e-4)) / 2e-4 < 1e-5 * value(0)
