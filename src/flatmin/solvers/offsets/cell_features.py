"""Features of cells: the term ``x_ijᵀ β`` of the features x_ij of a cell, such as prices by state and year.

Its slopes β (p,) are fitted with offsets as in `flatmin.solvers.offsets.slopes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flatmin._core.arrays import Array
from flatmin.measurements.entries import Entries
from flatmin.solvers.offsets.equations import OffsetEquations, roots
from flatmin.solvers.offsets.slopes import SlopeEquations

__all__ = ["CellSlopeEquations", "CellTerm"]

#: Eigenvalues of ``Fᵀ P F`` below this share of the trace of ``Fᵀ F`` count as zero: offsets or other features explain
#: the direction.
ZERO_SHARE = 1e-12


@dataclass(frozen=True, eq=False)
class CellTerm:
    """Features (d1, d2, p) of cells, finite in observed cells, and the ridge penalty ρ on their slopes."""

    features: Array
    strength: float | str = 0.0

    def joined(self, equations: OffsetEquations) -> CellSlopeEquations:
        """Return the equations of the slopes, fitted together with offsets."""
        return CellSlopeEquations(equations, self)


@dataclass(frozen=True, eq=False)
class CellSlopeEquations(SlopeEquations):
    """The equations of the slopes β (p,) of features of cells."""

    term: CellTerm

    @property
    def shape(self) -> tuple[int]:
        """The number of features."""
        return (self.term.features.shape[2],)

    def spread(self, B: Array, entries: Entries | None = None) -> Array:
        """Return ``F β``, or the term at other entries."""
        return np.asarray(self._columns(entries) @ B)

    def sums(self, y: Array, entries: Entries | None = None) -> Array:
        """Return the transpose of `spread`, shape (p,)."""
        return np.asarray(self._columns(entries).T @ y)

    def described(self, B: Array) -> dict[str, Array]:
        """Return the slopes, and the term in all cells."""
        return {"cell_slopes": B, "cell_means": self.term.features @ B}

    @property
    def left_squares(self) -> Array:
        """The sums of squares (p,) that offsets leave of each feature, the diagonal of ``Fᵀ P F``."""
        return np.asarray(np.sum(self._columns(None) * self._without, axis=0))

    @cached_property
    def spectrum(self) -> tuple[Array, Array]:
        """The eigenvalues, ascending, and the eigenvectors of ``Fᵀ P F``."""
        F, PF = self._columns(None), self._without
        S = F.T @ PF
        values, Q = np.linalg.eigh((S + S.T) / 2)
        return np.where(values > ZERO_SHARE * np.vdot(F, F), values, 0.0), Q

    @cached_property
    def twice(self) -> Array:
        """The diagonal (p,) of ``Fᵀ P² F`` in the eigenvectors of `spectrum`."""
        return np.asarray(np.sum((self._without @ self.spectrum[1]) ** 2, axis=0))

    @cached_property
    def _without(self) -> Array:
        """``P F``, shape (m, p)."""
        return np.stack([self.without_offsets(column) for column in self._columns(None).T], axis=1)

    def _columns(self, entries: Entries | None) -> Array:
        """Return F for the observed entries, or for others."""
        found = entries or self.equations.entries
        return np.asarray(roots(found)[:, None] * self.term.features[found.rows, found.cols])
