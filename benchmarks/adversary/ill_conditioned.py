"""Integer problems whose metric is ill-conditioned: no lower bound may exceed the value of an exact fit.

Products, signed and semidefinite models and measurements by vectors, with cond(D) from 1 to 1e12.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

import flatmin as fm
from benchmarks.adversary import Verdict
from benchmarks.adversary.oracle import exact, flat_fit, inner, metrics, misfit, solved
from flatmin.measurements import Dense, RankOne

__all__ = ["attack", "random_problem"]

#: Size of the integers in sensing matrices.
SIZE = 2.0**26


def random_problem(seed: int, condition: float | None = None) -> tuple[fm.Problem, Any]:
    """Return a problem with integer sensing matrices and data, and the integer matrix that was measured."""
    rng = np.random.default_rng(seed)
    condition = 10 ** rng.uniform(0, 12) if condition is None else condition
    kind = ("product", "vectors", "signed", "gram", "phases")[seed % 5]
    d1, d2 = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    m = int(rng.integers(1, d1 * d2 if kind in ("product", "vectors") else d1 + 1))
    left = _squeeze(rng, d1, condition)
    if kind in ("product", "vectors"):
        right = _squeeze(rng, d2, condition if rng.random() < 0.5 else 1.0)
        if kind == "product":
            A: Any = Dense(np.round(SIZE * (left @ rng.standard_normal((m, d1, d2)) @ right)))
        else:
            x, y = (np.round(1e3 * np.sqrt(SIZE) * rng.standard_normal((m, len(F))) @ F) for F in (left, right))
            A = RankOne(np.clip(x, -3e6, 3e6), np.clip(y, -3e6, 3e6))
        X = rng.integers(-3, 4, (d1, 1)) @ rng.integers(-3, 4, (1, d2))
        return _problem(A, X, fm.Product())
    if kind == "phases":
        A = RankOne(np.round(3e3 * rng.standard_normal((m + d1, d1)) @ left))
    else:
        B = np.round(SIZE * left @ rng.standard_normal((m, d1, d1)) @ left)
        A = Dense(B + B.transpose(0, 2, 1))
    U = rng.integers(-2, 3, (d1, 2))
    X = U * [1, -1 if kind == "signed" else 1] @ U.T
    return _problem(A, X, fm.SignedGram() if kind == "signed" else fm.Gram())


def attack(seed: int) -> Verdict:
    """Solve a problem and compare its lower bound and its radius with an exact fit."""
    problem, truth = random_problem(seed)
    if not problem.data.any() or misfit(problem, exact(truth)) != 0:
        return Verdict(0, None, 0)
    solution = fm.flat_minimum(problem)
    proof = solution.certificate
    rival = _rival(problem, truth)
    if rival is None:
        return Verdict(proof.holds)
    X, value = rival
    if proof.bound_kind != "estimated" and Fraction(proof.lower_bound) > value:
        excess = float(Fraction(proof.lower_bound) / value - 1) if value else np.inf
        return Verdict(proof.holds, f"the lower bound exceeds the value of an exact fit by a share of {excess:.2g}")
    if proof.holds and value <= Fraction(proof.value) and proof.radius is not None:
        apart = sum(
            (x - y) ** 2
            for row, other in zip(X, exact(solution.matrix), strict=True)
            for x, y in zip(row, other, strict=True)
        )
        if apart > Fraction(proof.radius) ** 2:
            return Verdict(True, f"a fit as flat lies {float(apart) ** 0.5:.3g} away, the radius is {proof.radius:.3g}")
    return Verdict(proof.holds)


def _rival(problem: fm.Problem, truth: Any) -> tuple[Any, Fraction] | None:
    """Return an exact fit and an upper bound on its value; for semidefinite models the matrix that was measured.

    Claims are about matrices that vanish where nothing is measured, so nothing is returned for a singular metric.
    """
    try:
        if problem.parametrization.cone.is_semidefinite:
            X, G = exact(truth), metrics(problem)[0]
            solved(G, G)
            return X, 8 * inner(G, X)
        return flat_fit(problem)
    except (ArithmeticError, ValueError):  # dependent measurements, or a singular metric
        return None


def _squeeze(rng: np.random.Generator, d: int, condition: float) -> Any:
    """Return a symmetric matrix with eigenvalues from 1 to 1 / condition, along the axes or not."""
    values = np.r_[1.0, 1 / condition, condition ** -rng.random(max(0, d - 2))][:d]
    if rng.random() < 0.3:
        return np.diag(values)
    Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    return (Q * values) @ Q.T


def _problem(A: Any, X: Any, model: Any) -> tuple[fm.Problem, Any]:
    data = np.einsum("mij,ij->m", A.matrices(), X.astype(float))
    return fm.Problem(A, data, model), X
