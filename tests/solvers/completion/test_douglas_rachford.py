import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Limits
from flatmin.measurements import Entries
from flatmin.solvers.completion import douglas_rachford
from flatmin.solvers.completion.douglas_rachford import DouglasRachford, applies_to, split_minimum
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.outcome import Outcome


def scaled(count=100, weights=None, shape=(14, 11)):
    A = fm.families.matrix_completion.sample((14, 11), 1, count).problem
    entries = Entries(A.measurement.rows, A.measurement.cols, shape, weights)
    data = A.data if weights is None else weights * A.data
    return Scaled.from_problem(fm.Problem(entries, data), 1.0, 0)


def found(problem):
    outcome, clock = Outcome.zero(problem.model.whitened.shape, problem.b), Limits().start()
    outcome.bound, outcome.converged = -np.inf, False
    split_minimum(problem.model, problem.b, clock, Limits(), outcome)
    return outcome, clock


@pytest.mark.parametrize("weights", [None, np.linspace(-1.5, 1.0, 100)], ids=["plain", "signed weights"])
def test_it_ends_at_the_flat_minimum(weights):
    problem = scaled(weights=weights)
    outcome, clock = found(problem)
    assert outcome.converged
    assert clock.iterations < 100
    point = problem.model.stack(outcome.U, outcome.s, outcome.V)
    assert problem.misfit(point) < 1e-12
    assert np.linalg.norm(problem.model.dual_matrix(outcome.y).toarray(), 2) < 1 + 1e-9
    assert problem.b @ outcome.y == pytest.approx(outcome.s.sum(), rel=1e-9)


def test_a_fixed_point_fits_and_has_a_dual_matrix_on_the_observed_cells():
    problem = scaled()
    point = DouglasRachford(problem.model, problem.b)
    for _ in range(400):
        point.step()
    assert point.move < 1e-12
    (U, s, V), y = point.solution()
    np.testing.assert_allclose(problem.model.value(problem.model.stack(U, s, V)), problem.b, atol=1e-10)
    np.testing.assert_allclose(problem.model.apply(problem.model.dual_matrix(y), np.vstack([U, V])), np.vstack([U, V]))


def test_it_stops_where_the_minimum_has_many_columns_or_steps_are_slow(monkeypatch):
    monkeypatch.setattr(douglas_rachford, "WIDE", 0.5)
    outcome, clock = found(scaled(45))
    assert not outcome.converged
    assert clock.iterations == douglas_rachford.SETTLED + 1
    monkeypatch.undo()
    monkeypatch.setattr(douglas_rachford, "GAIN", 1e9)
    monkeypatch.setattr(douglas_rachford, "_tried", lambda point, end: False)
    outcome, clock = found(scaled())
    assert clock.iterations == 2 * douglas_rachford.WINDOW + 1


def test_it_applies_to_middle_tables_of_weighted_cells_without_a_limit_on_the_rank(monkeypatch):
    assert not applies_to(scaled().model, Limits())
    monkeypatch.setattr(douglas_rachford, "FEW_CELLS", 50)
    assert applies_to(scaled().model, Limits())
    assert not applies_to(scaled().model, Limits(max_rank=2))
    assert not applies_to(scaled(weights=np.r_[0.0, np.ones(99)]).model, Limits())
    sensing = fm.families.matrix_sensing.sample((6, 5), 1, 60).problem
    assert not applies_to(Scaled.from_problem(sensing, 1.0, 0).model, Limits())


def test_middle_tables_are_solved_by_it(monkeypatch):
    problem = fm.families.matrix_completion.sample((60, 45), 2, 2100, seed=3).problem
    monkeypatch.setattr("flatmin.solvers.convex.augmented_lagrangian._Rounds.guess", lambda self: None)
    steps = []
    solution = fm.flat_minimum(problem, callback=steps.append)
    assert solution.status.name == "unique_flat_minimum"
    assert len(steps) == 1
