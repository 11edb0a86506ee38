"""Certificates of robust PCA: the grid of observed cells, dense noise, and any dual matrix."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.measurements import Entries, Identity, Mask
from flatmin.proofs.robust.certificate import Grid, dense_part, misfit, robust_certificate


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_a_grid_maps_values_to_observed_rows_and_columns(order):
    rng = np.random.default_rng(0)
    seen = rng.random((6, 5)) < 0.6
    seen[2], seen[:, 3] = False, False
    rows, cols = np.nonzero(seen)
    shuffle = rng.permutation(len(rows)) if order == "shuffled" else np.arange(len(rows))
    grid = Grid.from_entries(Entries(rows[shuffle], cols[shuffle], seen.shape))
    values = rng.standard_normal(len(rows))
    M = grid.matrix(values)
    assert M.shape == grid.shape == (np.count_nonzero(seen.any(1)), np.count_nonzero(seen.any(0)))
    np.testing.assert_array_equal(grid.values(M), values)
    full = np.zeros(seen.shape)
    full[rows[shuffle], cols[shuffle]] = values
    np.testing.assert_array_equal(M, full[grid.rows][:, grid.cols])
    np.testing.assert_array_equal(Grid.from_entries(Mask(seen)).matrix(full[seen]), M)
    assert Grid.from_entries(Identity((2, 3))).seen is None


@pytest.mark.parametrize("loss", [fm.losses.Absolute(weight=0.3), fm.losses.Absolute(tau=2.0)])
def test_the_cheapest_dense_noise_beats_random_ones(loss):
    rng = np.random.default_rng(1)
    problem = fm.Problem(Identity((3, 4)), rng.standard_normal(12), loss=loss)
    left, alpha = rng.standard_normal(12), 0.05

    def cost(N):
        size = np.abs(left - N).sum()
        gross = 4 * alpha * 0.3 * size if loss.tau is None else np.inf * (size > loss.tau * (1 + 1e-12))
        return np.sum(N**2) / 12 + (gross if gross == gross else 0.0)

    best = dense_part(problem, left, alpha)
    for _ in range(300):
        assert cost(best) <= cost(best + 0.1 * rng.standard_normal(12)) + 1e-12


@pytest.mark.parametrize("alpha", [0.0, 1e-3])
@pytest.mark.parametrize("options", [{}, {"tau": True}])
def test_any_dual_matrix_gives_a_bound(alpha, options):
    instance = fm.families.robust_pca.sample((12, 10), 1, 120, corruption=0.05, seed=0)
    problem = instance.problem
    if options:
        errors = float(np.abs(problem.data - instance.truth.ravel()).sum())
        problem = fm.Problem(problem.measurement, problem.data, loss=fm.losses.Absolute(tau=errors))
    s, rng = fm.flat_minimum(problem, alpha=alpha), np.random.default_rng(2)
    best = robust_certificate(problem, s.factors, s.certificate.dual, alpha=alpha)
    np.testing.assert_allclose(
        misfit(problem, Grid.from_entries(problem.measurement), s.factors), problem.data - s.matrix.ravel(), atol=1e-9
    )
    assert best.holds
    for size in (1e-3, 1e-1, 1.0):
        dual = s.certificate.dual + size * rng.standard_normal(120)
        proof = robust_certificate(problem, s.factors, dual, alpha=alpha, look_further=False)
        assert proof.lower_bound <= best.value * (1 + 1e-9)
        assert proof.lower_bound <= best.lower_bound + 1e-6 * best.value
