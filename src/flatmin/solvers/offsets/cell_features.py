"""Features of cells: the term ``x_ijᵀ β`` of the features x_ij of a cell, such as prices by state and year.

The slopes β have the ridge penalty ``ρ ‖β‖²``, or none. Let F (m, p) be the features of the observed entries, and
``P = I − H G Hᵀ`` that of the fit of offsets alone, so that ``yᵀ P y`` is the least objective over the offsets. Then
the least objective over offsets and slopes is again a quadratic form of y,

    min_β (y − F β)ᵀ P (y − F β) + ρ ‖β‖² = yᵀ (P − P F S⁻¹ Fᵀ P) y,   β = S⁻¹ Fᵀ P y,   S = Fᵀ P F + ρ I,

and a low-rank matrix is fitted jointly with both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.measurements import Measurement
from flatmin.measurements.entries import Entries
from flatmin.solvers.offsets.equations import OffsetEquations, Triple, roots
from flatmin.solvers.offsets.offset_free import OffsetFree

__all__ = ["CellFree", "CellSlopes", "CellTerm"]

#: Eigenvalues of ``Fᵀ P F`` below this share of the trace of ``Fᵀ F`` count as zero: offsets or other features explain
#: the direction.
ZERO_SHARE = 1e-12


@dataclass(frozen=True, eq=False)
class CellTerm:
    """Features (d1, d2, p) of cells, finite in observed cells, and the ridge penalty ρ on their slopes."""

    features: Array
    strength: float = 0.0


@dataclass(frozen=True, eq=False)
class CellSlopes:
    """The slopes β (p,) of features of cells, after the elimination of offsets."""

    equations: OffsetEquations
    term: CellTerm

    @property
    def size(self) -> int:
        """The number of slopes."""
        return int(self.term.features.shape[2])

    @property
    def root(self) -> float:
        """The root of the penalty ρ."""
        return float(np.sqrt(self.term.strength))

    @cached_property
    def columns(self) -> Array:
        """The weighted features F of observed entries, shape (m, p)."""
        entries = self.equations.entries
        return np.asarray(roots(entries)[:, None] * self.term.features[entries.rows, entries.cols])

    @cached_property
    def left(self) -> Array:
        """``P F``: what offsets leave of the features, shape (m, p)."""
        return np.stack([self.without_offsets(column) for column in self.columns.T], axis=1)

    @cached_property
    def spectrum(self) -> tuple[Array, Array]:
        """The eigenvalues, ascending, and the eigenvectors of ``Fᵀ P F``."""
        S = self.columns.T @ self.left
        values, Q = np.linalg.eigh((S + S.T) / 2)
        return np.where(values > ZERO_SHARE * np.vdot(self.columns, self.columns), values, 0.0), Q

    @property
    def freedom(self) -> float:
        """The degrees of freedom that slopes add, ``tr(P F S⁻¹ Fᵀ P)``."""
        values, Q = self.spectrum
        used = values > 0
        return float(np.sum(np.sum((self.left @ Q) ** 2, axis=0)[used] / (values[used] + self.term.strength)))

    def fit(self, y: Array) -> Array:
        """Return the slopes ``S⁻¹ Fᵀ P y`` for weighted values y (m,)."""
        return self.solve(self.left.T @ y)

    def solve(self, h: Array) -> Array:
        """Return ``S⁻¹ h``, of least norm where offsets explain features."""
        values, Q = self.spectrum
        used = values > 0
        return np.asarray(Q[:, used] @ ((Q[:, used].T @ h) / (values[used] + self.term.strength)))

    def without_offsets(self, y: Array) -> Array:
        """Return ``P y``."""
        return np.asarray(y - self.equations.spread(self.equations.solve(self.equations.sums(y))))


@dataclass(frozen=True, eq=False, repr=False)
class CellFree(OffsetFree):
    """Observed entries after offsets and slopes of features of cells are eliminated; a measurement more for each slope.

    The measurements of the slopes are the roots of their penalties.
    """

    slopes: CellSlopes

    @property
    def size(self) -> int:  # type: ignore[override]
        """The number of observations, of penalised offsets and of slopes."""
        return int(super().size) + self.slopes.size

    @property
    def freedom(self) -> float:
        """The degrees of freedom of offsets and of slopes."""
        return super().freedom + self.slopes.freedom

    def best(self, y: Array) -> tuple[Triple, dict[str, Any]]:
        """Return the offsets that fit weighted values y (m,) best, and the slopes."""
        beta = self.slopes.fit(y)
        z, _ = super().best(y - self.slopes.columns @ beta)
        return z, {"cell_slopes": beta, "cell_means": self.slopes.term.features @ beta}

    def others(self, entries: Entries) -> Measurement:
        """Raise an error: this is not needed, since panels choose penalties by placebos."""
        raise NotImplementedError("predictions of other entries with features of cells are not linear maps here")

    def reduce(self, y: Array) -> Array:
        """Return the residual of y (m,), with the penalised offsets and slopes."""
        beta = self.slopes.fit(y)
        penalised = self._factor * self.slopes.root * beta
        return np.concatenate([super().reduce(y - self.slopes.columns @ beta), penalised])

    def expand(self, y: Array) -> Array:
        """Return the transpose of `reduce`, shape (m,)."""
        rest, penalised = np.split(y, [self.size - self.slopes.size])
        out = super().expand(rest)
        h = self.slopes.columns.T @ out - self._factor * self.slopes.root * penalised
        return np.asarray(out - self.slopes.left @ self.slopes.solve(h))

    def norms(self) -> Array:
        """Return bounds on the norms of the sensing matrices: those of the entries, and zeros."""
        return np.concatenate([super().norms(), np.zeros(self.slopes.size)])
