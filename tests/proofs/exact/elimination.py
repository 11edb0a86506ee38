"""Exact linear algebra by fraction-free elimination: products, semidefiniteness, Schur complements and bases.

Matrices are NumPy arrays of Python integers or fractions, which NumPy adds and multiplies by Python's own arithmetic.
"""

from fractions import Fraction
from math import isqrt, lcm

import numpy as np


def exact(array):
    """Return an array of numbers as an array of fractions of the same values."""
    numbers = [Fraction(x) for x in np.asarray(array).ravel().tolist()]
    out = np.empty(len(numbers), object)
    out[:] = numbers
    return out.reshape(np.shape(array))


def whole(M):
    """Return integers and a unit whose product is M."""
    common = lcm(1, *(Fraction(x).denominator for x in M.flat))
    out = np.empty(M.size, object)
    out[:] = [int(x * common) for x in M.flat]
    return out.reshape(M.shape), Fraction(1, common)


def times(first, *others):
    """Return the product of matrices, computed with integers."""
    result, unit = whole(first)
    for other in others:
        factor, scale = whole(other)
        result, unit = np.dot(result, factor), unit * scale
    return result * unit


def identity(n):
    """Return the identity of order n."""
    return exact(np.eye(n, dtype=int))


def eliminated(M, steps):
    """Return M after Bareiss elimination by this number of diagonal pivots, the divisor, and whether all were positive.

    Pivots are the largest of the remaining diagonal among the first ``steps`` rows. The remaining rows, divided by the
    divisor, are the Schur complement. Elimination stops where the largest diagonal entry is not positive.
    """
    M, divisor = M.copy(), 1
    for done in range(steps):
        pivot = max(range(steps - done), key=lambda i: M[i, i])
        if M[pivot, pivot] <= 0:
            return M, divisor, False
        order = [pivot, *(i for i in range(len(M)) if i != pivot)]
        M = M[np.ix_(order, order)]
        top = M[0, 0]
        M = (top * M[1:, 1:] - np.outer(M[1:, 0], M[0, 1:])) // divisor
        divisor = top
    return M, divisor, True


def is_semidefinite(M):
    """Decide whether a symmetric rational matrix is positive semidefinite."""
    assert np.array_equal(M, M.T)
    rest, _, complete = eliminated(whole(M)[0], len(M))
    return complete or not rest.any()  # the largest diagonal entry is ≤ 0: all others must vanish


def inverse_form(K, g):
    """Return ``gᵀ K⁻¹ g`` for a symmetric positive definite K, and None if K is not positive definite."""
    (K, unit), (g, scale) = whole(K), whole(g)
    bordered = np.block([[K, g[:, None]], [g[None, :], np.zeros((1, 1), object)]])
    rest, divisor, complete = eliminated(bordered, len(K))
    return -Fraction(rest[0, 0], divisor) * scale**2 / unit if complete else None


def reduced(M):
    """Return the reduced row echelon form of a matrix of fractions and its pivot columns."""
    M, pivots = M * Fraction(1), []
    for j in range(M.shape[1]):
        row = next((i for i in range(len(pivots), len(M)) if M[i, j]), None)
        if row is None:
            continue
        at = len(pivots)
        M[[at, row]] = M[[row, at]]
        M[at] = M[at] / M[at, j]
        for i in range(len(M)):
            if i != at and M[i, j]:
                M[i] = M[i] - M[i, j] * M[at]
        pivots.append(j)
    return M, pivots


def inverse(M):
    """Return the inverse of a small square matrix, None if it is singular."""
    n = len(M)
    E, pivots = reduced(np.hstack([M, identity(n)]))
    return E[:, n:] if pivots == list(range(n)) else None


def null_space(M):
    """Return a basis, as columns, of the vectors x with ``M x = 0``."""
    E, pivots = reduced(M)
    free = [j for j in range(M.shape[1]) if j not in pivots]
    N = exact(np.zeros((M.shape[1], len(free)), int))
    for k, j in enumerate(free):
        N[j, k] = Fraction(1)
        N[pivots, k] = -E[: len(pivots), j]
    return N


def root_above(x, bits=400):
    """Return a rational number that exceeds ``√x`` by less than ``2^-bits`` times its size."""
    scale = bits + max(0, x.denominator.bit_length() - x.numerator.bit_length())
    grown = -((-x.numerator << 2 * scale) // x.denominator)
    root = isqrt(grown)
    return Fraction(root + (root * root < grown), 1 << scale)


def largest_eigenvalue_above(M, steps=16):
    """Return a bound from above on the largest eigenvalue of a positive semidefinite M, by bisection."""
    above = max((sum(abs(x) for x in row) for row in M), default=Fraction(0))
    below = Fraction(0)
    for _ in range(steps):
        middle = (above + below) / 2
        if is_semidefinite(middle * identity(len(M)) - M):
            above = middle
        else:
            below = middle
    return above
