"""Rounds of the augmented Lagrangian method: the optimum, its history, and settings that the user may change."""

from dataclasses import replace

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock, Limits
from flatmin.solvers.convex.augmented_lagrangian import augmented_lagrangian
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.convex.schedule import Schedule

PROBLEM = fm.families.matrix_sensing.sample((8, 6), 2, 20, seed=0).problem
SCALED = Scaled.from_problem(PROBLEM, 1.0, 0)


def _solved(**changes):
    schedule = replace(Schedule(), **changes)
    return augmented_lagrangian(SCALED.model, SCALED.b, Clock(), Limits(), schedule=schedule)


def test_the_bound_meets_the_norm_at_an_exact_fit():
    found = _solved()
    assert found.converged
    assert found.s.sum() == pytest.approx(found.bound, rel=1e-8)
    x = SCALED.model.stack(found.U, found.s, found.V)
    np.testing.assert_allclose(SCALED.model.value(x), SCALED.b, atol=1e-12)


@pytest.mark.parametrize("changes", [{"growth": 2.0}, {"first_rank": 2}, {"first_rho": 50.0}, {"min_added": 1}])
def test_the_optimum_does_not_depend_on_the_schedule(changes):
    assert _solved(**changes).bound == pytest.approx(_solved().bound, rel=1e-8)


def test_rounds_are_limited():
    found = _solved(max_rounds=2, ample_data=1e9)
    assert len(found.history["gap"]) == 2
    assert not found.converged


def test_any_multiplier_on_the_way_bounds_the_optimum():
    optimum = _solved().bound
    for rounds in (1, 2, 4):
        assert _solved(max_rounds=rounds).bound <= optimum * (1 + 1e-9)


def test_a_penalty_trades_the_norm_for_misfit():
    penalty = 30.0
    found = augmented_lagrangian(SCALED.model, SCALED.b, Clock(), Limits(), penalty=penalty)
    residual = SCALED.b - SCALED.model.value(SCALED.model.stack(found.U, found.s, found.V))
    assert found.s.sum() + penalty / 2 * residual @ residual == pytest.approx(found.bound, rel=1e-7)
    assert found.s.sum() < _solved().s.sum()


def test_the_rank_stays_within_its_limit():
    found = augmented_lagrangian(SCALED.model, SCALED.b, Clock(max_iter=60), Limits(max_rank=1))
    assert len(found.s) == 1
    assert not found.converged


def test_a_solution_that_is_zero_takes_no_steps():
    clock = Clock()
    found = augmented_lagrangian(SCALED.model, SCALED.b, clock, Limits(), penalty=0.9)
    assert found.converged
    assert len(found.s) == 0
    assert clock.products == 0
