"""A measured product in whitened coordinates, as one quadratic map of the stacked factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin.measurements import Measurement
from flatmin.metric import Array, svd_of_product
from flatmin.operator_norm import deflate, leading_triplets

__all__ = ["Linearization", "StackedProduct"]

#: An explicit derivative of more entries than this is not formed.
LARGEST_JACOBIAN = 150_000_000


@dataclass(frozen=True, eq=False)
class StackedProduct:
    """``x = [L; R] ↦ q(x) = scale · B(L Rᵀ)`` for x of shape (d1 + d2, k).

    Every measurement is half a quadratic form, ``q(x)_i = ½ ⟨x, K_i x⟩``, with the symmetric dilation
    ``K(y) = [[0, S], [Sᵀ, 0]]``, ``S = scale · B*(y)``. Solvers need nothing else about the model.

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

    @property
    def d1(self) -> int:
        """Where L ends and R begins."""
        return self.whitened.shape[0]

    def split(self, x: Array) -> tuple[Array, Array]:
        """Return (L, R)."""
        return x[: self.d1], x[self.d1 :]

    def value(self, x: Array) -> Array:
        """Return q(x), shape (m,)."""
        return self.scale * self.whitened.forward_factors(*self.split(x))

    def relative_residual(self, x: Array, b: Array) -> float:
        """Return ``‖q(x) − b‖ / ‖b‖`` in the units of the data."""
        units = 1.0 if self.units is None else self.units
        return float(np.linalg.norm(units * (self.value(x) - b)) / np.linalg.norm(units * b))

    def bilinear(self, x: Array, z: Array) -> Array:
        """Return ``⟨x, K_i z⟩`` for every i: the derivative of q at x in direction z."""
        (L, R), (P, Q) = self.split(x), self.split(z)
        return self.scale * self.whitened.forward_factors(np.hstack([L, P]), np.hstack([Q, R]))

    def dual_matrix(self, y: Array) -> Any:
        """Return ``S = scale · B*(y)``, sparse where it can be."""
        return self.whitened.adjoint_operator(self.scale * y)

    def apply(self, S: Any, x: Array) -> Array:
        """Return ``K x`` for the dilation K of S."""
        L, R = self.split(x)
        return np.concatenate([S @ R, S.T @ L])

    def linearize(self, x: Array) -> Linearization:
        """Return the derivative of q at x, explicit where the measurement offers it and it fits."""
        J = None
        if self.whitened.size * x.size <= LARGEST_JACOBIAN:
            J = self.whitened.jacobian(*self.split(x))
        if J is not None and self.scale != 1:
            J *= self.scale
        return Linearization(self, x, J)

    def canonical(self, x: Array) -> tuple[Array, Array, Array]:
        """Return ``U, s, V`` with ``L Rᵀ = U s Vᵀ``."""
        return svd_of_product(*self.split(x))

    def stack(self, U: Array, s: Array, V: Array) -> Array:
        """Return the balanced factors of ``U s Vᵀ``, stacked."""
        return np.concatenate([U, V]) * np.sqrt(s)

    def escapes(self, S: Any, U: Array, V: Array, count: int, seed: int) -> tuple[Array, Array, Array]:
        """Return the leading singular triplets of S outside U and V: directions in which a new column helps."""
        count = min(count, min(S.shape) - U.shape[1])
        if count < 1:
            return U[:, :0], np.zeros(0), V[:, :0]
        dense = S.toarray() if hasattr(S, "toarray") and min(S.shape) <= 400 else S
        return leading_triplets(deflate(dense, U, V), count, seed=seed)


@dataclass(frozen=True, eq=False)
class Linearization:
    """The derivative of q at a point, explicit as an array (m, k, d1 + d2) or implicit."""

    model: StackedProduct
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
        """The explicit derivative as a matrix (m, k (d1 + d2)), columns ordered by column of x."""
        assert self.J is not None
        return self.J.reshape(len(self.J), -1)

    def blocks(self) -> Array:
        """Return the k×k diagonal blocks of ``JᵀJ``, one for each row of x or one shared, shape (·, k, k)."""
        L, R = self.model.split(self.x)
        exact = self.model.whitened.curvature_blocks(L, R)
        if exact is not None:
            return self.model.scale**2 * exact
        k = L.shape[1]
        shared = np.broadcast_to(R.T @ R, (len(L), k, k)), np.broadcast_to(L.T @ L, (len(R), k, k))
        return np.concatenate(shared)

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
