"""Bounds on the rounding errors of sums, products and powers in double precision.

They hold for sums of products in any order, with or without fused operations, as IEEE arithmetic and BLAS compute them
(Higham, "Accuracy and Stability of Numerical Algorithms", chapters 3 and 4). Underflow is not counted.
"""

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from flatmin._core.arrays import Array

__all__ = [
    "POWER_ERROR",
    "UNIT",
    "defect_of_columns",
    "gamma",
    "inner_product",
    "norm_of_blocks",
    "pieces",
    "power",
    "rounded_up",
    "spread",
    "summed",
    "summed_terms",
]

#: Unit roundoff: the largest relative error of one operation.
UNIT = float(np.finfo(float).eps) / 2
#: Sums of at most this many products are formed exactly.
FEW = 20_000
#: Longer sums are formed exactly too if their relative error bound would exceed this.
CANCELLING = 1e-12
#: Largest number of terms that `_tree` adds in any order. Longer sums are added in levels.
BRANCHES = 64
#: Number of products of a longer sum that are formed at once: so few that they stay in the cache of a processor.
PIECE = 4 * BRANCHES**2
#: Sums of at most this many terms are not cut into pieces.
SHORT = 128
#: Bound on the relative error of `power`: twelve units of rounding, for exponents of size at most 4.
POWER_ERROR = 12 * UNIT
#: Largest denominator of an exponent that counts as a rational number.
DENOMINATOR = 100_000
#: An exponent is the rational number that it differs from by at most this.
NEARBY = 1e-12
#: Results below this size may have lost digits to underflow, and are not checked.
SMALLEST = 1e-290
#: A result that is off by more than this share of 1/b is corrected once more.
CLOSE = 1e-9
#: Factor 2^27 + 1 that splits a number into two halves.
SPLITTER = 134217729.0


def gamma(terms: float, is_complex: bool = False) -> float:
    """Return γ with ``|fl(x·y) − x·y| ≤ γ Σ |x_i| |y_i|`` for sums of this many products.

    A complex sum is two real ones of twice as many terms. The bound is infinite for sums that are too long.
    """
    share = (3 if is_complex else 1) * terms * UNIT
    return share / (1 - share) if share < 0.5 else math.inf


def pieces(terms: int) -> list[slice]:
    """Return slices of about √terms indices each. If a sum is formed by pieces, fewer rounding errors add up."""
    step = max(SHORT, math.isqrt(terms))
    return [slice(start, min(start + step, terms)) for start in range(0, terms, step)]


def summed(parts: Iterable[Array]) -> Array:
    """Return the sum of ``parts``, which are the sums of the `pieces`."""
    first, *others = parts
    for other in others:
        first += other
    return first


def summed_terms(terms: int) -> int:
    """Return the number of additions that one term goes through if a sum is formed by `pieces`."""
    step = max(SHORT, math.isqrt(terms))
    return min(step, terms) + -(-terms // step)


def rounded_up(number: float, operations: int = 4) -> float:
    """Return a bound on the exact result of some ``operations`` on nonnegative numbers that gave ``number``."""
    return number * (1 + (operations + 1) * UNIT)


def inner_product(x: Array, y: Array, enough: float = 0.0) -> tuple[float, float]:
    """Return ``⟨x, y⟩`` of real vectors and a bound on its error; a relative error of ``enough`` saves time.

    Short sums are exact: every product is split into two numbers without error, and all numbers are added exactly.
    Longer sums are added in levels, unless their terms cancel.

    Examples
    --------
    >>> inner_product(np.array([2.0**53, 1.0, -(2.0**53)]), np.array([3.0, 3.0, 3.0]))[0]
    3.0
    """
    if enough:
        value, error = float(x @ y), gamma(len(x) + 4) * float(np.linalg.norm(x)) * float(np.linalg.norm(y))
        if error <= enough * abs(value) < math.inf:
            return value, error
    tops = [max(float(np.max(v, initial=0.0)), -float(np.min(v, initial=0.0))) for v in (x, y)]
    if not min(tops) > 0:
        return 0.0, 0.0
    shifts = [math.frexp(top)[1] for top in tops]
    value, error = 0.0, math.inf
    if len(x) > FEW:
        parts = (
            _scaled(x[start : start + PIECE], y[start : start + PIECE], shifts) for start in range(0, len(x), PIECE)
        )
        sums = np.array([(_tree(u * v), spread(u * v)) for u, v in parts])
        value, error = _tree(sums[:, 0]), gamma(_depth(PIECE) + _depth(len(sums)) + 1) * spread(sums[:, 1])
    if error > CANCELLING * abs(value):
        x, y = _scaled(x, y, shifts)
        products = x * y
        value = math.fsum([*products.tolist(), *_tails(x, y, products).tolist()])
        error = UNIT * abs(value)
    error += len(x) * 1e-300  # underflow
    with np.errstate(over="ignore"):  # a product beyond all numbers is infinite
        return float(np.ldexp(value, sum(shifts))), rounded_up(float(np.ldexp(error, sum(shifts))))


def spread(values: Array) -> float:
    """Return an upper bound on the sum of absolute values."""
    return float(np.sum(np.abs(values))) * (1 + gamma(values.size))


def _scaled(x: Array, y: Array, shifts: list[int]) -> tuple[Array, Array]:
    """Return two vectors divided by these powers of two."""
    return np.ldexp(x, -shifts[0]), np.ldexp(y, -shifts[1])


def _tree(values: Array) -> float:
    """Return a sum that is formed in levels, each of which adds groups of at most `BRANCHES` terms."""
    while len(values) > 1:
        whole = len(values) - len(values) % BRANCHES
        groups, others = values[:whole].reshape(-1, BRANCHES).sum(axis=1), values[whole:]
        values = np.append(groups, others.sum()) if len(others) else groups
    return float(values[0]) if len(values) else 0.0


def _depth(terms: int) -> int:
    """Return a bound on the number of additions that a term goes through in `_tree`."""
    return 0 if terms <= 1 else min(terms, BRANCHES) + _depth(-(-terms // BRANCHES))


def _tails(x: Array, y: Array, products: Array) -> Array:
    """Return the exact rounding errors of the products of numbers of size at most one (Dekker 1971)."""
    (a, b), (c, d) = _halves(x), _halves(y)
    return np.asarray(b * d - (((products - a * c) - b * c) - a * d))


def _halves(x: Array) -> tuple[Array, Array]:
    moved = SPLITTER * x
    high = moved - (moved - x)
    return high, x - high


def defect_of_columns(U: Array) -> float:
    """Return an upper bound on ``‖U*U − I‖_F``."""
    gram = summed(U[piece].conj().T @ U[piece] for piece in pieces(max(1, len(U))))
    gram[np.diag_indices(len(gram))] -= 1
    size = float(np.vdot(U, U).real) * (1 + gamma(U.size, np.iscomplexobj(U)))
    error = gamma(summed_terms(len(U)) + 1, np.iscomplexobj(U)) * (size + 1)
    return float(np.linalg.norm(gram)) * (1 + gamma(gram.size + 2)) + error


def norm_of_blocks(inner: float, across: float, down: float, rest: float, lopsided: bool = False) -> float:
    """Return an upper bound on ``‖[[inner, across], [down, rest]]‖_op``.

    With ``lopsided``, which needs ``across = down``, the largest eigenvalue is bounded instead.

    The numbers are nonnegative, except that for an eigenvalue ``inner`` and ``rest`` may have any sign.
    """
    apart = math.hypot(inner - rest, across + down)
    together = inner + rest if lopsided else math.hypot(inner + rest, across - down)
    found = (together + apart) / 2
    return found + 8 * UNIT * max(abs(found), abs(inner), abs(rest))


def power(x: Array | float, exponent: float) -> Array:
    """Return ``x^exponent`` of nonnegative numbers, correct to `POWER_ERROR` for the rational exponent that is meant.

    Rational numbers with a denominator of at most `DENOMINATOR` are recognized by their nearest floating-point numbers:
    ``2 − 2/3`` means 4/3. Other exponents, and results that underflow, are left to the C library. A root y is checked
    by powers of it: if ``y^b = x^a (1 + r)``, then ``x^(a/b) = y (1 + r)^(-1/b)`` (docs/theory/depth.md).

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
