"""Quick paths: fits near the penalised minima, and refits at a lower rank."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.noise.quick_path import QuickPath

PROBLEM = fm.families.matrix_completion.sample((30, 20), 2, 400, noise=0.3).problem
SETTINGS = {"metric_power": 0.5, "max_rank": None, "max_iter": None, "seed": 0}


def test_fits_follow_the_certified_path():
    path, factors = QuickPath(PROBLEM, SETTINGS), None
    for alpha in (8.0, 2.0, 0.5):
        factors = path.fit(alpha, factors)
        exact = fm.flat_minimum(PROBLEM, alpha=alpha, metric_power=0.5).matrix
        assert np.linalg.norm(factors[0] @ factors[1].T - exact) < 0.05 * np.linalg.norm(exact)


def test_refits_have_the_rank_of_their_start_and_fit_better():
    path = QuickPath(PROBLEM, SETTINGS)
    L, R = path.fit(2.0)
    start = L[:, :2], R[:, :2]
    found = path.refit(2.0, start, 50)
    assert found[0].shape[1] == 2
    assert np.linalg.norm(PROBLEM.residual(found)) < 0.9 * np.linalg.norm(PROBLEM.residual(start))
    exact = fm.refit(PROBLEM, fm.flat_minimum(PROBLEM, alpha=2.0, metric_power=0.5, max_rank=2))
    assert PROBLEM.loss.value(PROBLEM.residual(found)) == pytest.approx(
        PROBLEM.loss.value(PROBLEM.residual(exact)), rel=0.05
    )
    nothing = np.zeros((30, 0)), np.zeros((20, 0))
    assert path.refit(2.0, nothing, 50) is nothing
