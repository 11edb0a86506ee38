"""Fits by positive semidefinite matrices: recovered truths, misfits proved least, second interpolants."""

import cvxpy as cp
import numpy as np
import pytest

from flatmin._core.limits import Clock, Limits
from flatmin.measurements import CodedDiffraction, RankOne
from flatmin.solvers.vectors.interpolating import another_interpolant
from flatmin.solvers.vectors.interpolation import _lowest, interpolate
from tests.solvers.vectors.instances import distance, draw, measured


def octanary(rng, *shape):
    return rng.choice([1, -1, 1j, -1j], shape) * rng.choice([np.sqrt(0.5), np.sqrt(3)], shape, p=[0.8, 0.2])


@pytest.mark.parametrize(
    ("d", "m", "r", "dtype"),
    [(40, 160, 1, float), (40, 160, 1, complex), (30, 270, 3, float), (20, 360, 3, complex), (60, 120, 1, float)],
)
def test_recovers_the_truth_at_its_rank_to_rounding(d, m, r, dtype):
    for seed in range(3):
        A, S, b = measured(d, m, r, dtype, seed)
        found = interpolate(A, b, clock=Clock())
        assert found.converged
        assert not found.optimal_misfit
        assert found.U.shape == (d, r)
        assert found.U.dtype == dtype
        assert found.residual < 1e-14
        assert distance(found.U, S) < 1e-12


@pytest.mark.parametrize("width", [1, 3, 8])
def test_the_rank_does_not_depend_on_the_width_of_the_start(width):
    A, S, b = measured(30, 240, 2, float)
    found = interpolate(A, b, clock=Clock(), width=width)
    assert found.U.shape[1] == 2
    assert distance(found.U, S) < 1e-12


def test_vectors_of_different_lengths():
    A, S, b = measured(30, 150, 1, float)
    lengths = 10.0 ** np.random.default_rng(1).uniform(-1, 1, 150)
    found = interpolate(A.weighted(lengths), lengths * b, clock=Clock())
    assert distance(found.U, S) < 1e-10


@pytest.mark.parametrize("size", [(64,), (12, 16)])
@pytest.mark.parametrize("count", [6, 8])
def test_coded_diffraction(size, count):
    rng = np.random.default_rng(0)
    A = CodedDiffraction(octanary(rng, count, *size))
    s = draw(rng, (A.shape[0], 1), complex)
    found = interpolate(A, A.forward_factors(s, s), clock=Clock())
    assert found.residual < 1e-14
    assert distance(found.U, s) < 1e-12


def test_coded_diffraction_with_unseen_pixels():
    rng = np.random.default_rng(1)
    masks = octanary(rng, 8, 50)
    masks[:, :3] = 0
    A, s = CodedDiffraction(masks), draw(rng, (50, 1), complex)
    s[:3] = 0
    found = interpolate(A, A.forward_factors(s, s), clock=Clock())
    assert np.isfinite(found.U).all()
    assert distance(found.U, s) < 1e-10


def test_extreme_scales_of_the_data():
    A, S, b = measured(20, 100, 1, float)
    for scale in (1e-250, 1e-100, 1e100, 1e250):
        found = interpolate(A, scale * b, clock=Clock())
        assert found.converged
        assert distance(found.U / np.sqrt(scale), S) < 1e-12


@pytest.mark.parametrize("dtype", [float, complex])
def test_misfit_is_the_least_squares_optimum_of_all_semidefinite_matrices(dtype):
    """Referee: cvxpy."""
    A, _, b = measured(6, 40, 1, dtype)
    b = b + 0.3 * np.sqrt(np.mean(b**2)) * np.random.default_rng(1).standard_normal(40)
    X = cp.Variable((6, 6), hermitian=True) if dtype is complex else cp.Variable((6, 6), PSD=True)
    real = cp.real if dtype is complex else lambda value: value
    values = cp.hstack([real(cp.trace(M @ X)) for M in A.matrices()])
    best = cp.Problem(cp.Minimize(cp.norm(values - b)), [X >> 0]).solve(solver=cp.CLARABEL)
    found = interpolate(A, b, clock=Clock())
    assert found.optimal_misfit
    assert not found.converged
    assert found.residual * np.linalg.norm(b) == pytest.approx(best, rel=1e-6)


def test_negative_intensities_are_never_fitted_and_never_nan():
    A, _, b = measured(20, 80, 1, float)
    found = interpolate(A, -b, clock=Clock())
    assert found.U.shape == (20, 0)
    assert found.residual == 1
    assert found.optimal_misfit
    b[:3] *= -1
    found = interpolate(A, b, clock=Clock())
    assert found.optimal_misfit
    assert np.isfinite(found.U).all()
    assert 0 < found.residual < 1


def test_a_misfit_is_not_called_least_before_it_is():
    """Negative control: stopped early or held at too small a rank, nothing is proved."""
    A, _, b = measured(20, 150, 3, float)
    short = interpolate(A, b, clock=Clock(max_iter=2))
    assert not short.converged
    assert not short.optimal_misfit
    narrow = interpolate(A, b, clock=Clock(), limits=Limits(max_rank=1))
    assert narrow.U.shape[1] == 1
    assert not narrow.converged
    assert not narrow.optimal_misfit


def test_zero_data():
    A = RankOne(np.eye(3))
    found = interpolate(A, np.zeros(3), clock=Clock())
    assert found.U.shape == (3, 0)
    assert found.residual == 0
    assert found.converged
    assert another_interpolant(A, np.zeros(3), found.U, clock=Clock()) is None


def test_limits_history_and_callback():
    A, _, b = measured(20, 80, 1, float)
    seen, clock = [], Clock()
    found = interpolate(A, b, clock=clock, limits=Limits(callback=seen.append))
    assert clock.iterations == len(seen) == len(found.history["residual"]) == found.history["iteration"][-1]
    assert set(seen[0]) == set(found.history) == {"iteration", "seconds", "residual", "rank"}
    assert found.history["residual"][-1] < 1e-13
    assert not interpolate(A, b, clock=Clock(time_limit=0)).converged


def test_starting_from_the_solution_takes_no_search():
    A, S, b = measured(20, 80, 1, float)
    clock = Clock()
    found = interpolate(A, b, clock=clock, start=S)
    assert clock.iterations <= 1
    assert distance(found.U, S) < 1e-13


def test_lowest_eigenvalues_by_lanczos_are_those_of_the_array():
    rng = np.random.default_rng(0)
    A, y = CodedDiffraction(octanary(rng, 4, 6, 7)), rng.standard_normal(4 * 42)
    D = A.metric()[0].power(-1)
    values, vectors = _lowest(A, y, 2, D, 0)
    W = np.asarray(D) @ A.adjoint(y) @ np.asarray(D)
    np.testing.assert_allclose(np.sort(values), np.linalg.eigvalsh(W)[:2], rtol=1e-5)
    plain = D.power(-1) @ vectors
    np.testing.assert_allclose(W @ plain, plain * values, atol=1e-4 * np.abs(values).max())
