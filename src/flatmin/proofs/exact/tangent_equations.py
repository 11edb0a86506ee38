"""Tangent equations: the measurements of changes ``P E* + F Q*`` of a solution, and their least-squares problems."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import cho_solve
from scipy.linalg.lapack import dpotrf
from scipy.sparse import csr_array, issparse
from scipy.sparse.linalg import LinearOperator, lsmr

from flatmin._core.arrays import Array
from flatmin.measurements import Entries, Measurement

__all__ = ["LARGEST_TANGENT", "TangentEquations"]

#: Largest number of unknowns for which the normal matrix is formed.
LARGEST_TANGENT = 5000
#: Largest number of entries of a derivative that is kept as a whole.
LARGEST_DERIVATIVE = 25_000_000
#: Share of the smallest eigenvalue that is claimed, so that its proof has room for rounding.
CLAIMED = 0.98
#: Limit on the iterations of a least-squares problem that is too large to factorize.
ITERATIONS = 2000


@dataclass(frozen=True, eq=False)
class TangentEquations:
    """The map ``(F, E) ↦ B(F Q* + P E*)``, for Hermitian models ``E ↦ B(P E* + E P*)``.

    Unknowns are ordered column by column: ``F[:, 0], E[:, 0], F[:, 1], …``; a complex E is its real part followed by
    its imaginary part.

    Attributes
    ----------
    measurement : Measurement
        The map B.
    P, Q : ndarray, shapes (d1, r) and (d2, r)
        Bases of the column space and of the row space.
    hermitian : bool
        Whether changes are Hermitian.
    """

    measurement: Measurement
    P: Array
    Q: Array
    hermitian: bool = False

    @property
    def size(self) -> int:
        """The number of real unknowns."""
        if not self.hermitian:
            return int(self.P.size + self.Q.size)
        return int(self.P.size) * (2 if np.iscomplexobj(self.P) else 1)

    @cached_property
    def derivative(self) -> Any:
        """The matrix (m, size) of the map, dense or sparse; None if it is too large."""
        B = self.measurement
        if isinstance(B, Entries) and not self.hermitian:
            return self._sparse_derivative(B)
        if B.size * self.size > LARGEST_DERIVATIVE:
            return None
        if not self.hermitian:
            J = B.jacobian(self.P, self.Q)
            if J is None:
                J = np.concatenate([B.products(self.Q), _transposed_products(B, self.P)], axis=2)
            return J.reshape(B.size, -1)
        sides = 2 * self._products().reshape(B.size, -1)
        return np.hstack([sides.real, sides.imag]) if np.iscomplexobj(self.P) else sides.real

    def _products(self) -> Array:
        """Return ``A_i P[:, c]`` at ``[i, c]``."""
        sides = self.measurement.products(self.P)
        return np.asarray(self.measurement.matrices() @ self.P).transpose(0, 2, 1) if sides is None else sides

    def _sparse_derivative(self, B: Entries) -> Any:
        (d1, r), d2 = self.P.shape, len(self.Q)
        weights = np.ones(B.size) if B.weights is None else B.weights
        column = np.arange(r) * (d1 + d2)
        places = np.hstack([B.rows[:, None] + column, d1 + B.cols[:, None] + column])
        values = weights[:, None] * np.hstack([self.Q[B.cols], self.P[B.rows]])
        pointers = np.arange(B.size + 1) * 2 * r
        return csr_array((values.ravel(), places.ravel(), pointers), shape=(B.size, self.size))

    @cached_property
    def _gauge(self) -> Array:
        """Columns g with which ``g'x = 0`` selects one of all pairs (F, E) that give the same matrix.

        The condition is ``P'F = 0``, or in Hermitian models that the skew part of ``P*E`` is 0.
        """
        (d, r), n = self.P.shape, len(self.P) + len(self.Q)
        if not self.hermitian:
            basis = np.zeros((n, r))
            basis[:d] = self.P
            return np.asarray(np.kron(np.eye(r), basis))
        units = []
        for j in range(r):
            for k in range(j, r):
                for phase in (1.0, 1j) if np.iscomplexobj(self.P) else (1.0,):
                    K = np.zeros((r, r), self.P.dtype)
                    K[j, k] += phase
                    K[k, j] -= np.conj(phase)
                    if np.any(K):
                        units.append(self.vector(self.P @ K) / np.linalg.norm(K))
        return np.array(units).T if units else np.zeros((self.size, 0))

    def vector(self, E: Array) -> Array:
        """Return a change of a Hermitian factor as a vector of unknowns."""
        rows = E.T.reshape(-1)
        return np.concatenate([rows.real, rows.imag]) if np.iscomplexobj(self.P) else rows.real

    @cached_property
    def normal(self) -> Array | None:
        """``J'J + γ g g'``, and γ on the diagonal of unknowns that no measurement sees; None if it is too large."""
        J = self.derivative
        if J is None or self.size > LARGEST_TANGENT:
            return None
        N = np.asarray((J.T @ J).toarray()) if issparse(J) else np.asarray(J.T @ J)
        g = self._gauge
        N += self.penalty * (g @ g.T)
        unseen = np.flatnonzero(np.diagonal(N) == 0)
        N[unseen, unseen] = self.penalty
        return N

    @cached_property
    def penalty(self) -> float:
        """The weight γ of ``g g'`` in `normal`: four times the mean eigenvalue of ``J'J`` if P has unit columns."""
        J, sizes = self.derivative, np.sum(self.P.real**2 + self.P.imag**2, axis=0)
        squares = float((J.data**2).sum()) if issparse(J) else float(np.sum(J**2))
        return 4 * squares / (self.size * float(sizes.mean()))

    @cached_property
    def injectivity(self) -> float:
        """A number below the smallest eigenvalue of `normal`, with room for rounding; 0 if there is no positive one."""
        if self.normal is None or self._factor is None:
            return 0.0
        x = np.random.default_rng(0).standard_normal(self.size)
        value = 0.0
        for _ in range(60):
            x = cho_solve((self._factor, True), x / np.linalg.norm(x))
            former, value = value, 1 / float(np.linalg.norm(x))
            if abs(value - former) <= 1e-3 * value:
                break
        largest = float(np.max(np.diagonal(self.normal)))
        for share in (CLAIMED, 0.9, 0.7, 0.3, 0.1):
            claimed = share * value - 4 * self.size * np.finfo(float).eps * largest
            if claimed > 0 and _cholesky(self.normal, 1.005 * claimed) is not None:
                return float(claimed)
        return 0.0

    @property
    def obstacle(self) -> str | None:
        """Why uniqueness cannot be proved from these equations, or None."""
        if self.normal is None:
            return f"the tangent space has {self.size} dimensions, too many for a proof of uniqueness"
        if self.injectivity <= 0:
            return "the measurements do not tell all tangent directions apart, so they may not determine the matrix"
        return None

    @cached_property
    def _factor(self) -> Array | None:
        if self.normal is None:
            return None
        tiny = self.size * np.finfo(float).eps * float(np.max(np.diagonal(self.normal)))
        return None if _cholesky(self.normal, 16 * tiny) is None else _cholesky(self.normal)

    def dual_step(self, target: Array) -> Array:
        """Return the shortest λ that solves ``J'λ = target`` in the sense of least squares."""
        J = self._operator
        if self._factor is None:
            return np.asarray(lsmr(J.T, target, atol=1e-15, btol=1e-15, conlim=1e12, maxiter=ITERATIONS)[0])
        total = np.zeros(self.measurement.size)
        for _ in range(3):
            total += J.matvec(cho_solve((self._factor, True), target - J.rmatvec(total)))
        return total

    def step(self, residual: Array) -> Array:
        """Return unknowns x that solve ``J x = residual`` in the sense of least squares."""
        J = self._operator
        if self._factor is None:
            return np.asarray(lsmr(J, residual, atol=1e-15, btol=1e-15, conlim=1e12, maxiter=ITERATIONS)[0])
        total = np.zeros(self.size)
        for _ in range(2):
            total += cho_solve((self._factor, True), J.rmatvec(residual - J.matvec(total)))
        return total

    @property
    def _operator(self) -> LinearOperator:
        J = self.derivative
        if J is not None:
            return LinearOperator((self.measurement.size, self.size), matvec=lambda x: J @ x, rmatvec=lambda y: J.T @ y)
        return LinearOperator((self.measurement.size, self.size), matvec=self.forward, rmatvec=self.adjoint)

    def forward(self, x: Array) -> Array:
        """Return the measurements of a change."""
        F, E = self.parts(np.ravel(x))
        if self.hermitian:
            return 2 * self.measurement.forward_factors(E, self.P)
        return self.measurement.forward_factors(np.hstack([F, self.P]), np.hstack([self.Q, E]))

    def adjoint(self, y: Array) -> Array:
        """Return the adjoint of `forward`: ``Y Q`` and ``Y* P``, for Hermitian models ``2 Y P``."""
        Y = self.measurement.adjoint_operator(np.ravel(y))
        if self.hermitian:
            return self.vector(2 * np.asarray(Y @ self.P))
        return np.asarray(np.concatenate([Y @ self.Q, Y.T @ self.P]).T.reshape(-1))

    def parts(self, x: Array) -> tuple[Array, Array]:
        """Return (F, E) for a vector of unknowns; for Hermitian models both are E."""
        (d1, r), d2 = self.P.shape, len(self.Q)
        if not self.hermitian:
            both = x.reshape(r, d1 + d2).T
            return both[:d1], both[d1:]
        halves = x.reshape(-1, r, d1).transpose(0, 2, 1)
        E = halves[0] + 1j * halves[1] if len(halves) == 2 else halves[0]
        return E, E


def _transposed_products(B: Measurement, P: Array) -> Array:
    """Return ``A_i' P[:, c]`` at ``[i, c]``."""
    return np.asarray(P.T @ B.matrices())


def _cholesky(N: Array, shift: float = 0.0) -> Array | None:
    """Return the lower Cholesky factor of ``N − shift``, None if it is not positive definite."""
    M = N.copy()
    M[np.diag_indices_from(M)] -= shift
    factor, failed = dpotrf(M, lower=1, overwrite_a=1)
    return None if failed else np.asarray(factor)
