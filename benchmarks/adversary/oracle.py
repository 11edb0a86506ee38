"""Exact arithmetic about small problems: metrics, values of factors, and exact fits that are almost flattest."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

import flatmin as fm

__all__ = ["Matrix", "exact", "flat_fit", "inner", "metrics", "misfit", "solved", "upper_bound"]

Matrix = list[list[Fraction]]

#: Decimal digits in which a fit is searched for; its misfit and its value are then exact.
DIGITS = 60


def exact(M: Any) -> Matrix:
    """Return a matrix of floating-point numbers as fractions."""
    return [[Fraction(float(x)) for x in row] for row in np.asarray(M)]


def times(M: Matrix, N: Matrix) -> Matrix:
    """Return a product."""
    columns = list(zip(*N, strict=True))
    return [[sum((a * b for a, b in zip(row, column, strict=True)), Fraction()) for column in columns] for row in M]


def turned(M: Matrix) -> Matrix:
    """Return the transpose."""
    return [list(row) for row in zip(*M, strict=True)]


def inner(M: Matrix, N: Matrix) -> Fraction:
    """Return ``⟨M, N⟩``."""
    return sum((a * b for x, y in zip(M, N, strict=True) for a, b in zip(x, y, strict=True)), Fraction())


def combined(weights: Sequence[Fraction], matrices: Sequence[Matrix]) -> Matrix:
    """Return ``Σ w_i M_i``."""
    rows, cols = range(len(matrices[0])), range(len(matrices[0][0]))
    pairs = list(zip(weights, matrices, strict=True))
    return [[sum((w * M[i][j] for w, M in pairs), Fraction()) for j in cols] for i in rows]


def sensing(problem: fm.Problem) -> list[Matrix]:
    """Return the sensing matrices of a real measurement whose entries are floating-point numbers or integers."""
    return [exact(A) for A in problem.measurement.matrices()]


def metrics(problem: fm.Problem) -> tuple[Matrix, Matrix]:
    """Return ``D1²`` and ``D2²``; for Hermitian models D twice."""
    A, (d1, d2) = sensing(problem), problem.shape
    hermitian = problem.parametrization.cone.is_hermitian
    rows = combined([Fraction(1, len(A) * (1 if hermitian else d2))] * len(A), [times(M, turned(M)) for M in A])
    cols = combined([Fraction(1, len(A) * (1 if hermitian else d1))] * len(A), [times(turned(M), M) for M in A])
    return rows, cols


def misfit(problem: fm.Problem, X: Matrix) -> Fraction:
    """Return the largest ``|⟨A_i, X⟩ − b_i|``."""
    return max(abs(inner(A, X) - Fraction(float(b))) for A, b in zip(sensing(problem), problem.data, strict=True))


def upper_bound(problem: fm.Problem, X: Matrix, R: Any) -> Fraction:
    """Return an upper bound on the flattest value over the fibre of X, from any invertible floating-point R.

    With ``X = L Rᵀ`` and ``L = X R⁻ᵀ`` it is ``c/2 (tr Lᵀ D1² L + tr Rᵀ D2² R)``.
    """
    G1, G2 = metrics(problem)
    right = exact(R)
    left = turned(solved(right, turned(X)))
    traces = inner(left, times(G1, left)) + inner(right, times(G2, right))
    return Fraction(problem.parametrization.trace_factor, 2) * traces


def solved(M: Matrix, right: Matrix) -> Matrix:
    """Return ``M⁻¹ right`` by elimination."""
    rows = [[*row, *more] for row, more in zip(M, right, strict=True)]
    n = len(M)
    for k in range(n):
        pivot = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [x / rows[k][k] for x in rows[k]]
        for i in range(n):
            if i != k and rows[i][k]:
                share = rows[i][k]
                rows[i] = [x - share * y for x, y in zip(rows[i], rows[k], strict=True)]
    return [row[n:] for row in rows]


def flat_fit(problem: fm.Problem) -> tuple[Matrix, Fraction]:
    """Return a matrix that fits exactly and is almost flattest, and an upper bound on its value.

    The metric is inverted in many digits, so that its condition does not matter; the measurements must be independent,
    the metric nonsingular, and the cone no smaller than the Hermitian matrices.
    """
    A, (G1, G2), (d1, d2) = sensing(problem), metrics(problem), problem.shape
    with mpmath.workdps(DIGITS):
        W1, W2 = (_power(G, -0.5) for G in (G1, G2))
        whitened = [W1 * _mp(M) * W2 for M in A]
        B = np.array([[[float(M[i, j]) for j in range(d2)] for i in range(d1)] for M in whitened])
        scale = float(np.linalg.norm(B)) / len(B) ** 0.5
        plain = fm.Problem(fm.measurements.Dense(B / scale), problem.data / scale, problem.parametrization)
        Z = fm.flat_minimum(plain, metric_power=0).matrix
        X = _fractions(W1 * mpmath.matrix(Z.tolist()) * W2)
        directions = [_fractions(W1 * W1 * _mp(M) * W2 * W2) for M in A]
        _, s, Vt = np.linalg.svd(Z)
        floor = 1e-7 * max(float(s[0]), 1e-300)
        roots = np.concatenate([np.sqrt(np.maximum(s, floor)), np.full(max(0, d2 - len(s)), floor**0.5)])
        R = _floats(W2 * mpmath.matrix((Vt.T * roots).tolist()))
    left = [[Fraction(float(b)) - inner(M, X)] for M, b in zip(A, problem.data, strict=True)]
    weights = solved([[inner(M, N) for N in directions] for M in A], left)
    X = combined([Fraction(1), *(w[0] for w in weights)], [X, *directions])
    if misfit(problem, X) != 0:
        raise ArithmeticError("the exact fit does not fit")
    return X, upper_bound(problem, X, R)


def _mp(M: Matrix) -> Any:
    return mpmath.matrix([[mpmath.mpf(x.numerator) / x.denominator for x in row] for row in M])


def _power(G: Matrix, exponent: float) -> Any:
    values, Q = mpmath.eigsy(_mp(G))
    if min(values) <= 1e-45 * max(values):
        raise ArithmeticError("the metric is singular")
    return Q * mpmath.diag([v**exponent for v in values]) * Q.T


def _fractions(M: Any) -> Matrix:
    return [[_fraction(M[i, j]) for j in range(M.cols)] for i in range(M.rows)]


def _fraction(x: Any) -> Fraction:
    sign, mantissa, exponent, _ = x._mpf_
    return Fraction((-1) ** int(sign) * int(mantissa)) * Fraction(2) ** int(exponent)


def _floats(M: Any) -> Any:
    return np.array([[float(M[i, j]) for j in range(M.cols)] for i in range(M.rows)])
