"""Forward errors: bounds on sums, products and powers, against exact arithmetic."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from flatmin.linalg import forward_error
from flatmin.linalg.forward_error import (
    POWER_ERROR,
    UNIT,
    defect_of_columns,
    gamma,
    inner_product,
    norm_of_blocks,
    power,
    rounded_up,
    spread,
)


def exact(x, y):
    return sum(Fraction(a) * Fraction(b) for a, b in zip(x.tolist(), y.tolist(), strict=True))


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 1000, 30_000])
@pytest.mark.parametrize("kind", ["mixed", "positive", "cancelling", "huge", "tiny"])
def test_inner_products_are_as_near_as_they_say(n, kind):
    rng = np.random.default_rng(n)
    x, y = 10.0 ** rng.uniform(-8, 8, n) * rng.choice([-1, 1], n), rng.standard_normal(n)
    if kind == "positive":
        x, y = np.abs(x), np.abs(y)
    if kind == "cancelling":
        x, y = np.concatenate([x, -x, [1.0]]), np.concatenate([y, y * (1 + 2e-16 * rng.integers(0, 2, n)), [1e-9]])
    x, y = x * {"huge": 1e140, "tiny": 1e-140}.get(kind, 1.0), y * {"huge": 1e140, "tiny": 1e-140}.get(kind, 1.0)
    value, error = inner_product(x, y)
    assert abs(Fraction(value) - exact(x, y)) <= Fraction(error)
    assert error <= 1e-12 * abs(value) + 1e-280 * np.max(np.abs(x)) * np.max(np.abs(y))


def test_a_sum_of_rounding_errors_is_exact():
    x = np.array([2.0**53, 1.0, 1.0, -(2.0**53)])
    assert inner_product(x, np.full(4, 3.0))[0] == 6.0
    assert x @ np.full(4, 3.0) != 6.0
    assert inner_product(np.zeros(3), np.ones(3)) == inner_product(np.zeros(0), np.zeros(0)) == (0.0, 0.0)


def test_gamma_bounds_the_worst_sums_in_any_order():
    """A sum of ones and one halves of the spacing loses all halves if they come one by one."""
    n = 1000
    x = np.concatenate([[1.0], np.full(n, UNIT)])
    total = 1.0
    for term in x[1:]:
        total += term
    assert total == 1.0
    assert n * UNIT <= gamma(n) * math.fsum(x)
    assert gamma(10, is_complex=True) > 2 * gamma(10)
    assert gamma(1e17) == math.inf


def test_numbers_are_rounded_up():
    rng = np.random.default_rng(0)
    for x in rng.random(100):
        assert Fraction(rounded_up(x / 3)) >= Fraction(x) / 3
    x = rng.standard_normal(1000)
    assert Fraction(spread(x)) >= sum(map(abs, map(Fraction, x.tolist())))


def test_the_defect_of_columns_is_a_bound():
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((30, 5)))[0]
    assert defect_of_columns(Q) < 1e-13
    Q[:, 0] *= 1 + 1e-6
    assert 2e-6 <= defect_of_columns(Q) < 2.1e-6
    complex_columns = np.linalg.qr(rng.standard_normal((9, 3)) + 1j * rng.standard_normal((9, 3)))[0]
    assert defect_of_columns(complex_columns) < 1e-13


@pytest.mark.parametrize("seed", range(20))
def test_the_norm_of_four_blocks(seed):
    a, b, c, d = 10.0 ** np.random.default_rng(seed).uniform(-9, 1, 4)
    true = np.linalg.norm([[a, b], [c, d]], 2)
    assert true * (1 - 1e-15) <= norm_of_blocks(a, b, c, d) <= true * (1 + 1e-14)
    top = np.linalg.eigvalsh([[-a, b], [b, -d]])[-1]
    found = norm_of_blocks(-a, b, b, -d, lopsided=True)
    assert top - 1e-14 <= found <= top + 1e-14


def test_a_product_beyond_all_numbers_is_infinite():
    x = np.full(3, 1e200)
    assert inner_product(x, x) == (np.inf, np.inf)
    assert inner_product(x, -x)[0] == -np.inf


@pytest.mark.parametrize("size", [3, 1000, 50_000])
@pytest.mark.parametrize("enough", [0.0, 1e-3])
def test_inner_products_of_every_length_are_bounded(size, enough):
    x, y = np.random.default_rng(size).standard_normal((2, size))
    found, error = inner_product(x, x + y, enough)
    exact = sum((Fraction(a) * Fraction(b) for a, b in zip(x, x + y, strict=True)), Fraction(0))
    assert abs(Fraction(found) - exact) <= Fraction(error)
    assert error <= max(enough, 1e-12) * abs(found)


def test_an_inner_product_that_cancels_is_exact_even_if_few_digits_are_enough():
    assert inner_product(np.array([1.0, 1e-20, -1.0]), np.ones(3), 1e-3)[0] == 1e-20


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
    monkeypatch.setattr(forward_error, "_guess", _off_by(error))
    np.testing.assert_allclose(power(X, 2 / 3), right, rtol=2 * POWER_ERROR)


def test_a_library_that_is_far_off_is_refused(monkeypatch):
    monkeypatch.setattr(forward_error, "_guess", _off_by(0.9))
    with pytest.raises(ArithmeticError, match="C library"):
        power(X, 2 / 3)


def test_zero_underflow_and_whole_exponents():
    np.testing.assert_array_equal(power(np.array([0.0, 1e-200, 3.0]), 2.0), [0.0, 0.0, 9.0])
    np.testing.assert_array_equal(power(X, 1.0), X)
    assert power(np.inf, 0.5) == np.inf
    assert power(2.0, 1 / np.pi) == 2.0 ** (1 / np.pi)
