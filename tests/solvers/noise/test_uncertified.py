"""The fast fit is the refit of the square-root rule, and its certificate bounds its distance from the minimum."""

import numpy as np

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.solvers.noise.uncertified import uncertified_minimum
from flatmin.solvers.task import Task


def test_the_gap_bounds_the_distance_from_the_penalised_minimum():
    problem = fm.families.phase_retrieval.sample(8, 1, 60, noise=0.1).problem
    fast, best = uncertified_minimum(Task(problem), Clock()), fm.flat_minimum(problem, alpha="auto")
    alpha = fast.noise.alpha
    assert np.isclose(alpha, best.noise.alpha)
    minimum = fm.flat_minimum(problem, alpha=alpha).certificate.value
    proof = fast.certificate
    assert proof.lower_bound <= minimum * (1 + 1e-9)
    assert minimum <= proof.value * (1 + 1e-9)


def test_exact_data_have_an_exact_fit():
    problem = fm.families.matrix_sensing.sample((6, 5), 1, 60).problem
    assert uncertified_minimum(Task(problem), Clock()).status is fm.Status.unique_flat_minimum
