"""Exact data: what counts as evidence, and a solution that fits to rounding errors."""

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.noise.determined import rank_one_fit
from flatmin.solvers.noise.exact_data import exact_minimum, has_evidence, is_exact_fit, without_noise
from flatmin.solvers.task import Task


def found(measurements, noise=0.0):
    """Return the task of a signal of 6 complex numbers, the problem in scaled units, and a fit of rank one."""
    task = Task(fm.families.phase_retrieval.sample(6, 1, measurements, noise=noise).problem)
    scaled = Scaled.from_problem(task.problem, 1.0, 0, weighted=False)
    return task, scaled, rank_one_fit(scaled, task, Clock())


@pytest.mark.parametrize(("measurements", "evidence"), [(11, False), (12, True)])
def test_a_fit_is_evidence_if_the_data_outnumber_the_unknowns(measurements, evidence):
    """A signal of 6 complex numbers has 11 real unknowns besides its phase."""
    _, scaled, x = found(measurements)
    assert has_evidence(scaled, x) is evidence


@pytest.mark.parametrize(("noise", "exact"), [(0.0, True), (1e-6, False)])
def test_the_solution_of_exact_data_is_certified_and_no_other(noise, exact):
    task, scaled, x = found(60, noise)
    solution = exact_minimum(task, Clock(), scaled, x)
    assert is_exact_fit(solution, Clock()) is exact
    assert solution.status.certified is exact
    assert solution.settings == task.settings


def test_the_noise_of_exact_data_is_rounding():
    task, scaled, x = found(60)
    noise = without_noise(task.problem, scaled, exact_minimum(task, Clock(), scaled, x)).noise
    assert (noise.alpha, noise.rank, noise.freedom) == (0, 1, 11)
    assert 0 < noise.sigma < 1e-13 * np.linalg.norm(task.problem.data)
