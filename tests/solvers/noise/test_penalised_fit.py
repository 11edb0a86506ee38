"""Quick penalised fits are minima: of narrow tables by proximal gradients, else by Newton's method."""

from contextlib import suppress

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.noise.penalised_fit import first_factors, penalised_fit
from flatmin.solvers.task import Task

PROBLEMS = {
    "sensing": fm.families.matrix_sensing.sample((8, 6), 2, 60, noise=0.2).problem,
    "table": fm.families.matrix_completion.sample((12, 9), 2, 80, noise=0.2).problem,
    "tall table": fm.families.matrix_completion.sample((40, 9), 1, 250, noise=0.2).problem,
    "larger table": fm.families.matrix_completion.sample((50, 40), 1, 1000, noise=0.2).problem,
    "semidefinite": fm.families.quadratic_network.sample(6, (1, 1), 30, noise=0.2).problem,
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_it_is_the_certified_minimum(name):
    problem, alpha = PROBLEMS[name], 0.1
    scaled, task = Scaled.from_problem(problem, 1.0, 0, weighted=False), Task(problem)
    penalty = scaled.penalty(alpha)
    start = first_factors(scaled, task, penalty)
    x, residual = penalised_fit(scaled, task, Clock(), start, penalty, 1e-7)
    np.testing.assert_allclose(residual, scaled.b - scaled.model.value(x), atol=1e-5)
    found = np.vdot(x, x) / 2 + penalty / 2 * residual @ residual
    exact = fm.flat_minimum(problem, alpha=alpha)
    y, _ = scaled.start(problem, exact.factors)
    left = scaled.b - scaled.model.value(y)
    assert found == pytest.approx(scaled.model.canonical(y)[1].sum() + penalty / 2 * left @ left, rel=1e-6)


def test_tall_tables_and_large_ranks_have_proximal_gradients(monkeypatch):
    used = []
    monkeypatch.setattr(f"{penalised_fit.__module__}.proximal_gradient", lambda *given: used.append(given) or 1 / 0)
    for name, columns, wanted in (("tall table", 1, True), ("larger table", 1, False), ("larger table", 11, True)):
        problem = PROBLEMS[name]
        scaled = Scaled.from_problem(problem, 1.0, 0, weighted=False)
        x = np.random.default_rng(0).standard_normal((sum(problem.shape), columns))
        used.clear()
        with suppress(ZeroDivisionError):
            penalised_fit(scaled, Task(problem), Clock(), x, scaled.penalty(0.1))
        assert bool(used) == wanted
