"""A measured model in whitened coordinates, as one quadratic map of its stacked factors.

Every measurement is half a quadratic form, ``q(x)_i = ½ ⟨x, K_i x⟩`` with symmetric ``K_i``, where x stacks the factors
so that ``½ ‖x‖²`` is at least the norm that flat solutions minimise. Solvers need nothing else about a model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh

from flatmin._core.arrays import Array
from flatmin.linalg.metric import hermitian_of_product, svd_of_product
from flatmin.linalg.subspaces import DENSE, as_array, deflate, leading_eigenpairs, leading_triplets
from flatmin.measurements import Measurement
from flatmin.parametrizations import Parametrization
from flatmin.solvers.factored.leading import block_triplets

__all__ = ["Linearization", "QuadraticMap", "StackedGram", "StackedProduct", "StackedSignedGram", "stacked"]

#: An explicit derivative of more entries than this is not formed.
LARGEST_JACOBIAN = 150_000_000
#: How far a resolvent keeps from the spectrum at least.
LEAST_SHIFT = 1e-9
#: Directions whose value is below this one are far from helping: a new column needs more than 1.
HARMLESS = 0.9


@dataclass(frozen=True, eq=False)
class QuadraticMap(ABC):
    """``x ↦ q(x) = scale · B(Z(x))`` for the whitened map B and stacked factors x of shape (n, k).

    Parameters
    ----------
    whitened : Measurement
        The map B on ``Z = D1 X D2``.
    scale : float
        Makes the map an isometry on average.
    units : ndarray, shape (m,), optional
        What turns residuals back into the units of the data, where measurements were weighted.
    """

    whitened: Measurement
    scale: float = 1.0
    units: Array | None = None

    @abstractmethod
    def freedom(self, rank: int) -> int:
        """Return the number of degrees of freedom of matrices of this rank."""

    @abstractmethod
    def value(self, x: Array) -> Array:
        """Return q(x), shape (m,)."""

    @abstractmethod
    def bilinear(self, x: Array, z: Array) -> Array:
        """Return ``⟨x, K_i z⟩`` for every i: the derivative of q at x in direction z."""

    @abstractmethod
    def apply(self, S: Any, x: Array) -> Array:
        """Return ``K x`` for the symmetric K of a dual matrix S."""

    @abstractmethod
    def jacobian(self, x: Array) -> Array | None:
        """Return the derivative of q at x over ``scale``, shape (m, k, n), where the measurement offers it."""

    @abstractmethod
    def canonical(self, x: Array) -> tuple[Array, Array, Array]:
        """Return ``U, s, V`` with ``Z(x) = U s V*``."""

    @abstractmethod
    def stack(self, U: Array, s: Array, V: Array) -> Array:
        """Return factors x of ``U s V*`` with ``½ ‖x‖² = Σ s``."""

    @abstractmethod
    def leading(
        self, S: Any, count: int, seed: int, tol: float = 1e-2, below: float = 0.0
    ) -> tuple[Array, Array, Array]:
        """Return about ``count`` leading directions of a dual matrix, ``U, s, V`` with ``⟨U_j V_j*, S⟩ = s_j``.

        Where they are iterated, they are accurate to about tol; values, which err downwards, to about its square. Where
        all values are below the last argument, rough ones will do.
        """

    @abstractmethod
    def curvature(self, S: Any) -> Array:
        """Return K of a dual matrix S as an array (n, n)."""

    def resolvent(self, S: Any, shift: float) -> tuple[float, Array] | None:
        """Return ``a``, just above 1 and the norm of K, and ``(aI − K)^(-1/2)``; None where that norm exceeds 1.5."""
        values, Q = eigh(self.curvature(S), check_finite=False)
        if values[-1] > 1.5:
            return None
        a = max(1.0, float(values[-1])) + max(shift, LEAST_SHIFT)
        return a, np.asarray((Q / np.sqrt(a - values)) @ Q.T)

    def dual_matrix(self, y: Array) -> Any:
        """Return ``S = scale · B*(y)``, sparse where it can be."""
        return self.whitened.adjoint_operator(self.scale * y)

    def relative_residual(self, x: Array, b: Array) -> float:
        """Return ``‖q(x) − b‖ / ‖b‖`` in the units of the data."""
        units = 1.0 if self.units is None else self.units
        return float(np.linalg.norm(units * (self.value(x) - b)) / np.linalg.norm(units * b))

    def linearize(self, x: Array) -> Linearization:
        """Return the derivative of q at x, explicit where the measurement offers it and it fits."""
        J = self.jacobian(x) if self.whitened.size * x.size <= LARGEST_JACOBIAN else None
        if J is not None and self.scale != 1:
            J *= self.scale
        return Linearization(self, x, J)

    def can_factorize(self, derivative: Linearization) -> bool:
        """Return whether a factorized Hessian can be had: J or `normal_matrix` is there."""
        return derivative.J is not None

    def normal_matrix(self, x: Array, P: Array) -> Array:
        """Return ``⟨J_i, P J_j⟩`` for all pairs of measurements, shape (m, m), without forming J."""
        raise NotImplementedError

    def blocks(self, x: Array) -> Array:
        """Return roughly the k×k diagonal blocks of ``JᵀJ``, one for each row of x, shape (n, k, k)."""
        return np.broadcast_to(x.T @ x, (len(x), x.shape[1], x.shape[1])).copy()

    def escapes(
        self, S: Any, U: Array, V: Array, count: int, seed: int, tol: float = 1e-2
    ) -> tuple[Array, Array, Array]:
        """Return the leading directions of S outside U and V: those in which a new column helps."""
        count = min(count, min(S.shape) - U.shape[1])
        if count < 1:
            return U[:, :0], np.zeros(0), V[:, :0]
        dense = S.toarray() if hasattr(S, "toarray") and min(S.shape) <= 400 else S
        return self.leading(deflate(dense, U, V), count, seed, tol, below=HARMLESS)


@dataclass(frozen=True, eq=False)
class StackedProduct(QuadraticMap):
    """``x = [L; R]``, ``Z = L Rᵀ``; K is the dilation ``[[0, S], [Sᵀ, 0]]``."""

    def freedom(self, rank: int) -> int:
        """Return ``rank (d1 + d2 − rank)``."""
        return rank * (sum(self.whitened.shape) - rank)

    def split(self, x: Array) -> tuple[Array, Array]:
        """Return (L, R)."""
        d1 = self.whitened.shape[0]
        return x[:d1], x[d1:]

    def value(self, x: Array) -> Array:
        """Return q(x), shape (m,)."""
        return self.scale * self.whitened.forward_factors(*self.split(x))

    def bilinear(self, x: Array, z: Array) -> Array:
        """Return ``scale · B(L Qᵀ + P Rᵀ)`` for x = [L; R] and z = [P; Q]."""
        (L, R), (P, Q) = self.split(x), self.split(z)
        return self.scale * self.whitened.forward_factors(np.hstack([L, P]), np.hstack([Q, R]))

    def apply(self, S: Any, x: Array) -> Array:
        """Return ``[S R; Sᵀ L]``."""
        L, R = self.split(x)
        return np.concatenate([S @ R, S.T @ L])

    def jacobian(self, x: Array) -> Array | None:
        """Return ``[B_i R, B_iᵀ L]`` for every i, where the measurement offers it."""
        return self.whitened.jacobian(*self.split(x))

    def can_factorize(self, derivative: Linearization) -> bool:
        """Return whether J is there, or the measurement has `Measurement.normal_matrix`."""
        return derivative.J is not None or self.whitened.has_normal_matrix

    def normal_matrix(self, x: Array, P: Array) -> Array:
        """Return what the measurement offers."""
        return self.scale**2 * self.whitened.normal_matrix(*self.split(x), P)

    def canonical(self, x: Array) -> tuple[Array, Array, Array]:
        """Return ``U, s, V`` with ``L Rᵀ = U s Vᵀ``."""
        return svd_of_product(*self.split(x))

    def stack(self, U: Array, s: Array, V: Array) -> Array:
        """Return the balanced factors of ``U s Vᵀ``, stacked."""
        return np.concatenate([U, V]) * np.sqrt(s)

    def leading(
        self, S: Any, count: int, seed: int, tol: float = 1e-2, below: float = 0.0
    ) -> tuple[Array, Array, Array]:
        """Return the leading singular triplets."""
        if isinstance(S, np.ndarray) or min(S.shape) <= DENSE or np.issubdtype(S.dtype, np.complexfloating):
            return leading_triplets(S, count, seed=seed)
        return block_triplets(S, count, tol, seed, below)

    def curvature(self, S: Any) -> Array:
        """Return the dilation of S."""
        S = as_array(S)
        d1, n = len(S), sum(S.shape)
        K = np.zeros((n, n))
        K[:d1, d1:], K[d1:, :d1] = S, S.T
        return K

    def resolvent(self, S: Any, shift: float) -> tuple[float, Array] | None:
        """Return ``a`` and ``(aI − K)^(-1/2)`` from the singular values of S: those of K are ± s and zeros."""
        S = as_array(S)
        U, s, Vt = np.linalg.svd(S, full_matrices=False)
        if s[0] > 1.5:
            return None
        a = max(1.0, float(s[0])) + max(shift, LEAST_SHIFT)
        d1, n = len(U), sum(S.shape)
        above, below = 1 / np.sqrt(a - s), 1 / np.sqrt(a + s)
        root = np.eye(n) / np.sqrt(a)
        root[:d1, :d1] += (U * ((above + below) / 2 - 1 / np.sqrt(a))) @ U.T
        root[d1:, d1:] += (Vt.T * ((above + below) / 2 - 1 / np.sqrt(a))) @ Vt
        root[:d1, d1:] = (U * ((above - below) / 2)) @ Vt
        root[d1:, :d1] = root[:d1, d1:].T
        return a, root

    def blocks(self, x: Array) -> Array:
        """Return the exact blocks where the measurement has them, else those of an isometry."""
        L, R = self.split(x)
        exact = self.whitened.curvature_blocks(L, R)
        if exact is not None:
            return self.scale**2 * exact
        k = L.shape[1]
        shared = np.broadcast_to(R.T @ R, (len(L), k, k)), np.broadcast_to(L.T @ L, (len(R), k, k))
        return np.concatenate(shared)


@dataclass(frozen=True, eq=False)
class StackedGram(QuadraticMap):
    """``Z = ½ U U*`` with x = U, or x = [Re U; Im U] for complex U; K is S itself, in real coordinates."""

    @property
    def is_complex(self) -> bool:
        """Whether U is complex."""
        return bool(np.issubdtype(self.whitened.dtype, np.complexfloating))

    def freedom(self, rank: int) -> int:
        """Return ``rank (2d − rank)`` for complex U, ``rank (2d − rank + 1) / 2`` for real U."""
        d = self.whitened.shape[0]
        return rank * (2 * d - rank) if self.is_complex else rank * (2 * d - rank + 1) // 2

    def columns(self, x: Array) -> Array:
        """Return U."""
        d = self.whitened.shape[0]
        return x[:d] + 1j * x[d:] if self.is_complex else x

    def real(self, U: Array) -> Array:
        """Return U in real coordinates."""
        return np.concatenate([U.real, U.imag]) if self.is_complex else np.asarray(U)

    def value(self, x: Array) -> Array:
        """Return ``½ scale · B(U U*)``."""
        U = self.columns(x)
        return self.scale / 2 * self.whitened.forward_factors(U, U)

    def bilinear(self, x: Array, z: Array) -> Array:
        """Return ``scale · Re B(U W*)`` for x = U and z = W."""
        return self.scale * self.whitened.forward_factors(self.columns(x), self.columns(z))

    def apply(self, S: Any, x: Array) -> Array:
        """Return ``S U``."""
        return self.real(S @ self.columns(x))

    def jacobian(self, x: Array) -> Array | None:
        """Return ``B_i U`` for every i, in real coordinates, where the measurement offers it."""
        J = self.whitened.products(self.columns(x))
        return J if J is None or not self.is_complex else np.concatenate([J.real, J.imag], axis=2)

    def canonical(self, x: Array) -> tuple[Array, Array, Array]:
        """Return ``U, s, U`` with ``½ U U* = U s U*``."""
        U, s, _ = np.linalg.svd(self.columns(x), full_matrices=False)
        return U, s**2 / 2, U

    def stack(self, U: Array, s: Array, V: Array) -> Array:
        """Return ``U √(2s)`` in real coordinates."""
        return self.real(U * np.sqrt(2 * s))

    def leading(
        self, S: Any, count: int, seed: int, tol: float = 1e-2, below: float = 0.0
    ) -> tuple[Array, Array, Array]:
        """Return the eigenvectors of the largest eigenvalues."""
        values, U = leading_eigenpairs(S, count, seed=seed)
        return U, values, U

    def curvature(self, S: Any) -> Array:
        """Return S in real coordinates."""
        S = as_array(S)
        return np.block([[S.real, -S.imag], [S.imag, S.real]]) if self.is_complex else S


@dataclass(frozen=True, eq=False)
class StackedSignedGram(QuadraticMap):
    """``x = [P; Q]``, ``Z = ½ (P Pᵀ − Q Qᵀ)``; K is ``[[S, 0], [0, −S]]``. A column is zero in one of its halves."""

    def freedom(self, rank: int) -> int:
        """Return ``rank (2d − rank + 1) / 2``."""
        return rank * (2 * self.whitened.shape[0] - rank + 1) // 2

    def split(self, x: Array) -> tuple[Array, Array]:
        """Return (P, Q)."""
        d = self.whitened.shape[0]
        return x[:d], x[d:]

    def value(self, x: Array) -> Array:
        """Return ``½ scale · B(P Pᵀ − Q Qᵀ)``."""
        P, Q = self.split(x)
        return self.scale / 2 * self.whitened.forward_factors(np.hstack([P, Q]), np.hstack([P, -Q]))

    def bilinear(self, x: Array, z: Array) -> Array:
        """Return ``scale · B(P Vᵀ − Q Wᵀ)`` for x = [P; Q] and z = [V; W]."""
        (P, Q), (V, W) = self.split(x), self.split(z)
        return self.scale * self.whitened.forward_factors(np.hstack([P, Q]), np.hstack([V, -W]))

    def apply(self, S: Any, x: Array) -> Array:
        """Return ``[S P; −S Q]``."""
        P, Q = self.split(x)
        return np.concatenate([S @ P, -(S @ Q)])

    def jacobian(self, x: Array) -> Array | None:
        """Return ``[B_i P, −B_i Q]`` for every i, where the measurement offers it."""
        halves = [self.whitened.products(F) for F in self.split(x)]
        return None if halves[0] is None or halves[1] is None else np.concatenate([halves[0], -halves[1]], axis=2)

    def canonical(self, x: Array) -> tuple[Array, Array, Array]:
        """Return the eigendecomposition of ``½ (P Pᵀ − Q Qᵀ)``, V being U times the signs."""
        P, Q = self.split(x)
        U, s, V = hermitian_of_product(np.hstack([P, Q]) / 2, np.hstack([P, -Q]))
        k = x.shape[1]  # one half of every column is zero
        return U[:, :k], s[:k], V[:, :k]

    def stack(self, U: Array, s: Array, V: Array) -> Array:
        """Return ``[U √(2s); 0]`` for positive columns and ``[0; U √(2s)]`` for negative ones."""
        columns = U * np.sqrt(2 * s)
        positive = np.einsum("ij,ij->j", U, V) > 0
        return np.concatenate([columns * positive, columns * ~positive])

    def leading(
        self, S: Any, count: int, seed: int, tol: float = 1e-2, below: float = 0.0
    ) -> tuple[Array, Array, Array]:
        """Return the eigenvectors of the eigenvalues that are largest in size."""
        values, U = leading_eigenpairs(S, count, seed=seed, by_size=True)
        return U, np.abs(values), U * np.where(values < 0, -1.0, 1.0)

    def curvature(self, S: Any) -> Array:
        """Return ``[[S, 0], [0, −S]]``."""
        S = as_array(S)
        zero = np.zeros_like(S)
        return np.block([[S, zero], [zero, -S]])


MAPS: dict[str, type[QuadraticMap]] = {
    "rectangular": StackedProduct,
    "semidefinite": StackedGram,
    "symmetric": StackedSignedGram,
}


def stacked(
    model: Parametrization, whitened: Measurement, scale: float = 1.0, units: Array | None = None
) -> QuadraticMap:
    """Return the quadratic map of a model."""
    return MAPS[model.cone](whitened, scale, units)


@dataclass(frozen=True, eq=False)
class Linearization:
    """The derivative of q at a point, explicit as an array (m, k, n) or implicit."""

    model: QuadraticMap
    x: Array
    J: Array | None

    def forward(self, d: Array) -> Array:
        """Return the derivative in direction d, shape (m,)."""
        if self.J is None:
            return self.model.bilinear(self.x, d)
        return np.asarray(self.matrix @ d.T.ravel())

    def adjoint(self, y: Array) -> Array:
        """Return the transposed derivative applied to y, shape of x."""
        if self.J is None:
            return self.model.apply(self.model.dual_matrix(y), self.x)
        return np.asarray(y @ self.matrix).reshape(self.x.shape[::-1]).T

    @property
    def matrix(self) -> Array:
        """The explicit derivative as a matrix (m, k n), columns ordered by column of x."""
        assert self.J is not None
        return self.J.reshape(len(self.J), -1)

    def blocks(self) -> Array:
        """Return roughly the k×k diagonal blocks of ``JᵀJ``, one for each row of x, shape (n, k, k)."""
        return self.model.blocks(self.x)

    def as_linear_operator(self) -> Any:
        """Return the derivative as a `scipy.sparse.linalg.LinearOperator` on directions, flattened by column."""
        from scipy.sparse.linalg import LinearOperator

        n, k = self.x.shape
        return LinearOperator(
            (self.model.whitened.size, n * k),
            matvec=lambda d: self.forward(d.reshape(k, n).T),
            rmatvec=lambda y: self.adjoint(y).T.ravel(),
            dtype=float,
        )
