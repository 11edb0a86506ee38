"""Odds of missing cells: equal where cells are missing at random, and those of the rows where rows differ."""

import numpy as np

from flatmin.estimators._intervals.missing_odds import LARGEST_ODDS, missing_odds


def test_odds_are_about_equal_if_cells_are_missing_completely_at_random():
    counts = np.random.default_rng(0).binomial(12, 0.7, 500)
    np.testing.assert_allclose(missing_odds(counts, 12), 1, atol=0.15)


def test_weighted_observed_cells_have_the_rows_of_missing_cells():
    """With weights, held-out cells see as many other observed cells of their row as missing cells do, on average."""
    rng = np.random.default_rng(1)
    chance = rng.beta(1.2, 2.5, 20_000)
    counts = rng.binomial(10, 1 - chance)
    counts = counts[counts > 1]
    weights = counts * missing_odds(counts, 10)
    missing = np.average(counts, weights=10 - counts)
    unweighted = np.average(counts - 1, weights=counts)
    assert abs(np.average(counts - 1, weights=weights) - missing) < 0.15
    assert unweighted - missing > 1


def test_complete_tables_and_single_rows_have_finite_odds():
    np.testing.assert_allclose(missing_odds(np.full(4, 6), 6), 1)
    odds = missing_odds(np.array([1, 50, 50, 0]), 50)
    assert np.all(np.isfinite(odds))
    assert odds.max() <= LARGEST_ODDS * 4
