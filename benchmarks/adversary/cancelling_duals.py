"""Dual vectors whose huge parts cancel on repeated measurements: no bound may exceed the value of an exact fit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

import flatmin as fm
from benchmarks.adversary import Verdict
from benchmarks.adversary.oracle import exact, upper_bound
from flatmin.measurements import Dense, Entries
from flatmin.proofs.cone_certificate import certificate_of

__all__ = ["attack"]


def attack(seed: int) -> Verdict:
    """Certify a matrix of small rank by duals that cancel up to the last bits."""
    rng = np.random.default_rng(seed)
    d, repeats = int(rng.integers(2, 5)), int(rng.integers(2, 8))
    X = np.outer(rng.integers(1, 4, d), rng.integers(1, 4, d)).astype(float)
    A = _repeated(rng, d, repeats)
    problem = fm.Problem(A, A.forward(X))
    top = 2.0 ** rng.integers(40, 60)
    parts = rng.integers(-4, 5, A.size).astype(float)
    first = rng.permutation(repeats)[:2]
    parts[first] += [top, -top]
    dual = parts * 2.0 ** rng.integers(-80, 80)
    value = upper_bound(problem, exact(X), _right(problem, X))
    held, left = 0, np.hstack([X, rng.integers(0, 2, (d, d)) * 0.0])
    for factors in ((X, np.eye(d)), (left, np.hstack([np.eye(d), np.eye(d)]))):
        proof = certificate_of(problem, factors, dual, look_further=False)
        held += proof.holds
        if proof.bound_kind != "estimated" and Fraction(proof.lower_bound) > value * (1 + Fraction(1, 10**6)):
            excess = float(Fraction(proof.lower_bound) / value - 1)
            return Verdict(held, f"a bound by cancelling parts exceeds the value of a fit by a share of {excess:.2g}")
    return Verdict(held, None, 2)


def _repeated(rng: np.random.Generator, d: int, repeats: int) -> Any:
    """Return measurements of which the first ones are all the same."""
    more = int(rng.integers(1, 2 * d))
    if rng.random() < 0.5:
        rows, cols = rng.integers(0, d, (2, more))
        return Entries(np.r_[np.zeros(repeats, int), rows], np.r_[np.zeros(repeats, int), cols], (d, d))
    first = rng.integers(-3, 4, (1, d, d))
    return Dense(np.concatenate([np.repeat(first, repeats, axis=0), rng.integers(-3, 4, (more, d, d))]).astype(float))


def _right(problem: fm.Problem, X: Any) -> Any:
    """Return an invertible R for which ``X R⁻ᵀ`` and R are almost the flattest factors of X."""
    D1, D2 = (np.asarray(D) + 1e-6 * np.max(D.values) * np.eye(len(X)) for D in problem.metric)
    _, s, Vt = np.linalg.svd(D1 @ X @ D2)
    return np.linalg.solve(D2, Vt.T * np.sqrt(np.maximum(s, 1e-8 * s[0])))
