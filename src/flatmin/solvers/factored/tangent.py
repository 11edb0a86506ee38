"""Least squares on the tangent space of the matrices of fixed rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.cones.quadratic_map import LARGEST_JACOBIAN, QuadraticMap
from flatmin.linalg.subspaces import EPS

__all__ = ["TangentSpace", "Weights", "solve_definite"]

#: Largest weight of a direction, relative to the mean square of the map. Along directions of this weight, the matrix
#: hardly changes.
MAX_WEIGHT = 1e8
#: Share of the largest trace of a block that is added to the diagonal of all blocks before they are inverted.
RIDGE = 1e-10
#: Number of entries up to which products with a matrix take less time than with a sparse one.
SMALL_MATRIX = 10_000
#: Ratio of eigenvalues of a block below which the data do not determine its row or column.
SINGULAR_RATIO = 1e-12


def solve_definite(
    apply: Callable[[Array], Array],
    right: Array,
    tol: float,
    most: int,
    clock: Clock | None = None,
    precondition: Callable[[Array], Array] = np.asarray,
    floor: float = EPS,
) -> Array:
    """Solve ``H d = right`` for a positive semidefinite H by at most ``most`` conjugate gradient steps.

    The steps end when the residual has shrunk by the factor tol in the norm of the preconditioner, or when the
    curvature along a direction is at most ``floor``.
    """
    d, r, z = np.zeros_like(right), right, precondition(right)
    p, rz = z, float(np.vdot(r, z).real)
    goal = tol**2 * rz
    for _ in range(most):
        if rz <= goal or (clock is not None and clock.out_of_time):
            break
        Hp = apply(p)
        curvature = float(np.vdot(p, Hp).real)
        if curvature <= floor * float(np.vdot(p, p).real):
            break
        d, r = d + rz / curvature * p, r - rz / curvature * Hp
        z = precondition(r)
        rz, before = float(np.vdot(r, z).real), rz
        p = z + rz / before * p
    return d


@dataclass(frozen=True, eq=False)
class Weights:
    """The cost ``Σ core_ij |C_ij|² + Σ_j off_j (|M1⊥_j|² + |M2⊥_j|²)`` of an element Z with the core ``C = U* Z V``.

    ``core`` has shape (k, k); ``off``, shape (k,), belongs to the columns of M1 and M2 outside U and V.
    """

    core: Array
    off: Array

    @classmethod
    def log_det(cls, s: Array, smoothing: float) -> Weights:
        """Return the weights of a reweighting step, in units of the weight 1/ε² outside the tangent space.

        At singular values s and smoothing ε, the log-det surrogate gives the element ``u_i v_j*`` the weight
        ``1 / (max(s_i, ε) max(s_j, ε))``. The part outside the tangent space is eliminated: the residual determines it.
        The elimination changes the weights to ``ε² / (s_i s_j − ε²)`` in the core and ``ε / (s_i − ε)`` outside of it.
        """
        least = smoothing**2 / MAX_WEIGHT
        core = smoothing**2 / np.maximum(np.outer(s, s) - smoothing**2, least)
        off = smoothing**2 / np.maximum((s - smoothing) * smoothing, least)
        return cls(core, off)

    @classmethod
    def none(cls, rank: int) -> Weights:
        """Return zero weights."""
        return cls(np.zeros((rank, rank)), np.zeros(rank))


@dataclass(frozen=True, eq=False)
class TangentSpace:
    """The matrices ``Z = U M2* + M1 V*``, and the measured map ``q = scale · B`` on them.

    U (d1, k) and V (d2, k) have orthonormal columns; in the Hermitian cones V is U up to signs. An element is stored as
    ``d = [M1; M2]``, shape (d1 + d2, k), with the core in equal shares: ``U* M1 = (V* M2)*``.
    """

    model: QuadraticMap
    U: Array
    V: Array

    @cached_property
    def _jacobian(self) -> Array | None:
        """The map as a matrix (m, k (d1 + d2)), if the measurement has one and it fits into memory."""
        whitened = self.model.whitened
        entries = whitened.size * self.rank * (len(self.U) + len(self.V))
        if np.iscomplexobj(self.U) or not 0 < entries <= LARGEST_JACOBIAN:
            return None
        J = whitened.jacobian(self.U, self.V)
        return None if J is None else self.model.scale * J.reshape(len(J), -1)

    @cached_property
    def shares(self) -> Array | None:
        """The blocks of ``q* q`` for each row of M1 and M2, (d1 + d2, k, k); None unless q acts row by row."""
        blocks = self.model.whitened.curvature_blocks(self.U, self.V)
        return None if blocks is None else self.model.scale**2 * blocks

    @property
    def rank(self) -> int:
        """The number of columns k."""
        return int(self.U.shape[1])

    def split(self, d: Array) -> tuple[Array, Array]:
        """Return (M1, M2)."""
        return d[: len(self.U)], d[len(self.U) :]

    def diagonal(self, s: Array) -> Array:
        """Return the element ``U diag(s) V*``."""
        return np.concatenate([self.U, self.V]) * (s / 2)

    def forward(self, d: Array) -> Array:
        """Return q of an element, shape (m,)."""
        if self._jacobian is not None:
            return np.asarray(self._jacobian @ d.T.ravel())
        M1, M2 = self.split(d)
        return self.model.scale * self.model.whitened.forward_factors(np.hstack([self.U, M1]), np.hstack([M2, self.V]))

    def adjoint(self, y: Array) -> Array:
        """Return ``[S V; S* U]`` for ``S = scale · B*(y)``."""
        if self._jacobian is not None:
            return np.asarray(y @ self._jacobian).reshape(self.rank, -1).T
        S, flipped = self._dual_matrix(y)
        return np.concatenate([S @ self.V, flipped @ self.U])

    def gram(self, y: Array) -> Array:
        """Return ``q(q*(y))``, shape (m,)."""
        return self.forward(self.adjoint(y))

    def operator(self, d: Array, y: Array) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
        """Return products with ``Z + S`` and its adjoint, for the Z of an element and ``S = scale · B*(y)``."""
        (M1, M2), (S, flipped) = self.split(d), self._dual_matrix(y)
        U, V = self.U, self.V
        return (
            lambda x: np.asarray(U @ (M2.conj().T @ x) + M1 @ (V.conj().T @ x) + S @ x),
            lambda x: np.asarray(M2 @ (U.conj().T @ x) + V @ (M1.conj().T @ x) + flipped @ x),
        )

    def _dual_matrix(self, y: Array) -> tuple[Any, Any]:
        """Return S and its adjoint."""
        small = len(self.U) * len(self.V) <= SMALL_MATRIX
        S = self.model.dense_dual_matrix(y) if small else self.model.dual_matrix(y)
        return S, S.T if self.model.is_product else S

    def project(self, d: Array) -> Array:
        """Return the element with the core shared equally (in the Hermitian cones: its Hermitian part)."""
        M1, M2 = self.split(d)
        if self._signs is not None:
            M1 = (M1 + M2 * self._signs) / 2
            M2 = M1 * self._signs
        a, c = self.U.conj().T @ M1, self.V.conj().T @ M2
        half = (a + c.conj().T) / 2
        return np.concatenate([M1 + self.U @ (half - a), M2 + self.V @ (half.conj().T - c)])

    @cached_property
    def _signs(self) -> Array | None:
        """The signs by which V differs from U; None for rectangular matrices."""
        return None if self.model.is_product else np.einsum("ij,ij->j", self.U.conj(), self.V).real

    def weigh(self, d: Array, weights: Weights) -> Array:
        """Return half the gradient of the cost of an element."""
        M1, M2 = self.split(d)
        half = self.U.conj().T @ M1
        core = 2 * weights.core * half - half * weights.off
        flipped = 2 * weights.core.T * half.conj().T - half.conj().T * weights.off
        return np.concatenate([M1 * weights.off + self.U @ core, M2 * weights.off + self.V @ flipped])

    def solve(self, target: Array, start: Array, weights: Weights, tol: float, most: int, clock: Clock) -> Array:
        """Minimise ``‖q(d) − target‖²`` plus the cost of d by at most ``most`` conjugate gradient steps from a start.

        The gradient shrinks by the factor tol, in the norm of the preconditioner.
        """
        slope = self.project(self.adjoint(target - self.forward(start)) - self.weigh(start, weights))
        return start + self._inverse(slope, weights, tol, most, clock)

    def _inverse(self, r: Array, weights: Weights, tol: float, most: int, clock: Clock) -> Array:
        """Return the solution of the normal equations with right-hand side r."""

        def hessian(p: Array) -> Array:
            return self.project(self.adjoint(self.forward(p)) + self.weigh(p, weights))

        return solve_definite(hessian, r, tol, most, clock, self._preconditioner(weights))

    def _preconditioner(self, weights: Weights) -> Callable[[Array], Array]:
        """Return the inverse of the diagonal blocks, one for each row. A map without blocks counts as an isometry."""
        if self.shares is None:
            return lambda r: self.project(r / (1 + weights.off))
        blocks, diagonal = self.shares.copy(), np.arange(self.rank)
        blocks[:, diagonal, diagonal] += weights.off + RIDGE * float(np.trace(blocks, axis1=1, axis2=2).max())
        inverse = np.linalg.inv(blocks)
        return lambda r: self.project((inverse @ r[:, :, None])[:, :, 0])

    def loose(self) -> tuple[Array, Array]:
        """Return the rows and columns of Z that have data, but not enough to determine them at this rank.

        A row is determined if the columns where it has data span all k directions. If a row has no more data than its
        columns span directions, its data say nothing about columns, so columns are judged without this row. The same
        holds with rows and columns exchanged.
        """
        n, d1, norms = len(self.U) + len(self.V), len(self.U), self.model.whitened.norms()
        cells = self.model.whitened.weighted(np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0))
        free, silent = np.zeros(n, bool), np.zeros(n, bool)
        seen = None
        while self.rank:
            rows, cols = 1.0 - silent[:d1, None], 1.0 - silent[d1:, None]
            blocks = cells.curvature_blocks(rows * self.U, cols * self.V)
            counts = cells.curvature_blocks(rows, cols)
            if blocks is None or counts is None:
                break
            values = np.linalg.eigvalsh(blocks)
            spanned = np.count_nonzero(values > SINGULAR_RATIO * np.maximum(values[:, -1:], SINGULAR_RATIO), axis=1)
            seen = counts[:, 0, 0] > 0 if seen is None else seen
            free = seen & (spanned < self.rank)
            found = seen & (counts[:, 0, 0] <= spanned + 0.5)
            if not np.any(found & ~silent):
                break
            silent |= found
        return np.flatnonzero(free[:d1]), np.flatnonzero(free[d1:])

    def injectivity(self, start: Array, steps: int = 12) -> float:
        """Estimate the ratio of the smallest to the largest singular value of q on the space, by power iterations.

        The true ratio is not larger, because plain and inverse iteration approach their limits from inside the
        spectrum. The iterations end when the smallest singular value falls by less than a tenth. Singular vectors
        orthogonal to the start do not count.
        """
        none = Weights.none(self.rank)
        top = bottom = self.project(start)
        largest, smallest = 0.0, np.inf
        for _ in range(steps if self.rank else 0):
            top = self.project(self.adjoint(self.forward(top / np.linalg.norm(top))))
            bottom = self._inverse(bottom / np.linalg.norm(bottom), none, 1e-2, 200, Clock())
            if not (np.any(top) and np.any(bottom)):
                return 0.0
            largest, before = max(largest, float(np.linalg.norm(top))), smallest
            smallest = float(np.sum(self.forward(bottom) ** 2) / np.vdot(bottom, bottom).real)
            if smallest > 0.9 * before:
                break
        return float(np.sqrt(min(1.0, smallest / largest))) if largest > 0 else 1.0
