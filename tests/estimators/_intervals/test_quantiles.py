"""Weighted quantiles: those of NumPy for equal weights, and those of copies for whole weights."""

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.estimators._intervals.quantiles import (
    checked_quantile,
    effective_number,
    effective_weights,
    quantile_of,
)

SCORES = np.sort(np.random.default_rng(0).exponential(size=300))


@pytest.mark.parametrize("level", [0.001, 0.3, 0.5, 0.9, 300 / 301])
@pytest.mark.parametrize("weight", [1.0, 7.0])
def test_equal_weights_give_the_usual_quantile(level, weight):
    found = quantile_of(SCORES, np.full(300, weight), level)
    assert found == pytest.approx(np.quantile(SCORES, level, method="weibull"), rel=1e-10)


def test_a_weight_counts_like_copies():
    weights = np.random.default_rng(1).integers(1, 4, 300)
    copies = np.quantile(np.repeat(SCORES, weights), 0.5)
    assert quantile_of(SCORES, weights.astype(float), 0.5) == pytest.approx(copies, rel=0.02)
    assert effective_number(weights.astype(float)) < 300


def test_levels_beyond_the_scores_are_refused():
    assert quantile_of(SCORES[:9], np.ones(9), 0.9) == SCORES[8]
    with pytest.raises(InputError, match=r"confidence_level is 0.91, expected at most 0.9: there are 9 held-out cells"):
        checked_quantile(SCORES[:9], np.ones(9), 0.91, "cells")


def test_effective_weights_sum_to_the_effective_number_of_each_group():
    rng = np.random.default_rng(2)
    weights, group = rng.exponential(size=60), rng.integers(0, 3, 60)
    found = effective_weights(weights, group, 3)
    for k in range(3):
        own = group == k
        assert found[own].sum() == pytest.approx(effective_number(weights[own]))
        np.testing.assert_allclose(found[own] / weights[own], found[own][0] / weights[own][0])
