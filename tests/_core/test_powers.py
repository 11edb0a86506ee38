"""Verified powers, in forty digits and with a C library that is wrong."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from flatmin._core import powers
from flatmin._core.powers import POWER_ERROR, power

X = np.concatenate(
    [10.0 ** np.arange(-200.0, 100.0, 17), np.random.default_rng(0).random(40), [1.0, 2.0, 1 - 2.0**-53]]
)


@pytest.mark.parametrize("exponent", [Fraction(4, 3), Fraction(4), Fraction(3, 4), Fraction(-1, 2), Fraction(2, 999)])
def test_powers_are_those_of_the_rational_exponent(exponent):
    found = power(X, float(exponent))
    with mpmath.workdps(40):
        for x, y in zip(X, found, strict=True):
            exact = mpmath.mpf(float(x)) ** (mpmath.mpf(exponent.numerator) / exponent.denominator)
            if 1e-290 < exact < 1e300:
                assert abs(mpmath.mpf(float(y)) / exact - 1) <= POWER_ERROR


@pytest.mark.parametrize("depth", [3, 4, 7, 1000])
def test_exponents_of_depth_are_recognized(depth):
    """A rounded exponent alone changes small powers by many units."""
    p, exact = 2 - 2 / depth, Fraction(2 * depth - 2, depth)
    x = 1e-60
    for computed, meant in ((p, exact), (p / (p - 1), exact / (exact - 1)), (1 / p, 1 / exact), (2 - p, 2 - exact)):
        with mpmath.workdps(40):
            true = mpmath.mpf(x) ** (mpmath.mpf(meant.numerator) / meant.denominator)
            assert abs(mpmath.mpf(float(power(x, computed))) / true - 1) <= POWER_ERROR


def _off_by(error):
    return lambda x, exponent: np.power(x, exponent) * (1 + error)


@pytest.mark.parametrize("error", [1e-15, 1e-9, 1e-3])
def test_errors_of_the_library_are_corrected(error, monkeypatch):
    right = power(X, 2 / 3)
    monkeypatch.setattr(powers, "_guess", _off_by(error))
    np.testing.assert_allclose(power(X, 2 / 3), right, rtol=2 * POWER_ERROR)


def test_a_library_that_is_far_off_is_refused(monkeypatch):
    monkeypatch.setattr(powers, "_guess", _off_by(0.9))
    with pytest.raises(ArithmeticError, match="C library"):
        power(X, 2 / 3)


def test_zero_underflow_and_whole_exponents():
    np.testing.assert_array_equal(power(np.array([0.0, 1e-200, 3.0]), 2.0), [0.0, 0.0, 9.0])
    np.testing.assert_array_equal(power(X, 1.0), X)
    assert power(np.inf, 0.5) == np.inf
    assert power(2.0, 1 / np.pi) == 2.0 ** (1 / np.pi)
