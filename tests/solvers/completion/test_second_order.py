"""Newton's method for penalised completion ends at a small gradient."""

import numpy as np

from flatmin._core.limits import Clock
from flatmin.solvers.completion.regularised_cells import RegularisedCells
from flatmin.solvers.completion.second_order import newton_steps
from flatmin.solvers.task import Task
from tests.solvers.completion.test_alternating import _problem


def test_newton_ends_at_a_small_gradient():
    problem = RegularisedCells.from_task(Task(_problem(5), 0.1))
    rng = np.random.default_rng(0)
    L, R = (rng.standard_normal((d, 6)) / np.sqrt(problem.unit) for d in (30, 22))
    for tol in (1e-2, 1e-5, 1e-9):
        point = newton_steps(problem, L, R, tol, Clock(), 100)
        L, R = point.L, point.R
        np.testing.assert_allclose(point.errors, problem.errors(L, R), atol=1e-10)
        assert point.gradient <= tol

    def value(t):
        e = problem.errors(L + t * P, R + t * Q)
        return float(e @ e) + problem.size(L + t * P, R + t * Q)

    P, Q = rng.standard_normal(L.shape), rng.standard_normal(R.shape)
    assert abs(value(1e-4) - value(-1e-4)) / 2e-4 < 1e-5 * value(0)
