"""Geometric means and exponents of power laws."""

import math

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.lab.power_law import claim_of_ratio, geometric_mean, power_law


def test_a_geometric_mean_and_its_interval_are_those_of_logarithms():
    value, low, high = geometric_mean([1.0, 4.0, 16.0])
    assert value == pytest.approx(4)
    assert low * high == pytest.approx(16)
    with pytest.raises(InputError, match="positive finite"):
        geometric_mean([1.0, 0.0])
    with pytest.raises(InputError, match="at least one"):
        geometric_mean([])


def test_an_exact_power_has_a_narrow_interval_and_a_bent_curve_a_wide_one():
    x = np.repeat([1.0, 2.0, 4.0, 8.0], 3)
    exponent, low, high = power_law(x, 3 * x**1.5)
    assert (exponent, low, high) == pytest.approx((1.5, 1.5, 1.5))
    _, low, high = power_law(x, 1 + x**2)
    assert high - low > 0.2


def test_two_places_have_a_slope_without_an_interval():
    exponent, low, high = power_law([1.0, 2.0], [1.0, 4.0])
    assert exponent == pytest.approx(2)
    assert (low, high) == (-math.inf, math.inf)
    assert math.isnan(power_law([2.0, 2.0], [1.0, 4.0])[0])


def test_a_claim_without_ratios_is_open():
    assert claim_of_ratio("ratio", [], below=1).verdict == "undecided"
    assert claim_of_ratio("ratio", [0.5, 0.55, 0.45], below=1).verdict == "holds"
