"""Empirical-Bayes means of groups, against their definition and simulated groups."""

import numpy as np
import pytest

from flatmin.estimators._intervals.credibility import LEAST_PRIOR, MOST_PRIOR, Credibility


def drawn(between, within, groups=200, size=15, seed=0):
    rng = np.random.default_rng(seed)
    means = 5 + between * rng.standard_normal(groups)
    group = np.repeat(np.arange(groups), rng.integers(2, 2 * size, groups))
    return means, means[group] + within * rng.standard_normal(len(group)), group


def test_the_prior_is_the_ratio_of_the_variances():
    _, values, group = drawn(1.0, 4.0)
    assert Credibility.from_groups(values, group, 200).prior == pytest.approx(16, rel=0.3)


def test_estimates_are_better_than_means_of_groups_and_than_the_overall_mean():
    means, values, group = drawn(1.0, 4.0)
    found = Credibility.from_groups(values, group, 200)
    error = np.mean((found.estimates - means) ** 2)
    assert error < 0.8 * np.mean((found.sums / found.counts - means) ** 2)
    assert error < 0.8 * np.mean((found.mean - means) ** 2)


def test_equal_groups_get_nearly_the_overall_mean():
    _, values, group = drawn(0.0, 4.0)
    found = Credibility.from_groups(values, group, 200)
    assert found.prior > 100
    np.testing.assert_allclose(found.estimates, found.mean, atol=1.0)


def test_equal_values_in_groups_keep_the_means_of_groups():
    found = Credibility.from_groups(np.array([1.0] * 5 + [3.0] * 5), np.repeat([0, 1], 5), 2)
    assert found.prior == LEAST_PRIOR
    np.testing.assert_allclose(found.estimates, [(5 + 2) / 6, (15 + 2) / 6])


def test_a_single_group_gets_its_mean():
    found = Credibility.from_groups(np.array([1.0, 2.0, 6.0]), np.zeros(3, int), 2)
    assert found.prior == MOST_PRIOR
    np.testing.assert_allclose(found.estimates, 3.0)


def test_without_a_value_the_other_values_of_its_group_remain():
    _, values, group = drawn(1.0, 2.0, groups=20)
    found = Credibility.from_groups(values, group, 20)
    for k in (0, 17):
        others = (group == group[k]) & (np.arange(len(values)) != k)
        expected = (found.prior * found.mean + values[others].sum()) / (found.prior + others.sum())
        assert found.without(values, group)[k] == pytest.approx(expected)


def test_a_weight_counts_like_copies():
    _, values, group = drawn(1.0, 2.0, groups=20)
    weights = np.random.default_rng(1).integers(1, 4, len(values))
    found = Credibility.from_groups(values, group, 20, weights)
    copies = Credibility.from_groups(np.repeat(values, weights), np.repeat(group, weights), 20)
    np.testing.assert_allclose(found.estimates, copies.estimates)
    kept = np.arange(len(values)) != 5
    others = found.prior * found.mean + np.sum((weights * values)[kept & (group == group[5])])
    expected = others / (found.prior + np.sum(weights[kept & (group == group[5])]))
    assert found.without(values, group, weights)[5] == pytest.approx(expected)
