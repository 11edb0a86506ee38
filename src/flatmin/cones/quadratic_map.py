"""Quadratic maps: whitened measurements as functions of stacked factors.

Every measurement is half a quadratic form, ``q(x)_i = ½ ⟨x, K_i x⟩`` with symmetric ``K_i``. The vector x stacks the
factors, and ``½ ‖x‖²`` is an upper bound on the norm that flat solutions minimise; the bound is attained by some
factors. Solvers need no other knowledge of a model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import eigh

from flatmin._core.arrays import Array
from flatmin.linalg.subspaces import deflate
from flatmin.measurements import Measurement

__all__ = ["LARGEST_JACOBIAN", "LEAST_SHIFT", "Linearization", "QuadraticMap"]

#: The derivative is formed as an array of at most this many entries.
LARGEST_JACOBIAN = 150_000_000
#: Smallest distance between ``a`` and the spectrum of K in the resolvent ``(aI − K)^(-1/2)``.
LEAST_SHIFT = 1e-9
#: A new column lowers the objective only if its singular value exceeds 1. If all singular values are below this number,
#: they are computed only roughly.
CLEARLY_USELESS = 0.9


@dataclass(frozen=True, eq=False)
class QuadraticMap(ABC):
    """``x ↦ q(x) = scale · B(Z(x))`` for the whitened map B and stacked factors x of shape (n, k).

    The scale makes the map an isometry on average. ``units`` (m,) are the factors that turn residuals of weighted
    measurements into residuals of the data. If `is_product`, x stacks two independent factors, ``x = [L; R]`` with
    ``Z = L Rᵀ``; otherwise Z is Hermitian.
    """

    is_product: ClassVar[bool] = False
    cone: ClassVar[Any]

    whitened: Measurement
    scale: float = 1.0
    units: Array | None = None

    def freedom(self, rank: int) -> int:
        """Return the number of degrees of freedom of matrices of this rank."""
        is_complex = bool(np.issubdtype(self.whitened.dtype, np.complexfloating))
        return int(self.cone.degrees_of_freedom(self.whitened.shape, rank, is_complex))

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
        """Return the derivative of q at x over ``scale``, shape (m, k, n), if the measurement offers it, else None."""

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

        If the directions are found by iteration, they are accurate to about ``tol``, or less accurate if all values are
        less than ``below``.
        """

    def largest(self, S: Any, seed: int, tol: float = 1e-2, below: float = 0.0, count: int = 1) -> float:
        """Return the leading value of a dual matrix alone, the largest of ``count`` values of `leading`."""
        return float(self.leading(S, count, seed, tol, below)[1].max())

    @abstractmethod
    def curvature(self, S: Any) -> Array:
        """Return K of a dual matrix S as an array (n, n)."""

    def resolvent(self, S: Any, shift: float) -> tuple[float, Array] | None:
        """Return a number ``a`` and ``(aI − K)^(-1/2)``, or None if an eigenvalue of K exceeds 1.5.

        The number is just above 1 and above all eigenvalues of K.
        """
        values, Q = eigh(self.curvature(S), check_finite=False)
        if values[-1] > 1.5:
            return None
        a = max(1.0, float(values[-1])) + max(shift, LEAST_SHIFT)
        return a, np.asarray((Q / np.sqrt(a - values)) @ Q.T)

    def dual_matrix(self, y: Array) -> Any:
        """Return ``S = scale · B*(y)``, sparse where it can be."""
        return self.whitened.adjoint_operator(self.scale * y)

    def dense_dual_matrix(self, y: Array) -> Array:
        """Return S as an array, which for small matrices takes less time than a sparse one."""
        return self.whitened.adjoint(self.scale * y)

    def measured(self, Z: Array) -> Array:
        """Return ``scale · B(Z)``, the value of q where ``Z(x) = Z``."""
        return self.scale * self.whitened.forward(Z)

    def relative_residual(self, x: Array, b: Array) -> float:
        """Return ``‖q(x) − b‖ / ‖b‖`` in the units of the data."""
        units = 1.0 if self.units is None else self.units
        return float(np.linalg.norm(units * (self.value(x) - b)) / np.linalg.norm(units * b))

    def linearize(self, x: Array) -> Linearization:
        """Return the derivative of q at x, as an array if the measurement can form one and it is not too large."""
        J = self.jacobian(x) if self.whitened.size * x.size <= LARGEST_JACOBIAN else None
        if J is not None and self.scale != 1:
            J *= self.scale
        return Linearization(self, x, J)

    def split(self, x: Array) -> tuple[Array, Array]:
        """Return the two blocks of rows of x, for maps that stack two factors."""
        raise NotImplementedError

    def opposite(self, x: Array) -> list[Array]:
        """Return for each block of rows of x the factor by which these rows are multiplied in Z."""
        return [x]

    def support(self, x: Array) -> Array:
        """Return an array with 1 for entries of x that may become nonzero in the iteration, and 0 for the others."""
        return np.ones_like(x)

    @property
    def has_normal_matrix(self) -> bool:
        """Whether `normal_matrix` exists and is small enough to be factorized."""
        return False

    def normal_matrix(self, G: Array, P: Array) -> Array:
        """Return the lower triangle of ``tr(K_i P K_j G)`` for all pairs of measurements, shape (m, m).

        P and G hold the diagonal blocks of symmetric matrices, as in `dual_blocks`. For ``G = x xᵀ`` the elements are
        ``⟨J_i, P J_j⟩``, where J is the derivative of q at x.
        """
        raise NotImplementedError

    def dual_blocks(self, y: Array) -> Array:
        """Return the diagonal blocks of the symmetric matrix K of a multiplier, shape (number, size, size)."""
        return self.curvature(self.dense_dual_matrix(y))[None]

    def dual_spectrum(self, y: Array) -> tuple[Array, Array]:
        """Return the eigenvalues (number, size) of `dual_blocks`, descending, and their eigenvectors as columns."""
        values, Q = np.linalg.eigh(self.dual_blocks(y))
        return values[:, ::-1], Q[:, :, ::-1]

    def lifted(self, W: Array) -> Array:
        """Return the matrix Z that belongs to diagonal blocks W of a symmetric matrix; Z(x) is that of x xᵀ."""
        raise NotImplementedError

    def lifted_value(self, W: Array) -> Array:
        """Return ``½ tr(K_i W)``, shape (m,), for the diagonal blocks W of a symmetric matrix; q(x) is that of x xᵀ."""
        return self.measured(self.lifted(W))

    def lifted_canonical(self, W: Array) -> tuple[Array, Array, Array]:
        """Return ``U, s, V`` of the element of the cone that belongs to diagonal blocks W."""
        Z = self.lifted(W)
        return self.leading(Z, min(Z.shape), seed=0)

    def blocks(self, x: Array) -> Array:
        """Return roughly the k×k diagonal blocks of ``JᵀJ``, one for each row of x, shape (n, k, k)."""
        return np.broadcast_to(x.T @ x, (len(x), x.shape[1], x.shape[1])).copy()

    def escapes(
        self, S: Any, U: Array, V: Array, count: int, seed: int, tol: float = 1e-2
    ) -> tuple[Array, Array, Array]:
        """Return the leading directions of S outside U and V, in which a new column of x can lower the objective."""
        count = min(count, min(S.shape) - U.shape[1])
        if count < 1:
            return U[:, :0], np.zeros(0), V[:, :0]
        return self.leading(self._outside(S, U, V), count, seed, tol, below=CLEARLY_USELESS)

    def largest_escape(self, S: Any, U: Array, V: Array, seed: int, tol: float) -> float:
        """Return the largest value of `escapes`, 0 if U and V leave no directions."""
        count = min(2, min(S.shape) - U.shape[1])
        return self.largest(self._outside(S, U, V), seed, tol, CLEARLY_USELESS, count) if count > 0 else 0.0

    @staticmethod
    def _outside(S: Any, U: Array, V: Array) -> Any:
        return deflate(S.toarray() if hasattr(S, "toarray") and min(S.shape) <= 400 else S, U, V)


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
        """The explicit derivative as a matrix (m, k n), whose columns follow the entries of x column by column."""
        assert self.J is not None
        return self.J.reshape(len(self.J), -1)

    def blocks(self) -> Array:
        """Return roughly the k×k diagonal blocks of ``JᵀJ``, one for each row of x, shape (n, k, k)."""
        return self.model.blocks(self.x)

    def as_linear_operator(self) -> Any:
        """Return the derivative as a `scipy.sparse.linalg.LinearOperator` on directions, flattened column by column."""
        from scipy.sparse.linalg import LinearOperator

        n, k = self.x.shape
        return LinearOperator(
            (self.model.whitened.size, n * k),
            matvec=lambda d: self.forward(d.reshape(k, n).T),
            rmatvec=lambda y: self.adjoint(y).T.ravel(),
            dtype=float,
        )
