"""Offsets: a constant and one number for every row and column of a matrix, which are added to its entries."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.measurements.entries import Entries

__all__ = ["Offsets"]


@dataclass(frozen=True, eq=False)
class Offsets:
    """A constant, and one number for every row (d1,) and column (d2,), in the units of the values.

    Rows and columns without observations have the number 0, or with features the number that these predict.

    Attributes
    ----------
    constant, rows, columns
        The offsets.
    row_slopes, column_slopes : ndarray, shapes (p,) and (q,)
        The slopes of features; empty without features.
    row_means, column_means : ndarray, shapes (d1,) and (d2,), or ()
        The parts of ``rows`` and ``columns`` that features predict; 0 without features.
    own_slopes : ndarray, shape (d1, s)
        The slopes of rows on features of columns; s is 0 without such slopes.
    slope_features : ndarray, shape (d2, s)
        These features.
    cell_slopes : ndarray, shape (p,)
        The slopes of features of cells; empty without such features.
    cell_means : ndarray, shape (d1, d2), or ()
        What features of cells predict; 0 without such features.
    """

    constant: float
    rows: Array
    columns: Array
    row_slopes: Array = field(default_factory=lambda: np.zeros(0))
    column_slopes: Array = field(default_factory=lambda: np.zeros(0))
    row_means: Array = field(default_factory=lambda: np.zeros(()))
    column_means: Array = field(default_factory=lambda: np.zeros(()))
    own_slopes: Array = field(default_factory=lambda: np.zeros((0, 0)))
    slope_features: Array = field(default_factory=lambda: np.zeros((0, 0)))
    cell_slopes: Array = field(default_factory=lambda: np.zeros(0))
    cell_means: Array = field(default_factory=lambda: np.zeros(()))

    def at(self, rows: Any, columns: Any) -> Array:
        """Return ``g + a_i + b_j`` and slopes, shape (n,), at positions (n,). −1 means outside the matrix."""
        i, j = np.asarray(rows), np.asarray(columns)
        of_rows, of_columns = np.where(i >= 0, self.rows[i], 0.0), np.where(j >= 0, self.columns[j], 0.0)
        out, both = np.asarray(self.constant + of_rows + of_columns), np.flatnonzero((i >= 0) & (j >= 0))
        if self.own_slopes.size and len(both):
            shape = len(self.own_slopes), len(self.slope_features)
            out[both] += Entries(i[both], j[both], shape).forward_factors(self.own_slopes, self.slope_features)
        if self.cell_means.ndim:
            out[both] += self.cell_means[i[both], j[both]]
        return out

    def expected(self, rows: Array, columns: Array) -> Array:
        """Return what is expected of a row without observations, whose slopes are 0, at positions (n,)."""
        means = self.row_means[rows] if self.row_means.ndim else 0.0
        return np.asarray(self.constant + self.columns[columns] + means)

    def deviations(self, cells: Any) -> Any:
        """Return the cells of a sparse CSR array minus what is expected of their row without observations."""
        left, rows = cells.copy(), np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr))
        left.data = cells.data - self.expected(rows, cells.indices)
        return left

    def with_rows(self, own: Array) -> Offsets:
        """Return the offsets with other deviations (d1,) of the rows from their means."""
        return replace(self, rows=self.row_means + own)

    def without_slopes(self) -> Offsets:
        """Return the offsets without slopes of rows."""
        return replace(self, own_slopes=np.zeros((0, 0)), slope_features=np.zeros((0, 0)))

    def like(self, rows: Array) -> Offsets:
        """Return the offsets of new rows with the features of rows at positions (n,), or without features at −1."""
        means = np.append(np.broadcast_to(self.row_means, len(self.rows)), 0.0)[rows]
        return replace(self.without_slopes(), rows=means, row_means=means)
