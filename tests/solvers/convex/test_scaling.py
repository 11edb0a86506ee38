"""Scaled units: penalties and strengths, duals, redundant and uneven measurements."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.convex.scaling import Scaled

PROBLEM = fm.families.matrix_sensing.sample((8, 6), 2, 30, seed=1, noise=0.1).problem


def test_penalty_and_alpha_are_inverse_to_each_other():
    scaled = Scaled.from_problem(PROBLEM, 1.0, 0, weighted=False)
    assert scaled.alpha(scaled.penalty(0.37)) == pytest.approx(0.37)
    assert scaled.penalty(0.1) == pytest.approx(10 * scaled.penalty(1.0))


def test_the_penalised_objective_is_that_of_the_problem():
    """In scaled units it is the same function of X up to a factor: compared at two points."""
    scaled, alpha = Scaled.from_problem(PROBLEM, 1.0, 0, weighted=False), 0.2
    penalty, rng, ratios = scaled.penalty(alpha), np.random.default_rng(0), []
    for _ in range(2):
        factors = PROBLEM.parametrization.random(PROBLEM.shape, 2, rng)
        residual = PROBLEM.residual(factors)
        value = PROBLEM.loss.value(residual) + alpha * PROBLEM.parametrization.fibre_minimum(factors, PROBLEM.metric)
        x, _ = scaled.start(PROBLEM, factors)
        s, left = scaled.model.canonical(x)[1], scaled.model.value(x) - scaled.b
        ratios.append(value / (s.sum() + penalty / 2 * left @ left))
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-10)


def test_the_first_dual_matrix_has_norm_one():
    scaled = Scaled.from_problem(PROBLEM, 1.0, 0)
    S = scaled.model.dual_matrix(scaled.b)
    assert np.linalg.norm(S, 2) == pytest.approx(1.0, rel=1e-2)


def test_duals_return_to_the_units_of_the_problem():
    scaled = Scaled.from_problem(PROBLEM, 1.0, 0)
    y = np.random.default_rng(0).standard_normal(len(scaled.b))
    dual = scaled.original_dual(y, 0.0)
    assert dual @ PROBLEM.data == pytest.approx(scaled.to_z * float(y @ scaled.b))


def test_contradictory_repetitions_are_noticed():
    A = fm.measurements.Entries([0, 0, 1], [0, 0, 1], (2, 2))
    assert Scaled.from_problem(fm.Problem(A, [1.0, 2.0, 1.0]), 1.0, 0).contradictory
    assert not Scaled.from_problem(fm.Problem(A, [1.0, 1.0, 1.0]), 1.0, 0).contradictory


def test_uneven_measurements_are_weighted_unless_they_must_not_be():
    tensor = np.random.default_rng(0).standard_normal((10, 4, 3))
    tensor[0] *= 1e3
    problem = fm.Problem(fm.measurements.Dense(tensor), np.ones(10))
    weights = Scaled.from_problem(problem, 0.0, 0).weights
    assert weights is not None
    assert weights.max() / weights.min() > 100
    assert Scaled.from_problem(problem, 0.0, 0, weighted=False).weights is None


def test_a_warm_start_of_another_size_is_refused():
    other = fm.flat_minimum(fm.families.matrix_sensing.sample((8, 6), 1, 40).problem)
    with pytest.raises(fm.InputError, match="the warm start has 40 dual values, expected 30"):
        Scaled.from_problem(PROBLEM, 1.0, 0).start(PROBLEM, other)
