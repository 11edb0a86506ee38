"""Objectives of every model in sixty digits, as an independent judge of the bounds that certificates state."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np

import flatmin as fm

__all__ = ["DIGITS", "matrix_of", "objective"]

#: Decimal digits of all results.
DIGITS = 60


def matrix_of(problem: fm.Problem, factors: Any) -> Any:
    """Return the matrix of factors, multiplied in many digits."""
    model = problem.parametrization
    if isinstance(model, fm.Hadamard):
        return mpmath.matrix(
            [[mpmath.fprod(mpmath.mpf(float(np.ravel(F)[j])) for F in factors)] for j in range(factors[0].size)]
        )
    if isinstance(model, fm.Chain):
        product = _mp(factors[0])
        for layer in factors[1:]:
            product = _mp(layer) * product
        return product
    P, Q = (_mp(F) for F in model.pair(factors))
    return P * Q.H


def objective(problem: fm.Problem, X: Any, alpha: float = 0.0, metric_power: float = 1.0) -> Any:
    """Return what the model minimises at X, a mpmath matrix; infinity for errors beyond the limit τ.

    With ``alpha > 0`` it is the loss plus alpha times the smallest scaled trace; gross errors are then all of the
    residual, so that there is no dense noise and no loss. Without, X must fit; its misfit is not looked at.
    """
    A = problem.measurement.matrices()
    left = [_pairing(M, X) - mpmath.mpf(float(b)) for M, b in zip(A, problem.data, strict=True)]
    if problem.loss.has_gross_errors:
        total = mpmath.fsum(abs(r) for r in left)
        if problem.loss.tau is not None:
            value = _nuclear(X) if total <= mpmath.mpf(problem.loss.tau) else mpmath.inf
        else:
            value = _nuclear(X) + mpmath.mpf(problem.loss.weight_for(problem.shape)) * total
        return 4 * mpmath.mpf(alpha) * value if alpha else value
    value = _trace(problem, X, A, mpmath.mpf(metric_power))
    if not alpha:
        return value
    return mpmath.fsum(r**2 for r in left) / len(left) + mpmath.mpf(alpha) * value


def _trace(problem: fm.Problem, X: Any, A: Any, exponent: Any) -> Any:
    """Return the smallest scaled trace of X."""
    model, m, (d1, d2) = problem.parametrization, len(A), problem.shape
    if isinstance(model, fm.Hadamard):
        p = 2 - mpmath.mpf(2) / model.depth
        weights = [mpmath.fsum(mpmath.mpf(float(M[j, 0])) ** 2 for M in A) / m for j in range(d1)]
        return 2 * model.depth * mpmath.fsum(w * abs(X[j, 0]) ** p for j, w in enumerate(weights))
    if isinstance(model, fm.Chain) and len(model.widths) > 1:  # measurements of the whole matrix
        depth = len(model.widths) + 1
        return 2 * depth * mpmath.root(d1 * d2, depth) / m * _nuclear(X) ** (2 - mpmath.mpf(2) / depth)
    hermitian = not isinstance(model, fm.Chain) and model.cone.is_hermitian
    rows = sum((_mp(M) * _mp(M).H for M in A), mpmath.zeros(d1)) / (m if hermitian else m * d2)
    cols = sum((_mp(M).H * _mp(M) for M in A), mpmath.zeros(d2)) / (m if hermitian else m * d1)
    Z = _root(rows, exponent, X) * X * _root(cols, exponent, X.H)
    if isinstance(model, fm.Chain):
        return 4 * mpmath.sqrt(d1 * d2) * _nuclear(Z)
    return model.trace_factor * _nuclear(Z)


def _root(square: Any, exponent: Any, X: Any) -> Any:
    """Return ``D^p mean(D²)^((1−p)/2)`` from D², which may be singular in directions in which X vanishes."""
    values, Q = mpmath.eighe(square)
    least, mean, powers = mpmath.mpf(10) ** -40 * max(values), mpmath.fsum(values) / len(values), []
    for k, value in enumerate(values):
        if value <= least and mpmath.mnorm(Q[:, k].H * X, "f"):
            raise ArithmeticError("the metric is singular in a direction of the matrix")
        powers.append(value ** (exponent / 2) if value > least else mpmath.mpf(0))
    return Q * mpmath.diag(powers) * Q.H * mean ** ((1 - exponent) / 2)


def _nuclear(X: Any) -> Any:
    return mpmath.fsum(mpmath.svd_c(X, compute_uv=False))


def _pairing(M: Any, X: Any) -> Any:
    """Return ``Re tr(M* X)``."""
    return mpmath.fsum(
        mpmath.re(mpmath.conj(_number(M[i, j])) * X[i, j])
        for i in range(M.shape[0])
        for j in range(M.shape[1])
        if M[i, j]
    )


def _number(x: Any) -> Any:
    return mpmath.mpc(complex(x)) if np.iscomplexobj(x) else mpmath.mpf(float(x))


def _mp(M: Any) -> Any:
    return mpmath.matrix([[_number(x) for x in row] for row in np.asarray(M)])
