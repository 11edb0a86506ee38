"""Cone: the base class of the sets of matrices that models can make."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.linalg.operator_norm import TopSpectrum
from flatmin.measurements import Measurement

__all__ = ["MAX_TANGENT_WORK", "Cone", "Pairs", "Triplets"]

#: Largest number of multiplications for which the map on the tangent space is formed.
MAX_TANGENT_WORK = 1.5e9
#: Largest number of forward maps for which the map on the tangent space is formed if there is no
#: `Measurement.jacobian`.
MAX_FORWARD_MAPS = 400

Triplets = tuple[Array, Array, Array]
Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class Cone(ABC):
    """A convex cone of matrices: its norm, dual norm, tangent spaces, cores and quadratic map.

    The norm is the nuclear norm on the cone. A matrix is decomposed as ``Z = U s V*`` with s ≥ 0 and orthonormal U and
    V, and its norm is the sum of s. A new cone is one subclass; a parametrization refers to its cone by
    `Parametrization.cone`. If `is_hermitian`, all elements are Hermitian, so that V is U up to signs. If
    `is_semidefinite`, the cone is no linear space: perhaps none of its elements fits the data although other matrices
    do.
    """

    is_hermitian: ClassVar[bool] = False
    is_semidefinite: ClassVar[bool] = False

    @abstractmethod
    def decompose(self, P: Array, Q: Array) -> Triplets:
        """Return ``U, s, V`` of the element nearest to ``P Q*``, without forming it; s is descending."""

    @abstractmethod
    def degrees_of_freedom(self, shape: tuple[int, int], rank: int, is_complex: bool = False) -> int:
        """Return the real dimension of the manifold of elements of the given rank."""

    def max_width(self, shape: tuple[int, int]) -> int:
        """Return a number of columns of factors that suffices for every element of the cone."""
        return min(shape)

    @abstractmethod
    def spectrum(
        self, S: Any, U: Array, V: Array, *, unit: float, seed: int = 0, randomized: bool = True
    ) -> TopSpectrum:
        """Return bounds on the dual norm, the largest ``⟨Z, S⟩ / ‖Z‖_*`` over the cone; see `top_spectrum`."""

    @abstractmethod
    def largest_value(self, S: Any, seed: int = 0) -> float:
        """Return the dual norm of S up to rounding, without a proof; at most 0 if no element has ``⟨Z, S⟩ > 0``."""

    @abstractmethod
    def rough_largest_value(self, S: Array) -> float:
        """Return the dual norm of an array to about a part in a thousand, quickly."""

    def core_pairs(self, U: Array, V: Array) -> Pairs:
        """Return the positions (i, j), i ≤ j, where a Hermitian core S with ``U S V*`` in the cone may be nonzero."""
        q = U.shape[1]
        return [(i, j) for i in range(q) for j in range(i, q)]

    def derivative(self, whitened: Measurement, U: Array, V: Array, unseen: tuple[int, int] = (0, 0)) -> Array | None:
        """Return the products of a map B with orthonormal U (d1, q) and V (d2, q), for `tangent_columns`.

        They are ``B_i V`` with axes [i, column, row], followed by ``B_i* U`` unless the cone is Hermitian. The result
        is None if the arrays would be too large, or if the tangent space has more dimensions than there are
        measurements. ``unseen`` holds the dimensions of the subspaces of rows and of columns that B does not see.
        """
        (d1, d2), q, m = whitened.shape, U.shape[1], whitened.size
        free = self.degrees_of_freedom((d1 - unseen[0], d2 - unseen[1]), q, np.iscomplexobj(U))
        if free > m or m * free**2 > MAX_TANGENT_WORK:
            return None
        found = whitened.products(V) if self.is_hermitian else whitened.jacobian(U, V)
        if found is not None or q * (d1 + d2) > MAX_FORWARD_MAPS or np.iscomplexobj(U):
            return found
        out = np.empty((m, q, d1 if self.is_hermitian else d1 + d2))
        for c in range(q):
            for row, unit in enumerate(np.eye(d1)):
                out[:, c, row] = whitened.forward_factors(unit[:, None], V[:, [c]])
            for row, unit in enumerate(() if self.is_hermitian else np.eye(d2)):
                out[:, c, d1 + row] = whitened.forward_factors(U[:, [c]], unit[:, None])
        return out

    @abstractmethod
    def tangent_columns(self, sides: Array, U: Array, V: Array, blind: tuple[Array, Array] | None = None) -> Array:
        """Return the matrix of B on an orthonormal basis of the tangent space at U and V, up to signs.

        ``sides`` is the `derivative` of B at (U, V). ``blind`` holds orthonormal bases of the subspaces that B does not
        see on either side; tangent elements vanish on them.
        """

    @abstractmethod
    def quadratic_map(self, whitened: Measurement, scale: float = 1.0, units: Array | None = None) -> QuadraticMap:
        """Return the whitened map as a quadratic map of stacked factors, which is what solvers use."""
