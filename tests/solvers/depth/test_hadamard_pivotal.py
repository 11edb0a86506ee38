"""Sparse regression with noise of unknown level."""

import numpy as np
import pytest

import flatmin as fm
from tests.solvers.depth.test_depth_noise import regression


def test_noise_of_unknown_level():
    levels, wrong = [], 0
    for seed in range(5):
        problem, _, x = regression(80, 120, 2, seed=seed)
        s = fm.flat_minimum(problem, alpha="auto")
        found = fm.Hadamard(2).pair(s.noise.refit)[0][:, 0]
        assert s.status is fm.Status.regularized_minimum
        assert np.all(found[:3] != 0)
        assert np.linalg.norm(found - x) < np.linalg.norm(s.matrix[:, 0] - x)
        wrong += np.count_nonzero(found[3:])
        levels.append(s.noise.sigma / 0.3)
        residual = problem.residual(s.factors)
        assert 2 * s.noise.alpha * 80 == pytest.approx(s.noise.threshold * np.linalg.norm(residual), rel=1e-5)
    assert wrong <= 3
    assert np.median(levels) == pytest.approx(1, abs=0.06)
    exact, _, x = regression(100, 200, 2, noise=0.0)
    s = fm.flat_minimum(exact, alpha="auto")
    np.testing.assert_allclose(s.matrix[:, 0], x, atol=1e-5)
