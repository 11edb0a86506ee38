"""The Gram matrix of entries on a tangent space, and lower bounds on its smallest eigenvalue by elimination."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import UNIT, defect_of_columns, gamma
from flatmin.measurements import Entries

__all__ = ["CellElimination", "CellGram"]

#: Largest order of the dense matrix that remains after one factor is eliminated.
LARGEST_ORDER = 1500
#: Largest number of multiplications in the elimination of one factor.
MAX_ELIMINATION = 4e8
#: Number of pairs of cells that the elimination processes at once: so few that they stay in the cache of a processor.
MOST_PAIRS = 100_000
#: Shares of the estimated smallest eigenvalue that a factorization tries to prove, in this order.
SHARES = (0.9, 0.7, 0.3)
#: Weight c of ``‖Vᵀ E‖²`` in `CellGram`, in units of the mean diagonal entry of the matrix of ``‖B(U Eᵀ + F Vᵀ)‖²``.
GAUGE = 8.0
#: Steps of the inverse Lanczos iteration that estimates the smallest eigenvalue.
STEPS = 6


@dataclass(frozen=True, eq=False)
class CellGram:
    """The quadratic form ``‖B(U Eᵀ + F Vᵀ)‖² + c ‖Vᵀ E‖²`` of entries B; its matrix has a block for each cell.

    Every element of the tangent space is ``U Eᵀ + F Vᵀ`` with ``Vᵀ E = 0``, and its squared norm is then
    ``‖E‖² + ‖F‖²``. So the smallest eigenvalue of the form bounds ``‖B(H)‖² / ‖H‖²`` from below.

    Attributes
    ----------
    entries : Entries
        The map B, restricted to rows and columns that contain observed cells; it is transposed if needed, so that the
        rows are the longer side.
    U, V : ndarray, shapes (d1, q) and (d2, q)
        Orthonormal columns, with d1 ≥ d2.
    """

    entries: Entries
    U: Array
    V: Array

    @classmethod
    def from_entries(cls, entries: Entries, U: Array, V: Array) -> CellGram | None:
        """Return the form, or None if it is too large or has more unknowns than there are cells."""
        ends = ((U, entries.rows), (V, entries.cols))
        (U, rows), (V, cols) = ((F[seen], place) for F, index in ends for seen, place in [_compressed(index)])
        if len(U) < len(V):
            U, rows, V, cols = V, cols, U, rows
        q, counts = U.shape[1], np.bincount(rows).astype(float)
        few = entries.size < q * (len(U) + len(V) - q)
        if few or q * len(V) > LARGEST_ORDER or q**2 * float(counts @ counts) > MAX_ELIMINATION:
            return None
        return cls(Entries(rows, cols, (len(U), len(V)), entries.weights), U, V)

    @cached_property
    def cells(self) -> tuple[Array, Array, Array, Array]:
        """The row, column and weight of every cell, sorted by rows, and the first cell of every row."""
        d2 = self.entries.shape[1]
        cell, place = np.unique(self.entries.rows.astype(np.int64) * d2 + self.entries.cols, return_inverse=True)
        rows, cols = np.divmod(cell, d2)
        weights = np.sqrt(np.bincount(place, self.entries.norms() ** 2))
        return rows, cols, weights, np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])

    @cached_property
    def blocks(self) -> Array:
        """The blocks (d1, q, q) of the rows of F."""
        _, cols, weights, starts = self.cells
        scaled = weights[:, None] * self.V[cols]
        return np.asarray(np.add.reduceat(scaled[:, :, None] * scaled[:, None, :], starts, axis=0))

    @cached_property
    def gauge(self) -> float:
        """The weight c of ``‖Vᵀ E‖²`` in the form."""
        rows, cols, weights, _ = self.cells
        sides = np.sum(self.V[cols] ** 2, axis=1) + np.sum(self.U[rows] ** 2, axis=1)
        return GAUGE * float(weights**2 @ sides) / (self.U.size + self.V.size)

    @property
    def longest(self) -> int:
        """The largest number of measurements in a row or a column."""
        return max(int(np.bincount(index).max()) for index in (self.entries.rows, self.entries.cols))

    def forward(self, E: Array, F: Array) -> Array:
        """Return ``B(U Eᵀ + F Vᵀ)``."""
        return np.asarray(self.entries.forward_factors(np.hstack([self.U, F]), np.hstack([E, self.V])))

    @cached_property
    def whole(self) -> CellElimination | None:
        """The elimination at the shift 0; None if the form is singular to rounding."""
        return CellElimination.at(self, 0.0)

    def injectivity(self) -> float:
        """Return a proved lower bound on ``‖B(H)‖ / ‖H‖`` for H in the tangent space, or 0.0."""
        if self.whole is None:
            return 0.0
        guess = self.whole.smallest_eigenvalue()
        for share in SHARES:
            if CellElimination.at(self, share * guess) is not None:
                # For VᵀE = 0 the squared norm of U Eᵀ + F Vᵀ is ‖U Eᵀ‖² + ‖F Vᵀ‖² ≤ (1 + skew) (‖E‖² + ‖F‖²). Weights
                # are rounded at most six times when they are whitened, and this line three times.
                skew = max(defect_of_columns(self.U), defect_of_columns(self.V))
                return float(np.sqrt(share * guess / (1 + skew)) * (1 - 16 * UNIT))
        return 0.0


@dataclass(frozen=True, eq=False)
class CellElimination:
    """A proof that the matrix of a form is at least a multiple of the identity: F is eliminated row by row.

    Attributes
    ----------
    gram : CellGram
        The form.
    inverse : ndarray, shape (d1, q, q)
        For every row of F a matrix N such that ``NᵀN / (1 − θ)`` is an upper bound on the inverse of the block of this
        row; θ is small and covers rounding errors.
    factor : ndarray, shape (n, n)
        The upper Cholesky factor of the matrix of E after elimination, with E ordered column by column.
    """

    gram: CellGram
    inverse: Array
    factor: Array

    @classmethod
    def at(cls, gram: CellGram, shift: float) -> CellElimination | None:
        """Prove that all eigenvalues of the form are at least ``shift``, or return None.

        With ``W ≥ P⁻¹`` for the block diagonal P of F, the matrix ``[[P, C], [Cᵀ, Q]]`` is positive semidefinite if
        ``Q − Cᵀ W C`` is. Before ``Q − Cᵀ W C`` is factorized, a bound on the rounding errors in it and in its
        factorization is subtracted from its diagonal (docs/theory/uniqueness.md, "Entries").
        """
        from scipy.linalg import lapack

        (U, V), blocks = (gram.U, gram.V), gram.blocks
        q, (rows, cols, weights, starts) = U.shape[1], gram.cells
        shifted = blocks - shift * np.eye(q)
        try:
            inverse = np.linalg.inv(np.linalg.cholesky(shifted))
        except np.linalg.LinAlgError:
            return None
        traces = np.trace(blocks, axis1=1, axis2=2) + q * shift
        sizes = np.sum(inverse**2, axis=(1, 2))
        longest, repeats = int(np.max(np.diff(np.r_[starts, len(rows)]))), gram.entries.repeats
        product = inverse @ shifted @ inverse.transpose(0, 2, 1) - np.eye(q)
        theta = np.linalg.norm(product, axis=(1, 2)) + 1.01 * gamma(longest + repeats + 2 * q + 24) * sizes * traces
        if not np.max(theta) < 0.5:
            return None
        scale = 1 / np.sqrt(1 - theta)
        scaled = weights[:, None] * V[cols]
        reduced = np.einsum("kab,kb->ka", inverse[rows], scaled) * scale[rows, None]
        matrix = _eliminated(gram, reduced)
        sides = np.sum(U**2, axis=1)[rows]
        larger = 1 + np.sqrt(sizes)[rows] * scale[rows] * np.linalg.norm(scaled, axis=1)
        total = float(weights**2 @ (sides * larger**2)) + gram.gauge * q**2
        formed = gamma(2 * len(U) + 3 * q + 4 * repeats + 64) + gamma(len(matrix) + 4)
        matrix[np.diag_indices(len(matrix))] -= shift + 1.01 * formed * (total + len(matrix) * shift)
        factor, failed = lapack.dpotrf(matrix, lower=0, clean=0, overwrite_a=1)
        return None if failed else cls(gram, inverse, factor)

    def solve(self, e: Array, f: Array) -> tuple[Array, Array]:
        """Return (E, F) that the matrix of the form maps to (e, f), up to rounding; the shift must be 0."""
        from scipy.linalg import lapack

        gram, entries = self.gram, self.gram.entries
        F = self._each(f)
        right = e - entries.adjoint_operator(entries.forward_factors(F, gram.V)).T @ gram.U
        E = lapack.dpotrs(self.factor, right.T.ravel(), lower=0)[0].reshape(e.T.shape).T
        return E, F - self._each(entries.adjoint_operator(entries.forward_factors(gram.U, E)) @ gram.V)

    def _each(self, f: Array) -> Array:
        """Return every row of f, multiplied by the inverse of the block of that row."""
        inner = np.einsum("iab,ib->ia", self.inverse, f)
        return np.asarray(np.einsum("iba,ib->ia", self.inverse, inner))

    def smallest_eigenvalue(self) -> float:
        """Return an estimate from above of the smallest eigenvalue, by a Lanczos iteration with the inverse."""
        d2 = len(self.gram.V)
        x = np.random.default_rng(0).standard_normal((d2 + len(self.gram.U), self.gram.V.shape[1]))
        basis, images = np.empty((0, x.size)), np.empty((0, x.size))
        for _ in range(min(STEPS, x.size)):
            x = x.ravel()
            for _ in range(2):
                x = x - basis.T @ (basis @ x)
            if not (norm := float(np.linalg.norm(x))) > 0:
                break
            basis = np.vstack([basis, x / norm])
            E, F = self.solve(*np.split(basis[-1].reshape(-1, self.gram.V.shape[1]), [d2]))
            x = np.concatenate([E, F]).ravel()
            images = np.vstack([images, x])
        inner = basis @ images.T
        return float(1 / np.linalg.eigvalsh((inner + inner.T) / 2)[-1])


def _eliminated(gram: CellGram, reduced: Array) -> Array:
    """Return the upper triangle of ``Q − Cᵀ W C`` of order q·d2; ``reduced`` (cells, q) has ``w N v`` of each cell."""
    q, d2, (rows, cols, weights, _) = gram.U.shape[1], len(gram.V), gram.cells
    sides, reduced = np.ascontiguousarray((weights[:, None] * gram.U[rows]).T), np.ascontiguousarray(reduced.T)
    blocks = np.zeros((q, q, d2 * d2))
    for first, second in _pairs_in_rows(rows):
        values = np.where(first == second, 1.0, 0.0)
        for line in reduced:
            values -= line[first] * line[second]
        place, right = cols[first] * d2 + cols[second], [side[second] for side in sides]
        for a in range(q):
            left = values * sides[a][first]
            for b in range(a + 1):
                blocks[b, a] += np.bincount(place, left * right[b], d2 * d2)
    matrix = np.zeros((q * d2, q * d2), order="F")
    for a in range(q):
        for b in range(a + 1):
            block = blocks[b, a].reshape(d2, d2)
            if a == b:
                block += gram.gauge * (gram.V @ gram.V.T)
            else:
                block += np.triu(block, 1).T
            matrix[b * d2 : (b + 1) * d2, a * d2 : (a + 1) * d2] = block
    return matrix


def _pairs_in_rows(rows: Array) -> Iterator[tuple[Array, Array]]:
    """Return all pairs of a cell and itself or a later one in its row, for sorted rows, `MOST_PAIRS` or so at once."""
    starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
    counts = np.diff(np.r_[starts, len(rows)])
    count = np.repeat(starts + counts, counts) - np.arange(len(rows))
    pieces = np.flatnonzero(np.diff(np.cumsum(count) // MOST_PAIRS, prepend=-1))
    for first, last in pairwise([*pieces, len(rows)]):
        lengths = count[first:last]
        left = np.repeat(np.arange(first, last), lengths)
        yield left, left + np.arange(len(left)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _compressed(index: Array) -> tuple[Array, Array]:
    """Return the distinct values of an index, ascending, and the position of every element among them."""
    present = np.bincount(index) > 0
    return np.flatnonzero(present), index if present.all() else (np.cumsum(present) - 1)[index]
