"""Powers with rational exponents, correct to a few units of rounding whatever the accuracy of the C library.

A root is checked by powers of it: if ``y^b = x^a (1 + r)``, then ``x^(a/b) = y (1 + r)^(-1/b)``. Products of a and b
factors have relative errors of at most a and b units, so that y is known up to ``a/b + 1`` units and a few more.
"""

from fractions import Fraction

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["POWER_ERROR", "power"]

#: Bound on the relative error of `power`: twelve units of rounding, for exponents of size at most 4.
POWER_ERROR = 6 * float(np.finfo(float).eps)
#: Largest denominator of an exponent that counts as a rational number.
DENOMINATOR = 100_000
#: An exponent is the rational number that it differs from by at most this.
NEARBY = 1e-12
#: Results below this size may have lost digits to underflow, and are not checked.
SMALLEST = 1e-290
#: A result that is off by more than this share of 1/b is corrected once more.
CLOSE = 1e-9


def power(x: Array | float, exponent: float) -> Array:
    """Return ``x^exponent`` of nonnegative numbers, correct to `POWER_ERROR` for the rational exponent that is meant.

    Rational numbers with a denominator of at most `DENOMINATOR` are recognized by their nearest floating-point numbers:
    ``2 − 2/3`` means 4/3. Other exponents, and results that underflow, are left to the C library.

    Raises
    ------
    ArithmeticError
        If the C library is so inaccurate that corrections do not help.

    Examples
    --------
    >>> float(power(27.0, 2 / 3))
    9.0
    """
    x = np.asarray(x, float)
    share = Fraction(exponent).limit_denominator(DENOMINATOR)
    found = _guess(x, exponent)
    if share in (0, 1) or abs(float(share) - exponent) > NEARBY:
        return found
    a, b = abs(share.numerator), share.denominator
    checked = (x >= SMALLEST) & (found >= SMALLEST) & np.isfinite(found)
    base, y = x[checked], found[checked]
    for _ in range(3):
        (left, up), (right, down) = _whole_power(y, b), _whole_power(base, a)
        r = (np.ldexp(left * right, up + down) if share < 0 else np.ldexp(left / right, up - down)) - 1
        y = y * (1 - r / b)
        if np.all(np.abs(r) <= CLOSE):
            found[checked] = y
            return found
    raise ArithmeticError("powers are inaccurate, expected a C library whose powers have a few correct digits")


def _guess(x: Array, exponent: float) -> Array:
    """Return the power of the C library."""
    with np.errstate(over="ignore"):
        return np.asarray(np.power(x, exponent))


def _whole_power(x: Array, k: int) -> tuple[Array, Array]:
    """Return ``x^k`` for k ≥ 1 as a number in [1/2, 1) and an exponent of two, by k − 1 roundings at most."""
    base, up = np.frexp(x)
    up = up.astype(np.int64)
    found, place = np.ones_like(base), np.zeros_like(up)
    while k:
        if k & 1:
            found, more = np.frexp(found * base)
            place = place + up + more
        base, more = np.frexp(base * base)
        up, k = 2 * up + more, k >> 1
    return found, place
