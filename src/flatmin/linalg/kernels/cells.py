"""Cells: the positions of observed cells, and products of factors and sparse values over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array, in_row_major_order
from flatmin.linalg.kernels import loops
from flatmin.linalg.kernels.parallel import LEAST_WORK, Parts, available, in_parts

__all__ = ["Cells"]

NONE = np.zeros(0)
#: Number of entries of the matrices that are solved with at a time. They stay in the second-level cache.
BLOCK_ENTRIES = 1 << 16


@dataclass(frozen=True, eq=False)
class Cells:
    """Positions of observed cells in compressed rows; their values are separate arrays in this order.

    Products are computed in the type of the factors, float32 or float64, in several threads if there is enough work.

    Parameters
    ----------
    shape : tuple of int
        ``(d1, d2)``.
    pointers, indices : ndarray of int, shapes (d1 + 1,) and (m,)
        The position of the first cell of each row, and the columns of the cells, row by row.
    order : ndarray of int, shape (m,), optional
        The original positions of the sorted cells: ``values[order]`` are the values in sorted order.
    threads : int, optional
        Largest number of threads; by default `flatmin.linalg.kernels.parallel.available`.
    """

    shape: tuple[int, int]
    pointers: Array
    indices: Array
    order: Array | None = None
    threads: int | None = None

    @classmethod
    def from_positions(cls, rows: Array, cols: Array, shape: tuple[int, int], threads: int | None = None) -> Cells:
        """Sort cells at positions in any order by row and column. Repeated cells are not merged."""
        kind = _kind(len(rows))
        pointers = np.zeros(shape[0] + 1, kind)
        loops.count(rows, pointers)
        if in_row_major_order(rows, cols):
            return cls(shape, pointers, cols.astype(np.int32, copy=False), None, threads)
        starts = np.zeros(shape[1] + 1, kind)
        loops.count(cols, starts)
        by_column, order = np.empty(len(rows), kind), np.empty(len(rows), kind)
        loops.place(cols, starts, np.empty(0, kind), by_column)
        loops.place(rows, pointers.copy(), by_column, order)
        indices = np.empty(len(rows), np.int32)
        loops.gathered(cols, order, 0, len(rows), indices)
        return cls(shape, pointers, indices, order, threads)

    @property
    def size(self) -> int:
        """The number of cells m."""
        return len(self.indices)

    @cached_property
    def transposed(self) -> Cells:
        """The cells of the transposed matrix. Their ``order`` refers to the order of these cells."""
        pointers = np.zeros(self.shape[1] + 1, self.pointers.dtype)
        loops.count(self.indices, pointers)
        rows, order = np.empty(self.size, np.int32), np.empty(self.size, self.pointers.dtype)
        loops.arrange(self.pointers, self.indices, pointers.copy(), rows, order)
        return Cells((self.shape[1], self.shape[0]), pointers, rows, order, self.threads)

    def without_order(self) -> Cells:
        """Return these cells for values that are sorted already. The positions and the transpose are not copied."""
        found = replace(self, order=None)
        found.__dict__["transposed"] = self.transposed
        return found

    def arranged(self, values: Array) -> Array:
        """Return values in the order of the cells, without a copy if they are in this order already."""
        if self.order is None:
            return values
        return self._elementwise(loops.gathered, values)

    def returned(self, values: Array) -> Array:
        """Return values in the original order, without a copy if the orders agree."""
        if self.order is None:
            return values
        return self._elementwise(loops.returned, values)

    def sampled(self, L: Array, R: Array) -> Array:
        """Return the cells of ``L Rᵀ``, shape (m,), for L (d1, k) and R (d2, k)."""
        L, R = _plain(L), _plain(R)
        out = np.zeros(self.size, L.dtype)
        if L.shape[1]:
            self._run(loops.sampled, L.shape[1], L, R, out)
        return out

    def product(self, values: Array, F: Array) -> Array:
        """Return ``V F`` for the sparse matrix V with these values and F (d2, k)."""
        F = _plain(F)
        out = np.empty((self.shape[0], F.shape[1]), F.dtype)
        self._run(loops.product, F.shape[1], _plain(values), F, out)
        return out

    def grams(self, F: Array, weights: Array | None = None) -> Array:
        """Return ``Σ w² f fᵀ`` over the cells of every row, shape (d1, k, k); f is the row of F for the column."""
        F = _plain(F)
        k = F.shape[1]
        out, given = np.empty((self.shape[0], k, k), F.dtype), (_weights(weights, F), np.empty(0, F.dtype), F)

        def run(start: int, stop: int) -> None:
            self._grams(given, start, stop, out[start:stop])

        self._in_ranges(run, k * k)
        return out

    def inverse_grams(self, F: Array, penalties: Array, weights: Array | None = None) -> Array:
        """Return the inverses of `grams` with ``penalties[i] > 0`` added to the diagonal."""
        blocks = self.grams(F, weights)
        k = blocks.shape[1]
        prices = penalties.astype(blocks.dtype)
        blocks[:, np.arange(k), np.arange(k)] += prices[:, None]
        threads = min(available() if self.threads is None else self.threads, 1 + blocks.size * k // LEAST_WORK)

        def run(start: int, stop: int) -> None:
            loops.inverted(blocks, prices, start, stop, np.empty(k, blocks.dtype))

        in_parts(run, len(blocks), threads)
        return blocks

    def ridge(self, values: Array, F: Array, penalties: Array, weights: Array | None = None) -> tuple[Array, float]:
        """Return the minimisers l of ``Σ (w ⟨f, l⟩ − value)² + penalty |l|²`` for all rows, shape (d1, k).

        This is half a sweep of alternating least squares. Values and weights (m,) are in the order of the cells, and F
        (d2, k) has the factors f of the columns. Penalties (d1,) are positive for rows with cells; the minimisers of
        rows without cells are zero. The second result is the decrease of the sum over all rows from its value at zero.
        """
        F = _plain(F)
        k = F.shape[1]
        out, gains = np.zeros((self.shape[0], k), F.dtype), np.zeros(self.shape[0])
        if k == 0:
            return out, 0.0
        data, prices = _plain(values.astype(F.dtype, copy=False)), _plain(penalties.astype(F.dtype, copy=False))
        given, least = (_weights(weights, F), data, F), F.dtype.type(loops.ROUNDING) * np.finfo(F.dtype).eps

        def run(start: int, stop: int) -> None:
            blocks = np.empty((min(max(1, BLOCK_ENTRIES // (k + 1) ** 2), stop - start), k + 1, k + 1), F.dtype)
            for first in range(start, stop, len(blocks)):
                rows = slice(first, min(first + len(blocks), stop))
                some = blocks[: rows.stop - first]
                self._grams(given, first, rows.stop, some)
                loops.solved(some, prices[rows], least, out[rows], gains[rows])

        self._in_ranges(run, k * (k + 1))
        return out, float(gains.sum())

    def curved(self, errors: Array, mine: Array, others: Array, weights: Array | None = None) -> Array:
        """Return the rows for L of a product with the Hessian of ``½ Σ (w ⟨l, r⟩ − value)²`` in the factors (L, R).

        The errors (m,) are ``w (value − w ⟨l, r⟩)``, in the order of the cells. ``mine`` (d1, 2k) is L and its
        direction side by side, and ``others`` (d2, 2k) is R and its direction.
        """
        mine, others = _plain(mine), _plain(others)
        out = np.empty((self.shape[0], mine.shape[1] // 2), mine.dtype)
        given = _weights(weights, mine), _plain(errors), mine, others

        def run(start: int, stop: int) -> None:
            loops.curved(self.pointers, self.indices, *given, start, stop, np.empty(out.shape[1], out.dtype), out)

        self._in_ranges(run, 4 * out.shape[1])
        return out

    def _run(self, loop: Any, operations: int, *arguments: Any) -> None:
        *inputs, out = arguments

        def run(start: int, stop: int) -> None:
            loop(self.pointers, self.indices, *inputs, start, stop, out)

        self._in_ranges(run, operations)

    def _in_ranges(self, run: Callable[[int, int], Any], operations: int) -> None:
        """Call a function with ranges of rows, in several threads if this many operations a cell justify them."""
        Parts(self.pointers).run(run, float(operations) * self.size, self.threads)

    def _grams(self, given: tuple[Array, Array, Array], start: int, stop: int, out: Array) -> None:
        """Write the sums of outer products of some rows to ``out``, for weights, values and factors."""
        kind, width = out.dtype, -(-out.shape[1] // loops.TILE) * loops.TILE
        panel, total = np.zeros((width, loops.PANEL), kind), np.empty((width, width), kind)
        loops.gram(self.pointers, self.indices, *given, start, stop, panel, total, out)

    def _elementwise(self, loop: Any, values: Array) -> Array:
        out = np.empty(self.size, values.dtype)
        loop(_plain(values), self.order, 0, self.size, out)
        return out


def _kind(size: int) -> type[np.signedinteger[Any]]:
    """Return the integer type that can hold the positions of this many cells."""
    return np.int32 if size < 2**31 else np.int64


def _weights(weights: Array | None, F: Array) -> Array:
    return np.zeros(0, F.dtype) if weights is None else _plain(np.ascontiguousarray(weights, F.dtype))


def _plain(array: Array) -> Array:
    """Return an array that compiled loops accept: contiguous, writable, float32 or float64."""
    array = np.ascontiguousarray(array)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(float)
    return array if array.flags.writeable else array.copy()
