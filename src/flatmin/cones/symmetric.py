"""The cone of real symmetric matrices, and its quadratic map."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones._hermitian import HermitianCone
from flatmin.cones.base import Pairs, Triplets
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.linalg.metric import hermitian_of_product
from flatmin.linalg.subspaces import as_array, leading_eigenpairs
from flatmin.measurements import Measurement

__all__ = ["StackedSignedGram", "Symmetric"]


@dataclass(frozen=True)
class Symmetric(HermitianCone):
    """Real symmetric matrices, with the nuclear norm; its dual norm is the largest absolute eigenvalue.

    Examples
    --------
    >>> Symmetric().degrees_of_freedom((10, 10), 2)
    19
    """

    by_size: ClassVar[bool] = True

    def decompose(self, P: Array, Q: Array) -> Triplets:
        """Return ``U, s, V`` of the symmetric part of ``P Qᵀ``, V being U times the signs of its eigenvalues."""
        return hermitian_of_product(P, Q)

    def max_width(self, shape: tuple[int, int]) -> int:
        """Return twice the dimension, since there are columns for positive and for negative eigenvalues."""
        return 2 * min(shape)

    def core_pairs(self, U: Array, V: Array) -> Pairs:
        """Return the pairs of columns with equal signs: ``U S V*`` is symmetric only if S does not mix signs."""
        positive = np.einsum("ij,ij->j", U, V) > 0
        return [(i, j) for i, j in super().core_pairs(U, V) if positive[i] == positive[j]]

    def quadratic_map(self, whitened: Measurement, scale: float = 1.0, units: Array | None = None) -> QuadraticMap:
        """Return the map of columns that add and columns that subtract."""
        return StackedSignedGram(whitened, scale, units)


@dataclass(frozen=True, eq=False)
class StackedSignedGram(QuadraticMap):
    """The quadratic map of signed models: ``x = [P; Q]``, ``Z = ½ (P Pᵀ − Q Qᵀ)``, and K is ``[[S, 0], [0, −S]]``.

    Every column of x is zero in P or in Q.
    """

    cone: ClassVar[Any] = Symmetric()

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
        """Return ``[B_i P, −B_i Q]`` for every i, or None if the measurement does not offer it."""
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

    def support(self, x: Array) -> Array:
        """Return where x may differ from zero: in one half, P or Q, of every column.

        Columns that are zero get P and Q in turn.
        """
        support, d = np.ones_like(x), len(x) // 2
        negative: Array = np.any(x[d:], axis=0)
        negative[np.flatnonzero(~x.any(axis=0))[1::2]] = True
        support[:d, negative] = 0.0
        support[d:, ~negative] = 0.0
        return support

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

    @property
    def has_normal_matrix(self) -> bool:
        """Whether the sensing matrices are ``x_i x_iᵀ``."""
        return self.whitened.is_rank_one

    def normal_matrix(self, G: Array, P: Array) -> Array:
        """Return ``tr(K_i P K_j G)``, the sum of ``(x_iᵀ P x_j)(x_iᵀ G x_j)`` over both blocks."""
        F = self.whitened.amplitudes(np.eye(self.whitened.shape[0]))
        return self.scale**2 * np.asarray(sum((F @ p @ F.T) * (F @ g @ F.T) for p, g in zip(P, G, strict=True)))

    def dual_blocks(self, y: Array) -> Array:
        """Return ``S`` and ``−S``."""
        S = as_array(self.dual_matrix(y))
        return np.stack([S, -S])

    def lifted(self, W: Array) -> Array:
        """Return half the difference of the two blocks."""
        return np.asarray((W[0] - W[1]) / 2)
