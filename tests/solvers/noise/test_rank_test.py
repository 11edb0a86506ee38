"""The rank test finds the rank of the signal from above and from below."""

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.noise.rank_test import RankTest
from flatmin.solvers.noise.simulated_noise import SimulatedNoise

PROBLEM = fm.families.matrix_sensing.sample((12, 10), 2, 100, noise=0.05, seed=0).problem


@pytest.mark.parametrize("width", [0, 1, 2, 4])
def test_the_rank_of_the_signal_is_found(width):
    scaled = Scaled.from_problem(PROBLEM, 1.0, 0, weighted=False)
    noise = SimulatedNoise.from_problem(PROBLEM, scaled, 0)
    test = RankTest(noise, scaled.penalty(0.01), 100, 10, Clock())
    U, s, V = scaled.model.leading(scaled.model.dual_matrix(scaled.b), 6, 0)
    x, residual = test.passed(scaled.model.stack(U[:, :width], s[:width], V[:, :width]))
    assert x.shape[1] == 2
    np.testing.assert_allclose(residual, scaled.b - scaled.model.value(x), atol=1e-10)


def test_the_rank_before_the_drop_is_tried_before_that_of_the_solution(monkeypatch):
    scaled = Scaled.from_problem(PROBLEM, 1.0, 0, weighted=False)
    test = RankTest(SimulatedNoise.from_problem(PROBLEM, scaled, 0), scaled.penalty(0.01), 100, 10, Clock())
    U, _, V = scaled.model.leading(scaled.model.dual_matrix(scaled.b), 4, 0)
    tried, fit = list[int](), RankTest.fit
    monkeypatch.setattr(RankTest, "fit", lambda self, x, tol=None: tried.append(x.shape[1]) or fit(self, x, tol))
    assert test.passed(scaled.model.stack(U, np.array([1.0, 0.7, 0.002, 0.002]), V))[0].shape[1] == 2
    assert tried == [2, 1, 2]


def test_the_largest_rank_is_a_limit():
    scaled = Scaled.from_problem(PROBLEM, 1.0, 0, weighted=False)
    test = RankTest(SimulatedNoise.from_problem(PROBLEM, scaled, 0), scaled.penalty(0.01), 100, 1, Clock())
    assert test.passed(np.zeros((22, 0)))[0].shape[1] == 1
