"""Radii of deep products of vectors, compared with the minimiser in sixty digits: none may lie beyond its radius.

With three factors or more the flat minimum is unique, and the radius is of the size of rounding: some 1e-14 of the
solution, more for ill-conditioned equations. Radii that did not count the rounding of the equations were missed by
factors of up to 2.7.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np

import flatmin as fm
from benchmarks.adversary import Verdict

__all__ = ["attack"]

#: Decimal digits of the minimiser, and of its equations when they count as solved.
DIGITS, SOLVED = 60, 45
#: Largest number of Newton steps.
STEPS = 60


def attack(seed: int) -> Verdict:
    """Solve integer equations for the flattest product of three to five vectors."""
    A, x = _equations(np.random.default_rng(seed))
    depth = 3 + seed % 3
    if not (A @ x).any() or np.linalg.matrix_rank(A) < len(A) or not A.any(axis=0).all():
        return Verdict(0, None, 0)
    problem = fm.Problem(fm.measurements.Dense(A), A @ x, fm.Hadamard(depth))
    solution = fm.flat_minimum(problem)
    proof = solution.certificate
    if not proof.holds or proof.radius is None:
        return Verdict(proof.holds)
    with mpmath.workdps(DIGITS):
        exact = _minimiser(A, A @ x, depth, solution.matrix.ravel())
        if exact is None:
            return Verdict(True)
        apart = mpmath.mpf(0)
        for place, target in enumerate(exact):
            product = mpmath.fprod(mpmath.mpf(float(np.ravel(F)[place])) for F in solution.factors)
            apart += (product - target) ** 2
        apart = mpmath.sqrt(apart)
        if apart <= mpmath.mpf(proof.radius):
            return Verdict(True)
        return Verdict(True, f"the minimiser lies {float(apart):.3g} away, the radius is {proof.radius:.3g}")


def _equations(rng: np.random.Generator) -> tuple[Any, Any]:
    """Return integer equations, some of them nearly dependent or with columns of different size, and a solution."""
    n = int(rng.integers(2, 9))
    m = int(rng.integers(1, n + 1))
    A = rng.integers(-9, 10, (m, n)).astype(float)
    if rng.random() < 0.4:
        A = A * 2.0 ** rng.integers(-8, 9, n)
    if m > 1 and rng.random() < 0.5:
        A[-1] = A[0] * 2.0 ** int(rng.integers(0, 8)) + rng.integers(-1, 2, n)
    x = rng.integers(-20, 21, n).astype(float)
    if rng.random() < 0.5:
        x[rng.permutation(n)[: n // 2]] = 0
    return A, x


def _minimiser(A: Any, b: Any, depth: int, guess: Any) -> list[Any] | None:
    """Return the minimiser of ``Σ w_j |x_j|^p`` over A x = b by Newton's method for the dual vector y, or None.

    Here ``w_j`` is the mean square of column j, and ``x_j = sign(t_j) (|t_j| / (p w_j))^(1/(p−1))`` with t = Aᵀy.
    """
    m, n = A.shape
    p = 2 - mpmath.mpf(2) / depth
    weights = [mpmath.mpf(float(w)) / m for w in (A**2).sum(axis=0)]
    slopes = float(p) * (A**2).mean(axis=0) * np.sign(guess) * np.abs(guess) ** (float(p) - 1)
    y = mpmath.matrix(np.linalg.lstsq(A.T, slopes, rcond=None)[0].tolist())
    rows, data = mpmath.matrix(A.tolist()), mpmath.matrix(b.tolist())
    for _ in range(STEPS):
        t = rows.T * y
        x = [mpmath.sign(t[j]) * (abs(t[j]) / (p * weights[j])) ** (1 / (p - 1)) for j in range(n)]
        misfit = rows * mpmath.matrix(x) - data
        if mpmath.norm(misfit) <= mpmath.mpf(10) ** -SOLVED * (1 + mpmath.norm(data)):
            return x
        change = [x[j] / ((p - 1) * t[j]) if t[j] else mpmath.mpf(0) for j in range(n)]
        try:
            y = y - mpmath.lu_solve(rows * mpmath.diag(change) * rows.T, misfit)
        except ZeroDivisionError:
            return None
    return None
