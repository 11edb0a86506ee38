"""Upper bounds on the largest eigenvalue from a randomly started Lanczos iteration, valid with a stated probability.

Except with a small probability, a random start has a component along the eigenvector that is not too small. Then the
iteration cannot overlook the eigenvalue. The theory is in docs/theory/bounds.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import eigh_tridiagonal

from flatmin._core.arrays import Array

__all__ = ["Krylov", "RandomBound", "largest_eigenvalue", "least_component"]

EPS = float(np.finfo(float).eps)
#: Number of Lanczos steps before the bound is computed for the first time.
FIRST = 5
#: Factor by which the number of steps grows until the bound is computed again.
AGAIN = 1.04
#: Largest share of a component of a random start that rounding errors may remove.
LEFT_TO_ROUNDING = 0.01


@dataclass(frozen=True)
class Krylov:
    """The tridiagonal matrix T of k Lanczos steps from a unit vector v, and the norm of the residual after them.

    The vectors of the iteration are ``q_j(A) v`` with polynomials q_0 = 1, … , q_k that are orthonormal for the
    spectral measure of v, ``μ = Σ_i c_i² δ(λ_i)`` with c_i the component of v along eigenvector i. Diagonal and
    off-diagonal have shape (k,). The last element of the off-diagonal is the norm of the residual, which is not part of
    T. ``rounding`` is the norm of the rounding errors of the products. If ``exhausted``, the residual is zero, and T
    has every eigenvalue whose eigenvectors are not orthogonal to v. Without ``orthonormal`` vectors, the iteration used
    its recurrence alone, and rounding may have made the vectors dependent.
    """

    diagonal: Array
    off_diagonal: Array
    rounding: float
    exhausted: bool
    orthonormal: bool = True

    @property
    def steps(self) -> int:
        """Return k, the number of products."""
        return len(self.diagonal)

    @property
    def nodes(self) -> Array:
        """Return the Ritz values, eigenvalues of T, ascending."""
        return self._decomposition[0]

    @property
    def weights(self) -> Array:
        """Return the weights of the Gauss quadrature ``Σ_j w_j f(θ_j)`` of ``vᵀ f(A) v``, which add up to 1."""
        return np.asarray(self._decomposition[1][0] ** 2)

    @property
    def residuals(self) -> Array:
        """Return, for each Ritz value, a distance within which an eigenvalue of A lies."""
        return np.asarray(self.off_diagonal[-1] * np.abs(self._decomposition[1][-1]))

    @cached_property
    def _decomposition(self) -> tuple[Array, Array]:
        return eigh_tridiagonal(self.diagonal, self.off_diagonal[:-1])  # type: ignore[no-any-return]

    def reversed(self) -> Krylov:
        """Return the iteration for −A from the same vector."""
        return replace(self, diagonal=-self.diagonal)

    def upper_bound(self, component: float) -> float:
        """Return an upper bound on every eigenvalue with an eigenvector along which v has at least the component c.

        The bound is the λ at which ``K(λ) = Σ_{j ≤ k} q_j(λ)²`` reaches ``1/c²``, see docs/theory/bounds.md. If
        the vectors are not orthonormal, the largest ``q_j(λ)²`` replaces the sum. The bound is infinite
        unless c > 0 and all numbers are finite.
        """
        if not (np.all(np.isfinite(self.diagonal)) and np.all(np.isfinite(self.off_diagonal)) and component > 0):
            return math.inf
        largest = float(self.nodes[-1])
        low, step = largest, float(self.off_diagonal[-1]) or self.floor
        if self._exceeds(low, component):
            return low
        while not self._exceeds(low + step, component):
            step *= 2
            if not math.isfinite(low + step):
                return math.inf
        high = low + step
        while high - low > 1e-3 * (high - largest) and high - low > 2 * math.ulp(max(abs(low), abs(high))):
            middle = (low + high) / 2
            low, high = (low, middle) if self._exceeds(middle, component) else (middle, high)
        return high

    @cached_property
    def floor(self) -> float:
        """Return the size of rounding errors in T, which is never zero."""
        size = max(float(np.abs(self.diagonal).max()), float(self.off_diagonal[:-1].max(initial=0.0)))
        return max(EPS * size, float(np.finfo(float).tiny))

    def _exceeds(self, x: float, component: float) -> bool:
        """Return whether ``component² K(x) > 1``. The sum K ends once this holds, so that it cannot overflow."""
        before, q, total, limit, back = 0.0, 1.0, 1.0, component**-2, 0.0
        for a, b in self._coefficients:
            if total > limit:
                return True
            before, q = q, ((x - a) * q - back * before) / b
            square = q * q if abs(q) < 1e100 else math.inf
            total, back = (total + square if self.orthonormal else max(total, square)), b
        return total > limit

    @cached_property
    def _coefficients(self) -> list[tuple[float, float]]:
        return list(zip(self.diagonal.tolist(), np.maximum(self.off_diagonal, self.floor).tolist(), strict=True))


def least_component(n: int, failure: float, field: type = float) -> float:
    """Return the size that a fixed component of a uniform unit vector exceeds with probability ``1 − failure``.

    The square of a component has the distribution Beta(1/2, (n−1)/2) for real vectors, and Beta(1, n−1) for complex
    ones. In one dimension the component is 1.
    """
    if n <= 1:
        return 1.0
    if field is complex:
        square = -math.expm1(math.log1p(-failure) / (n - 1))
    else:
        from scipy.special import betaincinv

        square = float(betaincinv(0.5, (n - 1) / 2, failure))
    return math.sqrt(max(square, np.finfo(float).tiny))


@dataclass(frozen=True)
class RandomBound:
    """The bound ``upper`` on all eigenvalues, which fails with probability ``failure``, and the largest Ritz value."""

    upper: float
    reached: float
    failure: float
    steps: int


def largest_eigenvalue(
    apply: Callable[[Array], Array],
    starts: Array,
    *,
    dimension: int,
    failure: float,
    rounding: float,
    steps: int,
    enough: Callable[[float, float], bool],
) -> RandomBound:
    """Bound the largest eigenvalue of a Hermitian A from above, by Lanczos iterations from all starts at once.

    Except with probability ``failure``, at least one of b independent starts has a component of at least
    ``least_component(n, failure^(1/b))`` along a given eigenvector. The largest of the b bounds is returned
    (docs/theory/bounds.md).

    Parameters
    ----------
    apply : callable
        Returns ``A X`` of (n, b) arrays, with an error of at most ``rounding`` for unit vectors.
    starts : ndarray, shape (n, b)
        Independent standard normal columns that do not depend on A; or their projections on an invariant subspace of A,
        of this ``dimension``, that contains all eigenvectors in question. They are changed in place.
    enough : callable
        It is called from time to time with a Ritz value and a bound, and returns True to end the iteration.
    """
    field = complex if np.iscomplexobj(starts) else float
    component = least_component(dimension, failure ** (1 / starts.shape[1]), field)
    following, upper, reached = FIRST, np.inf, -np.inf
    diagonal, off_diagonal = [], []
    sizes = np.linalg.norm(starts, axis=0)
    vectors, before, back = starts, np.zeros_like(starts), np.zeros(starts.shape[1])
    vectors /= np.where(sizes > 0, sizes, 1)
    for k in range(1, steps + 1):
        after = apply(vectors)
        along = np.einsum("ij,ij->j", vectors.conj(), after).real
        after -= vectors * along + before * back
        back = np.linalg.norm(after, axis=0)
        if not np.all(np.isfinite([along, back])):
            return RandomBound(np.inf, -np.inf, failure, k)
        diagonal.append(along)
        off_diagonal.append(back)
        before, vectors = vectors, after / np.where(back > 0, back, 1)
        if k in (following, steps) or not np.any(back):
            runs = _runs(np.array(diagonal), np.array(off_diagonal))
            off = math.sqrt(k) * rounding / (LEFT_TO_ROUNDING * component)
            reached = max(float(run.nodes[-1]) for run in runs)
            bounds = [max(run.upper_bound((1 - 2 * LEFT_TO_ROUNDING) * component), run.nodes[-1] + off) for run in runs]
            upper = min(upper, max(bounds))
            if enough(reached, upper) or not np.any(back):
                break
            following = max(k + 2, int(AGAIN * k))
    return RandomBound(upper, reached, failure, k)


def _runs(diagonal: Array, off_diagonal: Array) -> list[Krylov]:
    """Return the iterations of all starts, each up to the step at which its residual vanished."""
    ends = np.where(np.any(off_diagonal == 0, axis=0), np.argmax(off_diagonal == 0, axis=0) + 1, len(off_diagonal))
    return [
        Krylov(diagonal[:end, i], off_diagonal[:end, i], 0.0, bool(off_diagonal[end - 1, i] == 0), orthonormal=False)
        for i, end in enumerate(ends)
    ]
