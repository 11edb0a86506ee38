"""Data that determine the trace: a penalty is a shift of the data, and a start of rank one nearly fits."""

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.noise.determined import implicit, rank_one_fit, shifted_minimum
from flatmin.solvers.task import Task

PROBLEM = fm.families.phase_retrieval.sample(6, 1, 40, noise=0.1).problem


def test_the_shifted_fit_is_the_penalised_minimum():
    scaled, task, alpha = Scaled.from_problem(PROBLEM, 1.0, 0, weighted=False), Task(PROBLEM), 0.05
    x = rank_one_fit(scaled, task, Clock())
    found = shifted_minimum(scaled, task, Clock(), x, scaled.penalty(alpha))
    assert found.converged
    exact = fm.flat_minimum(PROBLEM, alpha=alpha)
    U, s, V = found.U, scaled.to_z * found.s, found.V
    factors = PROBLEM.parametrization.flattest(U, s, V, scaled.metric)
    np.testing.assert_allclose(factors[0] @ factors[0].conj().T, exact.matrix, atol=1e-4 * np.abs(exact.matrix).max())


def test_the_start_counts_its_steps_and_fits_a_signal():
    clean = fm.families.phase_retrieval.sample(6, 1, 40).problem
    scaled, clock = Scaled.from_problem(clean, 1.0, 0, weighted=False), Clock()
    x = rank_one_fit(scaled, Task(clean), clock)
    assert clock.iterations > 0
    assert scaled.model.value(x) == pytest.approx(scaled.b, abs=1e-6)


def test_transforms_are_not_formed():
    masks = fm.families.phase_retrieval.sample(8, 1, 40)
    scaled = Scaled.from_problem(masks.problem, 1.0, 0, weighted=False)
    assert implicit(scaled) is scaled
