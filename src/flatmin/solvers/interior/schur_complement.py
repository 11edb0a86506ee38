"""The linear system of an interior point step: a Schur complement, factorized with a shift that grows if it must."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular

from flatmin._core.arrays import Array

__all__ = ["SchurComplement"]

#: First shift of the diagonal, relative to its entries; each failed factorization multiplies it by ``GROWTH``.
FIRST_SHIFT = 1e-14
#: Factor of the shift after a failed factorization.
GROWTH = 10.0
#: Shift above which the system counts as singular.
LARGEST_SHIFT = 1e-6


@dataclass(frozen=True, eq=False)
class SchurComplement:
    """A Cholesky factor of a positive semidefinite matrix M, with a shift of its diagonal relative to its entries.

    M tends to a singular matrix if the number of data exceeds the degrees of freedom of the solution.
    """

    factor: tuple[Array, bool]
    shift: float

    @classmethod
    def from_lower(cls, lower: Array, shift: float = FIRST_SHIFT) -> SchurComplement | None:
        """Factorize the matrix with this lower triangle, or return None if it is singular up to the largest shift."""
        matrix = lower.T  # in the memory order of LAPACK, which therefore makes no copies
        diagonal = np.diagonal(matrix).copy()
        if not np.isfinite(diagonal).all():
            return None
        while shift <= LARGEST_SHIFT:
            shifted = matrix.copy(order="F")
            np.fill_diagonal(shifted, diagonal * (1 + shift))
            try:
                factor = cho_factor(shifted, overwrite_a=True, check_finite=False)
                return cls(factor, shift)
            except LinAlgError:
                shift *= GROWTH
        return None

    def half(self, right: Array) -> Array:
        """Return ``U⁻ᵀ right`` for the upper triangular U with ``M + shift = Uᵀ U``."""
        return np.asarray(solve_triangular(self.factor[0], right, trans=1, check_finite=False))

    def other_half(self, right: Array) -> Array:
        """Return ``U⁻¹ right``."""
        return np.asarray(solve_triangular(self.factor[0], right, check_finite=False))

    def solve(self, right: Array) -> Array:
        """Return ``(M + shift)⁻¹ right``."""
        return np.asarray(cho_solve(self.factor, right, check_finite=False))
