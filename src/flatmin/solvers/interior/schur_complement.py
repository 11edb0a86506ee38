"""The linear system of an interior point step: a Schur complement, factorized with a shift that grows if it must."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, blas, cho_factor, cho_solve

from flatmin._core.arrays import Array

__all__ = ["SchurComplement"]

#: First shift of the diagonal, relative to its entries; each failed factorization multiplies it by ``GROWTH``.
FIRST_SHIFT = 1e-14
#: Factor of the shift after a failed factorization.
GROWTH = 10.0
#: Shift above which the system counts as singular.
LARGEST_SHIFT = 1e-6
#: Largest number of refinements of a solution.
MOST_REFINEMENTS = 5


@dataclass(frozen=True, eq=False)
class SchurComplement:
    """A positive semidefinite matrix M, of which only the upper triangle is stored, and a factor of ``M + shift``.

    M tends to a singular matrix if the number of data exceeds the degrees of freedom of the solution. Solutions with
    the factor alone then lose digits, which refinements with M itself restore in part.
    """

    matrix: Array
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
                return cls(matrix, factor, shift)
            except LinAlgError:
                shift *= GROWTH
        return None

    def solve(self, right: Array, refined: bool) -> Array:
        """Return the solution of ``M z = right``; refinements use the residual of M itself while they halve it."""
        z = self._precondition(right)
        if not refined:
            return z
        residual = right - self._times(z)
        size = float(np.linalg.norm(residual))
        for _ in range(MOST_REFINEMENTS):
            moved = z + self._precondition(residual)
            residual = right - self._times(moved)
            before, size = size, float(np.linalg.norm(residual))
            if not size < before:
                break
            z = moved
            if size > before / 2:
                break
        return z

    def _times(self, z: Array) -> Array:
        return np.asarray(blas.dsymv(1.0, self.matrix, z))

    def _precondition(self, r: Array) -> Array:
        return np.asarray(cho_solve(self.factor, r, check_finite=False))
