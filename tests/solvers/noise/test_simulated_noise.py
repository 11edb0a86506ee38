"""What noise does to the dual matrix, against dense matrices."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.linalg.subspaces import LARGEST_QUICK
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.noise.simulated_noise import SimulatedNoise

PROBLEMS = {
    "sensing": fm.families.matrix_sensing.sample((12, 9), 1, 100).problem,
    "wide": fm.families.matrix_sensing.sample((7, 15), 1, 100).problem,
    "large completion": fm.families.matrix_completion.sample((LARGEST_QUICK + 30, LARGEST_QUICK + 10), 2, 4000).problem,
    "covariance": fm.families.covariance.sample(10, 2, 100).problem,
    "waves": fm.families.phase_retrieval.sample(9, 1, 90).problem,
    "network": fm.families.quadratic_network.sample(10, (1, 1), 90).problem,
}


def _values(problem, scaled, y):
    """Return the values that matrices of the cone can meet, of a dual matrix that is formed entry by entry."""
    D1, D2 = (D.power(-1) @ np.eye(d) for D, d in zip(problem.metric, problem.shape, strict=True))
    S = scaled.model.scale * D1 @ problem.measurement.adjoint(y) @ D2
    if not problem.parametrization.cone.is_hermitian:
        return np.linalg.svd(S, compute_uv=False)
    values = np.linalg.eigvalsh(S)
    return values if problem.parametrization.cone.is_semidefinite else np.abs(values)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_largest_value_is_that_of_a_dense_matrix(name):
    problem = PROBLEMS[name]
    scaled = Scaled.from_problem(problem, 1.0, 0, weighted=False)
    assert scaled.merge is None or name == "large completion"
    noise = SimulatedNoise.from_problem(problem, scaled, 0)
    for seed in range(3):
        y = np.random.default_rng(seed).standard_normal(problem.measurement.size)
        merged = y if scaled.merge is None else scaled.merge.T @ y
        assert noise.largest(merged) == pytest.approx(max(_values(problem, scaled, y).max(), 0), rel=1e-3)


def test_negative_values_cannot_be_met_by_positive_semidefinite_matrices():
    problem = PROBLEMS["covariance"]
    noise = SimulatedNoise.from_problem(problem, Scaled.from_problem(problem, 1.0, 0, weighted=False), 0)
    assert noise.largest(-np.ones(100)) == 0
    assert noise.largest(np.ones(100)) > 0


@pytest.mark.slow
def test_flips_see_what_a_single_large_error_does():
    problem = PROBLEMS["large completion"]
    noise = SimulatedNoise.from_problem(problem, Scaled.from_problem(problem, 1.0, 0, weighted=False), 0)
    rng = np.random.default_rng(1)
    residual = rng.standard_normal(4000)
    assert noise.flipped(residual) < 1.1 * noise.even
    residual[5] = 60.0
    assert noise.flipped(residual) > 1.5 * noise.even
    assert noise.flipped(7 * residual) == pytest.approx(noise.flipped(residual))
