"""Robust regression of rows on a known subspace."""

import numpy as np
import pytest

from flatmin.solvers.robust.scores import robust_coefficients


def _rows(seed=0, sigma=0.0):
    rng = np.random.default_rng(seed)
    R, T = rng.standard_normal((50, 3)), rng.standard_normal((20, 3))
    seen, wrong = rng.random((20, 50)) < 0.9, rng.random((20, 50)) < 0.15
    Y = T @ R.T + sigma * rng.standard_normal((20, 50)) + 30.0 * wrong
    return np.where(seen, Y, np.nan), seen, R, T, wrong & seen


def test_exact_rows_are_found_exactly():
    Y, seen, R, T, wrong = _rows()
    found, errors = robust_coefficients(np.nan_to_num(Y), seen, R)
    np.testing.assert_allclose(found, T, atol=1e-8)
    np.testing.assert_array_equal(errors, wrong)


def test_noisy_rows_are_fitted_without_their_gross_errors():
    Y, seen, R, T, wrong = _rows(1, 0.1)
    found, errors = robust_coefficients(np.nan_to_num(Y), seen, R, level=0.15, sigma=0.1)
    assert not np.any(wrong & ~errors)
    assert np.mean(errors & ~wrong) < 0.02
    assert np.sqrt(np.mean((found - T) ** 2)) < 0.05


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_do_not_matter(scale):
    Y, seen, R, T, _ = _rows()
    found, _ = robust_coefficients(scale * np.nan_to_num(Y), seen, R)
    np.testing.assert_allclose(found, scale * T, atol=1e-7 * scale)


def test_without_a_subspace_everything_is_an_error():
    T, errors = robust_coefficients(np.array([[0.0, 5.0]]), np.ones((1, 2), bool), np.zeros((2, 0)))
    assert T.shape == (1, 0)
    np.testing.assert_array_equal(errors, [[False, True]])
