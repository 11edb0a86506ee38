"""Chunk: the cells of some rows of a matrix, on which one task of Spark works."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["Chunk"]

#: Approximate number of entries of the normal equations that are formed at once.
EQUATIONS_AT_ONCE = 2_000_000


@dataclass(frozen=True, eq=False)
class Chunk:
    """All cells of some rows; or of some columns, called rows here, if a matrix is distributed by columns."""

    lines: Array  # the rows (n,), ascending
    pointers: Array  # the cells of row i stand at pointers[i] to pointers[i + 1]
    across: Array  # the column of each cell
    values: Array

    @classmethod
    def from_cells(cls, lines: Array, across: Array, values: Array) -> Self:
        """Return the chunk of cells (m,) in any order: their rows, columns and values."""
        order = np.argsort(lines, kind="stable")
        distinct, counts = np.unique(lines, return_counts=True)
        pointers = np.concatenate([[0], np.cumsum(counts)])
        return cls(distinct, pointers, across[order].astype(np.int32), values[order].astype(float))

    @cached_property
    def _place(self) -> Array:
        return np.repeat(np.arange(len(self.lines)), np.diff(self.pointers))

    def times(self, F: Array) -> Array:
        """Return the product of these rows with F, shape (d2,) or (d2, b)."""
        return np.asarray(self._sparse(len(F)) @ F)

    def residual(self, own: Array, other: Array) -> Self:
        """Return the chunk of values minus those of ``own otherᵀ``, for factors (d1, k) and (d2, k)."""
        left = self.values.copy()
        rows, step = own[self.lines], max(1, EQUATIONS_AT_ONCE // max(1, own.shape[1]))
        for i in range(0, len(left), step):
            piece = slice(i, i + step)
            left[piece] -= np.einsum("nk,nk->n", rows[self._place[piece]], other[self.across[piece]])
        return replace(self, values=left)

    def weighted(self, own: Array, other: Array) -> Self:
        """Return the chunk of values times weights (d1,) of their rows and (d2,) of their columns."""
        return replace(self, values=self.values * own[self.lines][self._place] * other[self.across])

    def ridge(self, own: Array, other: Array, reg_param: float) -> tuple[Array, Array]:
        """Return the rows (n, k) that minimise ``Σ (v − lᵀ r)² + reg_param · n ‖l‖²``, and three sums.

        Here n is the number of cells of a row, and the factor ``other`` (d2, k) is fixed. With half the gradient g at
        the present rows ``own`` (d1, k), and the part h of g from the data, the sums are ``Σ g²``, ``Σ h²``, and ``Σ
        v²`` minus the minimum.
        """
        k = other.shape[1]
        counts = np.diff(self.pointers)
        rhs = self.times(other)
        rows, slopes = np.empty_like(rhs), np.empty(len(rhs))
        for piece in self._pieces(k):
            normal = np.stack([G.T @ G for G in (other[self.across[a:b]] for a, b in self._spans(piece))])
            normal[:, np.arange(k), np.arange(k)] += reg_param * counts[piece, None]
            before = np.einsum("nij,nj->ni", normal, own[self.lines[piece]])
            slopes[piece] = np.sum((before - rhs[piece]) ** 2, axis=1)
            rows[piece] = np.linalg.solve(normal, rhs[piece][..., None])[..., 0]
        return rows, np.array([slopes.sum(), np.sum(rhs**2), np.sum(rhs * rows)])

    def _pieces(self, k: int) -> Iterator[slice]:
        step = max(1, EQUATIONS_AT_ONCE // max(1, k * k))
        for i in range(0, len(self.lines), step):
            yield slice(i, min(i + step, len(self.lines)))

    def _spans(self, piece: slice) -> Iterator[tuple[int, int]]:
        ends = self.pointers[piece.start : piece.stop + 1].tolist()
        return pairwise(ends)

    def _sparse(self, width: int) -> Any:
        from scipy.sparse import csr_array

        return csr_array((self.values, self.across, self.pointers), shape=(len(self.lines), width))
