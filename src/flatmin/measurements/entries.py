"""Entries: the measurement of some entries of a matrix."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import integers, matrix_shape, numeric
from flatmin.errors import InputError
from flatmin.linalg.forward_error import UNIT, gamma, pieces, summed
from flatmin.linalg.kernels import MIN_COMPILED_CELLS
from flatmin.linalg.kernels.merging import Merging
from flatmin.linalg.metric import Metric
from flatmin.measurements._on_device import CellsOnDevice
from flatmin.measurements.base import Measurement

__all__ = ["Entries"]

#: Largest number of entries for which `normal_matrix` is formed and factorized.
LARGEST_NORMAL = 2000
#: Number of rows of `normal_matrix` that are formed at once, so few that they stay in the cache of a processor.
ROWS_AT_ONCE = 64
#: Number of entries from which compiled loops are used if, in addition, `MIN_BUSY_WORK` is reached.
MIN_BUSY_CELLS = 8_000
#: Number of entries times columns of the factors from which compiled loops are used if there are at least
#: `MIN_BUSY_CELLS` entries.
MIN_BUSY_WORK = 200_000
#: Largest weight, and inverse of the smallest one. Fourth powers of weights must not overflow.
LARGEST_WEIGHT = 1e75
#: Number of entries that are processed at once, to keep temporary arrays short.
ENTRIES_AT_ONCE = 1_000_000


#: Up to this number of columns of the factors, entries of products are added column by column.
FEW_COLUMNS = 4
#: Up to this number of columns, `Entries.row_blocks` multiplies a sparse matrix: a loop that is compiled in any case.
OUTER_COLUMNS = 10
#: Number of products that are formed at once without compiled loops: so few that they stay in the cache of a processor.
PRODUCTS = 16_000


class Entries(Measurement):
    """The entries ``X[rows[i], cols[i]]`` of a matrix, for matrix completion. All products are sparse.

    From `flatmin.linalg.kernels.MIN_COMPILED_CELLS` entries on, products run in compiled loops. Positions and weights
    are copied.

    Parameters
    ----------
    rows, cols : array_like of int, shape (m,)
        Zero-based positions of the observed entries, in any order; an entry may be observed more than once.
    shape : tuple of int
        ``(d1, d2)``.
    weights : array_like, shape (m,), optional
        Measure ``weights[i] * X[rows[i], cols[i]]`` instead.

    Raises
    ------
    InputError
        If an index is not a whole number or lies outside the matrix, the arrays differ in length, or the matrix has
        2³¹ rows or columns or more.

    Examples
    --------
    >>> A = Entries([0, 1], [2, 0], (2, 3))
    >>> A.forward(np.arange(6.0).reshape(2, 3))
    array([2., 3.])
    """

    dtype = np.dtype(float)
    _on_device = CellsOnDevice

    def __init__(self, rows: Any, cols: Any, shape: Any, weights: Any = None) -> None:
        self.shape = matrix_shape(shape)
        self.rows, self.cols = _positions(rows, "rows", self.shape[0]), _positions(cols, "cols", self.shape[1])
        if self.rows.shape != self.cols.shape:
            raise InputError(f"rows has length {self.rows.size} and cols has {self.cols.size}, expected equal lengths")
        self.size = self.rows.size
        if self.size == 0:
            raise InputError("no entry is observed, expected at least one")
        self.weights = None if weights is None else np.array(numeric(weights, "weights"))
        if self.weights is not None and self.weights.shape != (self.size,):
            raise InputError(f"weights has shape {self.weights.shape}, expected ({self.size},)")
        if self.weights is not None:
            sizes = np.abs(self.weights[self.weights != 0])
            if sizes.size and not (sizes.min() >= 1 / LARGEST_WEIGHT and sizes.max() <= LARGEST_WEIGHT):
                raise InputError(
                    f"weights have sizes from {sizes.min():.3g} to {sizes.max():.3g}, expected zeros and sizes from "
                    f"{1 / LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}"
                )

    @cached_property
    def _pattern(self) -> _Pattern:
        return _Pattern(self.rows, self.cols, self.shape)

    def forward(self, X: Array) -> Array:
        """Return the observed entries of X."""
        return self._weighted(X.real.ravel().take(self._pattern.flat))

    def adjoint(self, y: Array) -> Array:
        """Return the matrix with the entries y and zeros elsewhere."""
        if self.repeats > 1:
            return np.asarray(self.adjoint_operator(y).toarray())
        values = self._weighted(y)
        found = np.zeros(self.shape, values.dtype)
        found.ravel()[self._pattern.flat] = values
        return found

    def forward_factors(self, L: Array, R: Array) -> Array:
        """Return the observed entries of ``L Rᵀ``, without forming it."""
        if self._compiled(L.shape[1]):
            cells = self._pattern.cells
            return self._weighted(cells.returned(cells.sampled(L.astype(float, copy=False), R)))
        if 0 < L.shape[1] <= FEW_COLUMNS:
            sums = [
                left.take(self.rows) * right.take(self.cols) for left, right in zip(L.T.copy(), R.T.copy(), strict=True)
            ]
            return self._weighted(summed(sums))
        out = np.empty(self.size)
        step = max(1, PRODUCTS // max(1, L.shape[1]))
        for i in range(0, self.size, step):
            piece = slice(i, i + step)
            np.einsum("ij,ij->i", L.take(self.rows[piece], 0), R.take(self.cols[piece], 0), out=out[piece])
        return self._weighted(out)

    def adjoint_operator(self, y: Array) -> Any:
        """Return the matrix with the entries y as a sparse CSR array, whose indices must not be changed in place."""
        values = self._weighted(y)
        if self.size >= MIN_COMPILED_CELLS:
            from flatmin.linalg.kernels import CellMatrix

            cells = self._pattern.cells
            return CellMatrix.from_values(cells.arranged(values), cells)
        from scipy.sparse import csr_array

        order, columns, pointers = self._pattern.layout
        values = values if order is None else values[order]
        if self.repeats > 1:
            return csr_array((values, columns, pointers), shape=self.shape, copy=True)  # SciPy may add up what repeats
        found = copy(self._pattern.ones)  # costs a fifth of a construction, which checks the indices
        found.data = np.array(values)
        return found

    @property
    def cells(self) -> Any:
        """The entries as `flatmin.linalg.kernels.Cells`, sorted once; this loads Numba."""
        return self._pattern.cells

    def norms(self) -> Array:
        """Return the size of every weight."""
        return np.broadcast_to(1.0, self.size) if self.weights is None else np.abs(self.weights)

    def weighted(self, weights: Array) -> Entries:
        """Return the map with its weights multiplied by the given ones."""
        return self._with(self._weighted(weights))

    def gram_diagonals(self) -> tuple[Array, Array]:
        """Return the (weighted) number of observations in every row and every column."""
        squares = None if self.weights is None else self.weights**2
        rows = np.bincount(self.rows, squares, self.shape[0]).astype(float)
        return rows, np.bincount(self.cols, squares, self.shape[1]).astype(float)

    @property
    def gram_rounding(self) -> float:
        """The number of `Measurement.gram_rounding`: 0 for numbers of observations, but not for squared weights."""
        if self.weights is None:
            return 0.0
        longest = max(int(np.bincount(index).max()) for index in (self.rows, self.cols))
        return gamma(longest + 1)

    @property
    def adjoint_rounding(self) -> float:
        """The number of `Measurement.adjoint_rounding`: only entries that are observed more than once are sums."""
        return gamma(self.repeats - 1) + (0.0 if self.weights is None else 2 * UNIT)

    def adjoint_error(self, y: Array, entry: float = 0.0) -> float:
        """Return a bound on the norm of the error of `adjoint`, see `Measurement.adjoint_error`."""
        size = float(np.linalg.norm(self._weighted(y))) * float(np.sqrt(self.repeats))
        return 1.01 * (self.adjoint_rounding + entry) * size

    @property
    def repeats(self) -> int:
        """The largest number of observations of an entry."""
        return self._pattern.repeats

    def forward_error(self, L: Array, R: Array) -> Array:
        """Return bounds (m,) on the rounding errors of `forward_factors`."""
        left, right = np.linalg.norm(L, axis=1), np.linalg.norm(R, axis=1)
        sizes = left[self.rows]
        for piece in pieces(self.size):
            sizes[piece] *= 1.01 * gamma(L.shape[1] + 2) * right[self.cols[piece]]
        return np.asarray(sizes if self.weights is None else sizes * np.abs(self.weights))

    def curvature_blocks(self, L: Array, R: Array) -> Array:
        """Return the blocks of `Measurement.curvature_blocks`: sums over the entries of every row, and every column."""
        if self._compiled(L.shape[1]):
            across, weights = self._pattern.cells.transposed, self._arranged_weights
            turned = None if weights is None else across.arranged(weights)
            return np.concatenate([self._pattern.cells.grams(R, weights), across.grams(L, turned)])
        pattern = self._squared_weights
        return np.concatenate([_outer_sums(pattern, R), _outer_sums(pattern.T, L)])

    def row_blocks(self, R: Array) -> Array:
        """Return the weighted sum of outer products ``r rᵀ`` over the entries of every row, shape (d1, k, k).

        Here r is the row of R that belongs to the column of an entry.
        """
        if self._compiled(R.shape[1]) and R.shape[1] > OUTER_COLUMNS:
            found: Array = self._pattern.cells.grams(R, self._arranged_weights)
            return found
        return _outer_sums(self._squared_weights, R)

    @property
    def _squared_weights(self) -> Any:
        """The matrix with the squared weight, or one, at every entry."""
        return self.adjoint_operator(np.ones(self.size) if self.weights is None else self.weights)

    @property
    def has_normal_matrix(self) -> bool:
        """Whether the number m of entries satisfies ``d1 + d2 ≤ m ≤ LARGEST_NORMAL``."""
        return sum(self.shape) <= self.size <= LARGEST_NORMAL

    def normal_matrix(self, G: Array, P: Array) -> Array:
        """Return the lower triangle of ``tr(K_i P K_j G)``; above it the array has no meaning.

        An element is the sum of four products of an entry of P and one of G.
        """
        d1, rows, cols = self.shape[0], self.rows, self.cols + self.shape[0]
        ends = (cols, rows), (rows, cols)
        pairs = [(F[d1:].take(one, 1), H[:d1].take(other, 1)) for F, H in ((G, P), (P, G)) for one, other in ends]
        M = np.zeros((self.size, self.size))
        for start in range(0, self.size, ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, self.size)
            block = M[start:stop, :stop]
            for below, along in pairs:
                product = below[self.cols[start:stop], :stop]
                product *= along[rows[start:stop], :stop]
                block += product
            if self.weights is not None:
                block *= self.weights[:stop]
                block *= self.weights[start:stop, None]
        return M

    def congruence(self, P1: Metric, P2: Metric) -> Measurement:
        """Return the map with weights multiplied by the entries of the diagonal P1 and P2."""
        if not (P1.is_diagonal and P2.is_diagonal):
            return super().congruence(P1, P2)
        weights = P1.values[self.rows]
        for piece in _pieces(self.size):
            weights[piece] *= P2.values[self.cols[piece]]
            if self.weights is not None:
                weights[piece] *= self.weights[piece]
        return self._with(weights)

    def merged(self) -> tuple[Measurement, Any] | None:
        """Return one weighted measurement for each entry, in row-major order, or None if the map has this form."""
        order, columns, pointers = self._pattern.layout
        if self.repeats == 1 and order is None:
            return None
        kind = pointers.dtype
        place = np.empty(self.size, kind)
        if self.repeats == 1:
            place[order] = np.arange(self.size, dtype=kind)
            weights = None if self.weights is None else self.weights[order]
            return self._of_pattern(self._pattern.sorted, weights), Merging(place, self.size)
        rows = self._pattern.sorted_rows
        first = np.ones(self.size, bool)
        first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
        place[slice(None) if order is None else order] = np.cumsum(first, dtype=kind) - 1
        squares = None if self.weights is None else self.weights**2
        norms = np.sqrt(np.bincount(place, squares))
        if self.weights is None:
            values = 1 / norms[place]
        else:
            directions = np.where(norms[place] > 0, self.weights, 1.0)  # an entry of weight zero needs a unit column
            values = directions / np.sqrt(np.bincount(place, directions**2))[place]
        return Entries(rows[first], columns[first], self.shape, norms), Merging(place, len(norms), values)

    def take(self, index: Array) -> Entries:
        """Return the chosen entries."""
        chosen = self._positions(index)
        weights = None if self.weights is None else self.weights[chosen]
        return Entries(self.rows[chosen], self.cols[chosen], self.shape, weights)

    def _with(self, weights: Array) -> Entries:
        """Return the same entries with other weights."""
        return self._of_pattern(self._pattern, weights)

    def _of_pattern(self, pattern: _Pattern, weights: Array | None) -> Entries:
        other = Entries.__new__(Entries)
        other.shape, other.size, other.rows, other.cols = self.shape, self.size, pattern.rows, pattern.cols
        other.weights, other._pattern = weights, pattern
        return other

    def _compiled(self, columns: int) -> bool:
        """Return whether products with factors of this many columns run in compiled loops."""
        return self.size >= MIN_COMPILED_CELLS or (self.size >= MIN_BUSY_CELLS and self.size * columns >= MIN_BUSY_WORK)

    @property
    def _arranged_weights(self) -> Array | None:
        """The weights in the order of the cells."""
        return None if self.weights is None else self._pattern.cells.arranged(self.weights)

    def _weighted(self, values: Array) -> Array:
        return np.asarray(values if self.weights is None else self.weights * values)


def _pieces(size: int) -> Iterator[slice]:
    """Return slices that cover all entries."""
    return (slice(start, min(start + ENTRIES_AT_ONCE, size)) for start in range(0, size, ENTRIES_AT_ONCE))


def _positions(given: Any, name: str, bound: int) -> Array:
    """Return a copy of an index as whole numbers below a bound, in four bytes each if there are many."""
    short = isinstance(given, np.ndarray) and given.dtype == np.int32 and given.ndim == 1
    index: Array = given if short else integers(given, name)
    if index.size and (index.min() < 0 or index.max() >= bound):
        worst = index[(index < 0) | (index >= bound)][0]
        raise InputError(f"{name} contains {worst}, expected indices from 0 to {bound - 1}")
    return np.array(index, np.int32 if short or len(index) >= MIN_COMPILED_CELLS else np.int64)


def _outer_sums(pattern: Any, F: Array) -> Array:
    """Return ``Σ_j pattern_ij f_j f_jᵀ`` for every row i of a sparse matrix, for the rows f of F (d2, k)."""
    first, second = np.triu_indices(F.shape[1])
    sums = pattern @ (F[:, first] * F[:, second])
    blocks = np.empty((len(sums), F.shape[1], F.shape[1]))
    blocks[:, first, second] = blocks[:, second, first] = sums
    return blocks


@dataclass(frozen=True, eq=False)
class _Pattern:
    """The positions of entries, sorted once for all maps that differ only in their weights."""

    rows: Array
    cols: Array
    shape: tuple[int, int]

    @cached_property
    def cells(self) -> Any:
        """Compressed rows for compiled loops."""
        from flatmin.linalg.kernels import Cells

        return Cells.from_positions(self.rows, self.cols, self.shape)

    @cached_property
    def flat(self) -> Array:
        """The positions of the entries in a matrix whose rows follow each other."""
        return self.rows.astype(np.int64) * self.shape[1] + self.cols

    @property
    def sorted_rows(self) -> Array:
        """The rows of the entries after sorting."""
        return np.repeat(np.arange(self.shape[0], dtype=self.rows.dtype), np.diff(self.layout[2]))

    @property
    def sorted(self) -> _Pattern:
        """The same pattern after sorting; the sorted cells and their transpose are not copied."""
        found = _Pattern(self.sorted_rows, self.layout[1].astype(self.cols.dtype, copy=False), self.shape)
        if len(self.rows) >= MIN_COMPILED_CELLS:
            found.__dict__["cells"] = self.cells.without_order()
        return found

    @cached_property
    def layout(self) -> tuple[Array | None, Array, Array]:
        """The order that sorts the entries by row and column (None if sorted), then columns and pointers of rows."""
        if len(self.rows) >= MIN_COMPILED_CELLS:
            return self.cells.order, self.cells.indices, self.cells.pointers
        cell = self.flat
        order = None if np.all(cell[1:] >= cell[:-1]) else np.argsort(cell, kind="stable")
        pointers = np.concatenate([[0], np.cumsum(np.bincount(self.rows, minlength=self.shape[0]))])
        return order, self.cols[slice(None) if order is None else order].astype(np.int32), pointers.astype(np.int32)

    @cached_property
    def ones(self) -> Any:
        """The matrix with ones at entries that do not repeat, whose indices other matrices share."""
        from scipy.sparse import csr_array

        _, columns, pointers = self.layout
        found = csr_array((np.ones(len(columns)), columns, pointers), shape=self.shape)
        assert found.has_canonical_format
        return found

    @cached_property
    def repeats(self) -> int:
        """The largest number of observations of an entry."""
        _, columns, pointers = self.layout
        same = columns[1:] == columns[:-1]
        same[np.asarray(pointers[1:-1])[(pointers[1:-1] > 0) & (pointers[1:-1] < len(columns))] - 1] = False
        if not same.any():
            return 1
        starts = np.flatnonzero(np.concatenate([[True], ~same, [True]]))
        return int(np.diff(starts).max())
