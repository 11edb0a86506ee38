"""Spectra of large matrices, designed against iterations: no bound may be below the norm that a decomposition gives.

Singular values and eigenvalues are clustered at one, isolated, slowly decaying or repeated; vectors are random or along
the axes, guesses are good, poor or absent. The matrices are larger than those that are decomposed as a whole. Their
exact norm is known by construction up to rounding, and is compared with a dense decomposition for a part of the seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.adversary import Verdict
from flatmin.linalg.operator_norm import hermitian_spectrum, top_spectrum

__all__ = ["attack"]

#: Smallest dimension: larger ones are bounded by iterations.
DIMENSION = 2001
#: Every so many seeds the matrix is decomposed.
DECOMPOSED = 20
#: Rounding of the norm by construction and by decomposition.
ROUNDING = 1e-11
#: Leading values are above this.
LEADING = 1 - 1e-4


def attack(seed: int) -> Verdict:
    """Bound a designed spectrum with the eigenvalues or the singular values that it was made of."""
    rng = np.random.default_rng(seed)
    n = DIMENSION + int(rng.integers(0, 200))
    values = _values(rng, n, ("clustered", "isolated", "decaying", "repeated")[seed % 4])
    hermitian = bool(seed // 4 % 2)
    signs = np.where(rng.random(n) < 0.5, -1.0, 1.0) if hermitian else np.ones(n)
    left, right = _Reflections(rng, n), _Reflections(rng, n)
    S = left.both(np.diag(values * signs), left if hermitian else right)
    if hermitian:
        S = (S + S.T) / 2
    given = int(rng.integers(0, 4))
    order = np.argsort(-values)[:given]
    U, V = left.columns(order), left.columns(order) * signs[order] if hermitian else right.columns(order)
    if rng.random() < 0.5 and given:
        U = np.linalg.qr(U + 10.0 ** -rng.integers(1, 9) * rng.standard_normal(U.shape))[0]
        V = U if hermitian else V
    by_size = bool(rng.random() < 0.5)
    if hermitian:
        found = hermitian_spectrum(S, U, unit=LEADING, seed=seed, by_size=by_size)
        exact = float(np.max(values if by_size else values * signs))
    else:
        found, exact = top_spectrum(S, U, V, unit=LEADING, seed=seed), float(values.max())
    if seed % DECOMPOSED == DECOMPOSED - 1:
        whole = np.linalg.eigvalsh(S) if hermitian else np.linalg.svd(S, compute_uv=False)
        exact = float(np.max(np.abs(whole) if by_size or not hermitian else whole))
    if found.kind == "estimated":
        return Verdict(0)
    for name, bound, least in (
        ("norm", found.norm, exact),
        ("rest", found.rest, _following(values, signs, found, by_size, hermitian)),
    ):
        if bound < least - ROUNDING * exact:
            return Verdict(True, f"the {name} is at most {bound:.12g} ({found.kind}), but it is {least:.12g}")
    return Verdict(True)


def _following(values: Any, signs: Any, found: Any, by_size: bool, hermitian: bool) -> float:
    """Return the smallest norm that S can have outside that many triplets: the next value."""
    sizes = np.sort(values if by_size or not hermitian else np.maximum(values * signs, 0))[::-1]
    return float(sizes[len(found.values)]) if len(found.values) < len(sizes) else 0.0


def _values(rng: np.random.Generator, n: int, kind: str) -> Any:
    """Return a spectrum of values from 0 to about one."""
    top = float(rng.choice([1.0, 1 - 1e-6, 1 + 1e-7, 1.01]))
    if kind == "clustered":
        values = rng.uniform(0, 0.9, n)
        count = int(rng.integers(5, 60))
        values[:count] = top * (1 - 10.0 ** -rng.uniform(2, 10, count))
        return values
    if kind == "isolated":
        return np.r_[top, rng.uniform(0, float(rng.choice([0.5, 0.99, 0.9999])), n - 1)]
    if kind == "decaying":
        return top * np.arange(1, n + 1.0) ** -float(rng.uniform(0.01, 2))
    return top * np.repeat([1.0, 0.999, 0.5, 0.0], [3, 10, n // 2, n - 13 - n // 2])


class _Reflections:
    """An orthogonal matrix: a product of a few reflections, or a permutation of the axes."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        count = int(rng.integers(0, 4))
        self.vectors = rng.standard_normal((count, n))
        if count and rng.random() < 0.3:
            self.vectors[:, n // 50 :] = 0
        self.vectors /= np.linalg.norm(self.vectors, axis=1)[:, None] if count else 1
        self.order = rng.permutation(n)

    def apply(self, M: Any) -> Any:
        """Return Q M."""
        M = M[self.order]
        for v in self.vectors:
            M = M - np.outer(2 * v, v @ M)
        return M

    def both(self, M: Any, other: _Reflections) -> Any:
        """Return Q M Q'ᵀ."""
        return np.ascontiguousarray(other.apply(np.ascontiguousarray(self.apply(M).T)).T)

    def columns(self, index: Any) -> Any:
        """Return columns of Q."""
        units = np.zeros((len(self.order), len(index)))
        units[index, np.arange(len(index))] = 1
        return self.apply(units)
