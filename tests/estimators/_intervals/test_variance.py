"""Coefficients of variances."""

import numpy as np
import pytest

from flatmin.estimators._intervals.variance import LEAST_SHARE, variance_coefficients, variance_share


def test_the_coefficients_of_simulated_errors_are_found():
    rng = np.random.default_rng(0)
    terms = np.stack([np.ones(20_000), rng.exponential(size=20_000), rng.exponential(size=20_000)], axis=1)
    share = terms @ [0.2, 0.8, 0.0]
    found = variance_coefficients(terms, 7 * share * rng.standard_normal(20_000) ** 2)
    assert found[:2] == pytest.approx([0.2, 0.8], abs=0.05)
    assert 0 <= found[2] < 0.03


def test_shares_are_positive():
    np.testing.assert_array_equal(variance_share(np.zeros(2), np.ones((3, 2))), LEAST_SHARE)


def test_terms_of_any_unit_are_fitted():
    rng = np.random.default_rng(1)
    terms, squares = np.stack([np.ones(500), rng.exponential(size=500)], axis=1), rng.exponential(size=500)
    units = np.array([1.0, 1e9])
    np.testing.assert_allclose(
        variance_coefficients(units * terms, squares) * units, variance_coefficients(terms, squares), rtol=1e-6
    )
