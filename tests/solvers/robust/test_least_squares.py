"""Trimmed least squares: cells with gross errors are found and left out."""

import numpy as np
import pytest

from flatmin.solvers.robust.least_squares import row_coefficients, row_grams, trimmed_fit, typical_size


def _corrupted(seed=0, sigma=0.1):
    rng = np.random.default_rng(seed)
    L, R = rng.standard_normal((40, 2)), rng.standard_normal((30, 2))
    wrong = rng.random((40, 30)) < 0.1
    Y = L @ R.T + sigma * rng.standard_normal((40, 30)) + wrong * rng.choice([-10.0, 10.0], (40, 30))
    return Y, L, R, wrong


def test_rows_solve_their_normal_equations():
    Y, _, R, _ = _corrupted()
    weights = np.random.default_rng(1).random(Y.shape)
    T = row_coefficients(Y, weights, R, 0.1)
    for i in (0, 17):
        gram = (R.T * weights[i]) @ R + 0.1 * np.eye(2)
        np.testing.assert_allclose(row_grams(weights, R, 0.1)[i], gram)
        np.testing.assert_allclose(gram @ T[i], R.T @ (weights[i] * Y[i]))


def test_gross_errors_are_left_out_and_the_noise_is_measured():
    Y, L, R, wrong = _corrupted()
    fit = trimmed_fit(Y, np.ones(Y.shape, bool), L, R, 1e-6)
    assert not fit.inliers[wrong].any()
    assert np.mean(~fit.inliers[~wrong]) < 0.02
    assert fit.sigma == pytest.approx(0.1, abs=4 * fit.std_error)
    assert np.sqrt(np.mean((fit.L @ fit.R.T - L @ R.T) ** 2)) < 0.05


def test_the_standard_error_is_that_of_repeated_fits():
    fits = []
    for seed in range(12):
        Y, L, R, _ = _corrupted(seed)
        fits.append(trimmed_fit(Y, np.ones(Y.shape, bool), L, R, 1e-6))
    sigmas = np.array([fit.sigma for fit in fits])
    assert sigmas.std() == pytest.approx(np.mean([fit.std_error for fit in fits]), rel=0.7)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_the_typical_size_is_that_of_the_normal_middle(share):
    rng = np.random.default_rng(2)
    values = rng.standard_normal(20_000)
    values[: int(share * 20_000)] = 1e6
    assert typical_size(values) == pytest.approx(1.0, rel=0.1)
    assert typical_size(np.zeros(0)) == 0.0
