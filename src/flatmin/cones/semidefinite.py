"""The cone of positive semidefinite matrices, and its quadratic map."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones._hermitian import HermitianCone
from flatmin.cones.base import Triplets
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.linalg.metric import hermitian_of_product
from flatmin.linalg.subspaces import DENSE, ROUGH, as_array, largest_of_operator, leading_eigenpairs
from flatmin.measurements import Measurement

__all__ = ["Semidefinite", "StackedGram"]


@dataclass(frozen=True)
class Semidefinite(HermitianCone):
    """Positive semidefinite matrices, real or complex, with the trace as norm; its dual norm is the largest eigenvalue.

    Examples
    --------
    >>> Semidefinite().degrees_of_freedom((10, 10), 1), Semidefinite().degrees_of_freedom((10, 10), 1, is_complex=True)
    (10, 19)
    """

    is_semidefinite: ClassVar[bool] = True
    by_size: ClassVar[bool] = False

    def decompose(self, P: Array, Q: Array) -> Triplets:
        """Return ``U, s, U`` of ``P Q*``, which is positive semidefinite up to rounding."""
        if P is Q or np.array_equal(P, Q):
            U, values, _ = np.linalg.svd(P, full_matrices=False)
            return U, values**2, U
        U, s, V = hermitian_of_product(P, Q)
        positive = np.einsum("ij,ij->j", U.conj(), V).real > 0
        return U[:, positive], s[positive], U[:, positive]

    def quadratic_map(self, whitened: Measurement, scale: float = 1.0, units: Array | None = None) -> QuadraticMap:
        """Return the map of U, in real coordinates."""
        return StackedGram(whitened, scale, units)


@dataclass(frozen=True, eq=False)
class StackedGram(QuadraticMap):
    """The quadratic map of ``Z = ½ U U*``: x is U, or [Re U; Im U] for complex U, and K is S in real coordinates."""

    cone: ClassVar[Any] = Semidefinite()

    @property
    def is_complex(self) -> bool:
        """Whether U is complex."""
        return bool(np.issubdtype(self.whitened.dtype, np.complexfloating))

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
        """Return ``B_i U`` for every i, in real coordinates, or None if the measurement does not offer it."""
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

    def largest(self, S: Any, seed: int, tol: float = 1e-2, below: float = 0.0, count: int = 1) -> float:
        """Return the largest eigenvalue; a rough one of a large operator takes a few products."""
        if tol >= ROUGH and S.shape[0] > DENSE and not isinstance(S, np.ndarray):
            return largest_of_operator(S, seed)
        return super().largest(S, seed, tol, below, count)

    def curvature(self, S: Any) -> Array:
        """Return S in real coordinates."""
        S = as_array(S)
        return np.block([[S.real, -S.imag], [S.imag, S.real]]) if self.is_complex else S
