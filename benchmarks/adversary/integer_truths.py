"""Radii at the size of rounding, compared with integer truths: none may lie beyond the radius for its flatness.

Solutions are moved by relative changes from 1e-16 to 1e-10. The truth fits exactly, and its flatness relative to the
value of the certificate is computed in forty digits. Products, signed and semidefinite models, entries with weights,
and measurements by vectors, also with uniqueness duals whose huge parts cancel.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np

import flatmin as fm
from benchmarks.adversary import Verdict
from benchmarks.adversary.oracle import metrics
from flatmin.measurements import Dense, Entries, RankOne
from flatmin.proofs.cone_certificate import certificate_of

__all__ = ["attack"]

KINDS = ("product", "entries", "signed", "gram", "vectors")


def attack(seed: int) -> Verdict:
    """Solve a problem with an integer truth, move the solution a little, and compare the truth with its radius."""
    rng = np.random.default_rng(seed)
    problem, X = _problem(rng, KINDS[seed % len(KINDS)])
    if not problem.data.any() or min(np.min(D.values) for D in problem.metric) == 0:
        return Verdict(0, None, 0)
    solution = fm.flat_minimum(problem)
    first = solution.certificate
    if not first.holds or first.radius is None:
        return Verdict(first.holds)
    with mpmath.workdps(40):
        value, size = _value(problem, X), 10.0 ** -rng.integers(10, 17)
        factors = tuple(F * (1 + size * rng.standard_normal(F.shape)) for F in solution.factors)
        other = first.uniqueness_dual
        if other is not None and rng.random() < 0.5:
            other = other.copy()
            other[[0, -1]] += 2.0 ** rng.integers(0, 40) * np.max(np.abs(other)) * np.array([1.0, -1.0])
        proof = certificate_of(problem, factors, first.dual, uniqueness_dual=other)
        if not proof.holds or proof.radius is None:
            return Verdict(1 + proof.holds, None, 2)
        excess = 0.0 if other is not None else max(0.0, float(value / mpmath.mpf(proof.value) - 1)) * (1 + 1e-9)
        apart = float(mpmath.mnorm(_matrix(problem, factors) - mpmath.matrix(X.tolist()), "f"))
        radius = proof.error_radius(0.0, excess)
        if radius is not None and apart <= radius:
            return Verdict(2, None, 2)
        return Verdict(True, f"the truth, less flat by {excess:.2g}, lies {apart:.3g} away, the radius is {radius:.3g}")


def _problem(rng: np.random.Generator, kind: str) -> tuple[fm.Problem, Any]:
    """Return a problem with integer data near or above the recovery threshold, and the matrix behind it."""
    d1, d2, large = (*rng.integers(2, 5, 2), int(10 ** rng.integers(0, 5)))
    if kind not in ("product", "entries"):
        d2 = d1
    m = int(d1 + d2 - 1 + rng.integers(0, 6))
    shared = large * rng.integers(-5, 6, (d1, d2)) * rng.integers(0, 2)
    T = (rng.integers(-5, 6, (m, d1, d2)) + shared).astype(float)
    u, v, model = rng.integers(-9, 10, d1), rng.integers(-9, 10, d2), fm.Product()
    X, A = np.outer(u, v), Dense(T)
    if kind == "entries":
        cells = rng.permutation(d1 * d2)[:m]
        A = Entries(*np.divmod(cells, d2), (d1, d2), 2.0 ** rng.integers(-10, 10, len(cells)))
    elif kind != "product":
        X, A = np.outer(u, u) - (kind == "signed") * np.outer(v, v), Dense(T + T.transpose(0, 2, 1))
        model = fm.SignedGram() if kind == "signed" else fm.Gram()
    if kind == "vectors":
        x = rng.integers(-50, 51, (d1 * (d1 + 1) // 2 + 4, d1)).astype(float)
        A = RankOne(np.vstack([x, x[:1]]))
    X = X.astype(float)
    return fm.Problem(A, np.einsum("mij,ij->m", A.matrices(), X), model), X


def _value(problem: fm.Problem, X: Any) -> Any:
    """Return the flattest value of a matrix in many digits."""
    roots = []
    for G in metrics(problem):
        values, Q = mpmath.eigsy(mpmath.matrix([[mpmath.mpf(x.numerator) / x.denominator for x in row] for row in G]))
        roots.append(Q * mpmath.diag([mpmath.sqrt(max(w, mpmath.mpf(0))) for w in values]) * Q.T)
    Z = roots[0] * mpmath.matrix(X.tolist()) * roots[1]
    return problem.parametrization.trace_factor * sum(mpmath.svd_r(Z, compute_uv=False))


def _matrix(problem: fm.Problem, factors: Any) -> Any:
    """Return the matrix of factors in many digits."""
    P, Q = (mpmath.matrix(F.tolist()) for F in problem.parametrization.pair(factors))
    return P * Q.T
