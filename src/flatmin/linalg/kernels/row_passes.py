"""Passes over a dense matrix minus a low-rank matrix, in blocks of rows that stay in the cache."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.kernels.parallel import available, run_ranges

__all__ = ["COMPILED", "RowPasses"]

#: Number of cells from which compiled loops save more time than loading Numba takes.
COMPILED = 4_000_000
#: Number of cells in a block: three or four such blocks fit in the second-level cache.
BLOCK = 1 << 16
#: Number of cells that justify another thread.
LEAST = 1 << 18
#: Largest number of ranges of rows that have separate sums. The number depends on the matrix alone, so that digits do
#: not depend on the number of threads.
RANGES = 16

_NONE: Array = np.zeros((0, 0), bool)


class RowPasses:
    """The passes of robust PCA over a matrix ``Y`` and a low-rank ``X = L Rᵀ`` that is never formed.

    Cells are observed where ``seen`` is true; if it is None, all are observed. For a large matrix, ``threads`` is by
    default the number that this process may use. Call the methods within `one_thread`, since linear algebra on a block
    should use one thread. Loops are ``compiled`` by default if the matrix has at least `COMPILED` cells.
    """

    def __init__(
        self, Y: Array, seen: Array | None = None, *, threads: int | None = None, compiled: bool | None = None
    ) -> None:
        self.Y, self.seen = Y, seen
        self.threads = min(available() if threads is None else threads, 1 + Y.size // LEAST)
        self._height = max(1, BLOCK // Y.shape[1])
        self._ascend, self._trim = _ascend, _trim
        if Y.size >= COMPILED if compiled is None else compiled:
            from flatmin.linalg.kernels.entrywise_loops import ascend, trim

            self._ascend, self._trim = ascend, trim

    def ascend(self, L: Array, R: Array, W: Array, Z: Array, *, level: float, rho: float, following: float) -> None:
        """``W ← clip(ρ(Y − X) + W, ±level)``, zero where not seen; ``Z ← X + (W − old W)/ρ + W/following``, in place.

        Let ``S = Y − X + (old W − W)/ρ`` be the errors of the round. Then Z is ``Y − S + W/following`` on observed
        cells, and X elsewhere.
        """

        def block(rows: slice, x: Array) -> None:
            self._ascend(self.Y[rows], x, W[rows], Z[rows], self._of(rows), level, rho, following)

        self._each(L, R, block)

    def trim(
        self, L: Array, R: Array, limits: tuple[Array, Array], free: Array, left: Array, right: Array
    ) -> tuple[Array, Array]:
        """Mark free cells, and return ``G right`` and ``Gᵀ left`` for ``G = Y − X`` on free cells and zero elsewhere.

        A cell is free if it is observed and its residual is at most the limit of its row or that of its column.
        """
        high, wide = limits

        def block(rows: slice, x: Array) -> None:
            self._trim(self.Y[rows], x, self._of(rows), high[rows], wide, free[rows])

        return self._products(L, R, block, left, right)

    def masked(self, L: Array, R: Array, free: Array, left: Array, right: Array) -> tuple[Array, Array]:
        """Return ``G right`` and ``Gᵀ left``, in the type of L; G is X on free cells and zero elsewhere."""

        def block(rows: slice, x: Array) -> None:
            np.multiply(x, free[rows], out=x)

        return self._products(L, R, block, left, right)

    def add(self, L: Array, R: Array, free: Array, W: Array) -> None:
        """``W ← W + X`` on free cells, in place."""

        def block(rows: slice, x: Array) -> None:
            np.multiply(x, free[rows], out=x)
            np.add(W[rows], x, out=W[rows])

        self._each(L, R, block)

    def leave(self, L: Array, R: Array, write: Callable[[slice, Array], Any]) -> None:
        """Call ``write(rows, Y − X)`` for blocks of rows. ``write`` may change the array."""

        def block(rows: slice, x: Array) -> None:
            np.subtract(self.Y[rows], x, out=x)
            if self.seen is not None:
                np.multiply(x, self.seen[rows], out=x)
            write(rows, x)

        self._each(L, R, block)

    def products(self, M: Array, V: Array) -> Array:
        """Return ``M V`` for a matrix of the shape of the data, in the type of V."""
        out = np.empty((len(M), V.shape[1]), V.dtype)

        def run(start: int, stop: int) -> None:
            for rows in self._blocks(start, stop):
                np.matmul(M[rows].astype(V.dtype, copy=False), V, out=out[rows])

        run_ranges(run, self._ranges(), self.threads)
        return out

    def adjoint_products(self, M: Array, U: Array) -> Array:
        """Return ``Mᵀ U`` for a matrix of the shape of the data, in the type of U."""
        parts = [np.zeros((0, 0))] * len(self._ranges())
        numbers = {start: n for n, (start, _) in enumerate(self._ranges())}

        def run(start: int, stop: int) -> None:
            total = np.zeros((M.shape[1], U.shape[1]), U.dtype)
            for rows in self._blocks(start, stop):
                total += M[rows].astype(U.dtype, copy=False).T @ U[rows]
            parts[numbers[start]] = total

        run_ranges(run, self._ranges(), self.threads)
        return np.asarray(sum(parts[1:], parts[0]))

    def _of(self, rows: slice) -> Array:
        return _NONE if self.seen is None else self.seen[rows]

    def _ranges(self) -> list[tuple[int, int]]:
        count = min(RANGES, 1 + self.Y.size // LEAST, len(self.Y))
        cuts = np.linspace(0, len(self.Y), count + 1).astype(int).tolist()
        return list(pairwise(cuts))

    def _blocks(self, start: int, stop: int) -> Iterator[slice]:
        for first in range(start, stop, self._height):
            yield slice(first, min(first + self._height, stop))

    def _each(self, L: Array, R: Array, act: Callable[[slice, Array], Any]) -> None:
        """Call ``act(rows, X[rows])`` for blocks of rows, several at once."""
        across = np.ascontiguousarray(R.T)

        def run(start: int, stop: int) -> None:
            room = np.empty((min(self._height, stop - start), len(R)), L.dtype)
            for rows in self._blocks(start, stop):
                act(rows, np.matmul(L[rows], across, out=room[: rows.stop - rows.start]))

        run_ranges(run, self._ranges(), self.threads)

    def _products(
        self, L: Array, R: Array, act: Callable[[slice, Array], Any], left: Array, right: Array
    ) -> tuple[Array, Array]:
        ranges = self._ranges()
        sums = np.zeros((len(ranges), left.shape[1], len(R)), L.dtype)
        stops = np.array([stop for _, stop in ranges])
        out = np.empty((len(L), right.shape[1]), L.dtype)

        def block(rows: slice, x: Array) -> None:
            act(rows, x)
            np.matmul(x, right, out=out[rows])
            sums[np.searchsorted(stops, rows.start, side="right")] += left[rows].T @ x

        self._each(L, R, block)
        return out, np.ascontiguousarray(sums.sum(axis=0).T)


def _ascend(y: Array, x: Array, w: Array, z: Array, seen: Array, level: float, rho: float, following: float) -> None:
    """Do what `entrywise_loops.ascend` does, in NumPy."""
    np.subtract(y, x, out=z)
    z *= rho
    z += w
    w *= -1 / rho
    x += w
    np.clip(z, -level, level, out=w)
    if seen.size:
        w *= seen
    np.multiply(w, 1 / rho + 1 / following, out=z)
    z += x


def _trim(y: Array, x: Array, seen: Array, high: Array, wide: Array, free: Array) -> None:
    """Do what `entrywise_loops.trim` does, in NumPy."""
    np.subtract(y, x, out=x)
    sizes = np.abs(x)
    np.less_equal(sizes, wide, out=free)
    free |= sizes <= high[:, None]
    if seen.size:
        free &= seen
    x *= free
