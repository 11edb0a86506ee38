"""The cone of all rectangular matrices, and its quadratic map."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones.base import Cone, Triplets
from flatmin.cones.quadratic_map import LEAST_SHIFT, QuadraticMap
from flatmin.linalg.block_krylov import block_triplets
from flatmin.linalg.metric import svd_of_product
from flatmin.linalg.operator_norm import TopSpectrum, top_spectrum
from flatmin.linalg.subspaces import DENSE, as_array, complement, extreme_eigenvalue, leading_triplets
from flatmin.measurements import Measurement

__all__ = ["Rectangular", "StackedProduct"]


@dataclass(frozen=True)
class Rectangular(Cone):
    """All matrices of a shape, with the nuclear norm; its dual norm is the operator norm.

    Examples
    --------
    >>> Rectangular().degrees_of_freedom((10, 8), 2)
    32
    """

    def decompose(self, P: Array, Q: Array) -> Triplets:
        """Return the singular value decomposition of ``P Q*``."""
        return svd_of_product(P, Q)

    def degrees_of_freedom(self, shape: tuple[int, int], rank: int, is_complex: bool = False) -> int:
        """Return ``rank (d1 + d2 − rank)``."""
        return rank * (sum(shape) - rank)

    def spectrum(
        self, S: Any, U: Array, V: Array, *, unit: float, seed: int = 0, randomized: bool = True
    ) -> TopSpectrum:
        """Return bounds on the operator norm."""
        return top_spectrum(S, U, V, unit=unit, seed=seed, randomized=randomized)

    def largest_value(self, S: Any, seed: int = 0) -> float:
        """Return the operator norm."""
        return float(leading_triplets(S, 1, tol=1e-7, seed=seed)[1][0])

    def rough_largest_value(self, S: Array) -> float:
        """Return the operator norm from the Gram matrix of the shorter side."""
        return float(np.sqrt(extreme_eigenvalue(S @ S.T if S.shape[0] < S.shape[1] else S.T @ S)))

    def tangent_columns(self, sides: Array, U: Array, V: Array, blind: tuple[Array, Array] | None = None) -> Array:
        """Return B on ``{U E* + F V*}``."""
        m, d1 = len(sides), len(U)
        left, right = (complement(F, None if blind is None else blind[i]) for i, F in enumerate((U, V)))
        parts = [sides[..., :d1] @ U, sides[..., :d1] @ left, sides[..., d1:] @ right]
        return np.concatenate([part.reshape(m, -1) for part in parts], axis=1)

    def quadratic_map(self, whitened: Measurement, scale: float = 1.0, units: Array | None = None) -> QuadraticMap:
        """Return the map of ``[L; R]``."""
        return StackedProduct(whitened, scale, units)


@dataclass(frozen=True, eq=False)
class StackedProduct(QuadraticMap):
    """The quadratic map of products: ``x = [L; R]``, ``Z = L Rᵀ``, and K is the dilation ``[[0, S], [Sᵀ, 0]]``."""

    cone: ClassVar[Any] = Rectangular()
    is_product: ClassVar[bool] = True

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
        """Return ``[B_i R, B_iᵀ L]`` for every i, or None if the measurement does not offer it."""
        return self.whitened.jacobian(*self.split(x))

    def opposite(self, x: Array) -> list[Array]:
        """Return [R, L]: R multiplies the rows of L, and L those of R."""
        return list(self.split(x)[::-1])

    @property
    def has_normal_matrix(self) -> bool:
        """Whether the measurement has `Measurement.normal_matrix`."""
        return self.whitened.has_normal_matrix

    def normal_matrix(self, G: Array, P: Array) -> Array:
        """Return the lower triangle of ``tr(K_i P K_j G)``, from `Measurement.normal_matrix`."""
        return self.whitened.normal_matrix(self.scale**2 * G[0], P[0])

    def dual_spectrum(self, y: Array) -> tuple[Array, Array]:
        """Return the eigenpairs of the dilation, from the singular triplets of S."""
        U, s, Vt = np.linalg.svd(self.dense_dual_matrix(y))
        k, root = len(s), np.sqrt(0.5)
        zero = sum(self.whitened.shape) - 2 * k
        Q = np.zeros((1, len(U) + len(Vt), len(U) + len(Vt)))
        Q[0, : len(U), :k], Q[0, len(U) :, :k] = root * U[:, :k], root * Vt[:k].T
        Q[0, : len(U), k + zero :], Q[0, len(U) :, k + zero :] = root * U[:, k - 1 :: -1], -root * Vt[k - 1 :: -1].T
        Q[0, : len(U), k : k + len(U) - k], Q[0, len(U) :, len(U) : len(U) + len(Vt) - k] = U[:, k:], Vt[k:].T
        return np.concatenate([s, np.zeros(zero), -s[::-1]])[None], Q

    def lifted(self, W: Array) -> Array:
        """Return the upper right part of the only block."""
        d1 = self.whitened.shape[0]
        return W[0, :d1, d1:]

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

    def largest(self, S: Any, seed: int, tol: float = 1e-2, below: float = 0.0, count: int = 1) -> float:
        """Return the largest singular value; small matrices are decomposed without vectors, in a third of the time."""
        if min(S.shape) <= DENSE and (isinstance(S, np.ndarray) or hasattr(S, "toarray")):
            return float(np.linalg.svd(as_array(S), compute_uv=False)[0])
        return super().largest(S, seed, tol, below, count)

    def curvature(self, S: Any) -> Array:
        """Return the dilation of S."""
        S = as_array(S)
        d1, n = len(S), sum(S.shape)
        K = np.zeros((n, n))
        K[:d1, d1:], K[d1:, :d1] = S, S.T
        return K

    def resolvent(self, S: Any, shift: float) -> tuple[float, Array] | None:
        """Return ``a`` and ``(aI − K)^(-1/2)`` from the singular values s of S: eigenvalues of K are ±s and zeros."""
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
        """Return the exact blocks if the measurement has `curvature_blocks`, else the blocks of an isometry."""
        L, R = self.split(x)
        exact = self.whitened.curvature_blocks(L, R)
        if exact is not None:
            return self.scale**2 * exact
        k = L.shape[1]
        shared = np.broadcast_to(R.T @ R, (len(L), k, k)), np.broadcast_to(L.T @ L, (len(R), k, k))
        return np.concatenate(shared)
